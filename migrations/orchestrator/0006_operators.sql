-- What operators may do. Each act is a row: who, what, to whom, and why. An act on a saga is put into
-- its mailbox and makes its timer due; the orchestrator decides it, like any other event, and that is
-- another row.

-- A claim that is not the login's to make is refused, not passed over: an act that was meant as somebody's, and
-- is noted as another's, is found out when it is too late. `via` is of the database, and so is what follows it.
create function amends.actor() returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    acted_for text := nullif(current_setting('amends.actor', true), '');
begin
    if acted_for is null then
        return session_user;
    end if;
    if pg_has_role(session_user, to_regrole('amends_gateway'), 'usage') is not true then
        raise exception 'the login % may not act for others: the setting amends.actor is for members of amends_gateway',
                session_user
            using errcode = 'invalid_parameter_value';
    end if;
    -- No control characters, nor what is not seen itself and changes how others are. Written so that no setting of
    -- the session changes what it means.
    if length(acted_for) > 200 or acted_for ~ '^[[:space:]]|[[:space:]]$' or acted_for ~ (
            E'[\\u0001-\\u001f\\u007f-\\u009f\\u00ad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890-\\u0891\\u08e2\\u180e'
            || E'\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\U000110bd\\U000110cd'
            || E'\\U00013430-\\U0001343f\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e007f]') then
        raise exception 'amends.actor is a name of 1 to 200 printable characters'
            using errcode = 'invalid_parameter_value';
    end if;
    return acted_for || ' via ' || session_user;
end
$$;
comment on function amends.actor is
    'Who acts: the login, or `<whom> via <login>` where a member of amends_gateway says by the setting amends.actor for whom it does';

