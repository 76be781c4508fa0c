-- Shipping: what was booked and cancelled.

create schema if not exists shipping;

create table shipping.ledger (
    saga_id uuid not null,
    op text not null check (op in ('book', 'cancel')),
    parcel text not null,
    at timestamptz not null default clock_timestamp()
);

comment on table shipping.ledger is 'Every booking and cancellation. Append-only.';

create index ledger_saga on shipping.ledger (saga_id);

-- What happened stays: a correction is another row.
create function shipping.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'shipping.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on shipping.ledger
    for each statement execute function shipping.refuse_change();
