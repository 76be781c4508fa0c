-- No row: none is free, or there is no such class. $4: how many days.
with taken as (
    update car.fleet set free = free - 1
    where class = $3 and free > 0
    returning class, price
)
insert into car.ledger (saga_id, effect, op, class, price)
select $1, $2, 'reserve', class, price * $4::bigint from taken
returning price
