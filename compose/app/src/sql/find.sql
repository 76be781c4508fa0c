select id as "id!", definition as "definition!", version as "version!", key, status as "status!",
       input::text, output::text, error::text, started_at as "started_at!", updated_at,
       finished_at
from amends.sagas
where id in (select $1::uuid union all select k.saga_id from amends.keys k where k.key = $2)
order by id desc
limit 2
