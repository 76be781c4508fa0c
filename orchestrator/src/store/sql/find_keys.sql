select s.id as "id!", s.definition as "definition!", s.key as "key!", s.input::text as "input!"
from unnest($1::text[], $2::text[]) as k (definition, key)
join amends.saga s on s.definition = k.definition and s.key = k.key
