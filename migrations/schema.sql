-- What `migrations/orchestrator/` (schema amends) and `migrations/participant/` (schema amends_barrier)
-- make: to be read, not to be run. Bodies of views and functions stand there. Left out are the lists of
-- migrations that were applied, and the partitions that are made at run time.
--
-- A test compares this file with a migrated database; `UPDATE_SCHEMA=1` has it written anew.

create schema amends;
grant usage on schema amends to amends_operator;
grant usage on schema amends to amends_orchestrator;
grant usage on schema amends to amends_viewer;

create sequence amends.act_id;
grant usage on sequence amends.act_id to amends_orchestrator;

-- Each saga definition that ever ran here. A digest never changes under its version.
create table amends.definition (
    name text not null,
    version integer not null,
    digest text not null,
    -- The plan as data
    outline json not null,
    registered_at timestamp with time zone not null default clock_timestamp(),
    -- Since when this version starts no more sagas; amends.act says who retired it, and why
    retired_at timestamp with time zone,
    PRIMARY KEY (name, version),
    CHECK ((version > 0))
);
grant select, insert, update, delete on amends.definition to amends_orchestrator;

-- The steps of each definition, in the order of its plan.
create table amends.definition_step (
    name text not null,
    version integer not null,
    position integer not null,
    step text not null,
    service text not null,
    operation text not null,
    kind text not null,
    task text not null default 'call'::text,
    PRIMARY KEY (name, version, step),
    FOREIGN KEY (name, version) REFERENCES amends.definition(name, version),
    CHECK ((kind = ANY (ARRAY['compensatable'::text, 'pivot'::text, 'retriable'::text]))),
    CHECK ((task = ANY (ARRAY['call'::text, 'event'::text, 'delay'::text, 'saga'::text])))
);
grant select, insert, update, delete on amends.definition_step to amends_orchestrator;

-- Which replica takes the messages: one for each set of definitions. Correctness does not need it.
create table amends.leader (
    place text not null,
    -- The replica; none where the place was left
    holder uuid,
    definitions text not null,
    since timestamp with time zone not null,
    -- Its last sign of life; one that stands still for 2 s is followed by another replica
    at timestamp with time zone not null,
    PRIMARY KEY (place)
);
grant select, insert, update, delete on amends.leader to amends_orchestrator;

-- One row a saga: written at its start, at a change of status and at its end. Its state is the fold of its facts.
create table amends.saga (
    id uuid not null,
    started_at timestamp with time zone not null,
    finished_at timestamp with time zone,
    version integer not null,
    definition text not null,
    status text not null,
    key text,
    -- W3C trace context of the trigger: traceparent, and after a space tracestate, if there is one
    trace text,
    input json not null,
    -- {"step", "code", "message"}: why it turned back or is stuck
    error json,
    -- The saga that it is nested in
    parent uuid,
    -- The step of the outer saga that it is
    parent_step text,
    PRIMARY KEY (id),
    CHECK (((finished_at IS NOT NULL) = (status = ANY (ARRAY['completed'::text, 'compensated'::text])))),
    CHECK ((status = ANY (ARRAY['running'::text, 'compensating'::text, 'completed'::text, 'compensated'::text, 'stuck'::text, 'paused'::text, 'queued'::text])))
) partition by RANGE (id);
CREATE INDEX saga_key ON amends.saga USING btree (key) WHERE (key IS NOT NULL);
CREATE INDEX saga_parent ON amends.saga USING btree (parent) WHERE (parent IS NOT NULL);
CREATE TRIGGER note_born_stuck AFTER INSERT ON amends.saga FOR EACH ROW WHEN ((new.status = 'stuck'::text)) EXECUTE FUNCTION amends.note_stuck();
CREATE TRIGGER note_key AFTER INSERT ON amends.saga FOR EACH ROW WHEN (((new.key IS NOT NULL) AND (current_setting('amends.keys'::text, true) IS DISTINCT FROM 'noted'::text))) EXECUTE FUNCTION amends.note_key();
CREATE TRIGGER note_stuck AFTER UPDATE ON amends.saga FOR EACH ROW WHEN (((new.status = 'stuck'::text) OR (old.status = 'stuck'::text))) EXECUTE FUNCTION amends.note_stuck();
grant select, insert, update, delete on amends.saga to amends_orchestrator;

-- What happened, one row a fact: inserted, never changed.
create table amends.fact (
    saga_id uuid not null,
    seq integer not null,
    attempt integer not null,
    at timestamp with time zone not null,
    kind text not null,
    step text,
    op text,
    -- The output of what was done, the code and message of what was not
    detail json,
    -- What was sent: a word for each sending, <step>, <step>:<op> or <step>:<op>:<attempt>; op is action and attempt 1 unless said
    sent text,
    -- What else followed: {"sends": [{"in", "input"}], "due", "status", "error", "output" or "echo", "event"}; "sends" has one for each that was sent, or none; "in" is the seconds from this fact until the attempt counts as broken ("due" where they are too many); "due" in microseconds since 1970; "echo" says that the output is the detail
    next json,
    PRIMARY KEY (saga_id, seq),
    CHECK ((attempt >= 0)),
    CHECK ((op = ANY (ARRAY['action'::text, 'compensation'::text]))),
    CHECK ((seq >= 0))
) partition by RANGE (saga_id);
grant select, insert, update, delete on amends.fact to amends_orchestrator;

-- Sagas with ids outside of all periods: old messages that came again, and clocks that are wrong.
create table amends.saga_default partition of amends.saga DEFAULT with (fillfactor=50, autovacuum_vacuum_scale_factor=0.02);
grant select on amends.saga_default to amends_orchestrator;

-- Facts of the sagas in amends.saga_default.
create table amends.fact_default partition of amends.fact DEFAULT;
grant select on amends.fact_default to amends_orchestrator;

-- Pairs of partitions: amends.saga_<name> and amends.fact_<name> hold the sagas with ids from first to before until.
create table amends.period (
    name text not null,
    first uuid not null,
    until uuid not null,
    PRIMARY KEY (name),
    UNIQUE (first),
    CHECK ((first < until))
);
grant select on amends.period to amends_orchestrator;

-- One saga per business key, for ever: a key outlives its saga.
create table amends.business_key (
    saga_id uuid not null,
    -- 128 bits of SHA-256 of the body, which tell the same body from another one when the saga is gone
    digest bytea not null,
    key text not null,
    definition text not null,
    PRIMARY KEY (key, definition)
);
grant select, insert, update, delete on amends.business_key to amends_orchestrator;

