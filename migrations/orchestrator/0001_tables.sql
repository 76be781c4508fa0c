-- What the orchestrator keeps. Users read the views of 0004_views.sql; these tables may change.

-- Definitions ------------------------------------------------------------------------------------

create table amends.definition (
    name text not null,
    version integer not null check (version > 0),
    digest text not null,
    outline json not null,
    registered_at timestamptz not null default clock_timestamp(),
    retired_at timestamptz,
    primary key (name, version)
);
comment on table amends.definition is
    'Each saga definition that ever ran here. A digest never changes under its version.';
comment on column amends.definition.outline is 'The plan as data';
comment on column amends.definition.retired_at is
    'Since when this version starts no more sagas; amends.act says who retired it, and why';

create table amends.definition_step (
    name text not null,
    version integer not null,
    position integer not null,
    step text not null,
    service text not null,
    operation text not null,
    kind text not null check (kind in ('compensatable', 'pivot', 'retriable')),
    task text not null default 'call' check (task in ('call', 'event', 'delay', 'saga')),
    primary key (name, version, step),
    foreign key (name, version) references amends.definition
);
comment on table amends.definition_step is 'The steps of each definition, in the order of its plan.';

-- Replicas ---------------------------------------------------------------------------------------

-- A row and not an advisory lock: such a lock anybody may take who may log in, and a frozen process keeps
-- it for ever.
create table amends.leader (
    place text primary key,
    holder uuid,
    definitions text not null,
    since timestamptz not null,
    at timestamptz not null
);
comment on table amends.leader is
    'Which replica takes the messages: one for each set of definitions. Correctness does not need it.';
comment on column amends.leader.holder is 'The replica; none where the place was left';
comment on column amends.leader.at is 'Its last sign of life; one that stands still for 2 s is followed by another replica';

-- Sagas and their facts --------------------------------------------------------------------------

-- Both lie in partitions by the time in the saga's id, see 0003_partitions.sql. An ended saga is not
-- deleted row by row: its partition is dropped.

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
    parent uuid,
    parent_step text,
    check ((finished_at is not null) = (status in ('completed', 'compensated')))
) partition by range (id);
comment on table amends.saga is
    'One row a saga: written at its start, at a change of status and at its end. Its state is the fold of its facts.';
comment on column amends.saga.error is '{"step", "code", "message"}: why it turned back or is stuck';
comment on column amends.saga.trace is 'W3C trace context of the trigger: traceparent, and after a space tracestate, if there is one';
comment on column amends.saga.parent is 'The saga that it is nested in';
comment on column amends.saga.parent_step is 'The step of the outer saga that it is';

create index saga_parent on amends.saga (parent) where parent is not null;
-- That a key is held once amends.business_key says; this index is for people who look for a saga.
create index saga_key on amends.saga (key) where key is not null;

-- The primary key is the version check: of two turns that decide on the same state one fails. No
-- foreign key: the check would cost a lock on the saga's row in every turn, and the row is written in
-- the same statement as its first fact.
create table amends.fact (
    saga_id uuid not null,
    seq integer not null check (seq >= 0),
    attempt integer not null check (attempt >= 0),
    at timestamptz not null,
    kind text not null,
    step text,
    op text check (op in ('action', 'compensation')),
    detail json,
    sent text,
    next json,
    primary key (saga_id, seq)
) partition by range (saga_id);
comment on table amends.fact is 'What happened, one row a fact: inserted, never changed.';
comment on column amends.fact.detail is 'The output of what was done, the code and message of what was not';
comment on column amends.fact.sent is
    'What was sent: a word for each sending, <step>, <step>:<op> or <step>:<op>:<attempt>; op is action and attempt 1 unless said';
comment on column amends.fact.next is
    'What else followed: {"sends": [{"in", "input"}], "due", "status", "error", "output" or "echo", "event"}; "sends" has one for each that was sent, or none; "in" is the seconds from this fact until the attempt counts as broken ("due" where they are too many); "due" in microseconds since 1970; "echo" says that the output is the detail';

