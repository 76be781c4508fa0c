insert into amends.timer as old (saga_id, due_at)
-- `offset 0`: or an index is read whole for its order.
select distinct w.saga_id, clock_timestamp()
from (
    select w.saga_id
    from unnest($1::text[], $2::text[]) as e (matcher, key)
    join amends.wait w on w.matcher = any(array[e.matcher]) and w.key = any(array[e.key])
    offset 0
) w
on conflict (saga_id) do update set due_at = least(old.due_at, excluded.due_at)
returning old.saga_id