-- When to look at a saga that has not ended: never later than the earliest time at which something is due.
create table amends.timer (
    saga_id uuid not null,
    -- infinity for a saga that only an operator can move
    due_at timestamp with time zone not null,
    PRIMARY KEY (saga_id)
) with (fillfactor=70, autovacuum_vacuum_scale_factor=0.01);
CREATE INDEX timer_due ON amends.timer USING btree (due_at);
grant select, insert, update, delete on amends.timer to amends_orchestrator;

-- Sagas that an operator must look at, found without reading all sagas. A trigger of amends.saga writes it.
create table amends.stuck_saga (
    saga_id uuid not null,
    since timestamp with time zone not null default clock_timestamp(),
    PRIMARY KEY (saga_id)
);
grant select, insert, update, delete on amends.stuck_saga to amends_orchestrator;

-- Events that steps wait for, kept until no saga can ask for them: a row for each step that an event may be for, as steps may read different keys from it.
create table amends.event (
    id bigint not null generated always as identity,
    at timestamp with time zone not null default clock_timestamp(),
    -- <definition>/<step>
    matcher text not null,
    key text not null,
    -- <stream>:<sequence>@<stored at, µs>: which event it is, however many steps it is kept for. A saga takes each once, and a redelivery is kept once
    source text not null,
    body json not null,
    PRIMARY KEY (id),
    UNIQUE (source, matcher, key)
);
CREATE INDEX event_at ON amends.event USING btree (at);
CREATE INDEX event_key ON amends.event USING btree (matcher, key, id);
grant select, insert, update, delete on amends.event to amends_orchestrator;

-- Steps that wait for an event now.
create table amends.wait (
    saga_id uuid not null,
    step text not null,
    matcher text not null,
    key text not null,
    since timestamp with time zone not null default clock_timestamp(),
    PRIMARY KEY (saga_id, step)
);
CREATE INDEX wait_key ON amends.wait USING btree (matcher, key);
grant select, insert, update, delete on amends.wait to amends_orchestrator;

-- Who holds or wants a lock. The order of arrival is the order of saga ids, which begin with the time of the trigger; a saga takes all its locks at once, so none that waits holds any.
create table amends.lock (
    name text not null,
    saga_id uuid not null,
    since timestamp with time zone not null default clock_timestamp(),
    held_since timestamp with time zone,
    PRIMARY KEY (name, saga_id)
);
CREATE INDEX lock_saga ON amends.lock USING btree (saga_id);
CREATE UNIQUE INDEX lock_holder ON amends.lock USING btree (name) WHERE (held_since IS NOT NULL);
grant select, insert, update, delete on amends.lock to amends_orchestrator;

-- Rows that are locked for as long as a change must be the only one of its kind, and never written. 0 to 1023 are for changes of locks, each lock's by a hash of its name; 1024 is for partitions, 1025 for the chain of the audit. Nobody but the functions of amends may lock them.
create table amends.mutex (
    id integer not null,
    PRIMARY KEY (id)
);
grant select on amends.mutex to amends_orchestrator;

-- Starts that were asked for in SQL, found by the timer that was set with them.
create table amends.start_request (
    -- What amends.start returned: the saga, where it begins
    saga_id uuid not null,
    definition text not null,
    key text,
    input json not null,
    actor text not null,
    at timestamp with time zone not null default clock_timestamp(),
    decided_at timestamp with time zone,
    accepted boolean,
    answer text,
    -- Another saga that had the business key already: the same one where the input is the same, else why it is refused
    holder uuid,
    PRIMARY KEY (saga_id),
    CHECK (((decided_at IS NULL) = (accepted IS NULL)))
);
grant select, insert, update, delete on amends.start_request to amends_orchestrator;

-- The audit: what people did, to whom, and why. Inserted by the operators' functions, and never changed.
create table amends.act (
    id bigint not null default nextval('amends.act_id'::regclass),
    act text not null,
    saga_id uuid,
    letter_id bigint,
    definition text,
    version integer,
    step text,
    -- resolve: the reply; break_lock: {"lock"}; forget_keys: {"older", "keys"}
    outcome json,
    -- Facts that the saga had when the operator looked; another act since then refuses this one
    seen integer,
    -- Refused when the saga has more facts than seen, whoever added them
    exact boolean not null default false,
    reason text not null,
    -- The login, or `<whom> via <login>`: see amends.actor
    actor text not null,
    at timestamp with time zone not null default clock_timestamp(),
    PRIMARY KEY (id),
    CHECK ( CASE WHEN (act = ANY (ARRAY['replay'::text, 'discard'::text])) THEN ((letter_id IS NOT NULL) AND (num_nonnulls(saga_id, definition, version) = 0)) WHEN (act = ANY (ARRAY['retire'::text, 'reinstate'::text])) THEN ((num_nonnulls(definition, version) = 2) AND (num_nonnulls(saga_id, letter_id) = 0)) WHEN (act = 'forget_keys'::text) THEN (num_nonnulls(saga_id, letter_id, definition, version) = 0) ELSE ((num_nonnulls(saga_id, seen) = 2) AND (num_nonnulls(letter_id, definition, version) = 0)) END),
    CHECK (((reason ~ '\S'::text) AND (length(reason) <= 1000))),
    CHECK ((act = ANY (ARRAY['retry'::text, 'skip'::text, 'resolve'::text, 'cancel'::text, 'pause'::text, 'resume'::text, 'break_lock'::text, 'replay'::text, 'discard'::text, 'retire'::text, 'reinstate'::text, 'forget_keys'::text])))
);
CREATE CONSTRAINT TRIGGER seal AFTER INSERT ON amends.act DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION amends.seal();
CREATE INDEX act_definition ON amends.act USING btree (definition, version) WHERE (definition IS NOT NULL);
CREATE INDEX act_letter ON amends.act USING btree (letter_id) WHERE (letter_id IS NOT NULL);
CREATE INDEX act_saga ON amends.act USING btree (saga_id) WHERE (saga_id IS NOT NULL);
grant select on amends.act to amends_orchestrator;

-- What became of an act: inserted when it is decided, and never changed.
create table amends.act_decision (
    act_id bigint not null,
    at timestamp with time zone not null default clock_timestamp(),
    accepted boolean not null,
    -- Why it was refused
    answer text,
    PRIMARY KEY (act_id),
    FOREIGN KEY (act_id) REFERENCES amends.act(id) ON DELETE CASCADE
);
CREATE CONSTRAINT TRIGGER seal AFTER INSERT ON amends.act_decision DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION amends.seal();
grant select, insert on amends.act_decision to amends_orchestrator;

