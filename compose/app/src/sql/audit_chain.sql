select number as "number!", kind as "kind!", act_id, content, digest as "digest!", hash as "hash!",
       is_forgotten as "is_forgotten!"
from amends.audit_chain
where number > $1
order by number
limit 1000
