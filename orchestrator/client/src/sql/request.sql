-- What became of a start that was noted.
select r.saga_id, r.accepted, r.answer
from amends.starts r
where r.id = $1 and r.definition = $2
