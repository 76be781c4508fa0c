with changed as (
    update amends.saga s
    set status = c.status, finished_at = c.finished_at,
        -- a saga that goes on, or went well, has no error any more
        error = case when c.status in ('running', 'completed') then null
                     else coalesce(c.error::json, s.error) end
    from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
        as c (id, status, error, finished_at)
    where s.id = any(array[c.id])
), armed as (
    -- what another turn has set to fire earlier stays, but is moved by a microsecond: it may be a lease,
    -- and whoever has that sets the timer later only where nobody moved it
    insert into amends.timer as old (saga_id, due_at)
    select t.saga_id, min(coalesce(t.due_at, 'infinity'))
    from unnest($5::uuid[], $6::timestamptz[]) as t (saga_id, due_at)
    group by t.saga_id order by t.saga_id
    on conflict (saga_id) do update set due_at = least(old.due_at - interval '1 us', excluded.due_at)
), rearmed as (
    -- a timer that fired is set anew, unless another turn moved it since
    update amends.timer t
    set due_at = case when t.due_at = r.leased_until then coalesce(r.due_at, 'infinity')
                      else least(t.due_at - interval '1 us', r.due_at) end
    from unnest($7::uuid[], $8::timestamptz[], $9::timestamptz[]) as r (saga_id, due_at, leased_until)
    where t.saga_id = any(array[r.saga_id])
), disarmed as (
    delete from amends.timer t using unnest($10::uuid[]) as d (saga_id)
    where t.saga_id = any(array[d.saga_id])
)
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.sent, f.next::json
from unnest($11::uuid[], $12::integer[], $13::integer[], $14::timestamptz[], $15::text[], $16::text[],
            $17::text[], $18::text[], $19::text[], $20::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
