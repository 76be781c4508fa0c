select count(*) as "stuck!",
       coalesce(extract(epoch from clock_timestamp() - min(stuck_since)), 0)::double precision as "seconds!"
from (select stuck_since from amends.stuck order by stuck_since limit 1000) s
