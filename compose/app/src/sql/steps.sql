select step as "step!", service as "service!", operation as "operation!", status as "status!",
       attempts as "attempts!", input::text, output::text, error::text, started_at, finished_at
from amends.steps
where saga_id = $1
order by started_at nulls last, position, element
