insert into mail.ledger (saga_id, effect, op) values ($1, $2, 'send')
