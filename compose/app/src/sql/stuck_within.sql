-- The nested sagas, at whatever depth, for which a saga cannot go on.
select t.step as "step!", n.id as "id!", n.definition as "definition!", n.version as "version!",
       n.error ->> 'step' as error_step, n.error ->> 'code' as error_code,
       n.error ->> 'message' as error_message
from amends.standing($1) t
join amends.sagas n on n.id = t.stuck_saga
order by t.position
