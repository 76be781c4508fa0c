with due as (
    select saga_id from amends.timer
    where due_at <= greatest(now(), $4) - make_interval(secs => $3)
    order by due_at
    limit $1
    for update skip locked
)
update amends.timer t
set due_at = greatest(clock_timestamp(), $4) + make_interval(secs => $2)
from due
where t.saga_id = any(array[due.saga_id])
returning t.saga_id, t.due_at as leased_until, clock_timestamp() as "now!"
