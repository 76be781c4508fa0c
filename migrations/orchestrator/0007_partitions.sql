-- Sagas and their facts lie in partitions by the time in the saga's id, each dropped whole when it
-- is old enough: no row is deleted, and the disk stays flat. Business keys outlive the sagas that held
-- them.

-- Programs that run meanwhile wait: a saga that began between two of these statements would be missed.
lock table amends.saga, amends.fact in access exclusive mode;

-- The smallest id of a saga that starts at this time: ids are UUIDv7.
create function amends.first_id(at timestamptz) returns uuid
    language sql immutable parallel safe
    -- 48 bits, from 1970 on
    return (lpad(to_hex(least(greatest(floor(extract(epoch from at) * 1000), 0), 281474976710655)::bigint),
                 12, '0') || repeat('0', 20))::uuid;
comment on function amends.first_id is
    'The smallest id of a saga that starts at this time: where id >= amends.first_id(now() - interval ''1 hour'')';

-- When a saga with this id started, to the millisecond.
create function amends.started_at(id uuid) returns timestamptz
    language sql immutable parallel safe
    return to_timestamp(('x' || substring(replace(id::text, '-', '') for 12))::bit(48)::bigint / 1000.0);

-- Two bodies are the same when they differ in white space between tokens at most. 128 bits of SHA-256
-- tell them apart when the first one is gone.
create function amends.digest(body json) returns bytea
    language sql immutable parallel safe
    return substring(sha256(convert_to(
        regexp_replace(body::text, '("(?:[^"\\]|\\.)*")|[ \t\n\r]+', '\1', 'g'), 'UTF8')) for 16);

-- One saga per business key, for ever: also when the saga was dropped. The key comes first: people
-- look for it alone.
create table amends.business_key (
    saga_id uuid not null,
    digest bytea not null,
    key text not null,
    definition text not null,
    primary key (key, definition)
);

insert into amends.business_key (saga_id, digest, key, definition)
select s.id, amends.digest(s.input), s.key, s.definition
from amends.saga s
where s.key is not null;

create view amends.keys as
select k.key, k.definition, k.saga_id from amends.business_key k;
comment on view amends.keys is
    'Which saga holds a business key, or held it: the key stays when the saga is dropped. Fast by key';

-- Pairs of partitions: <table>_<name> holds the sagas with these ids.
create table amends.period (
    name text primary key,
    first uuid not null unique,
    until uuid not null,
    check (first < until)
);

-- From here on the names belong to the partitioned tables. What reads the old ones is written down
-- while it still says so, and made anew for the new ones: in place, with its rights.
do $$
declare
    reader text;
    readers text[] := array(
        select format('create or replace view %s as %s', v.oid::regclass, pg_get_viewdef(v.oid))
        from pg_class v
        where v.relkind = 'v' and exists (
            select from pg_rewrite r
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            where r.ev_class = v.oid and d.refclassid = 'pg_class'::regclass
              and d.refobjid in ('amends.saga'::regclass, 'amends.fact'::regclass))
        union all
        select pg_get_functiondef(f.oid)
        from pg_proc f
        where exists (
            select from pg_depend d
            where d.classid = 'pg_proc'::regclass and d.objid = f.oid
              and d.refclassid = 'pg_class'::regclass
              and d.refobjid in ('amends.saga'::regclass, 'amends.fact'::regclass))
    );
begin
    alter table amends.saga rename to saga_before;
    alter table amends.fact rename to fact_before;
    alter index amends.saga_parent rename to saga_before_parent;
    drop index amends.saga_key;
    drop trigger note_stuck on amends.saga_before;
    drop trigger note_born_stuck on amends.saga_before;

    create table amends.saga (
        like amends.saga_before including defaults including constraints including comments,
        primary key (id)
    ) partition by range (id);
    create table amends.fact (
        like amends.fact_before including defaults including constraints including comments,
        primary key (saga_id, seq)
    ) partition by range (saga_id);

    foreach reader in array readers loop
        execute reader;
    end loop;
end
$$;

create index saga_parent on amends.saga (parent) where parent is not null;
-- That a key is held once is the other table's to say; this one is for people who look for a saga.
create index saga_key on amends.saga (key) where key is not null;
create trigger note_stuck after update on amends.saga for each row
    when (new.status = 'stuck' or old.status = 'stuck')
    execute function amends.note_stuck();
create trigger note_born_stuck after insert on amends.saga for each row
    when (new.status = 'stuck')
    execute function amends.note_stuck();

