insert into insurance.ledger (saga_id, effect, op, price) values ($1, $2, 'insure', $3)
