-- What is put into a mailbox makes the saga's timer due, but the turn that ended the saga may have
-- deleted it: then nobody would answer. Nor does an act on many sagas wake those whose turn is under
-- way. What stands under a lease is in hand. None waits for a turn here either: what is locked is woken
-- by the next look.
with open as (
    -- `offset 0`: or an index is read whole for its order.
    select distinct m.saga_id
    from (
        select m.saga_id from amends.mailbox m
        where m.at < now() - interval '1 s'
        offset 0
    ) m
), free as (
    select t.saga_id
    from open o
    join amends.timer t on t.saga_id = any(array[o.saga_id])
    where t.due_at > clock_timestamp() + make_interval(secs => $1)
    for update of t skip locked
), woken as (
    update amends.timer t set due_at = clock_timestamp()
    from free
    where t.saga_id = any(array[free.saga_id])
)
insert into amends.timer (saga_id, due_at)
select o.saga_id, clock_timestamp()
from open o
on conflict (saga_id) do nothing
