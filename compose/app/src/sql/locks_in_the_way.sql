-- For each lock that these sagas wait for, the saga that holds it; while nobody does, the one that comes first.
-- All are found by indexes.
select w.saga_id as "waiting!", l.name as "name!", l.status as "status!",
       extract(epoch from l.age)::float8 as "age_seconds!", l.saga_id as "saga!",
       l.definition as "definition!", l.key, l.saga_status as "saga_status!"
from amends.locks w
join amends.locks l on l.name = w.name and l.saga_id = coalesce(
    (select h.saga_id from amends.locks h where h.name = w.name and h.held_since is not null),
    (select e.saga_id from amends.locks e
     where e.name = w.name and e.saga_id < w.saga_id and e.saga_status <> 'paused'
     order by e.saga_id limit 1))
where w.saga_id = any($1) and w.status = 'waiting'
order by w.saga_id, l.name
