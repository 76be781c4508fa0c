select definitions as "definitions!", since as "since!",
       extract(epoch from clock_timestamp() - at)::double precision as "seconds!"
from amends.leader
where holder is not null
order by at desc
