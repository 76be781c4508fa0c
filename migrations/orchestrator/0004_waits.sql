-- What sagas wait for besides replies: events, locks, each other; how they begin without a message;
-- and versions that start no more.

-- A nested saga, and the step of the outer one that it is.
alter table amends.saga add column parent uuid, add column parent_step text;
create index saga_parent on amends.saga (parent) where parent is not null;

alter table amends.definition
    add column retired_at timestamptz,
    add column retired_by text,
    add column retired_reason text;
alter table amends.definition_step
    add column task text not null default 'call'
        check (task in ('call', 'event', 'delay', 'saga'));

-- Events that some step may wait for, kept from when they come until no saga can ask for them. A
-- saga takes an event by a fact; nothing is written here then. One row for each step that the event
-- may be for: steps may read different keys from it.
create table amends.event (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    matcher text not null,
    key text not null,
    source text not null,
    body json not null,
    unique (source, matcher)
);
comment on column amends.event.matcher is '<definition>/<step>';
comment on column amends.event.source is '<stream>:<sequence>@<stored at, µs> <key>: a redelivery is kept once';
create index event_key on amends.event (matcher, key, id);
create index event_at on amends.event (at);

-- Steps that wait for an event now.
create table amends.wait (
    saga_id uuid not null,
    step text not null,
    matcher text not null,
    key text not null,
    since timestamptz not null default clock_timestamp(),
    primary key (saga_id, step)
);
create index wait_key on amends.wait (matcher, key);

-- Who holds or wants a lock. The order of arrival is the order of saga ids, which begin with the
-- time of the trigger. A saga takes all its locks at once, so none that waits holds any.
create table amends.lock (
    name text not null,
    saga_id uuid not null,
    since timestamptz not null default clock_timestamp(),
    held_since timestamptz,
    primary key (name, saga_id)
);
create unique index lock_holder on amends.lock (name) where held_since is not null;
create index lock_saga on amends.lock (saga_id);

-- Starts that were asked for in SQL, found by the timer that was set with them.
create table amends.start_request (
    saga_id uuid primary key,
    definition text not null,
    key text,
    input json not null,
    actor text not null,
    at timestamptz not null default clock_timestamp(),
    decided_at timestamptz,
    accepted boolean,
    answer text,
    check ((decided_at is null) = (accepted is null))
);

-- Acts are also how sagas and replicas speak with each other: `undo` by the outer saga, and `reply`
-- for a reply that came to a replica which does not know the saga's version.
alter table amends.act drop constraint act_act_check;
alter table amends.act add constraint act_act_check check (act in
    ('retry', 'skip', 'resolve', 'cancel', 'pause', 'resume', 'break_lock', 'undo', 'reply'));

-- One change of hands at a time for each lock, in the order of their names.
create function amends.serialize_locks(names text[]) returns void
    language sql
    set search_path = pg_catalog, pg_temp
begin atomic
    select pg_advisory_xact_lock(hashtextextended('amends.lock ' || n.name, 0))
    from (select distinct name from unnest(names) as u (name) order by name) n;
end;

-- Gives these sagas their locks, where nobody holds one of them or came earlier. Returns the sagas
-- that hold all of theirs.
create function amends.acquire_locks(sagas uuid[]) returns setof uuid
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    saga uuid;
begin
    perform amends.serialize_locks(array(select l.name from amends.lock l where l.saga_id = any(sagas)));
    foreach saga in array array(select s from unnest(sagas) as u (s) order by s) loop
        if not exists (
            select from amends.lock mine
            join amends.lock other on other.name = mine.name and other.saga_id <> mine.saga_id
            where mine.saga_id = saga and mine.held_since is null
              and (other.held_since is not null or other.saga_id < mine.saga_id)
        ) then
            update amends.lock set held_since = clock_timestamp()
            where saga_id = saga and held_since is null;
            return next saga;
        end if;
    end loop;
end
$$;

-- Takes these sagas out of the queues, and wakes those that are first in them now: returned.
create function amends.release_locks(sagas uuid[]) returns setof uuid
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    names text[] := array(select l.name from amends.lock l where l.saga_id = any(sagas));
begin
    perform amends.serialize_locks(names);
    delete from amends.lock l where l.saga_id = any(sagas);
    return query
        insert into amends.timer as t (saga_id, due_at)
        select distinct first.saga_id, clock_timestamp()
        from unnest(names) as freed (name)
        cross join lateral (
            select l.saga_id from amends.lock l where l.name = freed.name order by l.saga_id limit 1
        ) first
        on conflict (saga_id) do update set due_at = least(t.due_at, excluded.due_at)
        returning t.saga_id;
