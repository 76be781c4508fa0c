-- The oldest first: a step takes the oldest event that its saga did not take before.
select w.saga_id as "saga_id!", w.step as "step!", e.source as "source!", e.body::text as "body!"
from amends.wait w
join lateral (
    select e.id, e.source, e.body from amends.event e
    where e.matcher = w.matcher and e.key = w.key
    order by e.id
    limit $2
) e on true
where w.saga_id = any($1::uuid[])
order by e.id
