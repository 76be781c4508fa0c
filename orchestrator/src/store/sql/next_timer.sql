select extract(epoch from min(due_at) - greatest(clock_timestamp(), $1))::float8 as seconds,
       clock_timestamp() as "now!"
from amends.timer
where due_at < 'infinity'
