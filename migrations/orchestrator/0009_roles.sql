-- Who may do what. Roles are the cluster's, not the database's: they are made where this migration
-- may, and each that is there is granted what it needs. A role that is missing costs nobody else's
-- rights. The owner of the schema repeats this file whenever it migrates: who may not create roles
-- lets somebody else create them, and migrates again.

revoke execute on all functions in schema amends from public;

do $$
declare
    role text;
begin
    -- Partitions are neither made nor dropped meanwhile: their tables are granted, too.
    perform from amends.mutex m where m.id = 1024 for no key update;
    foreach role in array array['amends_viewer', 'amends_operator', 'amends_payload_reader', 'amends_gateway',
                                'amends_orchestrator'] loop
        begin
            execute format('create role %I nologin', role);
        exception
            when duplicate_object or unique_violation or insufficient_privilege then null;
        end;
        if to_regrole(role) is null then
            raise warning 'the role % is not there: let somebody who may create it (`create role % nologin`), and migrate again', role, role;
            continue;
        end if;
        -- Their members may more of what another role lets them: see amends.rights and amends.actor.
        continue when role in ('amends_payload_reader', 'amends_gateway');
        execute format('grant usage on schema amends to %I', role);
        continue when role = 'amends_orchestrator';
        execute format(
            'grant select on amends.rights, amends.sends, amends.steps, amends.sagas, amends.history, amends.facts,
                 amends.open_sagas, amends.stuck, amends.tree, amends.keys, amends.flow,
                 amends.definitions, amends.waits, amends.events, amends.locks, amends.starts,
                 amends.audit, amends.audit_chain, amends.unsealed_audit, amends.acts,
                 amends.letter_acts, amends.exposure, amends.letters,
                 amends.dead_letters, amends.settled_letters, amends.dropped_letters to %I', role);
        execute format(
            'grant execute on function amends.first_id, amends.outline, amends.candidates,
                 amends.error_is_like, amends.standing, amends.inputs, amends.stuck_within,
                 amends.netstrings, amends.micros, amends.act_content, amends.decision_content,
                 amends.forgotten_content to %I', role);
    end loop;

    if to_regrole('amends_operator') is not null then
        grant execute on function amends.retry, amends.skip, amends.resolve,
            amends.cancel(uuid, text), amends.cancel(uuid, text, integer), amends.pause,
            amends.resume, amends.retry_all, amends.skip_all, amends.resolve_all,
            amends.cancel_all, amends.pause_all, amends.resume_all, amends.break_lock, amends.start,
            amends.retire, amends.reinstate, amends.forget_keys, amends.replay, amends.discard
            to amends_operator;
    end if;

    if to_regrole('amends_orchestrator') is not null then
        grant select on all tables in schema amends to amends_orchestrator;
        grant insert, update, delete on amends.definition, amends.definition_step, amends.saga,
            amends.fact, amends.business_key, amends.timer, amends.stuck_saga, amends.event,
            amends.wait, amends.lock, amends.start_request, amends.dead_letter,
            amends.letter_kind, amends.leader
            to amends_orchestrator;
        -- The audit is only added to: an act by the operators' functions, a decision by whoever decides.
        grant insert on amends.act_decision to amends_orchestrator;
        grant insert, delete on amends.mailbox to amends_orchestrator;
        grant usage on sequence amends.act_id to amends_orchestrator;
        grant delete on amends.replay_request to amends_orchestrator;
        grant execute on function amends.serialize_locks, amends.acquire_locks, amends.release_locks,
            amends.pass_locks, amends.wake_next, amends.digest, amends.started_at, amends.make_periods,
            amends.drop_period, amends.forget, amends.bury, amends.check_starts, amends.letter_bytes, amends.standing,
            amends.inputs, amends.stuck_within
            to amends_orchestrator;
    end if;
end
$$;
