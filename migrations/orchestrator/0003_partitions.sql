-- Sagas and their facts lie in partitions by the time in the saga's id, each dropped whole when it
-- is old enough: no row is deleted, and the disk stays flat.

create function amends.first_id(at timestamptz) returns uuid
    language sql immutable parallel safe
    -- UUIDv7: 48 bits of milliseconds, from 1970 on
    return (lpad(to_hex(least(greatest(floor(extract(epoch from at) * 1000), 0), 281474976710655)::bigint),
                 12, '0') || repeat('0', 20))::uuid;
comment on function amends.first_id is
    'The smallest id of a saga that starts at this time: where id >= amends.first_id(now() - interval ''1 hour'')';

create function amends.started_at(id uuid) returns timestamptz
    language sql immutable parallel safe
    return to_timestamp(('x' || substring(replace(id::text, '-', '') for 12))::bit(48)::bigint / 1000.0);
comment on function amends.started_at is
    'When a saga with this id started, to the millisecond';

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
comment on function amends.make_period is
    'Makes a pair of partitions, and moves there what waits in the default ones';

-- A statement that holds a lock for long is not waited for, because others would wait behind: then it
-- fails with lock_not_available, and is tried again later. Meanwhile the default partitions take the
-- sagas.
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
    perform from amends.mutex m where m.id = 1024 for no key update skip locked;
    if not found then
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
comment on function amends.make_periods is
    'Makes the partitions that are needed now and soon, each for so long; returns how many';

create function amends.is_open(first uuid, last uuid) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select exists (select from amends.timer t where t.saga_id between first and last)
        or exists (select from amends.stuck_saga k where k.saga_id between first and last)
        or exists (select from amends.mailbox m where m.saga_id between first and last);
end;
comment on function amends.is_open is
    'Whether a saga with an id from one to the other has not ended, or something about it is not decided';

-- A saga that has not ended keeps all that lie beside it.
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
    perform from amends.mutex m where m.id = 1024 for no key update skip locked;
    if not found then
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
comment on function amends.drop_period is
    'Drops the oldest pair of partitions whose sagas all began longer ago than this, and have ended; returns how many, so that 0 is the end';

-- Few sagas lie in the default partitions, so those are rows to delete.
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
        where a.saga_id < bound
          and exists (select from amends.act_decision d where d.act_id = a.id)
          and not exists (select from amends.saga s where s.id = a.saga_id)
        order by a.saga_id limit 1000);
    letter_acts bigint[] := array(select a.id from amends.act a where a.letter_id = any(letters));
    deleted bigint[];
    requests uuid[] := array(
        select r.saga_id from amends.start_request r
        where r.saga_id < bound and r.decided_at is not null
          and not exists (select from amends.saga s where s.id = r.saga_id)
        order by r.saga_id limit 1000);
    kinds bigint[] := array(
        select k.id from amends.letter_kind k
        where k.last_at < clock_timestamp() - older
          and not exists (
              select from amends.dead_letter d where d.kind_id = k.id and d.settled_at is null)
        order by k.id limit 1000);
begin
    delete from amends.fact_default f where f.saga_id = any(gone);
    delete from amends.saga_default s where s.id = any(gone);
    delete from amends.dead_letter d where d.id = any(letters);
    -- Not those that another replica deletes at the same time.
    with gone as (
        delete from amends.act a where a.id = any(acts || letter_acts) returning a.id
    )
    select coalesce(array_agg(g.id), '{}') into deleted from gone g;
    delete from amends.start_request r where r.saga_id = any(requests);
    -- One that has come since is asked for its time again, by the lock of its row.
    delete from amends.letter_kind k
    where k.id = any(kinds) and k.last_at < clock_timestamp() - older;
    -- Last, as from here on who commits an act waits for this one.
    perform amends.seal_forgotten(deleted);
    return cardinality(gone) + cardinality(letters) + cardinality(acts) + cardinality(requests)
        + cardinality(kinds);
end
$$;
comment on function amends.forget is
    'Deletes what is left of sagas that were dropped, and what is as old, a thousand rows of each table at most; returns how many';
