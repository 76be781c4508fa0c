select extract(epoch from min(due_at) - clock_timestamp())::float8 as seconds,
       clock_timestamp() as "now!"
from amends.timer
where due_at < 'infinity'
