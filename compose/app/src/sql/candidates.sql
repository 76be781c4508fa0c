select s.id as "id!", s.definition as "definition!", s.version as "version!", s.key,
       s.status as "status!", s.step, s.error ->> 'step' as error_step,
       s.error ->> 'code' as error_code, s.error ->> 'message' as error_message,
       s.started_at as "started_at!", s.updated_at, s.finished_at
from amends.candidates($1, $2, $3, $4, $5) c (id)
join amends.sagas s on s.id = c.id
order by s.id
