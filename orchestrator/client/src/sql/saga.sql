select s.status as "status!", s.output::text, s.error::text
from amends.sagas s
where s.id = $1 and s.definition = $2
