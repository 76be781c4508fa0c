select id, saga_id, act, step, outcome::text, reason, actor, seen, exact
from amends.act
where saga_id = any($1::uuid[]) and decided_at is null
order by id
