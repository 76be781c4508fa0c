select saga_id, seq, attempt, at, kind, step, op, detail::text, next::text
from amends.fact
where saga_id = any($1::uuid[])
order by saga_id, seq
