insert into inventory.stock (sku, available)
select sku, quantity from unnest($1::text[], $2::bigint[]) as seed (sku, quantity)
on conflict (sku) do nothing
