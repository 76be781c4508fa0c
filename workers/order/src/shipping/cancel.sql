insert into shipping.ledger (saga_id, op, parcel) values ($1, 'cancel', $2)
