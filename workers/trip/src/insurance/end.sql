-- The barrier calls this only for a policy that was taken, and once.
insert into insurance.ledger (saga_id, effect, op, price)
select saga_id, effect, 'end', price from insurance.ledger where effect = $1 and op = 'insure'
