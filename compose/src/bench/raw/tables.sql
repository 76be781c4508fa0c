drop schema if exists bench_raw cascade;
create schema bench_raw;
create table bench_raw.saga (
    id uuid primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    status text not null,
    input json not null
) with (fillfactor = 50);
create table bench_raw.turn (
    saga_id uuid not null,
    seq integer not null,
    output json,
    next json,
    primary key (saga_id, seq)
);
