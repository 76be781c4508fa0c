insert into amends.timer as old (saga_id, due_at)
-- `distinct` beside a clock would tell the rows of one saga apart.
select w.saga_id, clock_timestamp()
from (
    select distinct w.saga_id
    from (
        -- `offset 0`: or an index is read whole for its order.
        select w.saga_id
        from unnest($1::text[], $2::text[]) as e (matcher, key)
        join amends.wait w on w.matcher = any(array[e.matcher]) and w.key = any(array[e.key])
        offset 0
    ) w
) w
-- Moved in any case: whoever has the timer under a lease must see that somebody came by.
on conflict (saga_id) do update set due_at = least(old.due_at - interval '1 us', excluded.due_at)
returning old.saga_id