-- The chain of the audit: a row for each of amends.act and amends.act_decision, in the order in which they were committed. Inserted by triggers, never changed and never deleted.
create table amends.audit_link (
    number bigint not null,
    -- began: the first, and random, so that no two installations have the same chain; act, decision: what it seals; forgotten: rows were deleted when their time of retention was over, see amends.audit_forgotten
    kind text not null,
    act_id bigint,
    at timestamp with time zone not null default clock_timestamp(),
    -- forgotten: who deleted them
    login text,
    -- Of an act with an outcome: without it the digest tells nobody whether a guess at the outcome is right
    salt uuid,
    -- SHA-256 of the content, see amends.audit_chain
    digest bytea not null,
    -- SHA-256 of the hash before it and the digest, 64 bytes; the first has the digest alone
    hash bytea not null,
    PRIMARY KEY (number),
    CHECK (((kind = 'began'::text) = (number = 0))),
    CHECK (((kind = 'forgotten'::text) = (login IS NOT NULL))),
    CHECK (((kind = ANY (ARRAY['act'::text, 'decision'::text])) = (act_id IS NOT NULL))),
    CHECK ((kind = ANY (ARRAY['began'::text, 'act'::text, 'decision'::text, 'forgotten'::text]))),
    CHECK ((number >= 0)),
    CHECK ((octet_length(digest) = 32)),
    CHECK ((octet_length(hash) = 32))
);
CREATE INDEX audit_link_act ON amends.audit_link USING btree (act_id) WHERE (act_id IS NOT NULL);
grant select on amends.audit_link to amends_orchestrator;

-- Whose rows of the audit were deleted when their time of retention was over. Inserted with their link, never changed and never deleted.
create table amends.audit_forgotten (
    -- Of the row in amends.audit_link that sealed it
    number bigint not null,
    -- The number of the row there that says so
    link bigint not null,
    PRIMARY KEY (number)
);
CREATE INDEX audit_forgotten_link ON amends.audit_forgotten USING btree (link);
grant select on amends.audit_forgotten to amends_orchestrator;

-- What a saga finds when it is woken: acts that are not decided, and what sagas and replicas tell each other. Deleted in the statement that decides it.
create table amends.mailbox (
    -- Of an act: its id in amends.act
    id bigint not null default nextval('amends.act_id'::regclass),
    saga_id uuid not null,
    -- act: of an operator; undo: its outer saga undoes it; reply: for a version that the replica which received it does not know
    kind text not null,
    at timestamp with time zone not null default clock_timestamp(),
    -- undo: why the outer saga turned back
    reason text,
    -- reply: the Amends-Id of its command
    amends_id text,
    -- reply: the service that sent it
    service text,
    -- reply: as it came
    body json,
    PRIMARY KEY (id),
    CHECK (((kind = 'undo'::text) = (reason IS NOT NULL))),
    CHECK ((kind = ANY (ARRAY['act'::text, 'undo'::text, 'reply'::text]))),
    CHECK ((num_nonnulls(amends_id, service, body) = CASE kind WHEN 'reply'::text THEN 3 ELSE 0 END))
);
CREATE INDEX mailbox_at ON amends.mailbox USING btree (at);
CREATE INDEX mailbox_saga ON amends.mailbox USING btree (saga_id);
grant select, insert, delete on amends.mailbox to amends_orchestrator;

-- Messages that could not be used, kept as they came. Each is open until it is published once more, or thrown away.
create table amends.dead_letter (
    id bigint not null generated always as identity,
    at timestamp with time zone not null default clock_timestamp(),
    -- <stream>:<sequence>@<stored at, µs> <consumer>: a redelivery is kept once
    source text not null,
    subject text not null,
    reason text not null,
    headers json not null,
    is_text boolean not null,
    body bytea not null,
    settled_at timestamp with time zone,
    kind_id bigint not null,
    PRIMARY KEY (id),
    UNIQUE (source)
);
CREATE INDEX dead_letter_kind ON amends.dead_letter USING btree (kind_id) WHERE (settled_at IS NULL);
CREATE INDEX dead_letter_open ON amends.dead_letter USING btree (id) WHERE (settled_at IS NULL);
grant select, insert, update, delete on amends.dead_letter to amends_orchestrator;

-- Dead letters of one subject whose reasons differ in details only: how many are open, and how many there was no room for. At most a thousand rows, one of which is for all kinds that have none.
create table amends.letter_kind (
    id bigint not null generated always as identity,
    subject text not null,
    -- The reason without its details
    kind text not null,
    -- At most so many are open, of so many bytes: those that were settled since counted_at are not taken off yet
    open integer not null default 0,
    bytes bigint not null default 0,
    counted_at timestamp with time zone not null default clock_timestamp(),
    last_at timestamp with time zone not null default clock_timestamp(),
    dropped bigint not null default 0,
    first_dropped_at timestamp with time zone,
    last_dropped_at timestamp with time zone,
    first_dropped text,
    last_dropped text,
    PRIMARY KEY (id),
    UNIQUE (subject, kind)
) with (fillfactor=50);
grant select, insert, update, delete on amends.letter_kind to amends_orchestrator;

-- Dead letters that an orchestrator is to publish once more. Deleted in the statement that decides the act.
create table amends.replay_request (
    act_id bigint not null,
    letter_id bigint not null,
    PRIMARY KEY (act_id),
    UNIQUE (letter_id),
    FOREIGN KEY (act_id) REFERENCES amends.act(id)
);
grant select, delete on amends.replay_request to amends_orchestrator;

-- What the login that asks may see
create view amends.rights (
    -- Whether the views show it inputs, outputs and bodies: to members of amends_payload_reader, and to whoever may read the tables
    payloads boolean
);
grant select on amends.rights to amends_operator;
grant select on amends.rights to amends_orchestrator;
grant select on amends.rights to amends_viewer;

-- What was sent: the sendings that facts tell, each as a row
create view amends.sends (
    saga_id uuid,
    seq integer,
    at timestamp with time zone,
    step text,
    op text,
    attempt integer,
    input json
);
grant select on amends.sends to amends_operator;
grant select on amends.sends to amends_orchestrator;
grant select on amends.sends to amends_viewer;

