-- The schema `store` is there before this runs. A changed schema gets a new file.

create table store.stock (
    article text primary key,
    price bigint not null,
    available bigint not null check (available >= 0)
);

insert into store.stock values ('tea', 450, 100), ('lamp', 9900, 5);

create table store.ledger (
    effect text primary key,
    kind text not null,
    amount bigint not null,
    at timestamptz not null default clock_timestamp()
);
