select seq, attempt, at, kind, step, op, detail::text, next::text
from amends.fact
where saga_id = $1
order by seq
