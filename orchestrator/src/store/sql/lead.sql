-- A sign of life of a replica: it takes the place, keeps it, or sees who has it. A place whose sign of life
-- is still the one that the replica saw long enough ago is free. The row is locked in any case, so that what
-- is answered shows that writes are possible. Nor is it earlier than the one before, unless that is out of all
-- reason: who comes anew learns from it what time it was, if the clock went back.
with beat as (
    insert into amends.leader as l (place, holder, definitions, since, at)
    select encode(sha256(convert_to($1, 'UTF8')), 'hex'), $2, $1, t.now, t.now
    from (select greatest(clock_timestamp(), $4) as now) t
    on conflict (place) do update
    set holder = excluded.holder,
        since = case when l.holder = excluded.holder then l.since else excluded.since end,
        at = case when l.at < excluded.at + interval '1 day' then greatest(excluded.at, l.at + interval '1 us')
                  else excluded.at end
    where l.holder = excluded.holder or l.holder is null or l.at = $3
    returning l.at
)
select b.at is not null as "leads!", coalesce(b.at, l.at) as "at?", clock_timestamp() as "now!"
from (select) one
left join beat b on true
left join amends.leader l on l.place = encode(sha256(convert_to($1, 'UTF8')), 'hex')
