-- For each saga: how often each effect stands in the ledgers, against what its status promises; for
-- each traveller: whether trips ran at the same time.
with entries as (
    select saga_id, 'hotel' as service, effect, op = 'cancel' as undo from hotel.ledger
    union all
    select saga_id, 'car', effect, op = 'return' from car.ledger
    union all
    select saga_id, 'insurance', effect, op = 'end' from insurance.ledger
    union all
    select saga_id, 'card', effect, false from card.ledger
    union all
    select saga_id, 'mail', effect, false from mail.ledger
), effects as (
    select saga_id, service, effect, count(*) filter (where not undo) as done,
           count(*) filter (where undo) as undone
    from entries group by saga_id, service, effect
), standing as (
    select saga_id, service, count(*) as times from effects where done > undone
    group by saga_id, service
), promised as (
    select s.id as saga_id, p.service, p.times
    from amends.saga s
    cross join lateral (values
        ('hotel', case s.definition when 'trip' then json_array_length(s.input -> 'stays') else 0 end),
        ('car', case s.definition when 'rental' then 1 else 0 end),
        ('insurance',
         case when s.definition = 'rental' or (s.input ->> 'insured')::boolean then 1 else 0 end),
        ('card', case s.definition when 'trip' then 1 else 0 end),
        ('mail', case s.definition when 'trip' then 1 else 0 end)) as p (service, times)
    where s.definition in ('trip', 'rental') and s.status = 'completed'
), turns as (
    select s.id, s.input ->> 'traveller' as traveller, g.at as granted_at, s.finished_at
    from amends.saga s
    join amends.fact g on g.saga_id = s.id and g.kind = 'granted'
    where s.definition = 'trip'
      -- an operator may let two trips run at the same time
      and not exists (select from amends.fact b where b.saga_id = s.id and b.kind = 'break_lock')
), problems as (
    select e.saga_id, format('%s %s was done %s times', e.service, e.effect, e.done) as problem
    from effects e where e.done <> 1
    union all
    select e.saga_id, format('%s %s was undone %s times', e.service, e.effect, e.undone)
    from effects e where e.undone > 1
    union all
    select p.saga_id, format('%s: %s effects stand, %s were promised', p.service,
                             coalesce(g.times, 0), p.times)
    from promised p
    left join standing g on g.saga_id = p.saga_id and g.service = p.service
    where coalesce(g.times, 0) <> p.times
    union all
    select g.saga_id, format('%s: %s effects stand although the saga was compensated', g.service,
                             g.times)
    from standing g
    join amends.saga s on s.id = g.saga_id and s.status = 'compensated'
    union all
    select t.id, format('%s rentals of it stand, which is wrong', r.times)
    from amends.saga t
    cross join lateral (select count(*) as times from amends.saga c
                        where c.parent = t.id and c.status = 'completed') r
    where t.definition = 'trip' and t.status in ('completed', 'compensated')
      and r.times <> case when t.status = 'completed' and t.input ->> 'car' is not null then 1
                          else 0 end
    union all
    select e.saga_id, format('%s %s belongs to no saga', e.service, e.effect)
    from effects e
    where not exists (select from amends.saga s where s.id = e.saga_id)
    union all
    select a.id, format('ran at the same time as %s, of the same traveller', b.id)
    from turns a
    join turns b on b.traveller = a.traveller and b.id <> a.id
    where b.granted_at >= a.granted_at and b.granted_at < coalesce(a.finished_at, 'infinity')
    union all
    select s.id, 'completed without ever having its lock'
    from amends.saga s
    where s.definition = 'trip' and s.status = 'completed'
      and not exists (select from amends.fact g where g.saga_id = s.id and g.kind = 'granted')
)
select p.saga_id as "saga_id!", coalesce(s.status, 'unknown') as "status!", p.problem as "problem!"
from problems p
left join amends.saga s on s.id = p.saga_id
order by 1, 3
limit 100
