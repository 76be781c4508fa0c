select s.id as "id!", s.status as "status!", s.error::text,
       (select (f.next -> 'output')::text from amends.fact f
        where f.saga_id = s.id order by f.seq desc limit 1) as output
from amends.saga s
where s.id = any($1::uuid[]) and s.finished_at is not null
