insert into shipping.ledger (saga_id, op, parcel) values ($1, 'book', $2)
