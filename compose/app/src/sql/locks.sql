select name as "name!", status as "status!", age_seconds as "age_seconds!", saga_id as "saga!",
       definition as "definition!", key, saga_status as "saga_status!"
from (select l.*, extract(epoch from l.age)::float8 as age_seconds from amends.locks l) l
where $1::text is null or name = $1
order by name, status = 'waiting', saga_id
limit $2