-- All steps of a saga's plan, the elements of lists too, with their inputs, outputs and errors; in the order of the plan by position, element
create view amends.steps (
    saga_id uuid,
    step text,
    service text,
    operation text,
    status text,
    attempts integer,
    input json,
    output json,
    error json,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    task text,
    position integer,
    element integer
);
grant select on amends.steps to amends_operator;
grant select on amends.steps to amends_orchestrator;
grant select on amends.steps to amends_viewer;

-- Sagas, and how they go
create view amends.sagas (
    id uuid,
    definition text,
    version integer,
    key text,
    status text,
    step text,
    input json,
    output json,
    error json,
    started_at timestamp with time zone,
    updated_at timestamp with time zone,
    finished_at timestamp with time zone,
    deadline_at timestamp with time zone,
    parent_id uuid,
    parent_step text
);
grant select on amends.sagas to amends_operator;
grant select on amends.sagas to amends_orchestrator;
grant select on amends.sagas to amends_viewer;

-- amends.history, with all that followed from each fact
create view amends.facts (
    saga_id uuid,
    seq integer,
    attempt integer,
    at timestamp with time zone,
    kind text,
    step text,
    op text,
    detail json,
    sent text,
    next json
);
grant select on amends.facts to amends_operator;
grant select on amends.facts to amends_orchestrator;
grant select on amends.facts to amends_viewer;

-- What happened in a saga, one row a fact
create view amends.history (
    saga_id uuid,
    seq integer,
    at timestamp with time zone,
    kind text,
    step text,
    op text,
    attempt integer,
    detail json,
    status text,
    sends json
);
grant select on amends.history to amends_operator;
grant select on amends.history to amends_orchestrator;
grant select on amends.history to amends_viewer;

-- Sagas that have not ended: fast, however many have
create view amends.open_sagas (
    id uuid,
    definition text,
    version integer,
    key text,
    status text,
    error json,
    started_at timestamp with time zone
);
grant select on amends.open_sagas to amends_operator;
grant select on amends.open_sagas to amends_orchestrator;
grant select on amends.open_sagas to amends_viewer;

-- Sagas that an operator must look at
create view amends.stuck (
    id uuid,
    definition text,
    version integer,
    key text,
    step text,
    error json,
    started_at timestamp with time zone,
    updated_at timestamp with time zone,
    stuck_since timestamp with time zone
);
grant select on amends.stuck to amends_operator;
grant select on amends.stuck to amends_orchestrator;
grant select on amends.stuck to amends_viewer;

-- Sagas and their nested sagas: ask for one root
create view amends.tree (
    root uuid,
    id uuid,
    parent_id uuid,
    parent_step text,
    depth integer,
    definition text,
    status text
);
grant select on amends.tree to amends_operator;
grant select on amends.tree to amends_orchestrator;
grant select on amends.tree to amends_viewer;

-- Which saga holds a business key, or held it: the key stays when the saga is dropped. Fast by key
create view amends.keys (
    key text,
    definition text,
    saga_id uuid
);
grant select on amends.keys to amends_operator;
grant select on amends.keys to amends_orchestrator;
grant select on amends.keys to amends_viewer;

-- How many sagas were started and have ended since the statistics began, for rates: two looks, and their difference. A session that is idle reports what it did up to ten seconds later
create view amends.flow (
    started bigint,
    ended bigint,
    at timestamp with time zone
);
grant select on amends.flow to amends_operator;
grant select on amends.flow to amends_orchestrator;
grant select on amends.flow to amends_viewer;

-- Each version of each definition that ever ran here, and how many of its sagas have not ended
create view amends.definitions (
    definition text,
    version integer,
    digest text,
    registered_at timestamp with time zone,
    retired_at timestamp with time zone,
    retired_by text,
    retired_reason text,
    open_sagas bigint
);
grant select on amends.definitions to amends_operator;
grant select on amends.definitions to amends_orchestrator;
grant select on amends.definitions to amends_viewer;

-- Steps that wait for an event, and what it must match
create view amends.waits (
    saga_id uuid,
    definition text,
    saga_key text,
    step text,
    subject text,
    key text,
    since timestamp with time zone,
    age interval
);
grant select on amends.waits to amends_operator;
grant select on amends.waits to amends_orchestrator;
grant select on amends.waits to amends_viewer;

-- Events that are kept for steps which wait for them, now or later. matcher: <definition>/<step>
create view amends.events (
    id bigint,
    at timestamp with time zone,
    matcher text,
    key text,
    body json,
    source text
);
grant select on amends.events to amends_operator;
grant select on amends.events to amends_orchestrator;
grant select on amends.events to amends_viewer;

-- Who holds which lock, and who waits for it; they take turns in the order of saga_id
create view amends.locks (
    name text,
    saga_id uuid,
    definition text,
    key text,
    saga_status text,
    status text,
    age interval,
    since timestamp with time zone,
    held_since timestamp with time zone
);
grant select on amends.locks to amends_operator;
grant select on amends.locks to amends_orchestrator;
grant select on amends.locks to amends_viewer;

-- Starts that were asked for in SQL, by what amends.start returned; accepted is null until an orchestrator has decided. saga_id is the saga that began, or the one that holds the key: the same where accepted, with another input where not
create view amends.starts (
    id uuid,
    saga_id uuid,
    definition text,
    key text,
    actor text,
    at timestamp with time zone,
    decided_at timestamp with time zone,
    accepted boolean,
    answer text
);
grant select on amends.starts to amends_operator;
grant select on amends.starts to amends_orchestrator;
grant select on amends.starts to amends_viewer;

-- All that people did: acts on sagas, dead letters, versions and keys, and what became of them; accepted is null until an orchestrator has decided
create view amends.audit (
    id bigint,
    at timestamp with time zone,
    actor text,
    act text,
    saga_id uuid,
    letter_id bigint,
    definition text,
    version integer,
    step text,
    outcome json,
    reason text,
    decided_at timestamp with time zone,
    accepted boolean,
    answer text
);
grant select on amends.audit to amends_operator;
grant select on amends.audit to amends_orchestrator;
grant select on amends.audit to amends_viewer;

-- The audit as a chain: digest is SHA-256 of the content, hash of the hash before it and the digest. A change of a row, of one that is gone too, changes all hashes from it on
create view amends.audit_chain (
    number bigint,
    kind text,
    act_id bigint,
    content text,
    digest bytea,
    hash bytea,
    is_forgotten boolean
);
grant select on amends.audit_chain to amends_operator;
grant select on amends.audit_chain to amends_orchestrator;
grant select on amends.audit_chain to amends_viewer;

