select
    coalesce((select sum(case op when 'reserve' then quantity else -quantity end)
              from inventory.ledger), 0)::bigint as "reserved!",
    coalesce((select sum(available) from inventory.stock), 0)::bigint as "available!",
    coalesce((select sum(amount) from payment.ledger where op = 'capture'), 0)::bigint as "captured!",
    coalesce((select sum((i ->> 'quantity')::bigint * (i ->> 'unit_price')::bigint)
              from amends.saga s, json_array_elements(s.input -> 'items') i
              where s.definition = 'order' and s.status = 'completed'), 0)::bigint as "owed!"
