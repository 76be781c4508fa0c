-- A join looks into the partition of each saga; `any` of all ids would look into all.
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::text, f.sent,
       f.next::text
from unnest($1::uuid[]) as u (saga_id)
join amends.fact f on f.saga_id = any(array[u.saga_id])
order by u.saga_id, f.seq