-- What an act has written or locked, turns of sagas wait for until its transaction ends. One that was left
-- open, in a console or by a program that hangs, is ended by Postgres.
create function amends.begin_act(reason text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if reason is null or reason !~ '\S' then
        raise exception 'an act needs a reason' using errcode = 'invalid_parameter_value';
    end if;
    if current_setting('idle_in_transaction_session_timeout')::interval not between '1 ms' and '10 s' then
        perform set_config('idle_in_transaction_session_timeout', '10s', true);
    end if;
end
$$;
comment on function amends.begin_act is
    'What each act begins with: raises where it has no reason. Its transaction may idle for 10 s from then on';

-- Acts on one saga --------------------------------------------------------------------------------

-- An act takes the next number of its saga's facts, so the version check of a turn that was decided
-- without the act finds it: no turn is committed past an act that was committed before. Null where
-- another fact took the number.
create function amends.ask(
    act bigint, saga uuid, seq integer, what text, step text, reason text
) returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
begin atomic
    insert into amends.fact (saga_id, seq, attempt, at, kind, detail)
    values (ask.saga, ask.seq, 0, clock_timestamp(), 'asked',
            json_strip_nulls(json_build_object('act', ask.what, 'step', ask.step, 'by', amends.actor(),
                                               'reason', ask.reason, 'id', ask.act)))
    on conflict do nothing
    returning ask.act;
end;
comment on function amends.ask is
    'Writes the fact that somebody asks for an act; null where the saga has moved on';

-- What no saga could take is refused before it is stored.
create function amends.check_size(what text, value text, bytes integer) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(value) > bytes then
        raise exception 'the % has % bytes; at most % are allowed', what, octet_length(value), bytes
            using errcode = 'program_limit_exceeded';
    end if;
end
$$;
comment on function amends.check_size is 'Raises for a text that is too long';

create function amends.note_act(
    saga uuid, act text, step text, outcome json, reason text, exactly integer default null
) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    now_at text;
    facts integer;
    noted bigint;
begin
    perform amends.begin_act(note_act.reason);
    perform amends.check_size('name of a step', note_act.step, 256);
    perform amends.check_size('outcome', note_act.outcome::text, 262144);
    for attempt in 1..100 loop
        -- The facts are counted before the status is read: a saga that ends between the two has one more.
        facts := coalesce((select max(f.seq) + 1 from amends.fact f where f.saga_id = saga), 0);
        select s.status into now_at from amends.saga s where s.id = saga;
        if now_at is null then
            raise exception 'there is no saga %', saga using errcode = 'no_data_found';
        end if;
        if now_at in ('completed', 'compensated') then
            raise exception 'the saga has ended: %', now_at
                using errcode = 'object_not_in_prerequisite_state';
        end if;
        if exactly <> facts then
            raise exception 'the saga has moved on since you looked: look at it again'
                using errcode = 'object_not_in_prerequisite_state';
        end if;
        noted := amends.ask(nextval('amends.act_id'), saga, facts, note_act.act, note_act.step,
                            note_act.reason);
        exit when noted is not null;
    end loop;
    if noted is null then
        raise exception 'the saga moves on too fast: try again' using errcode = 'serialization_failure';
    end if;
    insert into amends.act (id, saga_id, act, step, outcome, reason, actor, seen, exact)
    values (noted, saga, note_act.act, note_act.step, note_act.outcome, note_act.reason, amends.actor(),
            facts, exactly is not null);
    insert into amends.mailbox (id, saga_id, kind) values (noted, saga, 'act');
    -- Moved in any case: whoever has the timer under a lease must see that somebody came by.
    insert into amends.timer as t (saga_id, due_at) values (saga, clock_timestamp())
    on conflict (saga_id) do update set due_at = least(t.due_at - interval '1 us', excluded.due_at);
    return noted;
end
$$;
comment on function amends.note_act is
    'Notes an act on a saga, and wakes it; where exactly is given, only for a saga with so many facts. Raises for one that has ended';

create function amends.note_act_within(saga uuid, act text, reason text, statuses text[]) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    inner_saga uuid;
    noted bigint;
    first bigint;
begin
    for inner_saga in
        select n.id from amends.nested_sagas(note_act_within.saga) n where n.status = any(statuses)
        order by n.id
    loop
        begin
            noted := amends.note_act(inner_saga, note_act_within.act, null, null, note_act_within.reason);
            first := coalesce(first, noted);
        exception
            -- It has ended meanwhile.
            when object_not_in_prerequisite_state then null;
        end;
    end loop;
    return first;
end
$$;
comment on function amends.note_act_within is
    'amends.note_act on the sagas nested in this one that have one of these statuses. Returns the first act; null when there is none';

-- A saga that waits for a nested one which is stuck has nothing to repeat itself.
create function amends.retry(saga uuid, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    first bigint := amends.note_act_within(saga, 'retry', reason, array['stuck']);
begin
    if first is null or exists (select from amends.saga s where s.id = retry.saga and s.status = 'stuck') then
        first := amends.note_act(saga, 'retry', null, null, reason);
    end if;
    return first;
end
$$;
comment on function amends.retry is
    'Repeat now what was given up or waits to be repeated, with fresh patience; also in stuck sagas that are nested in this one. Returns the id in amends.acts';

create function amends.skip(saga uuid, step text, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'skip', step, null, reason);
comment on function amends.skip is
    'Go on without this compensation, or without this step after the pivot; without the saga''s output where the step is null';

create function amends.resolve(saga uuid, step text, outcome json, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'resolve', step, outcome, reason);
comment on function amends.resolve is
    'A person knows how the step ended: the body of a reply, ok with its output or rejected with a code. A null step is the saga''s output, where it could not be computed';

create function amends.cancel(saga uuid, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'cancel', null, null, reason);
comment on function amends.cancel(uuid, text) is 'Turn the saga back: undo what was done';

create function amends.cancel(saga uuid, reason text, seen integer) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'cancel', null, null, reason, coalesce(seen, -1));
comment on function amends.cancel(uuid, text, integer) is
    'amends.cancel, refused when the saga has another number of facts than the operator saw';

-- The outer saga first: from then on none begins in it, until the act is decided.
create function amends.pause(saga uuid, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    noted bigint := amends.note_act(saga, 'pause', null, null, reason);
begin
    perform amends.note_act_within(saga, 'pause', reason, array['running', 'compensating', 'queued']);
    return noted;
end
$$;
comment on function amends.pause is
    'Send nothing more until resumed, nor in the sagas nested in it; replies are still recorded';

create function amends.resume(saga uuid, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    noted bigint := amends.note_act(saga, 'resume', null, null, reason);
begin
    perform amends.note_act_within(saga, 'resume', reason, array['paused']);
    return noted;
end
$$;
comment on function amends.resume is 'Let a paused saga go on, and those nested in it';

-- The lock goes with the act: whatever becomes of the saga until a turn puts it on record, nothing
-- refuses it.
create function amends.break_lock(name text, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    holder uuid;
    noted bigint;
begin
    perform amends.begin_act(break_lock.reason);
    perform amends.serialize_locks(array[break_lock.name]);
    delete from amends.lock l where l.name = break_lock.name and l.held_since is not null
    returning l.saga_id into holder;
    if holder is null then
        raise exception 'nobody holds the lock %', break_lock.name using errcode = 'no_data_found';
    end if;
    begin
        noted := amends.note_act(holder, 'break_lock', null, json_build_object('lock', break_lock.name),
                                 break_lock.reason);
    exception
        -- It has ended, or was dropped, and nothing took its lock: there is nothing to put on record in it.
        when object_not_in_prerequisite_state or no_data_found then
            insert into amends.act (saga_id, act, outcome, reason, actor, seen)
            values (holder, 'break_lock', json_build_object('lock', break_lock.name),
                    break_lock.reason, amends.actor(), 0)
            returning id into noted;
            insert into amends.act_decision (act_id, accepted) values (noted, true);
    end;
    perform amends.wake_next(array[break_lock.name]);
    return noted;
end
$$;
comment on function amends.break_lock is
    'Take a lock from the saga that holds it, which goes on without. Returns the id in amends.acts';

-- Starts -----------------------------------------------------------------------------------------

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
    perform amends.check_size('input', start.input::text, 262144);
    perform amends.check_size('key', start.key, 256);
    -- UUIDv7 (RFC 9562): milliseconds, version 7, and what is random of a version 4
    random := set_byte(random, 6, (get_byte(random, 6) & 15) | 112);
    id := encode(substring(int8send(millis) from 3) || substring(random from 7), 'hex')::uuid;
    insert into amends.start_request (saga_id, definition, key, input, actor)
    values (id, start.definition, start.key, start.input, amends.actor());
    insert into amends.timer (saga_id, due_at) values (id, clock_timestamp());
    return id;
end
$$;
comment on function amends.start is
    'Start a saga when this transaction commits. Returns the id in amends.starts, which says what became of it: the saga''s own, unless its business key has a saga already';

-- Acts that take effect as they are noted ---------------------------------------------------------

create function amends.record_act(
    act text, letter bigint, definition text, version integer, outcome json, reason text
) returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
begin atomic
    with noted as (
        insert into amends.act (act, letter_id, definition, version, outcome, reason, actor)
        values (record_act.act, record_act.letter, record_act.definition, record_act.version,
                record_act.outcome, record_act.reason, amends.actor())
        returning id
    )
    insert into amends.act_decision (act_id, accepted)
    select noted.id, true from noted
    returning act_id;
end;
comment on function amends.record_act is 'Notes an act that is done already';

create function amends.retire(definition text, version integer, reason text) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform amends.begin_act(retire.reason);
    update amends.definition d set retired_at = clock_timestamp()
    where d.name = retire.definition and d.version = retire.version;
    if not found then
        raise exception 'there is no definition %@%', retire.definition, retire.version
            using errcode = 'no_data_found';
    end if;
    perform amends.record_act('retire', null, retire.definition, retire.version, null, retire.reason);
end
$$;
comment on function amends.retire is
    'Let this version start no more sagas; those that it began end under it. Holds for every start that is written after this commits';

-- Once a statement, which sees what was retired before it began. A nested saga belongs to its outer one, and begins
-- under whatever version that needs.
create function amends.check_starts(names text[], versions integer[], parents uuid[]) returns boolean
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    -- Without a retired version, as mostly, no array is unfolded.
    if exists (
        select from amends.definition d
        where d.retired_at is not null and d.name = any(check_starts.names)
    ) and exists (
        select from amends.definition d
        join unnest(check_starts.names, check_starts.versions, check_starts.parents)
            as s (name, version, parent) using (name, version)
        where d.retired_at is not null and s.parent is null
    ) then
        raise exception 'a saga of a retired version' using errcode = 'AM001';
    end if;
    return true;
end
$$;
comment on function amends.check_starts is
    'Refuses, with SQLSTATE AM001, sagas of a retired version that begin';

create function amends.reinstate(definition text, version integer, reason text) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform amends.begin_act(reinstate.reason);
    update amends.definition d set retired_at = null
    where d.name = reinstate.definition and d.version = reinstate.version;
    if not found then
        raise exception 'there is no definition %@%', reinstate.definition, reinstate.version
            using errcode = 'no_data_found';
    end if;
    perform amends.record_act('reinstate', null, reinstate.definition, reinstate.version, null, reinstate.reason);
end
$$;
comment on function amends.reinstate is 'Let a retired version start sagas again';

-- A key refuses a second saga for ever, because nobody can say when the last copy of a message has
-- come. Who can may forget keys of sagas that are gone.
create function amends.forget_keys(older interval, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    forgotten bigint;
begin
    perform amends.begin_act(forget_keys.reason);
    delete from amends.business_key k
    where k.saga_id < amends.first_id(clock_timestamp() - older)
      and not exists (select from amends.saga s where s.id = k.saga_id);
    get diagnostics forgotten = row_count;
    perform amends.record_act('forget_keys', null, null, null,
        json_build_object('older', older, 'keys', forgotten), forget_keys.reason);
    return forgotten;
end
$$;
comment on function amends.forget_keys is
    'Let business keys of dropped sagas that began longer ago than this start sagas again';

-- Dead letters -----------------------------------------------------------------------------------

create function amends.note_letter_act(dead_letter bigint, act text, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    letter amends.dead_letter;
    earlier text;
    noted bigint;
begin
    perform amends.begin_act(note_letter_act.reason);
    -- One act settles a letter: of two that are asked for at once one waits here, and finds the other. The row
    -- is written, not only locked: a transaction with an older snapshot fails then, and does not miss it.
    update amends.dead_letter d set settled_at = d.settled_at where d.id = dead_letter
    returning * into letter;
    if letter.id is null then
        raise exception 'there is no dead letter %', dead_letter using errcode = 'no_data_found';
    end if;
    select format('%s had it %s', a.actor,
                  case a.act when 'replay' then 'replayed' else 'discarded' end) into earlier
    from amends.act a
    left join amends.act_decision d on d.act_id = a.id
    where a.letter_id = dead_letter and d.accepted is not false;
    if earlier is not null then
        raise exception 'the dead letter % is settled: %', dead_letter, earlier
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    if note_letter_act.act = 'discard' then
        update amends.dead_letter d set settled_at = clock_timestamp() where d.id = dead_letter;
        return amends.record_act('discard', dead_letter, null, null, null, note_letter_act.reason);
    end if;
    insert into amends.act (act, letter_id, reason, actor)
    values (note_letter_act.act, dead_letter, note_letter_act.reason, amends.actor())
    returning id into noted;
    insert into amends.replay_request (act_id, letter_id) values (noted, dead_letter);
    return noted;
end
$$;
comment on function amends.note_letter_act is 'Notes an act on a dead letter that nobody has settled';

create function amends.replay(dead_letter bigint, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_letter_act(dead_letter, 'replay', reason);
comment on function amends.replay is
    'Publish a dead letter once more, on its subject. An orchestrator does it; returns the id in amends.letter_acts';

create function amends.discard(dead_letter bigint, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_letter_act(dead_letter, 'discard', reason);
comment on function amends.discard is
    'Throw a dead letter away: it leaves amends.dead_letters for amends.settled_letters';
