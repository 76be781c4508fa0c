-- The oldest first: a step takes the oldest event that its saga did not take before. One that was there 30 days
-- before the saga began is of another time, and only kept because an older saga has not ended.
select w.saga_id as "saga_id!", w.step as "step!", e.source as "source!", e.body::text as "body!"
from amends.wait w
join lateral (
    select e.id, e.source, e.body from amends.event e
    where e.matcher = w.matcher and e.key = w.key
      and e.at >= amends.started_at(w.saga_id) - interval '30 days'
    order by e.id
    limit $2
) e on true
where w.saga_id = any($1::uuid[])
order by e.id
