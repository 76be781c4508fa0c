select a.accepted as "accepted?", a.answer as "answer?", s.status as "status!"
from amends.acts a
join amends.sagas s on s.id = a.saga_id
where a.id = $1
