select definition as "definition!", version as "version!", key, status as "status!",
       output::text, error::text, started_at as "started_at!", finished_at
from amends.sagas
where id = $1
