-- A booking stands when it was made and not cancelled; so with cars and policies.
with standing as (
    select saga_id, 'hotel' as service, price from hotel.ledger b
    where op = 'book'
      and not exists (select from hotel.ledger c where c.effect = b.effect and c.op = 'cancel')
    union all
    select saga_id, 'car', price from car.ledger b
    where op = 'reserve'
      and not exists (select from car.ledger c where c.effect = b.effect and c.op = 'return')
    union all
    select saga_id, 'insurance', price from insurance.ledger b
    where op = 'insure'
      and not exists (select from insurance.ledger c where c.effect = b.effect and c.op = 'end')
)
select
    (select coalesce(sum(rooms - free), 0)::bigint from hotel.house) as "rooms_taken!",
    (select count(*) from standing where service = 'hotel') as "rooms_booked!",
    (select coalesce(sum(cars - free), 0)::bigint from car.fleet) as "cars_out!",
    (select count(*) from standing where service = 'car') as "cars_reserved!",
    (select coalesce(sum(amount), 0)::bigint from card.ledger) as "charged!",
    -- what a nested rental costs its trip pays; a rental that began by itself is paid elsewhere
    (select coalesce(sum(g.price), 0)::bigint
     from standing g
     join amends.saga s on s.id = g.saga_id
     join amends.saga t on t.id = coalesce(s.parent, s.id)
     where t.definition = 'trip' and t.status = 'completed') as "owed!",
    (select count(*) from (
        select from amends.saga where definition = 'trip'
        group by input ->> 'traveller' having count(*) > 1) busy) as "busy_travellers!"
