select a.id, a.letter_id, d.subject, d.headers::text as "headers!", d.body, d.at
from amends.letter_act a
join amends.dead_letter d on d.id = any(array[a.letter_id])
where a.act = 'replay' and a.done_at is null and a.refusal is null
order by a.id
limit $1
