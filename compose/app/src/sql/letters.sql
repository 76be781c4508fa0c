select id as "id!", at as "at!", subject as "subject!", reason as "reason!",
       headers::text as "headers!", body, source as "source!", settled_at
from (
    select d.*, null::timestamptz as settled_at from amends.dead_letters d where not $1::boolean
    union all
    select s.* from amends.settled_letters s where $1
) l
where ($2::text is null or subject ~ $2)
  and ($3::timestamptz is null or at < $3)
  and ($4::bigint is null or id = $4)
  and ($6::text is null or starts_with(headers -> 'Amends-Id' ->> 0, $6) or strpos(reason, $6) > 0)
  and ($7::text is null or subject ~ $7)
order by id desc
limit $5
