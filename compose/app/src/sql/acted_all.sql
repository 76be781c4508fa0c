select a.id as "act!", a.saga_id as "saga!", a.accepted, a.answer
from amends.acts a
where a.id = any($1::bigint[])
order by a.id
