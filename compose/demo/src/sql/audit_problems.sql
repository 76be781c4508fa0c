-- For each saga: how often each effect stands in the ledgers, against what its status promises.
with effects as (
    select saga_id, 'inventory' as service, op, sku as what, count(*) as times
    from inventory.ledger group by saga_id, op, sku
    union all
    select saga_id, 'payment', op, '', count(*) from payment.ledger group by saga_id, op
    union all
    select saga_id, 'shipping', op, '', count(*) from shipping.ledger group by saga_id, op
    union all
    select saga_id, 'notification', op, '', count(*) from notification.ledger group by saga_id, op
), pairs (service, done, undone) as (
    values ('inventory', 'reserve', 'release'), ('payment', 'authorize', 'void'),
           ('shipping', 'book', 'cancel')
), promised as (
    select s.id as saga_id, s.status, p.service, p.op
    from amends.saga s,
         (values ('inventory', 'reserve'), ('payment', 'authorize'), ('payment', 'capture'),
                 ('shipping', 'book'), ('notification', 'send')) as p (service, op)
    where s.definition = 'order' and s.status = 'completed'
), problems as (
    select e.saga_id, format('%s %s %s was applied %s times', e.service, e.op, e.what, e.times) as problem
    from effects e where e.times > 1
    union all
    select p.saga_id, format('%s %s is missing', p.service, p.op)
    from promised p
    where not exists (select from effects e
                      where e.saga_id = p.saga_id and e.service = p.service and e.op = p.op)
    union all
    select e.saga_id, format('%s %s was undone although the saga completed', e.service, e.op)
    from effects e
    join pairs p on p.service = e.service and p.undone = e.op
    join amends.saga s on s.id = e.saga_id and s.status = 'completed'
    union all
    select e.saga_id, format('%s %s %s was not undone', e.service, e.op, e.what)
    from effects e
    join pairs p on p.service = e.service and p.done = e.op
    join amends.saga s on s.id = e.saga_id and s.status = 'compensated'
    where not exists (select from effects u
                      where u.saga_id = e.saga_id and u.service = e.service and u.op = p.undone
                        and u.what = e.what)
    union all
    select e.saga_id, format('%s %s %s was undone but never done', e.service, p.done, e.what)
    from effects e
    join pairs p on p.service = e.service and p.undone = e.op
    where not exists (select from effects d
                      where d.saga_id = e.saga_id and d.service = e.service and d.op = p.done
                        and d.what = e.what)
    union all
    select e.saga_id, format('%s %s stands although the saga was compensated', e.service, e.op)
    from effects e
    join amends.saga s on s.id = e.saga_id and s.status = 'compensated'
    where (e.service, e.op) in (('payment', 'capture'), ('notification', 'send'))
    union all
    select e.saga_id, format('%s %s belongs to no saga', e.service, e.op)
    from effects e
    where not exists (select from amends.saga s where s.id = e.saga_id)
)
select p.saga_id as "saga_id!", coalesce(s.status, 'unknown') as "status!", p.problem as "problem!"
from problems p
left join amends.saga s on s.id = p.saga_id
order by 1, 3
limit 100
