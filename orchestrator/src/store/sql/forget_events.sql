-- An event is kept for any saga that begins within 30 days of it, and for as long as that one lives.
delete from amends.event e
where e.id in (
    select old.id from amends.event old
    where old.at < least(
        clock_timestamp(),
        (select s.started_at from amends.timer t join amends.saga s on s.id = t.saga_id
         order by t.saga_id limit 1)
    ) - interval '30 days'
    order by old.id
    limit 10000
)
