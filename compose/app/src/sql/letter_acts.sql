select id as "id!", act as "act!", reason as "reason!", actor as "actor!", at as "at!", done_at, refusal
from amends.letter_acts
where letter_id = $1
order by id