-- An update of a saga's row touches no indexed column, and each page has room for it: it stays
-- heap-only. An index on the status would cost that.
create table amends.saga_default partition of amends.saga default
    with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
comment on table amends.saga_default is
    'Sagas with ids outside of all periods: old messages that came again, and clocks that are wrong.';
create table amends.fact_default partition of amends.fact default;
comment on table amends.fact_default is 'Facts of the sagas in amends.saga_default.';

create table amends.period (
    name text primary key,
    first uuid not null unique,
    until uuid not null,
    check (first < until)
);
comment on table amends.period is
    'Pairs of partitions: amends.saga_<name> and amends.fact_<name> hold the sagas with ids from first to before until.';

create table amends.business_key (
    saga_id uuid not null,
    digest bytea not null,
    key text not null,
    definition text not null,
    -- The key comes first: people look for it alone.
    primary key (key, definition)
);
comment on table amends.business_key is
    'One saga per business key, for ever: a key outlives its saga.';
comment on column amends.business_key.digest is
    '128 bits of SHA-256 of the body, which tell the same body from another one when the saga is gone';

-- When to look at a saga -------------------------------------------------------------------------

create table amends.timer (
    saga_id uuid primary key,
    due_at timestamptz not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
create index timer_due on amends.timer (due_at);
comment on table amends.timer is
    'When to look at a saga that has not ended: never later than the earliest time at which something is due.';
comment on column amends.timer.due_at is 'infinity for a saga that only an operator can move';

create table amends.stuck_saga (
    saga_id uuid primary key,
    since timestamptz not null default clock_timestamp()
);
comment on table amends.stuck_saga is
    'Sagas that an operator must look at, found without reading all sagas. A trigger of amends.saga writes it.';

-- What sagas wait for ----------------------------------------------------------------------------

-- A saga takes an event by a fact; nothing is written here then.
create table amends.event (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    matcher text not null,
    key text not null,
    source text not null,
    body json not null,
    -- versions may read different keys for steps of one name: each is kept
    unique (source, matcher, key)
);
create index event_key on amends.event (matcher, key, id);
create index event_at on amends.event (at);
comment on table amends.event is
    'Events that steps wait for, kept until no saga can ask for them: a row for each step that an event may be for, as steps may read different keys from it.';
comment on column amends.event.matcher is '<definition>/<step>';
comment on column amends.event.source is
    '<stream>:<sequence>@<stored at, µs>: which event it is, however many steps it is kept for. A saga takes each once, and a redelivery is kept once';

create table amends.wait (
    saga_id uuid not null,
    step text not null,
    matcher text not null,
    key text not null,
    since timestamptz not null default clock_timestamp(),
    primary key (saga_id, step)
);
create index wait_key on amends.wait (matcher, key);
comment on table amends.wait is 'Steps that wait for an event now.';

create table amends.lock (
    name text not null,
    saga_id uuid not null,
    since timestamptz not null default clock_timestamp(),
    held_since timestamptz,
    primary key (name, saga_id)
);
create unique index lock_holder on amends.lock (name) where held_since is not null;
create index lock_saga on amends.lock (saga_id);
comment on table amends.lock is
    'Who holds or wants a lock. The order of arrival is the order of saga ids, which begin with the time of the trigger; a saga takes all its locks at once, so none that waits holds any.';

-- Rows, and no advisory locks: those every login may take, under keys that everybody can compute.
create table amends.mutex (
    id integer primary key
);
insert into amends.mutex select generate_series(0, 1025);
comment on table amends.mutex is
    'Rows that are locked for as long as a change must be the only one of its kind, and never written. 0 to 1023 are for changes of locks, each lock''s by a hash of its name; 1024 is for partitions, 1025 for the chain of the audit. Nobody but the functions of amends may lock them.';

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
    holder uuid,
    check ((decided_at is null) = (accepted is null))
);
comment on table amends.start_request is
    'Starts that were asked for in SQL, found by the timer that was set with them.';
