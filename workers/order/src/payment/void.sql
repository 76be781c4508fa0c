-- What the saga still has authorized. The barrier calls this only when something was authorized.
insert into payment.ledger (saga_id, op, customer, amount)
select $1, 'void', customer, sum(case op when 'authorize' then amount else -amount end)
from payment.ledger
where saga_id = $1 and op in ('authorize', 'void')
group by customer
having count(*) filter (where op = 'authorize') > count(*) filter (where op = 'void')
