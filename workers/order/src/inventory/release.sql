-- What the saga still holds. The barrier calls this only when something was reserved.
with held as (
    select sku, sum(case op when 'reserve' then quantity else -quantity end)::bigint as quantity
    from inventory.ledger
    where saga_id = $1
    group by sku
), locked as (
    select sku, held.quantity from inventory.stock join held using (sku)
    where held.quantity > 0
    order by sku
    for no key update of stock
), returned as (
    update inventory.stock set available = available + locked.quantity
    from locked
    where stock.sku = locked.sku
    returning stock.sku, locked.quantity
)
insert into inventory.ledger (saga_id, op, sku, quantity)
select $1, 'release', sku, quantity from returned
