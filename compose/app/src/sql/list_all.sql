-- Along the index on the id, which is in order of time; sagas of before $5 have smaller ids than $6.
select id as "id!", definition as "definition!", version as "version!", key, status as "status!", step,
       error ->> 'step' as error_step, error ->> 'code' as error_code,
       error ->> 'message' as error_message, started_at as "started_at!", updated_at, finished_at
from amends.sagas s
where ($1::text is null or status = $1)
  and ($2::text is null or definition = $2)
  and ($3::text is null or id = any(array(select k.saga_id from amends.keys k where k.key = $3)))
  and ($4::text is null or error ->> 'code' like $4 or error ->> 'message' like $4)
  and ($5::timestamptz is null or (started_at < $5 and id < $6::uuid))
order by id desc
limit $7
