-- The barrier calls this only for a booking that was made, and once.
with booked as (
    select saga_id, effect, house, price from hotel.ledger where effect = $1 and op = 'book'
), freed as (
    update hotel.house set free = free + 1 from booked where house.name = booked.house
)
insert into hotel.ledger (saga_id, effect, op, house, price)
select saga_id, effect, 'cancel', house, price from booked
