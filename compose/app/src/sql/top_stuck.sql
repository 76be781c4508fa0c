select id as "id!", definition as "definition!", key, 'stuck' as "status!", step,
       error ->> 'step' as error_step, error ->> 'code' as error_code,
       error ->> 'message' as error_message, stuck_since as "since!"
from amends.stuck
order by stuck_since, id
limit $1