-- Rows of the audit that came past its chain: none, unless somebody disabled the triggers
create view amends.unsealed_audit (
    act_id bigint,
    kind text
);
grant select on amends.unsealed_audit to amends_operator;
grant select on amends.unsealed_audit to amends_orchestrator;
grant select on amends.unsealed_audit to amends_viewer;

-- What operators did to sagas, and what became of it: accepted is null until an orchestrator has decided
create view amends.acts (
    id bigint,
    saga_id uuid,
    act text,
    step text,
    outcome json,
    reason text,
    actor text,
    at timestamp with time zone,
    decided_at timestamp with time zone,
    accepted boolean,
    answer text
);
grant select on amends.acts to amends_operator;
grant select on amends.acts to amends_orchestrator;
grant select on amends.acts to amends_viewer;

-- What operators did with dead letters. A replay is done when a stream has stored the message
create view amends.letter_acts (
    id bigint,
    letter_id bigint,
    act text,
    reason text,
    actor text,
    at timestamp with time zone,
    done_at timestamp with time zone,
    -- Why it could not be done; the letter stays open
    refusal text
);
grant select on amends.letter_acts to amends_operator;
grant select on amends.letter_acts to amends_orchestrator;
grant select on amends.letter_acts to amends_viewer;

-- Effects that are done, in flight, unknown, being undone or given up, of sagas that are not settled. owner: the operator who acted last
create view amends.exposure (
    saga_id uuid,
    definition text,
    key text,
    saga_status text,
    step text,
    service text,
    operation text,
    status text,
    age interval,
    started_at timestamp with time zone,
    owner text
);
grant select on amends.exposure to amends_operator;
grant select on amends.exposure to amends_orchestrator;
grant select on amends.exposure to amends_viewer;

-- Messages that could not be used, open and settled. body is the text as it came, or escaped when it is no text.
create view amends.letters (
    id bigint,
    at timestamp with time zone,
    subject text,
    reason text,
    headers json,
    body text,
    source text,
    settled_at timestamp with time zone
);
grant select on amends.letters to amends_operator;
grant select on amends.letters to amends_orchestrator;
grant select on amends.letters to amends_viewer;

-- Messages that could not be used, and that nobody has settled. body is the text as it came, or escaped when it is no text.
create view amends.dead_letters (
    id bigint,
    at timestamp with time zone,
    subject text,
    reason text,
    headers json,
    body text,
    source text
);
grant select on amends.dead_letters to amends_operator;
grant select on amends.dead_letters to amends_orchestrator;
grant select on amends.dead_letters to amends_viewer;

-- Dead letters that were published once more or thrown away; amends.letter_acts says by whom
create view amends.settled_letters (
    id bigint,
    at timestamp with time zone,
    subject text,
    reason text,
    headers json,
    body text,
    source text,
    settled_at timestamp with time zone
);
grant select on amends.settled_letters to amends_operator;
grant select on amends.settled_letters to amends_orchestrator;
grant select on amends.settled_letters to amends_viewer;

-- Messages that could not be used, and were only counted, because too many of their kind are open in amends.dead_letters. The sources, <stream>:<sequence>@…, say where the first and the last of them are
create view amends.dropped_letters (
    subject text,
    kind text,
    letters bigint,
    first_at timestamp with time zone,
    last_at timestamp with time zone,
    first_source text,
    last_source text
);
grant select on amends.dropped_letters to amends_operator;
grant select on amends.dropped_letters to amends_orchestrator;
grant select on amends.dropped_letters to amends_viewer;

-- Keeps amends.stuck_saga
create function amends.note_stuck() returns trigger
    language plpgsql volatile set search_path=pg_catalog, pg_temp;

-- Two bodies have the same digest when they differ in white space between tokens at most
create function amends.digest(body json) returns bytea
    language sql immutable;
grant execute on function amends.digest(body json) to amends_orchestrator;

-- Writes amends.business_key for whoever does not
create function amends.note_key() returns trigger
    language plpgsql volatile set search_path=pg_catalog, pg_temp;

-- A list of fields as one text: <bytes in UTF-8>:<field>, for each, and ~ for a null
create function amends.netstrings(VARIADIC fields text[]) returns text
    language plpgsql immutable set search_path=pg_catalog, pg_temp;
grant execute on function amends.netstrings(VARIADIC fields text[]) to amends_operator;
grant execute on function amends.netstrings(VARIADIC fields text[]) to amends_viewer;

-- A time in microseconds since 1970
create function amends.micros(at timestamp with time zone) returns bigint
    language sql immutable;
grant execute on function amends.micros(at timestamp with time zone) to amends_operator;
grant execute on function amends.micros(at timestamp with time zone) to amends_viewer;

-- What the chain of the audit says of an act
create function amends.act_content(act amends.act, salt uuid) returns text
    language sql immutable;
grant execute on function amends.act_content(act amends.act, salt uuid) to amends_operator;
grant execute on function amends.act_content(act amends.act, salt uuid) to amends_viewer;

-- What the chain of the audit says of a decision
create function amends.decision_content(decision amends.act_decision) returns text
    language sql immutable;
grant execute on function amends.decision_content(decision amends.act_decision) to amends_operator;
grant execute on function amends.decision_content(decision amends.act_decision) to amends_viewer;

-- What the chain of the audit says of rows that were deleted
create function amends.forgotten_content(link amends.audit_link, numbers bigint[]) returns text
    language sql immutable;
grant execute on function amends.forgotten_content(link amends.audit_link, numbers bigint[]) to amends_operator;
grant execute on function amends.forgotten_content(link amends.audit_link, numbers bigint[]) to amends_viewer;

-- Adds to the chain of the audit; returns the number there
create function amends.add_link(link amends.audit_link, content text) returns bigint
    language plpgsql volatile set search_path=pg_catalog, pg_temp set enable_seqscan=off;

-- Seals a row of the audit
create function amends.seal() returns trigger
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- Puts on record in the chain of the audit that these acts were deleted
create function amends.seal_forgotten(acts bigint[]) returns void
    language plpgsql volatile set search_path=pg_catalog, pg_temp;

-- The smallest id of a saga that starts at this time: where id >= amends.first_id(now() - interval '1 hour')
create function amends.first_id(at timestamp with time zone) returns uuid
    language sql immutable;
grant execute on function amends.first_id(at timestamp with time zone) to amends_operator;
grant execute on function amends.first_id(at timestamp with time zone) to amends_viewer;

-- When a saga with this id started, to the millisecond
create function amends.started_at(id uuid) returns timestamp with time zone
    language sql immutable;
