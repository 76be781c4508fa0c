insert into notification.ledger (saga_id, op) values ($1, 'send')