-- A program that does not know of this table leaves the key to be noted here. One that does says so by
-- a setting of its sessions, which only spares it the look.
create function amends.note_key() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    insert into amends.business_key (saga_id, digest, key, definition)
    values (new.id, amends.digest(new.input), new.key, new.definition)
    on conflict do nothing;
    if not exists (select from amends.business_key k
                   where k.key = new.key and k.definition = new.definition and k.saga_id = new.id) then
        raise exception 'the key % of % is held by another saga', new.key, new.definition
            using errcode = 'unique_violation';
    end if;
    return null;
end
$$;

create trigger note_key after insert on amends.saga for each row
    when (new.key is not null and current_setting('amends.keys', true) is distinct from 'noted')
    execute function amends.note_key();

-- Sagas with ids outside of all periods: triggers from before the first one that is kept, or from a
-- clock that is wrong.
create table amends.saga_default partition of amends.saga default
    with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
create table amends.fact_default partition of amends.fact default;

-- Makes a pair of partitions, and moves there what waits in the default ones.
create function amends.make_period(first uuid, until uuid) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    name text := to_char(amends.started_at(first) at time zone 'UTC', 'YYYYMMDD_HH24MISS');
begin
    lock table amends.saga_default, amends.fact_default in access exclusive mode;
    execute format('create table amends.saga_%s (like amends.saga including defaults including constraints)
        with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)', name);
    execute format('create table amends.fact_%s (like amends.fact including defaults including constraints)',
        name);
    execute format('with moved as (delete from amends.saga_default where id >= $1 and id < $2 returning *)
        insert into amends.saga_%s select * from moved', name) using first, until;
    execute format('with moved as (delete from amends.fact_default where saga_id >= $1 and saga_id < $2 returning *)
        insert into amends.fact_%s select * from moved', name) using first, until;
    execute format('alter table amends.saga attach partition amends.saga_%s for values from (%L) to (%L)',
        name, first, until);
    execute format('alter table amends.fact attach partition amends.fact_%s for values from (%L) to (%L)',
        name, first, until);
    insert into amends.period values (name, first, until);
end
$$;

-- What was there before becomes the first pair, as it lies on the disk; a little of the time to come
-- belongs to it, for what is being written now. Ids from clocks that are far ahead move out first.
do $$
declare
    until uuid := amends.first_id(date_trunc('minute', clock_timestamp()) + interval '2 minutes');
begin
    if exists (select from amends.saga_before) then
        with moved as (delete from amends.saga_before where id >= until returning *)
        insert into amends.saga select * from moved;
        with moved as (delete from amends.fact_before where saga_id >= until returning *)
        insert into amends.fact select * from moved;
        execute format('alter table amends.saga attach partition amends.saga_before
            for values from (minvalue) to (%L)', until);
        execute format('alter table amends.fact attach partition amends.fact_before
            for values from (minvalue) to (%L)', until);
        insert into amends.period values ('before', '00000000-0000-0000-0000-000000000000', until);
    else
        drop table amends.saga_before, amends.fact_before;
    end if;
end
$$;

-- Makes the partitions that are needed now and soon, each for so long; returns how many. A statement
-- that holds a lock for long is not waited for, because others would wait behind: then it fails with
-- lock_not_available, and is tried again later. Meanwhile the default partitions take the sagas.
create function amends.make_periods(width interval) returns integer
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '100ms'
as $$
declare
    origin constant timestamptz := '2001-01-01 00:00:00+00';
    needed timestamptz;
    first uuid;
    until uuid;
    made integer := 0;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('amends.period', 0)) then
        return 0;
    end if;
    foreach needed in array array[clock_timestamp(), clock_timestamp() + least(width, '1 day')] loop
        first := amends.first_id(date_bin(width, needed, origin));
        until := amends.first_id(date_bin(width, needed, origin) + width);
        -- Whatever period covers the beginning of this one, it goes on where that one ends.
        first := greatest(first, (select p.until from amends.period p order by p.first desc limit 1));
        if first < until then
            perform amends.make_period(first, until);
            made := made + 1;
        end if;
    end loop;
    return made;
end
$$;

-- Whether a saga with an id from one to the other has not ended, or something about it is not decided.
create function amends.is_open(first uuid, last uuid) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select exists (select from amends.timer t where t.saga_id between first and last)
        or exists (select from amends.stuck_saga k where k.saga_id between first and last)
        or exists (select from amends.act a
                   where a.saga_id between first and last and a.decided_at is null);
end;

-- Drops the oldest pair of partitions whose sagas all began longer ago than this, and have ended;
-- returns how many, so that 0 is the end. A saga that has not ended keeps all that lie beside it.
create function amends.drop_period(older interval) returns integer
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '100ms'
as $$
declare
    bound uuid := amends.first_id(clock_timestamp() - older);
    old amends.period;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('amends.period', 0)) then
        return 0;
    end if;
    for old in select * from amends.period p where p.until <= bound order by p.first loop
        continue when amends.is_open(old.first, old.until);
        lock table amends.saga, amends.fact in access exclusive mode;
        -- Nobody writes any more: what opened meanwhile is seen now.
        continue when amends.is_open(old.first, old.until);
        execute format('drop table amends.saga_%s, amends.fact_%s', old.name, old.name);
        delete from amends.period p where p.name = old.name;
        return 1;
    end loop;
    return 0;
end
$$;

-- Deletes what is left of sagas that were dropped, and what is as old, a thousand rows of each table at
-- most; returns how many. Few sagas lie in the default partitions, so those are rows to delete.
create function amends.forget(older interval) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    bound uuid := amends.first_id(clock_timestamp() - older);
    gone uuid[] := array(
        select s.id from amends.saga_default s
        where s.id < bound
          -- nor is one open that it is nested in: they share the time
          and not amends.is_open(amends.first_id(amends.started_at(s.id)),
                                 amends.first_id(amends.started_at(s.id) + interval '1 ms'))
        order by s.id limit 1000);
    letters bigint[] := array(
        select d.id from amends.dead_letter d
        where d.settled_at < clock_timestamp() - older
        order by d.id limit 1000);
    acts bigint[] := array(
        select a.id from amends.act a
        where a.saga_id < bound and a.decided_at is not null
          and not exists (select from amends.saga s where s.id = a.saga_id)
        order by a.saga_id limit 1000);
    requests uuid[] := array(
        select r.saga_id from amends.start_request r
        where r.saga_id < bound and r.decided_at is not null
          and not exists (select from amends.saga s where s.id = r.saga_id)
        order by r.saga_id limit 1000);
begin
    delete from amends.fact_default f where f.saga_id = any(gone);
    delete from amends.saga_default s where s.id = any(gone);
    delete from amends.letter_act a where a.letter_id = any(letters);
    delete from amends.dead_letter d where d.id = any(letters);
    delete from amends.act a where a.id = any(acts);
    delete from amends.start_request r where r.saga_id = any(requests);
    return cardinality(gone) + cardinality(letters) + cardinality(acts) + cardinality(requests);
end
$$;

-- A key refuses a second saga for ever, because nobody can say when the last copy of a message has
-- come. Who can may forget keys of sagas that are gone.
create function amends.forget_keys(older interval) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    forgotten bigint;
begin
    delete from amends.business_key k
    where k.saga_id < amends.first_id(clock_timestamp() - older)
      and not exists (select from amends.saga s where s.id = k.saga_id);
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;
comment on function amends.forget_keys is
    'Let business keys of dropped sagas that began longer ago than this start sagas again';

-- Counters of a partition go with it, so starts are counted where each saga gets its timer.
create or replace view amends.flow as
select u.n_tup_ins as started, u.n_tup_del as ended, clock_timestamp() as at
from pg_stat_user_tables u
where u.schemaname = 'amends' and u.relname = 'timer';

revoke execute on function amends.first_id, amends.started_at, amends.digest, amends.note_key,
    amends.make_period, amends.make_periods, amends.is_open, amends.drop_period, amends.forget,
    amends.forget_keys
    from public;

do $$
declare
    role text;
begin
    foreach role in array array['amends_viewer', 'amends_operator'] loop
        if to_regrole(role) is not null then
            execute format('grant select on amends.keys to %I', role);
            execute format('grant execute on function amends.first_id to %I', role);
        end if;
    end loop;
    if to_regrole('amends_operator') is not null then
        grant execute on function amends.forget_keys to amends_operator;
    end if;
    if to_regrole('amends_orchestrator') is not null then
        grant select, insert, update, delete on amends.saga, amends.fact, amends.business_key
            to amends_orchestrator;
        grant execute on function amends.digest, amends.make_periods, amends.drop_period, amends.forget
            to amends_orchestrator;
    end if;
end
$$;
