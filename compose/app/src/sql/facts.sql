select seq as "seq!", attempt as "attempt!", at as "at!", kind as "kind!", step, op, detail::text,
       sent, next::text
from amends.facts
where saga_id = $1
order by seq
