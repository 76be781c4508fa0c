select r.act_id as id, r.letter_id, d.subject, d.headers::text as "headers!", d.body, d.at
from amends.replay_request r
join amends.dead_letter d on d.id = any(array[r.letter_id])
order by r.act_id
limit $1
