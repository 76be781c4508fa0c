-- The participant barrier: makes a service's actions and compensations safe to repeat, to reorder
-- and to lose. One transaction at READ COMMITTED per command, in any language:
--
--     begin;
--     select verdict, reply from amends_barrier.enter('<Amends-Id of the command>');
--     -- `run`:    do the business SQL, then
--     select amends_barrier.leave('<Amends-Id>', '{"outcome":"ok","output":{}}');
--     -- `replay`: nothing to do; answer with `reply`, as it was answered before
--     -- `void`:   nothing to do; answer with `reply`
--     commit;
--     -- only now publish the reply, and then acknowledge the command.
--
-- | what went wrong                            | what `enter` says                              |
-- |--------------------------------------------|------------------------------------------------|
-- | a duplicate, also a concurrent one         | waits for the first, then `replay`             |
-- | a compensation before its action           | `void`, ok; the action is refused from then on |
-- | an action after its compensation           | `void`, rejected with code `compensated`       |
-- | a compensation while its action still runs | waits for the action, then decides             |
-- | a rejected action, delivered again         | `replay` of the rejection                      |
-- | a compensation of a rejected action        | `void`, ok                                     |
-- | a compensation of an action that did run   | `run`; `reply` is what the action answered     |
-- | entered and committed, but never left      | `run`: see below                               |
--
-- The outcomes: for `ok` and `pending`, leave and commit. For `rejected`, take the business rows
-- back but keep the barrier's: either set a savepoint after `enter`, roll back to it, leave and
-- commit; or roll all back, and enter again in a new transaction (which may now answer `replay` or
-- `void`: then answer that). For `retry`, roll all back and do not leave.
--
-- `pending` is remembered like a reply, until a later `leave` of the same effect replaces it with
-- the real one.
--
-- An effect outside the database (a card provider) can take two transactions: enter and commit; call
-- the provider with the effect id (the Amends-Id without its attempt) as idempotency key; leave and
-- commit. A crash between them leaves a row without reply: an open intent. The action is then told
-- to `run` again, which the provider's key makes harmless; a compensation is told to `run` as well,
-- never called empty, and has to ask the provider what became of the intent.
--
-- What a service's role needs, besides its own tables (the functions run as their owner, so the
-- table itself needs no grant):
--
--     grant usage on schema amends_barrier to <role>;
--     grant execute on function amends_barrier.enter(text), amends_barrier.leave(text, json) to <role>;
--
-- Services that share a database and do not trust each other: each needs a login of its own that is
-- registered (`amends_barrier.register`). Each service then has effects of its own: whatever a login
-- enters and leaves is its own service's, whichever step the id names. Logins that are not registered
-- share theirs.
--
-- How long rows are kept: see `amends_barrier.forget`.

create schema if not exists amends_barrier;

comment on schema amends_barrier is
    'The participant side of Amends: makes actions and compensations safe to repeat, to reorder and to lose.';

