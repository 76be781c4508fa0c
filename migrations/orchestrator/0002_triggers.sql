-- What is written beside a saga's row.

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
comment on function amends.note_stuck is 'Keeps amends.stuck_saga';

create trigger note_stuck after update on amends.saga for each row
    when (new.status = 'stuck' or old.status = 'stuck')
    execute function amends.note_stuck();
create trigger note_born_stuck after insert on amends.saga for each row
    when (new.status = 'stuck')
    execute function amends.note_stuck();

create function amends.digest(body json) returns bytea
    language sql immutable parallel safe
    return substring(sha256(convert_to(
        regexp_replace(body::text, '("(?:[^"\\]|\\.)*")|[ \t\n\r]+', '\1', 'g'), 'UTF8')) for 16);
comment on function amends.digest is
    'Two bodies have the same digest when they differ in white space between tokens at most';

-- A session that does not write keys itself leaves it to this trigger. One that does says so by the
-- setting amends.keys, which only spares it the look.
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
comment on function amends.note_key is 'Writes amends.business_key for whoever does not';

create trigger note_key after insert on amends.saga for each row
    when (new.key is not null and current_setting('amends.keys', true) is distinct from 'noted')
    execute function amends.note_key();
