-- Hotel: the houses and their rooms, and what was booked and cancelled. Prices in minor units.

create schema if not exists hotel;

create table hotel.house (
    name text primary key,
    rooms bigint not null,
    free bigint not null check (free between 0 and rooms),
    price bigint not null check (price >= 0)
);

comment on table hotel.house is 'Every hotel, what is free, and the price of a night.';

insert into hotel.house (name, rooms, free, price) values
    ('grand', 100000, 100000, 21000), ('station', 100000, 100000, 8900), ('attic', 3, 3, 5500);

create table hotel.ledger (
    saga_id uuid not null,
    effect text not null,
    op text not null check (op in ('book', 'cancel')),
    house text not null,
    price bigint not null check (price >= 0),
    at timestamptz not null default clock_timestamp()
);

comment on table hotel.ledger is 'Every booking and cancellation. Append-only.';
comment on column hotel.ledger.effect is 'The id of the booking: a saga may have several.';

create index ledger_effect on hotel.ledger (effect);

-- What happened stays: a correction is another row.
create function hotel.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'hotel.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on hotel.ledger
    for each statement execute function hotel.refuse_change();
