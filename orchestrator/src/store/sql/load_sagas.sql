-- A timer that is due soon may be a lease, which another replica is about to move: it counts as not
-- known.
select s.id as "id!", s.definition as "definition!", s.version as "version!", s.key, s.trace, s.input::text as "input!",
       s.parent,
       case when isfinite(t.due_at) and t.due_at > clock_timestamp() + make_interval(secs => $2)
            then t.due_at end as due_at
from amends.saga s
left join amends.timer t on t.saga_id = s.id
where s.id = any($1::uuid[])
