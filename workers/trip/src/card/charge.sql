insert into card.ledger (saga_id, effect, op, amount) values ($1, $2, 'charge', $3)
