select extract(epoch from min(due_at) - clock_timestamp())::float8 as seconds
from amends.timer
where due_at < 'infinity'
