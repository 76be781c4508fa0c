select s.id as "id!", s.definition as "definition!", s.version as "version!", s.key, s.trace, s.input::text as "input!",
       case when isfinite(t.due_at) then t.due_at end as due_at
from amends.saga s
left join amends.timer t on t.saga_id = s.id
where s.id = any($1::uuid[])
