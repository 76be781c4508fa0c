select h.saga_id as "id!", h.definition as "definition!", h.key as "key!", h.digest as "digest!"
from unnest($1::text[], $2::text[]) as k (definition, key)
join amends.business_key h on h.definition = any(array[k.definition]) and h.key = any(array[k.key])
