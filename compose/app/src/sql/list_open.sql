-- From the sagas that have not ended, which are few; only those that are listed are read in full.
with picked as materialized (
    select o.id
    from (
        select o.id from amends.open_sagas o where $1::text is distinct from 'stuck'
        union all
        select k.id from amends.stuck k where $1::text = 'stuck'
    ) found
    join amends.open_sagas o on o.id = found.id
    where ($1::text is null or o.status = $1)
      and ($2::text is null or o.definition = $2)
      and ($3::text is null or o.key = $3)
      and ($4::timestamptz is null or o.started_at < $4)
      and ($5::text is null or exists (
          select from amends.standing(o.id) t
          where t.step = $5
            and t.status in ('running', 'waiting', 'pending', 'compensating', 'unknown', 'stuck')))
      and ($6::text is null or amends.error_is_like(o.id, $5, $6))
    order by o.id desc
    limit $7
)
select s.id as "id!", s.definition as "definition!", s.version as "version!", s.key,
       s.status as "status!", s.step, s.error ->> 'step' as error_step,
       s.error ->> 'code' as error_code, s.error ->> 'message' as error_message,
       s.started_at as "started_at!", s.updated_at, s.finished_at
from picked p
join amends.sagas s on s.id = p.id
order by s.id desc