comment on column amends.start_request.saga_id is 'What amends.start returned: the saga, where it begins';
comment on column amends.start_request.holder is
    'Another saga that had the business key already: the same one where the input is the same, else why it is refused';

-- What people do ---------------------------------------------------------------------------------

-- An act on a saga keeps its number in the mailbox, where acts, undos and replies are read in one order.
create sequence amends.act_id;

create table amends.act (
    id bigint primary key default nextval('amends.act_id'),
    act text not null check (act in
        ('retry', 'skip', 'resolve', 'cancel', 'pause', 'resume', 'break_lock', 'replay', 'discard',
         'retire', 'reinstate', 'forget_keys')),
    saga_id uuid,
    letter_id bigint,
    definition text,
    version integer,
    step text,
    outcome json,
    seen integer,
    exact boolean not null default false,
    reason text not null check (reason ~ '\S' and length(reason) <= 1000),
    actor text not null,
    at timestamptz not null default clock_timestamp(),
    constraint act_about check (case
        when act in ('replay', 'discard')
            then letter_id is not null and num_nonnulls(saga_id, definition, version) = 0
        when act in ('retire', 'reinstate')
            then num_nonnulls(definition, version) = 2 and num_nonnulls(saga_id, letter_id) = 0
        when act = 'forget_keys'
            then num_nonnulls(saga_id, letter_id, definition, version) = 0
        else num_nonnulls(saga_id, seen) = 2 and num_nonnulls(letter_id, definition, version) = 0
    end)
);
create index act_saga on amends.act (saga_id) where saga_id is not null;
create index act_letter on amends.act (letter_id) where letter_id is not null;
create index act_definition on amends.act (definition, version) where definition is not null;
comment on table amends.act is
    'The audit: what people did, to whom, and why. Inserted by the operators'' functions, and never changed.';
comment on column amends.act.actor is 'The login, or `<whom> via <login>`: see amends.actor';
comment on column amends.act.outcome is
    'resolve: the reply; break_lock: {"lock"}; forget_keys: {"older", "keys"}';
comment on column amends.act.seen is
    'Facts that the saga had when the operator looked; another act since then refuses this one';
comment on column amends.act.exact is
    'Refused when the saga has more facts than seen, whoever added them';

create table amends.act_decision (
    act_id bigint primary key references amends.act on delete cascade,
    at timestamptz not null default clock_timestamp(),
    accepted boolean not null,
    answer text
);
comment on table amends.act_decision is
    'What became of an act: inserted when it is decided, and never changed.';
comment on column amends.act_decision.answer is 'Why it was refused';

-- Rows of the audit may go when their time of retention is over; those of the chain never do.
create table amends.audit_link (
    number bigint primary key check (number >= 0),
    kind text not null check (kind in ('began', 'act', 'decision', 'forgotten')),
    act_id bigint,
    at timestamptz not null default clock_timestamp(),
    login text,
    salt uuid,
    digest bytea not null check (octet_length(digest) = 32),
    hash bytea not null check (octet_length(hash) = 32),
    check ((kind = 'began') = (number = 0)),
    check ((kind in ('act', 'decision')) = (act_id is not null)),
    check ((kind = 'forgotten') = (login is not null))
);
create index audit_link_act on amends.audit_link (act_id) where act_id is not null;
comment on table amends.audit_link is
    'The chain of the audit: a row for each of amends.act and amends.act_decision, in the order in which they were committed. Inserted by triggers, never changed and never deleted.';
comment on column amends.audit_link.kind is
    'began: the first, and random, so that no two installations have the same chain; act, decision: what it seals; forgotten: rows were deleted when their time of retention was over, see amends.audit_forgotten';
comment on column amends.audit_link.login is 'forgotten: who deleted them';
comment on column amends.audit_link.salt is
    'Of an act with an outcome: without it the digest tells nobody whether a guess at the outcome is right';