grant execute on function amends.started_at(id uuid) to amends_orchestrator;

-- Makes a pair of partitions, and moves there what waits in the default ones
create function amends.make_period(first uuid, until uuid) returns void
    language plpgsql volatile set search_path=pg_catalog, pg_temp;

-- Makes the partitions that are needed now and soon, each for so long; returns how many
create function amends.make_periods(width interval) returns integer
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set lock_timeout=100ms;
grant execute on function amends.make_periods(width interval) to amends_orchestrator;

-- Whether a saga with an id from one to the other has not ended, or something about it is not decided
create function amends.is_open(first uuid, last uuid) returns boolean
    language sql stable set search_path=pg_catalog, pg_temp;

-- Drops the oldest pair of partitions whose sagas all began longer ago than this, and have ended; returns how many, so that 0 is the end
create function amends.drop_period(older interval) returns integer
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp set lock_timeout=100ms;
grant execute on function amends.drop_period(older interval) to amends_orchestrator;

-- Deletes what is left of sagas that were dropped, and what is as old, a thousand rows of each table at most; returns how many
create function amends.forget(older interval) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.forget(older interval) to amends_orchestrator;

-- The sagas that are steps of this one, or this step of it, of any depth; awaited when all that they are nested in go on
create function amends.nested_sagas(saga uuid, step text DEFAULT NULL::text) returns TABLE(id uuid, status text, awaited boolean)
    language sql stable security definer set search_path=pg_catalog, pg_temp;

-- The stuck sagas among the one that is this step, and those that are nested in it
create function amends.stuck_within(saga uuid, step text) returns SETOF uuid
    language sql stable security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.stuck_within(saga uuid, step text) to amends_operator;
grant execute on function amends.stuck_within(saga uuid, step text) to amends_orchestrator;
grant execute on function amends.stuck_within(saga uuid, step text) to amends_viewer;

-- The number of the fact by which a saga turned back; null when it has not
create function amends.turned_by(saga uuid) returns integer
    language sql stable security definer set search_path=pg_catalog, pg_temp;

-- Where the steps of a saga stand: the phases that the orchestrator's machine has them in, the status that amends.steps shows, and the numbers of the facts that say so
create function amends.standing(saga uuid) returns TABLE(step text, "position" integer, element integer, service text, operation text, kind text, task text, action text, undo text, status text, attempts integer, started_at timestamp with time zone, output_in integer, error_in integer, finished_in integer, stuck_saga uuid, turned boolean)
    language sql stable security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.standing(saga uuid) to amends_operator;
grant execute on function amends.standing(saga uuid) to amends_orchestrator;
grant execute on function amends.standing(saga uuid) to amends_viewer;

-- The inputs that the steps of a saga were sent
create function amends.inputs(saga uuid) returns TABLE(step text, input json)
    language sql stable set search_path=pg_catalog, pg_temp;
grant execute on function amends.inputs(saga uuid) to amends_operator;
grant execute on function amends.inputs(saga uuid) to amends_orchestrator;
grant execute on function amends.inputs(saga uuid) to amends_viewer;

-- Has changes of these locks take turns, until the transaction ends
create function amends.serialize_locks(names text[]) returns void
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.serialize_locks(names text[]) to amends_orchestrator;

-- Gives these sagas their locks, where nobody holds one of them or came earlier; returns the sagas that hold all of theirs
create function amends.acquire_locks(sagas uuid[]) returns SETOF uuid
    language plpgsql volatile set search_path=pg_catalog, pg_temp;
grant execute on function amends.acquire_locks(sagas uuid[]) to amends_orchestrator;

-- Wakes those that come first for these locks, and are not held by an operator: returned
create function amends.wake_next(names text[]) returns SETOF uuid
    language plpgsql volatile set search_path=pg_catalog, pg_temp;
grant execute on function amends.wake_next(names text[]) to amends_orchestrator;

-- These sagas wait for locks and are held by an operator: wakes those that come after them: returned
create function amends.pass_locks(sagas uuid[]) returns SETOF uuid
    language plpgsql volatile set search_path=pg_catalog, pg_temp;
grant execute on function amends.pass_locks(sagas uuid[]) to amends_orchestrator;

-- Takes these sagas out of the queues, and wakes those that are first in them then: returned
create function amends.release_locks(sagas uuid[]) returns SETOF uuid
    language plpgsql volatile set search_path=pg_catalog, pg_temp;
grant execute on function amends.release_locks(sagas uuid[]) to amends_orchestrator;

-- Who acts: the login, or `<whom> via <login>` where a member of amends_gateway says by the setting amends.actor for whom it does
create function amends.actor() returns text
    language plpgsql stable set search_path=pg_catalog, pg_temp;

-- What each act begins with: raises where it has no reason. Its transaction may idle for 10 s from then on
create function amends.begin_act(reason text) returns void
    language plpgsql volatile set search_path=pg_catalog, pg_temp;

-- Writes the fact that somebody asks for an act; null where the saga has moved on
create function amends.ask(act bigint, saga uuid, seq integer, what text, step text, reason text) returns bigint
    language sql volatile set search_path=pg_catalog, pg_temp;

-- Raises for a text that is too long
create function amends.check_size(what text, value text, bytes integer) returns void
    language plpgsql volatile set search_path=pg_catalog, pg_temp;

-- Notes an act on a saga, and wakes it; where exactly is given, only for a saga with so many facts. Raises for one that has ended
create function amends.note_act(saga uuid, act text, step text, outcome json, reason text, exactly integer DEFAULT NULL::integer) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- amends.note_act on the sagas nested in this one that have one of these statuses. Returns the first act; null when there is none
create function amends.note_act_within(saga uuid, act text, reason text, statuses text[]) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- Repeat now what was given up or waits to be repeated, with fresh patience; also in stuck sagas that are nested in this one. Returns the id in amends.acts
create function amends.retry(saga uuid, reason text) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.retry(saga uuid, reason text) to amends_operator;

-- Go on without this compensation, or without this step after the pivot; without the saga's output where the step is null
create function amends.skip(saga uuid, step text, reason text) returns bigint
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.skip(saga uuid, step text, reason text) to amends_operator;

-- A person knows how the step ended: the body of a reply, ok with its output or rejected with a code. A null step is the saga's output, where it could not be computed
create function amends.resolve(saga uuid, step text, outcome json, reason text) returns bigint
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.resolve(saga uuid, step text, outcome json, reason text) to amends_operator;

-- Turn the saga back: undo what was done
create function amends.cancel(saga uuid, reason text) returns bigint
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.cancel(saga uuid, reason text) to amends_operator;

