-- An event is kept for any saga that begins within 30 days of it, and for as long as that one lives:
-- the oldest that has not ended began when its id says.
delete from amends.event e
using (
    select old.id from amends.event old
    where old.at < least(
        now(),
        (select amends.started_at(t.saga_id) from amends.timer t order by t.saga_id limit 1)
    ) - interval '30 days'
    order by old.at
    limit 10000
    for update skip locked
) old
where e.id = any(array[old.id])
