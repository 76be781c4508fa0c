with oldest as materialized (
    select id from amends.open_sagas where status <> 'stuck' order by id limit $1
)
select s.id as "id!", s.definition as "definition!", s.key, s.status as "status!", s.step,
       s.error ->> 'step' as error_step, s.error ->> 'code' as error_code,
       s.error ->> 'message' as error_message, s.started_at as "since!"
from oldest o
join amends.sagas s on s.id = o.id
order by s.id
