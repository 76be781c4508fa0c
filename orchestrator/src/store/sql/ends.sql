select s.id as "id!", s.status as "status!", s.error::text, s.finished_at as "at!",
       (select (case when f.next -> 'echo' is null then f.next -> 'output' else f.detail end)::text
        from amends.fact f
        where f.saga_id = s.id order by f.seq desc limit 1) as output
from unnest($1::uuid[]) as u (id)
join amends.saga s on s.id = any(array[u.id])
where s.finished_at is not null
