with parked as (
    insert into amends.mailbox (saga_id, kind, at, amends_id, service, body)
    select p.saga_id, 'reply', min(p.at), p.amends_id, p.service, p.body::json
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
        as p (saga_id, amends_id, body, service, at)
    group by p.saga_id, p.amends_id, p.service, p.body
)
insert into amends.timer as old (saga_id, due_at)
-- `distinct` beside a clock would tell the rows of one saga apart.
select p.saga_id, clock_timestamp()
from (select distinct p.saga_id from unnest($1::uuid[]) as p (saga_id)) p
-- Moved in any case: whoever has the timer under a lease must see that somebody came by.
on conflict (saga_id) do update set due_at = least(old.due_at - interval '1 us', excluded.due_at)