-- amends.cancel, refused when the saga has another number of facts than the operator saw
create function amends.cancel(saga uuid, reason text, seen integer) returns bigint
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.cancel(saga uuid, reason text, seen integer) to amends_operator;

-- Send nothing more until resumed, nor in the sagas nested in it; replies are still recorded
create function amends.pause(saga uuid, reason text) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.pause(saga uuid, reason text) to amends_operator;

-- Let a paused saga go on, and those nested in it
create function amends.resume(saga uuid, reason text) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.resume(saga uuid, reason text) to amends_operator;

-- Take a lock from the saga that holds it, which goes on without. Returns the id in amends.acts
create function amends.break_lock(name text, reason text) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.break_lock(name text, reason text) to amends_operator;

-- Start a saga when this transaction commits. Returns the id in amends.starts, which says what became of it: the saga's own, unless its business key has a saga already
create function amends.start(definition text, input json, key text DEFAULT NULL::text) returns uuid
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.start(definition text, input json, key text) to amends_operator;

-- Notes an act that is done already
create function amends.record_act(act text, letter bigint, definition text, version integer, outcome json, reason text) returns bigint
    language sql volatile set search_path=pg_catalog, pg_temp;

-- Let this version start no more sagas; those that it began end under it. Holds for every start that is written after this commits
create function amends.retire(definition text, version integer, reason text) returns void
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.retire(definition text, version integer, reason text) to amends_operator;

-- Refuses, with SQLSTATE AM001, sagas of a retired version that begin
create function amends.check_starts(names text[], versions integer[], parents uuid[]) returns boolean
    language plpgsql stable set search_path=pg_catalog, pg_temp;
grant execute on function amends.check_starts(names text[], versions integer[], parents uuid[]) to amends_orchestrator;

-- Let a retired version start sagas again
create function amends.reinstate(definition text, version integer, reason text) returns void
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.reinstate(definition text, version integer, reason text) to amends_operator;

-- Let business keys of dropped sagas that began longer ago than this start sagas again
create function amends.forget_keys(older interval, reason text) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.forget_keys(older interval, reason text) to amends_operator;

-- Notes an act on a dead letter that nobody has settled
create function amends.note_letter_act(dead_letter bigint, act text, reason text) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- Publish a dead letter once more, on its subject. An orchestrator does it; returns the id in amends.letter_acts
create function amends.replay(dead_letter bigint, reason text) returns bigint
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.replay(dead_letter bigint, reason text) to amends_operator;

-- Throw a dead letter away: it leaves amends.dead_letters for amends.settled_letters
create function amends.discard(dead_letter bigint, reason text) returns bigint
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.discard(dead_letter bigint, reason text) to amends_operator;

-- A definition's plan as data
create function amends.outline(definition text, version integer) returns json
    language sql stable security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.outline(definition text, version integer) to amends_operator;
grant execute on function amends.outline(definition text, version integer) to amends_viewer;

-- Whether an operator holds a saga, also one that is stuck
create function amends.is_paused(saga uuid) returns boolean
    language sql stable security definer set search_path=pg_catalog, pg_temp;

-- Whether an error, of the saga or the last that a step of it met, is like this pattern of LIKE
create function amends.error_is_like(saga uuid, step text, pattern text) returns boolean
    language sql stable security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.error_is_like(saga uuid, step text, pattern text) to amends_operator;
grant execute on function amends.error_is_like(saga uuid, step text, pattern text) to amends_viewer;

-- The sagas that amends.retry_all and the like would act on, oldest first: a look before the act
create function amends.candidates(act text, definition text, step text, error_like text, max integer) returns SETOF uuid
    language sql stable security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.candidates(act text, definition text, step text, error_like text, max integer) to amends_operator;
grant execute on function amends.candidates(act text, definition text, step text, error_like text, max integer) to amends_viewer;

-- Notes an act on many sagas, and wakes them
create function amends.note_acts(act text, definition text, step text, error_like text, max integer, outcome json, reason text) returns TABLE(saga uuid, act_id bigint)
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- amends.retry for sagas that are stuck, or have something that waits to be repeated. A null is any; error_like is a pattern of LIKE on an error's code or message; at most max, oldest first
create function amends.retry_all(definition text, step text, error_like text, max integer, reason text) returns TABLE(saga uuid, act bigint)
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.retry_all(definition text, step text, error_like text, max integer, reason text) to amends_operator;

-- amends.skip where this step is stuck, waits to be repeated, or waits for a time or an event, if it may be skipped; like amends.retry_all otherwise
create function amends.skip_all(definition text, step text, error_like text, max integer, reason text) returns TABLE(saga uuid, act bigint)
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.skip_all(definition text, step text, error_like text, max integer, reason text) to amends_operator;

-- amends.resolve where this step is stuck, pending, waiting, or waits to be repeated; like amends.retry_all otherwise
create function amends.resolve_all(definition text, step text, error_like text, max integer, outcome json, reason text) returns TABLE(saga uuid, act bigint)
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.resolve_all(definition text, step text, error_like text, max integer, outcome json, reason text) to amends_operator;

-- amends.cancel for sagas that can still turn back; like amends.retry_all otherwise
create function amends.cancel_all(definition text, step text, error_like text, max integer, reason text) returns TABLE(saga uuid, act bigint)
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.cancel_all(definition text, step text, error_like text, max integer, reason text) to amends_operator;

-- amends.pause for sagas that run or compensate; like amends.retry_all otherwise
create function amends.pause_all(definition text, step text, error_like text, max integer, reason text) returns TABLE(saga uuid, act bigint)
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.pause_all(definition text, step text, error_like text, max integer, reason text) to amends_operator;

-- amends.resume for sagas that are paused; like amends.retry_all otherwise
create function amends.resume_all(definition text, step text, error_like text, max integer, reason text) returns TABLE(saga uuid, act bigint)
    language sql volatile security definer set search_path=pg_catalog, pg_temp;
grant execute on function amends.resume_all(definition text, step text, error_like text, max integer, reason text) to amends_operator;

-- What a dead letter counts for, of the bytes that its kind may have
create function amends.letter_bytes(headers json, body bytea) returns bigint
    language sql immutable;
grant execute on function amends.letter_bytes(headers json, body bytea) to amends_orchestrator;

