-- The barrier calls this only for a car that was reserved, and once.
with reserved as (
    select saga_id, effect, class, price from car.ledger where effect = $1 and op = 'reserve'
), freed as (
    update car.fleet set free = free + 1 from reserved where fleet.class = reserved.class
)
insert into car.ledger (saga_id, effect, op, class, price)
select saga_id, effect, 'return', class, price from reserved
