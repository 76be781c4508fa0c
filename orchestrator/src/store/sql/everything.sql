with started as (
    insert into amends.saga
        (id, definition, version, key, trace, input, started_at, status, error, finished_at, parent,
         parent_step)
    select s.id, s.definition, s.version, s.key, s.trace, s.input::json, s.started_at, s.status,
           s.error::json, s.finished_at, s.parent, s.parent_step
    from unnest($10::uuid[], $11::text[], $12::integer[], $13::text[], $14::text[], $15::text[],
                $16::timestamptz[], $17::text[], $18::text[], $19::timestamptz[], $20::uuid[],
                $21::text[])
        as s (id, definition, version, key, trace, input, started_at, status, error, finished_at,
              parent, parent_step)
), keyed as (
    insert into amends.business_key (saga_id, digest, key, definition)
    select s.id, s.digest, s.key, s.definition
    from unnest($10::uuid[], $48::bytea[], $13::text[], $11::text[]) as s (id, digest, key, definition)
    where s.key is not null
), changed as (
    update amends.saga s
    set status = c.status, finished_at = c.finished_at,
        -- a saga that goes on, or went well, has no error any more
        error = case when c.status in ('running', 'completed') then null
                     else coalesce(c.error::json, s.error) end
    from unnest($24::uuid[], $25::text[], $26::text[], $27::timestamptz[])
        as c (id, status, error, finished_at)
    where s.id = any(array[c.id])
), first as (
    -- a saga that starts has no timer yet, and not to ask saves a record in the log
    insert into amends.timer (saga_id, due_at)
    select t.saga_id, coalesce(t.due_at, 'infinity')
    from unnest($22::uuid[], $23::timestamptz[]) as t (saga_id, due_at)
    where t.saga_id = any($10::uuid[])
), armed as (
    -- what another turn has set to fire earlier stays
    insert into amends.timer as old (saga_id, due_at)
    select t.saga_id, coalesce(t.due_at, 'infinity')
    from unnest($22::uuid[], $23::timestamptz[]) as t (saga_id, due_at)
    where t.saga_id <> all($10::uuid[])
    on conflict (saga_id) do update set due_at = least(old.due_at, excluded.due_at)
), disarmed as (
    delete from amends.timer t using unnest($28::uuid[]) as d (saga_id)
    where t.saga_id = any(array[d.saga_id])
), rearmed as (
    -- a timer that fired is set anew, unless another turn moved it since
    update amends.timer t
    set due_at = case when t.due_at = r.leased_until then coalesce(r.due_at, 'infinity')
                      else least(t.due_at, r.due_at) end
    from unnest($29::uuid[], $30::timestamptz[], $31::timestamptz[]) as r (saga_id, due_at, leased_until)
    where t.saga_id = any(array[r.saga_id])
), decided as (
    update amends.act a
    set decided_at = clock_timestamp(), accepted = d.accepted, answer = d.answer
    from unnest($32::bigint[], $33::boolean[], $34::text[]) as d (id, accepted, answer)
    where a.id = any(array[d.id])
), waiting as (
    insert into amends.wait (saga_id, step, matcher, key)
    select w.saga_id, w.step, w.matcher, w.key
    from unnest($35::uuid[], $36::text[], $37::text[], $38::text[]) as w (saga_id, step, matcher, key)
    on conflict (saga_id, step) do update set matcher = excluded.matcher, key = excluded.key
), found as (
    delete from amends.wait w using unnest($39::uuid[], $40::text[]) as f (saga_id, step)
    where w.saga_id = any(array[f.saga_id]) and w.step = f.step
), queued as (
    insert into amends.lock (saga_id, name)
    select q.saga_id, q.name from unnest($41::uuid[], $42::text[]) as q (saga_id, name)
), undone as (
    insert into amends.act (saga_id, act, reason, actor, seen)
    select u.saga_id, 'undo', u.reason, 'amends', 0
    from unnest($43::uuid[], $44::text[]) as u (saga_id, reason)
), requested as (
    update amends.start_request r
    set decided_at = clock_timestamp(), accepted = d.accepted, answer = d.answer
    from unnest($45::uuid[], $46::boolean[], $47::text[]) as d (saga_id, accepted, answer)
    where r.saga_id = any(array[d.saga_id])
)
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.next::json
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, next)
