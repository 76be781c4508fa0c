-- For each of these keys the first number behind it with which no saga has had it; 1 is the key as it is.
select (
    select g.number
    from generate_series(1, 100000) g (number)
    where not exists (
        select from amends.keys k
        where k.definition = e.definition
          and k.key = e.key || case when g.number = 1 then '' else '-' || g.number end)
    order by g.number
    limit 1
) as number
from unnest($1::text[], $2::text[]) with ordinality e (definition, key, position)
order by e.position
