select s.status as "status!", s.output::text, s.error::text,
       (select r.payloads from amends.rights r) as "payloads!"
from amends.sagas s
where s.id = $1 and s.definition = $2
