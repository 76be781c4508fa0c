select exists (select from inventory.stock where sku = $1) as "known!"
