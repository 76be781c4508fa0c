select count(*) as "letters!" from (select from amends.dead_letters limit 10000) l
