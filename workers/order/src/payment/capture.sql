insert into payment.ledger (saga_id, op, customer, amount) values ($1, 'capture', $2, $3)
