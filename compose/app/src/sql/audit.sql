select id as "id!", at as "at!", actor as "actor!", act as "act!", saga_id as saga, letter_id as letter, definition,
       version, step, outcome::text as outcome, reason as "reason!", decided_at, accepted, answer
from amends.audit
where ($1::text is null or actor = $1
       -- for whom a gateway acted, or which gateway it was
       or starts_with(actor, $1 || ' via ') or right(actor, length($1) + 5) = ' via ' || $1)
  and ($2::text is null or act = $2)
order by id desc
limit $3