comment on column amends.audit_link.digest is 'SHA-256 of the content, see amends.audit_chain';
comment on column amends.audit_link.hash is 'SHA-256 of the hash before it and the digest, 64 bytes; the first has the digest alone';
with began (digest) as (
    select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
)
insert into amends.audit_link (number, kind, digest, hash)
select 0, 'began', b.digest, sha256(b.digest) from began b;

create table amends.audit_forgotten (
    number bigint primary key,
    link bigint not null
);
create index audit_forgotten_link on amends.audit_forgotten (link);
comment on table amends.audit_forgotten is
    'Whose rows of the audit were deleted when their time of retention was over. Inserted with their link, never changed and never deleted.';
comment on column amends.audit_forgotten.number is 'Of the row in amends.audit_link that sealed it';
comment on column amends.audit_forgotten.link is 'The number of the row there that says so';

create table amends.mailbox (
    id bigint primary key default nextval('amends.act_id'),
    saga_id uuid not null,
    kind text not null check (kind in ('act', 'undo', 'reply')),
    at timestamptz not null default clock_timestamp(),
    reason text,
    amends_id text,
    service text,
    body json,
    check ((kind = 'undo') = (reason is not null)),
    check (num_nonnulls(amends_id, service, body) = case kind when 'reply' then 3 else 0 end)
);
create index mailbox_saga on amends.mailbox (saga_id);
create index mailbox_at on amends.mailbox (at);
comment on table amends.mailbox is
    'What a saga finds when it is woken: acts that are not decided, and what sagas and replicas tell each other. Deleted in the statement that decides it.';
comment on column amends.mailbox.id is 'Of an act: its id in amends.act';
comment on column amends.mailbox.kind is
    'act: of an operator; undo: its outer saga undoes it; reply: for a version that the replica which received it does not know';
comment on column amends.mailbox.reason is 'undo: why the outer saga turned back';
comment on column amends.mailbox.amends_id is 'reply: the Amends-Id of its command';
comment on column amends.mailbox.service is 'reply: the service that sent it';
comment on column amends.mailbox.body is 'reply: as it came';

-- Dead letters -----------------------------------------------------------------------------------

create table amends.dead_letter (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    source text not null unique,
    subject text not null,
    reason text not null,
    headers json not null,
    is_text boolean not null,
    body bytea not null,
    settled_at timestamptz,
    kind_id bigint not null
);
create index dead_letter_open on amends.dead_letter (id) where settled_at is null;
create index dead_letter_kind on amends.dead_letter (kind_id) where settled_at is null;
comment on table amends.dead_letter is
    'Messages that could not be used, kept as they came. Each is open until it is published once more, or thrown away.';
comment on column amends.dead_letter.source is '<stream>:<sequence>@<stored at, µs> <consumer>: a redelivery is kept once';

create table amends.letter_kind (
    id bigint generated always as identity primary key,
    subject text not null,
    kind text not null,
    open integer not null default 0,
    bytes bigint not null default 0,
    counted_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    dropped bigint not null default 0,
    first_dropped_at timestamptz,
    last_dropped_at timestamptz,
    first_dropped text,
    last_dropped text,
    unique (subject, kind)
) with (fillfactor = 50);
comment on table amends.letter_kind is
    'Dead letters of one subject whose reasons differ in details only: how many are open, and how many there was no room for. At most a thousand rows, one of which is for all kinds that have none.';
comment on column amends.letter_kind.kind is 'The reason without its details';
comment on column amends.letter_kind.open is
    'At most so many are open, of so many bytes: those that were settled since counted_at are not taken off yet';

create table amends.replay_request (
    act_id bigint primary key references amends.act,
    letter_id bigint not null unique
);
comment on table amends.replay_request is
    'Dead letters that an orchestrator is to publish once more. Deleted in the statement that decides the act.';
