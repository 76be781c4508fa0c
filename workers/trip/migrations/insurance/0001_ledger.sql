-- Insurance: what was insured and ended, in minor units.

create schema if not exists insurance;

create table insurance.ledger (
    saga_id uuid not null,
    effect text not null,
    op text not null check (op in ('insure', 'end')),
    price bigint not null check (price >= 0),
    at timestamptz not null default clock_timestamp()
);

comment on table insurance.ledger is 'Every policy, of trips and of drivers, and its end. Append-only.';

create index ledger_effect on insurance.ledger (effect);

-- What happened stays: a correction is another row.
create function insurance.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'insurance.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on insurance.ledger
    for each statement execute function insurance.refuse_change();
