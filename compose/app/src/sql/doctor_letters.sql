select (select count(*) from (select from amends.dead_letters limit 10000) l) as "open!",
       (select coalesce(sum(letters), 0)::bigint from amends.dropped_letters) as "dropped!"
