-- Car: the fleet, and what was reserved and returned. Prices in minor units.

create schema if not exists car;

create table car.fleet (
    class text primary key,
    cars bigint not null,
    free bigint not null check (free between 0 and cars),
    price bigint not null check (price >= 0)
);

comment on table car.fleet is 'Every class, what is free, and the price of a day.';

insert into car.fleet (class, cars, free, price) values
    ('compact', 100000, 100000, 4500), ('cabrio', 5, 5, 12000);

create table car.ledger (
    saga_id uuid not null,
    effect text not null,
    op text not null check (op in ('reserve', 'return')),
    class text not null,
    price bigint not null check (price >= 0),
    at timestamptz not null default clock_timestamp()
);

comment on table car.ledger is 'Every reservation and return. Append-only.';

create index ledger_effect on car.ledger (effect);

-- What happened stays: a correction is another row.
create function car.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'car.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on car.ledger
    for each statement execute function car.refuse_change();
