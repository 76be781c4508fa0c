-- No row: there is no room, or no such hotel. $4: how many nights.
with taken as (
    update hotel.house set free = free - 1
    where name = $3 and free > 0
    returning name, price
)
insert into hotel.ledger (saga_id, effect, op, house, price)
select $1, $2, 'book', name, price * $4::bigint from taken
returning price
