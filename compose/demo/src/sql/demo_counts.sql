select (select count(*) from amends.dead_letter) as "dead_letters!",
       -- the most eventful of the compensated orders tells the most
       (select s.id
        from amends.saga s
        join amends.fact f on f.saga_id = s.id
        where s.definition = $1 and s.status = 'compensated'
        group by s.id
        order by count(*) desc, s.id
        limit 1) as compensated
