-- What is written beside a saga's row, and beside a row of the audit.

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

-- The chain of the audit --------------------------------------------------------------------------

-- Netstrings, and `~` for a null: no two lists of fields have the same text, whatever is in them.
create function amends.netstrings(variadic fields text[]) returns text
    language plpgsql immutable parallel safe
    set search_path = pg_catalog, pg_temp
as $$
declare
    field text;
    all_of_them text := '';
begin
    foreach field in array fields loop
        all_of_them := all_of_them
            || coalesce(octet_length(convert_to(field, 'UTF8')) || ':' || field || ',', '~');
    end loop;
    return all_of_them;
end
$$;
comment on function amends.netstrings is
    'A list of fields as one text: <bytes in UTF-8>:<field>, for each, and ~ for a null';

create function amends.micros(at timestamptz) returns bigint
    language sql immutable parallel safe
    return trunc(extract(epoch from at) * 1000000)::bigint;
comment on function amends.micros is 'A time in microseconds since 1970';

-- The outcome stands there as a digest, so that who may not see it can verify the chain.
create function amends.act_content(act amends.act, salt uuid) returns text
    language sql immutable parallel safe
    return amends.netstrings(
        'act/1', (act).id::text, (act).act, (act).saga_id::text, (act).letter_id::text, (act).definition,
        (act).version::text, (act).step,
        encode(sha256(coalesce(uuid_send(salt), '') || convert_to((act).outcome::text, 'UTF8')), 'hex'),
        (act).seen::text, (act).exact::text, (act).reason, (act).actor, amends.micros((act).at)::text);
comment on function amends.act_content is 'What the chain of the audit says of an act';

create function amends.decision_content(decision amends.act_decision) returns text
    language sql immutable parallel safe
    return amends.netstrings(
        'decision/1', (decision).act_id::text, amends.micros((decision).at)::text,
        (decision).accepted::text, (decision).answer);
comment on function amends.decision_content is 'What the chain of the audit says of a decision';

create function amends.forgotten_content(link amends.audit_link, numbers bigint[]) returns text
    language sql immutable parallel safe
    return amends.netstrings(
        'forgotten/1', amends.micros((link).at)::text, (link).login, array_to_string(numbers, ' '));
comment on function amends.forgotten_content is 'What the chain of the audit says of rows that were deleted';

-- The next in the chain is made by one transaction at a time. A transaction with an older snapshot fails.
create function amends.add_link(link amends.audit_link, content text) returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
    -- A plan that is made while there are few reads them all for each of the many that one transaction adds.
    set enable_seqscan = off
as $$
declare
    last amends.audit_link;
begin
    perform from amends.mutex m where m.id = 1025 for no key update;
    select * into last from amends.audit_link l order by l.number desc limit 1;
    if last.number is null then
        raise exception 'the chain of the audit has no beginning: somebody emptied amends.audit_link'
            using errcode = 'data_corrupted';
    end if;
    link.number := last.number + 1;
    link.digest := sha256(convert_to(content, 'UTF8'));
    link.hash := sha256(last.hash || link.digest);
    insert into amends.audit_link select link.* on conflict do nothing;
    if not found then
        raise exception 'another transaction has added to the audit since this one began'
            using errcode = 'serialization_failure';
    end if;
    return link.number;
end
$$;
comment on function amends.add_link is 'Adds to the chain of the audit; returns the number there';

create function amends.seal() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    link amends.audit_link;
begin
    link.at := clock_timestamp();
    if tg_table_name = 'act' then
        link.kind := 'act';
        link.act_id := new.id;
        link.salt := case when new.outcome is not null then gen_random_uuid() end;
        perform amends.add_link(link, amends.act_content(new, link.salt));
    else
        link.kind := 'decision';
        link.act_id := new.act_id;
        perform amends.add_link(link, amends.decision_content(new));
    end if;
    return null;
end
$$;
comment on function amends.seal is 'Seals a row of the audit';

create function amends.seal_forgotten(acts bigint[]) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    link amends.audit_link;
    numbers bigint[] := array(select l.number from amends.audit_link l where l.act_id = any(acts) order by l.number);
begin
    if numbers = '{}' then
        return;
    end if;
    link.kind := 'forgotten';
    link.at := clock_timestamp();
    link.login := session_user;
    link.number := amends.add_link(link, amends.forgotten_content(link, numbers));
    insert into amends.audit_forgotten (number, link) select u.number, link.number from unnest(numbers) u (number);
end
$$;
comment on function amends.seal_forgotten is 'Puts on record in the chain of the audit that these acts were deleted';

-- When the transaction commits, and not when it acts: until then an operator may think, and nobody waits.
create constraint trigger seal after insert on amends.act
    deferrable initially deferred
    for each row execute function amends.seal();
create constraint trigger seal after insert on amends.act_decision
    deferrable initially deferred
    for each row execute function amends.seal();
