-- Sagas that name a lock take turns. A lock is held by a row; one change of hands at a time for each
-- lock.

-- Names that share a row merely take turns too. In the order of the rows, so that two changes of several
-- locks each cannot wait for each other.
create function amends.serialize_locks(names text[]) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    slots integer[] := array(select hashtextextended(n.name, 0) & 1023 from unnest(names) as n (name));
begin
    perform from amends.mutex m where m.id = any(slots) order by m.id for no key update;
end
$$;
comment on function amends.serialize_locks is
    'Has changes of these locks take turns, until the transaction ends';

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
              and (other.held_since is not null
                   -- one that is held by an operator lets others go first
                   or other.saga_id < mine.saga_id and not exists (
                       select from amends.saga s where s.id = other.saga_id and s.status = 'paused'))
        ) then
            update amends.lock set held_since = clock_timestamp()
            where saga_id = saga and held_since is null;
            return next saga;
        end if;
    end loop;
end
$$;
comment on function amends.acquire_locks is
    'Gives these sagas their locks, where nobody holds one of them or came earlier; returns the sagas that hold all of theirs';

create function amends.wake_next(names text[]) returns setof uuid
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        insert into amends.timer as t (saga_id, due_at)
        select w.saga_id, clock_timestamp()
        from (
            select distinct first.saga_id
            from unnest(names) as freed (name)
            cross join lateral (
                select l.saga_id from amends.lock l
                where l.name = freed.name and not exists (
                    select from amends.saga s where s.id = l.saga_id and s.status = 'paused')
                order by l.saga_id
                limit 1
            ) first
        ) w
        on conflict (saga_id) do update set due_at = least(t.due_at - interval '1 us', excluded.due_at)
        returning t.saga_id;
end
$$;
comment on function amends.wake_next is
    'Wakes those that come first for these locks, and are not held by an operator: returned';

create function amends.pass_locks(sagas uuid[]) returns setof uuid
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    names text[] := array(select l.name from amends.lock l
                          where l.saga_id = any(sagas) and l.held_since is null);
begin
    perform amends.serialize_locks(names);
    return query select * from amends.wake_next(names);
end
$$;
comment on function amends.pass_locks is
    'These sagas wait for locks and are held by an operator: wakes those that come after them: returned';

create function amends.release_locks(sagas uuid[]) returns setof uuid
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    names text[] := array(select l.name from amends.lock l where l.saga_id = any(sagas));
begin
    perform amends.serialize_locks(names);
    delete from amends.lock l where l.saga_id = any(sagas);
    return query select * from amends.wake_next(names);
end
$$;
comment on function amends.release_locks is
    'Takes these sagas out of the queues, and wakes those that are first in them then: returned';
