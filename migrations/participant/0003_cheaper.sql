-- `leave` takes one statement where it took three, in the transaction that has entered. What both
-- functions promise is the same as before, and is written in 0001_barrier.sql.

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
        and part[4] not like '0%') is not true
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

-- Raises rather than overwrite: a reply that went out is what others have built on.
create or replace function amends_barrier.leave(id text, reply json)
    returns void
    language plpgsql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    outcome text;
    effect record;
    stored json;
begin
    effect := amends_barrier.effect_of(id);
    outcome := case when json_typeof(reply) = 'object' then reply ->> 'outcome' end;
    if outcome is null or outcome not in ('ok', 'rejected', 'pending') then
        raise exception 'a reply with outcome % cannot be remembered', coalesce(quote_literal(outcome), 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'Leave with ok, rejected or pending. For retry, roll the transaction back and do not leave.';
    end if;
    if outcome = 'rejected' and (effect.compensation or coalesce(reply ->> 'code', '') = '') then
        raise exception '%', case when effect.compensation then 'a compensation cannot be rejected' else 'a rejection needs a code' end
            using errcode = 'invalid_parameter_value',
                  hint = 'A compensation that cannot be done now answers retry; a rejection is {"outcome":"rejected","code":"…","message":"…"}.';
    end if;

    -- The usual case: this transaction has entered. Nobody else sees the row yet, so there is nothing
    -- to wait for and nothing to compare. A transaction is known by its number and its start: numbers
    -- come again.
    update amends_barrier.effect e set reply = leave.reply
    where (e.saga_id, e.step, e.compensation) = (effect.saga_id, effect.step, effect.compensation)
        and e.reply is null and e.entered_at = now() and e.xmin = pg_current_xact_id_if_assigned()::xid;
    if found then
        return;
    end if;

    select e.reply into stored from amends_barrier.effect e
    where (e.saga_id, e.step, e.compensation) = (effect.saga_id, effect.step, effect.compensation)
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
        where (e.saga_id, e.step, e.compensation) = (effect.saga_id, effect.step, true);
        if found then
            raise exception 'the action was compensated meanwhile: %', id
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'If the effect was done outside the database, undo it there: its compensation has already run.';
        end if;
    end if;

    update amends_barrier.effect e set reply = leave.reply
    where (e.saga_id, e.step, e.compensation) = (effect.saga_id, effect.step, effect.compensation);
end
$$;
