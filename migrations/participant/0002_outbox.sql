-- The transactional outbox: a service's own transaction emits an event, and the event is published
-- if and only if that transaction commits. In any language:
--
--     begin;
--     insert into shop.basket …;
--     select amends_barrier.emit('orders.placed', 'o-17', '{"order_id":"o-17"}');
--     commit;
--
-- A relay publishes it; every Rust worker runs one. A relay in another language repeats one
-- transaction at READ COMMITTED, in as many processes as it likes:
--
--     begin;
--     select id, message_id, subject, body from amends_barrier.relay_claim(128);
--     -- publish each with the header Nats-Msg-Id: <message_id>, and wait for JetStream's acks
--     select amends_barrier.relay_sent('{1,2,3}');
--     select amends_barrier.relay_postpone('{4}', '{1}', '{"no stream"}', '{30}');
--     commit;
--
-- The claim holds row locks until the transaction ends, so that a relay that dies gives its rows back
-- at once. What it had published already is then published twice, under the same message id. Consumers
-- know an event by its business key; nobody relies on the message id.
--
-- Each call sees the events of its own service only, if the login is registered for one
-- (`amends_barrier.register`), and those of all unregistered logins otherwise. A registered login emits
-- on the subjects that it is registered for.
--
-- There is no cursor over the ids, as ids do not commit in their order. Events have no order among
-- each other.
--
-- What a service's role needs, where it does not own the schema:
--
--     grant usage on schema amends_barrier to <role>;
--     grant execute on function amends_barrier.emit(text, text, json) to <role>;
--     -- and the role of its worker, which relays:
--     grant execute on function
--         amends_barrier.relay_claim(integer), amends_barrier.relay_sent(bigint[]),
--         amends_barrier.relay_postpone(bigint[], integer[], text[], double precision[]),
--         amends_barrier.relay_forget(interval, integer), amends_barrier.relay_backlog()
--     to <role>;

create sequence if not exists amends_barrier.event_id;

-- A queue: rows come and go. It stays small, whatever was emitted before.
create table if not exists amends_barrier.event (
    id bigint primary key,
    message_id uuid not null default gen_random_uuid(),
    emitted_at timestamptz not null default now(),
    due_at timestamptz not null default now(),
    attempts integer not null default 0,
    subject text collate "C" not null,
    key text collate "C",
    service text collate "C" not null,
    last_error text,
    body json not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05);
create index if not exists event_due on amends_barrier.event (service, due_at, id);

comment on table amends_barrier.event is
    'Events that were emitted and are not published yet. Written by emit and the relay only; look at amends_barrier.outbox.';
comment on column amends_barrier.event.service is
    'Whose event it is: the service that the login is registered for; empty where it is not registered.';
comment on column amends_barrier.event.message_id is
    'The Nats-Msg-Id of each publication: JetStream drops a copy that comes within its window.';
comment on column amends_barrier.event.due_at is
    'When the relay takes it; later than emitted_at after JetStream refused it or another of its subject.';

-- What makes (subject, key) one event. Apart from the queue, as it outlives it: see relay_forget.
create table if not exists amends_barrier.event_key (
    subject text collate "C" not null,
    key text collate "C" not null,
    service text collate "C" not null,
    event bigint not null,
    emitted_at timestamptz not null default now(),
    digest bytea not null,
    primary key (subject, key, service)
) with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
create index if not exists event_key_emitted on amends_barrier.event_key (service, emitted_at);

comment on table amends_barrier.event_key is 'Keys that were emitted, kept after the publication.';
comment on column amends_barrier.event_key.digest is
    'SHA-256 of the body without white space and order of keys: tells a repetition from another event under the same key.';

create or replace view amends_barrier.outbox as
    select id, subject, key, emitted_at, attempts, last_error, due_at, message_id, body, service
    from amends_barrier.event;

comment on view amends_barrier.outbox is
    'Events that are not published yet. last_error says why not, when JetStream refused them.';

-- The words of `check_subject` in Rust, and the limits of a payload.
create or replace function amends_barrier.check_event(subject text, key text, body json)
    returns void
    language plpgsql immutable parallel safe
    set search_path = pg_catalog, pg_temp
