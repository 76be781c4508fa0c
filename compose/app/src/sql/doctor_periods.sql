select exists (select from amends.period p
               where amends.first_id(clock_timestamp()) >= p.first and amends.first_id(clock_timestamp()) < p.until)
           as "covered!",
       (select amends.started_at(p.until) from amends.period p order by p.first desc limit 1) as until,
       (select count(*) from (select from amends.saga_default limit 10000) s) as "outside!"
