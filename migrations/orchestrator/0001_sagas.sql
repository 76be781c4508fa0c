-- What the orchestrator keeps. Users read the views of 0002_views.sql; these tables may change.

create table amends.definition (
    name text not null,
    version integer not null check (version > 0),
    digest text not null,
    outline json not null,
    registered_at timestamptz not null default clock_timestamp(),
    primary key (name, version)
);
comment on table amends.definition is
    'Each saga definition that ever ran here. A digest never changes under its version.';

create table amends.definition_step (
    name text not null,
    version integer not null,
    position integer not null,
    step text not null,
    service text not null,
    operation text not null,
    kind text not null check (kind in ('compensatable', 'pivot', 'retriable')),
    primary key (name, version, step),
    foreign key (name, version) references amends.definition
);

-- Written at the start, at a change of status and at the end. No index on a column that an update
-- touches, and room in each page: updates stay heap-only.
create table amends.saga (
    id uuid primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    version integer not null,
    definition text not null,
    status text not null check (status in
        ('running', 'compensating', 'completed', 'compensated', 'stuck', 'paused', 'queued')),
    key text,
    trace text,
    input json not null,
    error json,
    check ((finished_at is not null) = (status in ('completed', 'compensated')))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
comment on column amends.saga.error is '{"step", "code", "message"}: why it turned back or is stuck';
comment on column amends.saga.trace is 'W3C traceparent of the trigger';

-- One saga per business key, for ever. The key comes first: people look for it alone.
create unique index saga_key on amends.saga (key, definition) where key is not null;

-- What happened, one row a fact, only ever inserted. The primary key is the version check: of two
-- turns that decide on the same state one fails. No foreign key: the check would cost a lock on the
-- saga's row in every turn, and the row is written in the same statement as its first fact.
create table amends.fact (
    saga_id uuid not null,
    seq integer not null check (seq >= 0),
    attempt integer not null check (attempt >= 0),
    at timestamptz not null,
    kind text not null,
    step text,
    op text check (op in ('action', 'compensation')),
    detail json,
    next json,
    primary key (saga_id, seq)
);
comment on column amends.fact.detail is 'The output of what was done, the code and message of what was not';
comment on column amends.fact.next is
    'What followed: {"sends": [{"step", "op", "attempt", "due", "input"}], "due", "status", "error", "output"}';

-- When to look at a saga that has not ended: never later than the earliest time at which something
-- is due. 'infinity' for a saga that only an operator can move.
create table amends.timer (
    saga_id uuid primary key,
    due_at timestamptz not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
create index timer_due on amends.timer (due_at);

-- Sagas that an operator must look at, found without reading all sagas: an index on the status would
-- cost every update its heap-only form.
create table amends.stuck_saga (
    saga_id uuid primary key,
    since timestamptz not null default clock_timestamp()
);

create function amends.note_stuck() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.status = 'stuck' then
        insert into amends.stuck_saga (saga_id) values (new.id) on conflict do nothing;
    else
        delete from amends.stuck_saga where saga_id = new.id;
    end if;
    return null;
end
$$;

create trigger note_stuck after update on amends.saga for each row
    when (new.status = 'stuck' or old.status = 'stuck')
    execute function amends.note_stuck();
create trigger note_born_stuck after insert on amends.saga for each row
    when (new.status = 'stuck')
    execute function amends.note_stuck();

-- Messages that could not be used, kept as they came.
create table amends.dead_letter (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    source text not null unique,
    subject text not null,
    reason text not null,
    headers json not null,
    is_text boolean not null,
    body bytea not null
);
comment on column amends.dead_letter.source is '<stream>:<sequence>@<stored at, µs> <consumer>: a redelivery is kept once';
