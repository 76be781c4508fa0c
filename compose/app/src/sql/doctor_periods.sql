select exists (select from amends.period p
               where amends.started_at(p.first) <= clock_timestamp() and amends.started_at(p.until) > clock_timestamp())
           as "covered!",
       (select amends.started_at(p.until) from amends.period p order by p.first desc limit 1) as until,
       (select count(*) from (select from amends.saga_default limit 10000) s) as "outside!"
