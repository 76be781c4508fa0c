-- Inventory: what is in stock, and what was reserved and released.

create schema if not exists inventory;

create table inventory.stock (
    sku text primary key,
    available bigint not null check (available >= 0)
);

comment on table inventory.stock is 'What can still be reserved.';

create table inventory.ledger (
    saga_id uuid not null,
    op text not null check (op in ('reserve', 'release')),
    sku text not null,
    quantity bigint not null check (quantity > 0),
    at timestamptz not null default clock_timestamp()
);

comment on table inventory.ledger is 'Every reservation and release, one row per article. Append-only.';

create index ledger_saga on inventory.ledger (saga_id);

-- What happened stays: a correction is another row.
create function inventory.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'inventory.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on inventory.ledger
    for each statement execute function inventory.refuse_change();
