-- As claim_timers.sql, without the sagas of versions that this program does not know.
with due as (
    select t.saga_id from amends.timer t
    where t.due_at <= greatest(now(), $5) - make_interval(secs => $4) and not coalesce((
        select s.definition || '@' || s.version = any($3::text[])
        from amends.saga s where s.id = t.saga_id), false)
    order by t.due_at
    limit $1
    for update of t skip locked
)
update amends.timer t
set due_at = greatest(clock_timestamp(), $5) + make_interval(secs => $2)
from due
where t.saga_id = any(array[due.saga_id])
returning t.saga_id, t.due_at as leased_until, clock_timestamp() as "now!"
