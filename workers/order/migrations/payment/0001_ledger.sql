-- Payment: what was authorized, voided and captured, in minor units.

create schema if not exists payment;

create table payment.ledger (
    saga_id uuid not null,
    op text not null check (op in ('authorize', 'void', 'capture')),
    customer text not null,
    amount bigint not null check (amount >= 0),
    at timestamptz not null default clock_timestamp()
);

comment on table payment.ledger is 'Every movement of money. Append-only.';

create index ledger_saga on payment.ledger (saga_id);

-- What happened stays: a correction is another row.
create function payment.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'payment.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on payment.ledger
    for each statement execute function payment.refuse_change();
