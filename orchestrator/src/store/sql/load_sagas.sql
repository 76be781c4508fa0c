-- A timer that is due soon may be a lease, which another replica is about to move: it counts as not
-- known.
select s.id as "id!", s.definition as "definition!", s.version as "version!", s.key, s.trace, s.input::text as "input!",
       s.parent,
       case when isfinite(t.due_at) and t.due_at > greatest(clock_timestamp(), $3) + make_interval(secs => $2)
            then t.due_at end as due_at
from unnest($1::uuid[]) as u (id)
join amends.saga s on s.id = any(array[u.id])
left join amends.timer t on t.saga_id = any(array[u.id])
