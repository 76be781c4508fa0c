select count(*) as "overdue!",
       coalesce(extract(epoch from clock_timestamp() - min(due_at)), 0)::double precision as "seconds!"
from (
    select t.due_at
    from amends.timer t
    where t.due_at < clock_timestamp() - make_interval(secs => $1)
    order by t.due_at
    limit 10000
) late
