-- An act makes its saga's timer due, but a turn that was under way may set the timer once more. An
-- act that nobody is about to decide (its timer is further away than a lease) makes it due again.
insert into amends.timer (saga_id, due_at)
select distinct a.saga_id, clock_timestamp()
from amends.act a
where a.decided_at is null and a.at < clock_timestamp() - interval '1 s'
on conflict (saga_id) do update set due_at = excluded.due_at
where amends.timer.due_at > clock_timestamp() + interval '11 s'
