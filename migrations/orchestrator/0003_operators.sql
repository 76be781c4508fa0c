-- What operators may do. Each act is a row: who, what, why, and what became of it. The functions only
-- note the act and wake the saga's timer; the orchestrator decides it, like any other event.

create table amends.act (
    id bigint generated always as identity primary key,
    saga_id uuid not null,
    act text not null check (act in ('retry', 'skip', 'resolve', 'cancel', 'pause', 'resume')),
    step text,
    outcome json,
    reason text not null check (reason ~ '\S' and length(reason) <= 1000),
    actor text not null,
    at timestamptz not null default clock_timestamp(),
    seen integer not null,
    decided_at timestamptz,
    accepted boolean,
    answer text,
    check ((decided_at is null) = (accepted is null))
);
comment on column amends.act.seen is
    'Facts that the saga had when the operator looked; another act since then refuses this one';
create index act_open on amends.act (saga_id) where decided_at is null;
create index act_saga on amends.act (saga_id);

create view amends.acts as
select a.id, a.saga_id, a.act, a.step, a.outcome, a.reason, a.actor, a.at, a.decided_at, a.accepted,
       a.answer
from amends.act a;
comment on view amends.acts is
    'What operators did, and what became of it: accepted is null until an orchestrator has decided';

-- What stands in the world because of sagas that are not settled, or that ended with an effect which
-- was not undone.
create view amends.exposure as
select t.saga_id, s.definition, s.key, s.status as saga_status, t.step, t.service, t.operation,
       case t.status
           when 'compensating' then 'undoing'
           when 'running' then 'in flight'
           when 'stuck' then 'given up'
           else t.status
       end as status,
       clock_timestamp() - t.started_at as age,
       t.started_at,
       (select a.actor from amends.act a where a.saga_id = t.saga_id order by a.id desc limit 1) as owner
from (
    -- sagas that have not ended keep a timer; an ended one left something only if an operator skipped
    select saga_id from amends.timer
    union
    select saga_id from amends.act where act = 'skip' and accepted
) open
join amends.saga s on s.id = open.saga_id
join amends.steps t on t.saga_id = s.id
where t.status not in ('compensated', 'rejected')
  and (s.finished_at is null or exists (
      select from amends.fact f
      where f.saga_id = t.saga_id and f.step = t.step and f.kind = 'skip' and f.op = 'compensation'));
comment on view amends.exposure is
    'Effects that are done, in flight, unknown, being undone or given up, of sagas that are not settled. owner: the operator who acted last';

create function amends.note_act(
    saga uuid, act text, step text, outcome json, reason text
) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    now_at text;
    noted bigint;
begin
    if reason is null or reason !~ '\S' then
        raise exception 'an act needs a reason' using errcode = 'invalid_parameter_value';
    end if;
    select s.status into now_at from amends.saga s where s.id = saga;
    if now_at is null then
        raise exception 'there is no saga %', saga using errcode = 'no_data_found';
    end if;
    if now_at in ('completed', 'compensated') then
        raise exception 'the saga has ended: %', now_at using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into amends.act (saga_id, act, step, outcome, reason, actor, seen)
    values (saga, note_act.act, note_act.step, note_act.outcome, note_act.reason, session_user,
            coalesce((select max(f.seq) + 1 from amends.fact f where f.saga_id = saga), 0))
    returning id into noted;
    insert into amends.timer (saga_id, due_at) values (saga, clock_timestamp())
    on conflict (saga_id) do update set due_at = excluded.due_at;
    return noted;
end
$$;

create function amends.retry(saga uuid, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'retry', null, null, reason);
comment on function amends.retry is
    'Repeat now what was given up or waits to be repeated, with fresh patience. Returns the id in amends.acts';

create function amends.skip(saga uuid, step text, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'skip', step, null, reason);
comment on function amends.skip is
    'Go on without this compensation, or without this step after the pivot';

create function amends.resolve(saga uuid, step text, outcome json, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'resolve', step, outcome, reason);
comment on function amends.resolve is
    'A person knows how the step ended: the body of a reply, ok with its output or rejected with a code';

create function amends.cancel(saga uuid, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'cancel', null, null, reason);
comment on function amends.cancel is 'Turn the saga back: undo what was done';

create function amends.pause(saga uuid, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'pause', null, null, reason);
comment on function amends.pause is 'Send nothing more until resumed; replies are still recorded';

create function amends.resume(saga uuid, reason text) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp
    return amends.note_act(saga, 'resume', null, null, reason);
comment on function amends.resume is 'Let a paused saga go on';

-- Roles are the cluster's, not the database's: they are made where this migration may, and granted
-- what they need. Whoever may not create roles makes them beforehand.
do $$
declare
    role text;
begin
    foreach role in array array['amends_viewer', 'amends_operator', 'amends_orchestrator'] loop
        begin
            execute format('create role %I nologin', role);
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise notice 'the role % is not there, and may not be created by %', role, current_user;
        end;
    end loop;
end
$$;

revoke execute on all functions in schema amends from public;

do $$
begin
    grant usage on schema amends to amends_viewer, amends_operator, amends_orchestrator;
    grant select on amends.sagas, amends.steps, amends.sends, amends.history, amends.dead_letters,
        amends.stuck, amends.acts, amends.exposure
        to amends_viewer, amends_operator;
    grant execute on function amends.retry, amends.skip, amends.resolve, amends.cancel, amends.pause,
        amends.resume to amends_operator;
    grant select, insert, update, delete on all tables in schema amends to amends_orchestrator;
exception
    when undefined_object then
        raise notice 'roles are missing: grant what they need by hand, as this file says';
end
$$;