-- `enter` inserts, `leave` updates the row in the same transaction. The insert has to come first: it
-- is what a concurrent duplicate or compensation waits for. The update touches no indexed column;
-- the space that fillfactor leaves keeps it on its page (HOT), so that the index is written once.
create table if not exists amends_barrier.effect (
    saga_id uuid not null,
    entered_at timestamptz not null default now(),
    compensation boolean not null,
    step text collate "C" not null,
    service text collate "C" not null,
    reply json,
    primary key (saga_id, step, compensation, service)
) with (fillfactor = 85, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

comment on table amends_barrier.effect is
    'One row per effect that was entered. Written by enter and leave only.';
comment on column amends_barrier.effect.compensation is
    'False: the action of the step. True: its compensation.';
comment on column amends_barrier.effect.service is
    'Whose effect it is: the service that the login is registered for; empty where it is not registered.';
comment on column amends_barrier.effect.reply is
    'The body that was answered, as it was given. Null: an open intent, entered and committed but never left.';

-- The login as it connected decides, not a role that it has taken.
create table if not exists amends_barrier.login (
    login text collate "C" primary key,
    service text collate "C" not null,
    subjects text[] not null
);

comment on table amends_barrier.login is
    'Which service each login works for. Written by register; a row goes after its login was dropped.';
comment on column amends_barrier.login.subjects is
    'The subjects on which it may emit events.';

create or replace function amends_barrier.caller()
    returns text
    language sql stable
as $$
    select coalesce((select l.service from amends_barrier.login l where l.login = session_user), '')
$$;

comment on function amends_barrier.caller() is
    'The service that the login is registered for; empty where it is not registered.';

-- The effect that an Amends-Id names: `<saga id>:<step>:<action|compensation>:<attempt>` without the
-- attempt.
--
-- Without a search path of its own: to set and reset one costs as much as the rest. The functions that
-- run with their owner's rights set theirs, and call it under that.
create or replace function amends_barrier.effect_of(
    id text, out saga_id uuid, out step text, out compensation boolean
)
    language plpgsql immutable parallel safe
as $$
declare
    -- No regular expression: one that captures costs ten times the rest of the barrier.
    part text[] := string_to_array(id, ':');
begin
    if (cardinality(part) = 4
        and part[1] like '________-____-____-____-____________'
        and translate(part[1], '0123456789abcdef', '') = '----'
        and length(part[2]) between 1 and 129
        and translate(part[2], 'abcdefghijklmnopqrstuvwxyz0123456789_.-', '') = ''
        and part[3] in ('action', 'compensation')
        and length(part[4]) between 1 and 10
        and translate(part[4], '0123456789', '') = ''
        and part[4] not like '0%'
        and part[4]::bigint <= 4294967295) is not true
    then
        raise exception 'not an Amends-Id: %', coalesce(quote_literal(left(id, 200)), 'null')
            using errcode = 'invalid_parameter_value',
                  detail = 'It has the form <saga id>:<step>:<action|compensation>:<attempt>, for instance 01890a5d-ac96-774b-bcce-b302099a8057:inventory.reserve:action:1.',
                  hint = 'Pass the header of the command as it came.';
    end if;
    saga_id := part[1];
    step := part[2];
    compensation := part[3] = 'compensation';
end
$$;

comment on function amends_barrier.effect_of(text) is
    'The effect that an Amends-Id names: what stands before its attempt.';

-- Every statement of a function sees what was committed before that statement, but only at READ
-- COMMITTED. Under a snapshot a compensation could not see the action that it had waited for.
create or replace function amends_barrier.enter(id text, out verdict text, out reply json)
    language plpgsql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    compensated constant json :=
        '{"outcome":"rejected","code":"compensated","message":"the step was compensated before this action came"}';
    done constant json := '{"outcome":"ok"}';
    effect record;
    own text;
    action json;
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'amends_barrier.enter needs a transaction at READ COMMITTED, this one is at %',
            upper(current_setting('transaction_isolation'))
            using errcode = 'invalid_transaction_state',
                  hint = 'Start it with: begin isolation level read committed';
    end if;
    effect := amends_barrier.effect_of(id);

    -- The action's row decides, for both halves: whoever inserts it is first. An insert waits for a
    -- transaction that is inserting the same row, and loses when that commits.
    -- Whose it is: read by the insert itself, under the lock that keeps `register` out. As a call of
    -- `caller` it costs four times as much.
    insert into amends_barrier.effect (saga_id, step, compensation, service, reply)
    values (
        effect.saga_id, effect.step, false,
        coalesce((select l.service from amends_barrier.login l where l.login = session_user), ''),
        case when effect.compensation then compensated end
    )
    on conflict do nothing;
    if found then
        if effect.compensation then
            verdict := 'void'; reply := done;
        else
            verdict := 'run';
        end if;
        return;
    end if;

    -- Lost. The lock makes the two halves of a step, and a late `leave`, take turns.
    own := amends_barrier.caller();
    select e.reply into action from amends_barrier.effect e
    where (e.saga_id, e.step, e.compensation, e.service) = (effect.saga_id, effect.step, false, own)
    for no key update;
    if not found then
        raise exception 'the barrier row of % was removed meanwhile', id
            using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
    end if;

    if effect.compensation then
        if action ->> 'outcome' = 'rejected' then
            verdict := 'void'; reply := done;
            return;
        end if;
        insert into amends_barrier.effect (saga_id, step, compensation, service)
        values (effect.saga_id, effect.step, true, own)
        on conflict do nothing;
        if found then
            verdict := 'run'; reply := action;
            return;
        end if;
        select e.reply into reply from amends_barrier.effect e
        where (e.saga_id, e.step, e.compensation, e.service) = (effect.saga_id, effect.step, true, own)
        for no key update;
        if reply is null then
            verdict := 'run'; reply := action;
        else
            verdict := 'replay';
        end if;
        return;
    end if;

    perform from amends_barrier.effect e
    where (e.saga_id, e.step, e.compensation, e.service) = (effect.saga_id, effect.step, true, own);
    if found or action ->> 'code' = 'compensated' then
        verdict := 'void'; reply := compensated;
    elsif action is null then
        verdict := 'run';
    else
        verdict := 'replay'; reply := action;
    end if;
end
$$;

comment on function amends_barrier.enter(text) is
    'First statement of a command''s transaction, with its Amends-Id. verdict: run (do the business, then leave), replay or void (do nothing, answer reply). For a compensation to run, reply is what the action answered, if anything.';

-- What no orchestrator reads must not be remembered: it would be answered at each delivery, and refused.
-- The words of `Reply::parse` in Rust, and the limits of a payload. Like `effect_of` without a search path.
create or replace function amends_barrier.check_reply(reply json, of_compensation boolean)
    returns void
    language plpgsql immutable parallel safe
as $$
declare
    outcome text := case when json_typeof(reply) = 'object' then reply ->> 'outcome' end;
    bytes integer := octet_length(reply::text);
    members jsonb;
begin
    if outcome is null or outcome not in ('ok', 'rejected', 'pending') then
        raise exception 'a reply with outcome % cannot be remembered', coalesce(quote_literal(outcome), 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'Leave with ok, rejected or pending. For retry, roll the transaction back and do not leave.';
    end if;
    if outcome = 'rejected' then
        if of_compensation then
            raise exception 'a compensation cannot be rejected'
                using errcode = 'invalid_parameter_value',
                      hint = 'A compensation that cannot be done now answers retry.';
        end if;
        if (json_typeof(reply -> 'code') = 'string'
            and octet_length(reply ->> 'code') between 1 and 64
            and coalesce(json_typeof(reply -> 'message'), 'null') in ('string', 'null')) is not true
        then
            raise exception 'a rejection needs a code of 1 to 64 bytes, and its message is text'
                using errcode = 'invalid_parameter_value',
                      hint = 'A rejection is {"outcome":"rejected","code":"…","message":"…"}.';
        end if;
    end if;
    if bytes > 262144 then
        raise exception 'the reply has % bytes; at most 262144 are allowed', bytes
            using errcode = 'program_limit_exceeded',
                  hint = 'Pass a reference to large data instead.';
    end if;
    -- A text with U+0000 is no jsonb: the cast raises. Of a member that comes twice it keeps one.
    members := reply;
    if cardinality(array(select json_object_keys(reply))) <> cardinality(array(select jsonb_object_keys(members))) then
        raise exception 'the reply holds a member twice' using errcode = 'invalid_parameter_value';
    end if;
    -- Level 64 is inside of 64 others, which do not fit into less.
    if bytes > 128 and jsonb_path_exists(members, 'strict $.**{64} ? (@.type() == "object" || @.type() == "array")') then
        raise exception 'the reply is nested more than 64 levels deep'
            using errcode = 'program_limit_exceeded';
    end if;
end
$$;

comment on function amends_barrier.check_reply(json, boolean) is
    'Raises where a reply cannot be remembered, because no orchestrator would read it.';

-- Raises rather than overwrite: a reply that went out is what others have built on.
create or replace function amends_barrier.leave(id text, reply json)
    returns void
    language plpgsql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    effect record;
    own text;
    stored json;
begin
    effect := amends_barrier.effect_of(id);
    perform amends_barrier.check_reply(reply, effect.compensation);

    -- The usual case: this transaction has entered. Nobody else sees the row yet, so there is nothing
    -- to wait for and nothing to compare, and it is the caller's own. A transaction is known by its
    -- number and its start: numbers come again.
    update amends_barrier.effect e set reply = leave.reply
    where (e.saga_id, e.step, e.compensation) = (effect.saga_id, effect.step, effect.compensation)
        and e.reply is null and e.entered_at = now() and e.xmin = pg_current_xact_id_if_assigned()::xid;
    if found then
        return;
    end if;

    own := amends_barrier.caller();
    select e.reply into stored from amends_barrier.effect e
    where (e.saga_id, e.step, e.compensation, e.service)
        = (effect.saga_id, effect.step, effect.compensation, own)
    for no key update;
    if not found then
        raise exception 'left without having entered: %', id
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Call amends_barrier.enter first, in the same transaction.';
    end if;
    if stored ->> 'outcome' in ('ok', 'rejected') then
        if stored::text = reply::text then
            return;
        end if;
        raise exception 'another reply is remembered for %', id
            using errcode = 'object_not_in_prerequisite_state',
                  detail = format('Remembered: %s. Given: %s.', left(stored::text, 500), left(reply::text, 500)),
                  hint = 'The first final reply stays. Answer with what amends_barrier.enter gives.';
    end if;
    if not effect.compensation then
        perform from amends_barrier.effect e
        where (e.saga_id, e.step, e.compensation, e.service) = (effect.saga_id, effect.step, true, own);
        if found then
            raise exception 'the action was compensated meanwhile: %', id
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'If the effect was done outside the database, undo it there: its compensation has already run.';
        end if;
    end if;

    update amends_barrier.effect e set reply = leave.reply
    where (e.saga_id, e.step, e.compensation, e.service)
        = (effect.saga_id, effect.step, effect.compensation, own);
end
$$;

comment on function amends_barrier.leave(text, json) is
    'Last statement of a command''s transaction: remembers the body of its reply (ok, rejected or pending). Replaces pending; never a final reply.';

-- Takes ids, not a date: whether a saga has ended is not written here, and a row that goes too early
-- lets an old message do its effect again. A saga's rows may go when the saga has ended
-- (`amends.sagas.finished_at`) and the max_age of the stream AMENDS_COMMANDS has passed since then,
-- so that no message of it can come any more. Not granted to services: this is the operator's.
create or replace function amends_barrier.forget(sagas uuid[])
    returns bigint
    language sql volatile strict
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    with gone as (delete from amends_barrier.effect where saga_id = any (sagas) returning 1)
    select count(*) from gone
$$;

comment on function amends_barrier.forget(uuid[]) is
    'Removes the rows of sagas that have ended longer ago than the max_age of AMENDS_COMMANDS; says how many rows went.';

revoke all on function amends_barrier.caller() from public;
revoke all on function amends_barrier.effect_of(text) from public;
revoke all on function amends_barrier.enter(text) from public;
revoke all on function amends_barrier.check_reply(json, boolean) from public;
revoke all on function amends_barrier.leave(text, json) from public;
revoke all on function amends_barrier.forget(uuid[]) from public;
