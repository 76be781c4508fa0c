with changed as (
    update amends.saga s
    set status = c.status, finished_at = c.finished_at,
        -- a saga that goes on, or went well, has no error any more
        error = case when c.status in ('running', 'completed') then null
                     else coalesce(c.error::json, s.error) end
    from unnest($10::uuid[], $11::text[], $12::text[], $13::timestamptz[])
        as c (id, status, error, finished_at)
    where s.id = any(array[c.id])
), armed as (
    -- what another turn has set to fire earlier stays
    insert into amends.timer as old (saga_id, due_at)
    select t.saga_id, coalesce(t.due_at, 'infinity')
    from unnest($14::uuid[], $15::timestamptz[]) as t (saga_id, due_at)
    on conflict (saga_id) do update set due_at = least(old.due_at, excluded.due_at)
), rearmed as (
    -- a timer that fired is set anew, unless another turn moved it since
    update amends.timer t
    set due_at = case when t.due_at = r.leased_until then coalesce(r.due_at, 'infinity')
                      else least(t.due_at, r.due_at) end
    from unnest($16::uuid[], $17::timestamptz[], $18::timestamptz[]) as r (saga_id, due_at, leased_until)
    where t.saga_id = any(array[r.saga_id])
), disarmed as (
    delete from amends.timer t using unnest($19::uuid[]) as d (saga_id)
    where t.saga_id = any(array[d.saga_id])
)
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.next::json
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, next)
