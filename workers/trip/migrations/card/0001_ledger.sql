-- Card: what was charged, in minor units.

create schema if not exists card;

create table card.ledger (
    saga_id uuid not null,
    effect text not null,
    op text not null check (op = 'charge'),
    amount bigint not null check (amount >= 0),
    at timestamptz not null default clock_timestamp()
);

comment on table card.ledger is 'Every charge. Append-only.';

create index ledger_effect on card.ledger (effect);

-- What happened stays: a correction is another row.
create function card.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'card.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on card.ledger
    for each statement execute function card.refuse_change();