-- Keeps dead letters, but only counts those of a kind of which 1,000 are open or 64 MiB, and those without a body. Returns those that are new, and whether they are kept
create function amends.bury(sources text[], subjects text[], kinds text[], reasons text[], headers text[], are_text boolean[], bodies bytea[]) returns TABLE(source text, is_kept boolean)
    language plpgsql volatile set search_path=pg_catalog, pg_temp;
grant execute on function amends.bury(sources text[], subjects text[], kinds text[], reasons text[], headers text[], are_text boolean[], bodies bytea[]) to amends_orchestrator;

create schema amends_barrier;

create sequence amends_barrier.event_id;

-- One row per effect that was entered. Written by enter and leave only.
create table amends_barrier.effect (
    saga_id uuid not null,
    entered_at timestamp with time zone not null default now(),
    -- False: the action of the step. True: its compensation.
    compensation boolean not null,
    step text collate "C" not null,
    -- Whose effect it is: the service that the login is registered for; empty where it is not registered.
    service text collate "C" not null,
    -- The body that was answered, as it was given. Null: an open intent, entered and committed but never left.
    reply json,
    PRIMARY KEY (saga_id, step, compensation, service)
) with (fillfactor=85, autovacuum_vacuum_insert_scale_factor=0.05, autovacuum_analyze_scale_factor=0.05);

-- Which service each login works for. Written by register; a row goes after its login was dropped.
create table amends_barrier.login (
    login text collate "C" not null,
    service text collate "C" not null,
    -- The subjects on which it may emit events.
    subjects text[] not null,
    PRIMARY KEY (login)
);

-- Events that were emitted and are not published yet. Written by emit and the relay only; look at amends_barrier.outbox.
create table amends_barrier.event (
    id bigint not null,
    -- The Nats-Msg-Id of each publication: JetStream drops a copy that comes within its window.
    message_id uuid not null default gen_random_uuid(),
    emitted_at timestamp with time zone not null default now(),
    -- When the relay takes it; later than emitted_at after JetStream refused it or another of its subject.
    due_at timestamp with time zone not null default now(),
    attempts integer not null default 0,
    subject text collate "C" not null,
    key text collate "C",
    -- Whose event it is: the service that the login is registered for; empty where it is not registered.
    service text collate "C" not null,
    last_error text,
    body json not null,
    PRIMARY KEY (id)
) with (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_insert_scale_factor=0.05);
CREATE INDEX event_due ON amends_barrier.event USING btree (service, due_at, id);

-- Keys that were emitted, kept after the publication.
create table amends_barrier.event_key (
    subject text collate "C" not null,
    key text collate "C" not null,
    service text collate "C" not null,
    event bigint not null,
    emitted_at timestamp with time zone not null default now(),
    -- SHA-256 of the body without white space and order of keys: tells a repetition from another event under the same key.
    digest bytea not null,
    PRIMARY KEY (subject, key, service)
) with (autovacuum_vacuum_insert_scale_factor=0.05, autovacuum_analyze_scale_factor=0.05);
CREATE INDEX event_key_emitted ON amends_barrier.event_key USING btree (service, emitted_at);

-- Events that are not published yet. last_error says why not, when JetStream refused them.
create view amends_barrier.outbox (
    id bigint,
    subject text,
    key text,
    emitted_at timestamp with time zone,
    attempts integer,
    last_error text,
    due_at timestamp with time zone,
    message_id uuid,
    body json,
    service text
);

-- The service that the login is registered for; empty where it is not registered.
create function amends_barrier.caller() returns text
    language sql stable;

-- The effect that an Amends-Id names: what stands before its attempt.
create function amends_barrier.effect_of(id text, OUT saga_id uuid, OUT step text, OUT compensation boolean) returns record
    language plpgsql immutable;

-- First statement of a command's transaction, with its Amends-Id. verdict: run (do the business, then leave), replay or void (do nothing, answer reply). For a compensation to run, reply is what the action answered, if anything.
create function amends_barrier.enter(id text, OUT verdict text, OUT reply json) returns record
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- Raises where a reply cannot be remembered, because no orchestrator would read it.
create function amends_barrier.check_reply(reply json, of_compensation boolean) returns void
    language plpgsql immutable;

-- Last statement of a command's transaction: remembers the body of its reply (ok, rejected or pending). Replaces pending; never a final reply.
create function amends_barrier.leave(id text, reply json) returns void
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- Removes the rows of sagas that have ended longer ago than the max_age of AMENDS_COMMANDS; says how many rows went.
create function amends_barrier.forget(sagas uuid[]) returns bigint
    language sql volatile strict security definer set search_path=pg_catalog, pg_temp;

create function amends_barrier.check_event(subject text, key text, body json) returns void
    language plpgsql immutable set search_path=pg_catalog, pg_temp;

-- Publishes an event if and only if this transaction commits; gives its number. The same subject and key with the same body is the same event, and gives the number of the first. With a null key each call is an event.
create function amends_barrier.emit(subject text, key text, body json) returns bigint
    language plpgsql volatile security definer set search_path=pg_catalog, pg_temp;

-- Events to publish, oldest first. They are this transaction's until it ends.
create function amends_barrier.relay_claim(most integer, OUT id bigint, OUT message_id uuid, OUT subject text, OUT body json, OUT attempts integer) returns SETOF record
    language sql volatile security definer set search_path=pg_catalog, pg_temp;

-- Removes events that JetStream has stored. Only after its ack, and in the transaction that claimed them.
create function amends_barrier.relay_sent(ids bigint[]) returns void
    language sql volatile security definer set search_path=pg_catalog, pg_temp;

-- Keeps events that were not published for later, with the reason. tried: 1 where JetStream refused the event itself, 0 where another of its subject was refused.
create function amends_barrier.relay_postpone(ids bigint[], tried integer[], reasons text[], seconds double precision[]) returns void
    language sql volatile security definer set search_path=pg_catalog, pg_temp;

-- Forgets keys that were emitted longer ago than this, so many at a time; says how many went.
create function amends_barrier.relay_forget(older_than interval, most integer) returns bigint
    language sql volatile security definer set search_path=pg_catalog, pg_temp;

-- How many events wait, counted up to 100000, and the age of the oldest.
create function amends_barrier.relay_backlog(OUT waiting bigint, OUT oldest_seconds double precision) returns record
    language sql stable security definer set search_path=pg_catalog, pg_temp;

-- Registers a login for a service, and the subjects on which it may emit events (null: those that it has); gives the subjects. For the schema's owner.
create function amends_barrier.register(login text, service text, subjects text[] DEFAULT NULL::text[]) returns text[]
    language plpgsql volatile set search_path=pg_catalog, pg_temp;
