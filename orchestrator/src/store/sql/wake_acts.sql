-- An act makes its saga's timer due, but the turn that ended the saga may have deleted it: then nobody
-- would answer. What stands under a lease is in hand.
insert into amends.timer (saga_id, due_at)
select distinct a.saga_id, clock_timestamp()
from amends.act a
where a.decided_at is null and a.at < clock_timestamp() - interval '1 s'
on conflict (saga_id) do update set due_at = excluded.due_at
where amends.timer.due_at > clock_timestamp() + make_interval(secs => $1)