as $$
begin
    if (octet_length(subject) <= 255
        and subject collate "C" ~ '^[A-Za-z0-9_-]+(?:[.][A-Za-z0-9_-]+)*$'
        and not starts_with(subject, 'amends.')) is not true
    then
        raise exception 'not a subject for events: %', coalesce(quote_literal(left(subject, 255)), 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'Use up to 255 letters, digits, _ and -, in parts joined by dots, outside amends.>.';
    end if;
    if octet_length(key) not between 1 and 256 then
        raise exception 'the key of an event has 1 to 256 bytes, this one has %', octet_length(key)
            using errcode = 'invalid_parameter_value',
                  hint = 'Pass null for an event without a key.';
    end if;
    if body is null then
        raise exception 'an event needs a body' using errcode = 'null_value_not_allowed';
    end if;
    if octet_length(body::text) > 262144 then
        raise exception 'the event has % bytes; at most 262144 are allowed', octet_length(body::text)
            using errcode = 'program_limit_exceeded',
                  hint = 'Pass a reference to large data instead.';
    end if;
    -- A text with U+0000 is no jsonb: the cast raises. Level 64 is inside of 64 others.
    if jsonb_path_exists(body::jsonb, 'strict $.**{64} ? (@.type() == "object" || @.type() == "array")') then
        raise exception 'the event is nested more than 64 levels deep'
            using errcode = 'program_limit_exceeded';
    end if;
end
$$;

-- A key that another transaction is emitting is waited for, as its event exists only if that commits.
create or replace function amends_barrier.emit(subject text, key text, body json)
    returns bigint
    language plpgsql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    event bigint := nextval('amends_barrier.event_id');
    own record;
    known record;
    body_digest bytea;
begin
    perform amends_barrier.check_event(subject, key, body);
    -- Keeps `register` out until this transaction ends.
    lock table amends_barrier.event in row exclusive mode;
    select l.service, l.subjects into own from amends_barrier.login l where l.login = session_user;
    if not found then
        select '' as service into own;
    elsif subject <> all (own.subjects) then
        raise exception 'the login % may not emit events on %', session_user, subject
            using errcode = 'insufficient_privilege',
                  hint = format('Register it: select amends_barrier.register(%L, %L, %L).',
                                session_user, own.service, own.subjects || subject);
    end if;
    if key is not null then
        body_digest := sha256(convert_to(body::jsonb::text, 'UTF8'));
        insert into amends_barrier.event_key (subject, key, service, event, digest)
        values (emit.subject, emit.key, own.service, event, body_digest)
        on conflict do nothing;
        if not found then
            select k.event, k.digest into known from amends_barrier.event_key k
            where (k.subject, k.key, k.service) = (emit.subject, emit.key, own.service);
            if not found then
                raise exception 'the key % of % was forgotten meanwhile', quote_literal(key), subject
                    using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
            end if;
            if known.digest <> body_digest then
                raise exception 'the key % of % was emitted before with another body', quote_literal(key), subject
                    using errcode = 'unique_violation',
                          hint = 'A key names one event for ever: another event needs another key.';
            end if;
            return known.event;
        end if;
    end if;
    insert into amends_barrier.event (id, subject, key, service, body)
    values (event, emit.subject, emit.key, own.service, emit.body);
    return event;
end
$$;

comment on function amends_barrier.emit(text, text, json) is
    'Publishes an event if and only if this transaction commits; gives its number. The same subject and key with the same body is the same event, and gives the number of the first. With a null key each call is an event.';

create or replace function amends_barrier.relay_claim(
    most integer, out id bigint, out message_id uuid, out subject text, out body json, out attempts integer
)
    returns setof record
    language sql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select e.id, e.message_id, e.subject, e.body, e.attempts from amends_barrier.event e
    where e.service = (select amends_barrier.caller()) and e.due_at <= now()
    order by e.due_at, e.id
    limit most
    for update skip locked
$$;

comment on function amends_barrier.relay_claim(integer) is
    'Events to publish, oldest first. They are this transaction''s until it ends.';

create or replace function amends_barrier.relay_sent(ids bigint[])
    returns void
    language sql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    delete from amends_barrier.event e where e.id = any (ids) and e.service = (select amends_barrier.caller())
$$;

comment on function amends_barrier.relay_sent(bigint[]) is
    'Removes events that JetStream has stored. Only after its ack, and in the transaction that claimed them.';

create or replace function amends_barrier.relay_postpone(
    ids bigint[], tried integer[], reasons text[], seconds double precision[]
)
    returns void
    language sql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    update amends_barrier.event e
    set attempts = e.attempts + p.tried,
        last_error = p.reason,
        due_at = clock_timestamp() + p.seconds * interval '1 second'
    from unnest(ids, tried, reasons, seconds) as p (id, tried, reason, seconds)
    where e.id = p.id and e.service = (select amends_barrier.caller())
$$;

comment on function amends_barrier.relay_postpone(bigint[], integer[], text[], double precision[]) is
    'Keeps events that were not published for later, with the reason. tried: 1 where JetStream refused the event itself, 0 where another of its subject was refused.';

-- A key is kept to spare consumers the second copy when a caller repeats a request to the service, not
-- to be the last word: they know each business key for ever, so a key may go. Its table would
-- otherwise grow as long as the service lives.
create or replace function amends_barrier.relay_forget(older_than interval, most integer)
    returns bigint
    language sql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    with old as (
        select k.subject, k.key, k.service from amends_barrier.event_key k
        where k.service = (select amends_barrier.caller()) and k.emitted_at < now() - older_than
        order by k.emitted_at
        limit most
        for update skip locked
    ),
    gone as (
        delete from amends_barrier.event_key k using old
        where (k.subject, k.key, k.service) = (old.subject, old.key, old.service)
        returning 1
    )
    select count(*) from gone
$$;

comment on function amends_barrier.relay_forget(interval, integer) is
    'Forgets keys that were emitted longer ago than this, so many at a time; says how many went.';

create or replace function amends_barrier.relay_backlog(out waiting bigint, out oldest_seconds double precision)
    language sql stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select
        (select count(*) from (
            select from amends_barrier.event e where e.service = (select amends_barrier.caller()) limit 100000
        ) as counted),
        coalesce(extract(epoch from clock_timestamp() - (
            select e.emitted_at from amends_barrier.event e
            where e.service = (select amends_barrier.caller())
            order by e.id limit 1
        )), 0)
$$;

comment on function amends_barrier.relay_backlog() is
    'How many events wait, counted up to 100000, and the age of the oldest.';

revoke all on function amends_barrier.check_event(text, text, json) from public;
revoke all on function amends_barrier.emit(text, text, json) from public;
revoke all on function amends_barrier.relay_claim(integer) from public;
revoke all on function amends_barrier.relay_sent(bigint[]) from public;
revoke all on function amends_barrier.relay_postpone(bigint[], integer[], text[], double precision[]) from public;
revoke all on function amends_barrier.relay_forget(interval, integer) from public;
revoke all on function amends_barrier.relay_backlog() from public;
