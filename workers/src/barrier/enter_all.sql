select e.verdict as "verdict!", e.reply::text as reply
from unnest($1::text[]) with ordinality as i (id, n)
cross join lateral amends_barrier.enter(i.id) e
order by i.n
