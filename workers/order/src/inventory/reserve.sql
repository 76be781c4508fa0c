-- Rows are locked in one order, so that orders over the same articles wait instead of deadlocking.
with wanted as (
    select sku, quantity from unnest($2::text[], $3::bigint[]) as line (sku, quantity)
), locked as (
    select sku, wanted.quantity from inventory.stock join wanted using (sku)
    order by sku
    for no key update of stock
), taken as (
    update inventory.stock set available = available - locked.quantity
    from locked
    where stock.sku = locked.sku and stock.available >= locked.quantity
    returning stock.sku, locked.quantity
)
insert into inventory.ledger (saga_id, op, sku, quantity)
select $1, 'reserve', sku, quantity from taken
returning sku
