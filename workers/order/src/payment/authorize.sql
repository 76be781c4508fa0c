insert into payment.ledger (saga_id, op, customer, amount) values ($1, 'authorize', $2, $3)
