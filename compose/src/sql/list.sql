select id as "id!", definition as "definition!", version as "version!", key, status as "status!", step,
       error ->> 'step' as error_step, error ->> 'code' as error_code,
       error ->> 'message' as error_message, started_at as "started_at!", updated_at, finished_at
from amends.sagas
where ($1::text is null or status = $1)
  and ($2::text is null or definition = $2)
  and ($3::text is null or key = $3)
order by id desc
limit $4