end
$$;

create function amends.break_lock(name text, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    holder uuid;
    noted bigint;
begin
    if reason is null or reason !~ '\S' then
        raise exception 'an act needs a reason' using errcode = 'invalid_parameter_value';
    end if;
    perform amends.serialize_locks(array[break_lock.name]);
    delete from amends.lock l where l.name = break_lock.name and l.held_since is not null
    returning l.saga_id into holder;
    if holder is null then
        raise exception 'nobody holds the lock %', break_lock.name using errcode = 'no_data_found';
    end if;
    insert into amends.act (saga_id, act, outcome, reason, actor, seen)
    values (holder, 'break_lock', json_build_object('lock', break_lock.name), break_lock.reason,
            session_user, 0)
    returning id into noted;
    insert into amends.timer as t (saga_id, due_at)
    select w.saga_id, clock_timestamp()
    from (
        select holder as saga_id
        union
        (select l.saga_id from amends.lock l where l.name = break_lock.name order by l.saga_id limit 1)
    ) w
    on conflict (saga_id) do update set due_at = least(t.due_at, excluded.due_at);
    return noted;
end
$$;
comment on function amends.break_lock is
    'Take a lock from the saga that holds it, which goes on without. Returns the id in amends.acts';

create function amends.start(definition text, input json, key text default null) returns uuid
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    random bytea := uuid_send(gen_random_uuid());
    millis bigint := floor(extract(epoch from clock_timestamp()) * 1000);
    id uuid;
begin
    if not exists (select from amends.definition d
                   where d.name = start.definition and d.retired_at is null) then
        raise exception 'there is no definition % that starts sagas', start.definition
            using errcode = 'no_data_found',
                  hint = 'definitions are registered when an orchestrator that knows them starts; see amends.definitions';
    end if;
    if start.input is null then
        raise exception 'a saga needs an input' using errcode = 'invalid_parameter_value';
    end if;
    -- UUIDv7 (RFC 9562): milliseconds, version 7, and what is random of a version 4
    random := set_byte(random, 6, (get_byte(random, 6) & 15) | 112);
    id := encode(substring(int8send(millis) from 3) || substring(random from 7), 'hex')::uuid;
    insert into amends.start_request (saga_id, definition, key, input, actor)
    values (id, start.definition, start.key, start.input, session_user);
    insert into amends.timer (saga_id, due_at) values (id, clock_timestamp());
    return id;
end
$$;
comment on function amends.start is
    'Start a saga when this transaction commits. Returns its id; amends.starts says what became of it';

create function amends.retire(definition text, version integer, reason text) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if reason is null or reason !~ '\S' then
        raise exception 'an act needs a reason' using errcode = 'invalid_parameter_value';
    end if;
    update amends.definition d
    set retired_at = clock_timestamp(), retired_by = session_user, retired_reason = retire.reason
    where d.name = retire.definition and d.version = retire.version;
    if not found then
        raise exception 'there is no definition %@%', retire.definition, retire.version
            using errcode = 'no_data_found';
    end if;
end
$$;
comment on function amends.retire is
    'Let this version start no more sagas; those that it began end under it. Orchestrators follow within seconds';

create function amends.reinstate(definition text, version integer, reason text) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if reason is null or reason !~ '\S' then
        raise exception 'an act needs a reason' using errcode = 'invalid_parameter_value';
    end if;
    update amends.definition d
    set retired_at = null, retired_by = session_user, retired_reason = reinstate.reason
    where d.name = reinstate.definition and d.version = reinstate.version;
    if not found then
        raise exception 'there is no definition %@%', reinstate.definition, reinstate.version
            using errcode = 'no_data_found';
    end if;
end
$$;
comment on function amends.reinstate is 'Let a retired version start sagas again';

revoke execute on function amends.serialize_locks, amends.acquire_locks, amends.release_locks,
    amends.break_lock, amends.start, amends.retire, amends.reinstate from public;

do $$
begin
    if to_regrole('amends_orchestrator') is not null then
        grant select, insert, update, delete on amends.event, amends.wait, amends.lock,
            amends.start_request to amends_orchestrator;
        grant execute on function amends.serialize_locks, amends.acquire_locks, amends.release_locks
            to amends_orchestrator;
    end if;
    if to_regrole('amends_operator') is not null then
        grant execute on function amends.break_lock, amends.start, amends.retire, amends.reinstate
            to amends_operator;
    end if;
end
$$;
