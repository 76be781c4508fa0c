-- As claim_timers.sql, without the sagas of versions that this program does not know.
with due as (
    select t.saga_id from amends.timer t
    where t.due_at <= now() - make_interval(secs => $5) and not exists (
        select from amends.saga s
        join unnest($3::text[], $4::integer[]) as u (definition, version)
            on s.definition = u.definition and s.version = u.version
        where s.id = t.saga_id)
    order by t.due_at
    limit $1
    for update of t skip locked
)
update amends.timer t
set due_at = clock_timestamp() + make_interval(secs => $2)
from due
where t.saga_id = any(array[due.saga_id])
returning t.saga_id, t.due_at as leased_until, clock_timestamp() as "now!"
