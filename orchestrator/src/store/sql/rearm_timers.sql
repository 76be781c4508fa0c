with rearmed as (
    update amends.timer t set due_at = coalesce(r.due_at, 'infinity')
    from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) as r (saga_id, due_at, leased_until)
    where t.saga_id = any(array[r.saga_id]) and t.due_at is not distinct from r.leased_until
)
delete from amends.timer t
using unnest($4::uuid[], $5::timestamptz[]) as d (saga_id, leased_until)
where t.saga_id = any(array[d.saga_id]) and t.due_at is not distinct from d.leased_until
