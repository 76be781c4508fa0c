with started as (
    insert into amends.saga
        (id, definition, version, key, trace, input, started_at, status, error, finished_at, parent,
         parent_step)
    select s.id, s.definition, s.version, s.key, s.trace, s.input::json, s.started_at, s.status,
           s.error::json, s.finished_at, s.parent, s.parent_step
    from unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[],
                $7::timestamptz[], $8::text[], $9::text[], $10::timestamptz[], $11::uuid[],
                $12::text[])
        as s (id, definition, version, key, trace, input, started_at, status, error, finished_at,
              parent, parent_step)
    where amends.check_starts($2, $3, $11)
), keyed as (
    insert into amends.business_key (saga_id, digest, key, definition)
    select s.id, s.digest, s.key, s.definition
    from unnest($1::uuid[], $13::bytea[], $4::text[], $2::text[]) as s (id, digest, key, definition)
    where s.key is not null
), changed as (
    update amends.saga s
    set status = c.status, finished_at = c.finished_at,
        -- a saga that goes on, or went well, has no error any more
        error = case when c.status in ('running', 'completed') then null
                     else coalesce(c.error::json, s.error) end
    from unnest($14::uuid[], $15::text[], $16::text[], $17::timestamptz[])
        as c (id, status, error, finished_at)
    where s.id = any(array[c.id])
), first as (
    -- a saga that starts has no timer yet, and not to ask saves a record in the log
    insert into amends.timer (saga_id, due_at)
    select t.saga_id, coalesce(t.due_at, 'infinity')
    from unnest($18::uuid[], $19::timestamptz[]) as t (saga_id, due_at)
    where t.saga_id = any($1::uuid[])
), armed as (
    -- what another turn has set to fire earlier stays, but is moved by a microsecond: it may be a lease,
    -- and whoever has that sets the timer later only where nobody moved it
    insert into amends.timer as old (saga_id, due_at)
    select t.saga_id, min(coalesce(t.due_at, 'infinity'))
    from unnest($18::uuid[], $19::timestamptz[]) as t (saga_id, due_at)
    where t.saga_id <> all($1::uuid[])
    group by t.saga_id order by t.saga_id
    on conflict (saga_id) do update set due_at = least(old.due_at - interval '1 us', excluded.due_at)
), rearmed as (
    -- a timer that fired is set anew, unless another turn moved it since
    update amends.timer t
    set due_at = case when t.due_at = r.leased_until then coalesce(r.due_at, 'infinity')
                      else least(t.due_at - interval '1 us', r.due_at) end
    from unnest($20::uuid[], $21::timestamptz[], $22::timestamptz[]) as r (saga_id, due_at, leased_until)
    where t.saga_id = any(array[r.saga_id])
), disarmed as (
    delete from amends.timer t using unnest($23::uuid[]) as d (saga_id)
    where t.saga_id = any(array[d.saga_id])
), settled as (
    delete from amends.mailbox m using unnest($24::bigint[]) as d (id)
    where m.id = any(array[d.id])
), decided as (
    -- Not from what was deleted: of two replicas that decide one act the second fails here, and decides
    -- again on what the first has written.
    insert into amends.act_decision (act_id, accepted, answer)
    select d.id, d.accepted, d.answer
    from unnest($24::bigint[], $25::boolean[], $26::text[]) as d (id, accepted, answer)
    -- `offset 0`: asked by key for each, and not joined
    where exists (select from amends.act a where a.id = any(array[d.id]) offset 0)
), undone as (
    insert into amends.mailbox (saga_id, kind, reason)
    select distinct u.saga_id, 'undo', u.reason
    from unnest($27::uuid[], $28::text[]) as u (saga_id, reason)
), waiting as (
    insert into amends.wait (saga_id, step, matcher, key)
    select distinct on (w.saga_id, w.step) w.saga_id, w.step, w.matcher, w.key
    from unnest($29::uuid[], $30::text[], $31::text[], $32::text[]) as w (saga_id, step, matcher, key)
    on conflict (saga_id, step) do update set matcher = excluded.matcher, key = excluded.key
), found as (
    delete from amends.wait w using unnest($33::uuid[], $34::text[]) as f (saga_id, step)
    where w.saga_id = any(array[f.saga_id]) and w.step = f.step
), queued as (
    insert into amends.lock (saga_id, name)
    select distinct q.saga_id, q.name from unnest($35::uuid[], $36::text[]) as q (saga_id, name)
), requested as (
    update amends.start_request r
    set decided_at = clock_timestamp(), accepted = d.accepted, answer = d.answer, holder = d.holder
    from unnest($37::uuid[], $38::boolean[], $39::text[], $40::uuid[])
        as d (saga_id, accepted, answer, holder)
    where r.saga_id = any(array[d.saga_id])
)
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.sent, f.next::json
from unnest($41::uuid[], $42::integer[], $43::integer[], $44::timestamptz[], $45::text[], $46::text[],
            $47::text[], $48::text[], $49::text[], $50::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
