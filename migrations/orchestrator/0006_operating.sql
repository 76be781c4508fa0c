-- What operators may do to many sagas at once, to a saga as they saw it, and to dead letters.

alter table amends.act add column exact boolean not null default false;
comment on column amends.act.exact is
    'Refused when the saga has more facts than seen, whoever added them';

-- Sagas that have not ended, found without reading the others.
create view amends.open_sagas as
select s.id, s.definition, s.version, s.key, s.status, s.error, s.started_at
from amends.timer t
join amends.saga s on s.id = t.saga_id
where s.finished_at is null;
comment on view amends.open_sagas is 'Sagas that have not ended: fast, however many have';

-- Facts as they are stored: what `amends show` tells a saga from, without rights on the tables.
create view amends.facts as
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail, f.next
from amends.fact f;
comment on view amends.facts is 'amends.history, with all that followed from each fact';

create function amends.outline(definition text, version integer) returns json
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select d.outline from amends.definition d
    where d.name = outline.definition and d.version = outline.version;
end;
comment on function amends.outline is 'A definition''s plan as data';

-- How many sagas were started and have ended since the statistics began; a second or so behind.
create view amends.flow as
select coalesce(sum(u.n_tup_ins) filter (where u.relname = 'saga'), 0)::bigint as started,
       coalesce(sum(u.n_tup_del) filter (where u.relname = 'timer'), 0)::bigint as ended,
       clock_timestamp() as at
from pg_stat_user_tables u
where u.schemaname = 'amends' and u.relname in ('saga', 'timer');
comment on view amends.flow is 'Counters from Postgres'' statistics, for rates: two looks, and their difference';

-- The steps of one saga are found by its id; asked for all open sagas together, Postgres would read
-- the facts of all sagas. `offset 0` makes it ask for one saga after the other.
create or replace view amends.exposure as
select t.saga_id, s.definition, s.key, s.status as saga_status, t.step, t.service, t.operation,
       case t.status
           when 'compensating' then 'undoing'
           when 'running' then 'in flight'
           when 'stuck' then 'given up'
           else t.status
       end as status,
       clock_timestamp() - t.started_at as age,
       t.started_at,
       (select a.actor from amends.acts a where a.saga_id = t.saga_id order by a.id desc limit 1) as owner
from (
    -- sagas that have not ended keep a timer; an ended one left something only if an operator skipped
    select saga_id from amends.timer
    union
    select saga_id from amends.act where act = 'skip' and accepted
) open
join amends.saga s on s.id = open.saga_id
cross join lateral (select * from amends.steps t where t.saga_id = open.saga_id offset 0) t
where t.task in ('call', 'saga')
  and (t.status not in ('compensated', 'rejected', 'skipped') or exists (
      select from amends.fact f
      where f.saga_id = t.saga_id and f.step = t.step and f.kind = 'skip'))
  and (s.finished_at is null or exists (
      select from amends.fact f
      where f.saga_id = t.saga_id and f.step = t.step and f.kind = 'skip' and f.op = 'compensation'));

-- Whether an operation broke, and now waits to be repeated.
create function amends.waits_to_be_repeated(saga uuid, step text) returns boolean
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select exists (
        select from amends.fact f
        where f.saga_id = saga and f.kind in ('broke', 'timed_out') and f.next ->> 'due' is not null
          and f.step = coalesce(waits_to_be_repeated.step, f.step)
          -- turning back leaves no action waiting
          and (f.op = 'compensation'
               or (select s.status from amends.saga s where s.id = saga) = 'running')
          and not exists (
              select from amends.fact g
              where g.saga_id = saga and g.seq > f.seq
                and (g.kind = 'retry' or (g.step = f.step and g.op = f.op)))
    );
end;

-- Whether an error, of the saga or the last that a step of it met, is like this.
create function amends.error_is_like(saga uuid, step text, pattern text) returns boolean
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select exists (
        select from (
            select s.error from amends.saga s where s.id = saga
            union all
            (select f.detail from amends.fact f
             where f.saga_id = saga and f.kind in ('broke', 'timed_out', 'rejected', 'unmappable')
               and (error_is_like.step is null or f.step = error_is_like.step)
             order by f.seq desc limit 1)
        ) e (error)
        where e.error ->> 'code' like pattern or e.error ->> 'message' like pattern
    );
end;

-- The open sagas that an act would be for, oldest first. Those that wait for the decision of another
-- act are left out.
create function amends.candidates(
    act text, definition text, step text, error_like text, max integer
) returns setof uuid
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select o.id
    from amends.open_sagas o
    where (candidates.definition is null or o.definition = candidates.definition)
      and not exists (select from amends.act a where a.saga_id = o.id and a.decided_at is null)
      and case candidates.act
          when 'retry' then (o.status = 'stuck' and candidates.step is null)
              or (o.status in ('running', 'compensating', 'stuck')
                  and amends.waits_to_be_repeated(o.id, candidates.step))
              or (o.status = 'stuck' and exists (
                  select from (select t.step, t.status from amends.steps t
                               where t.saga_id = o.id offset 0) t
                  where t.step = candidates.step and t.status = 'stuck'))
          when 'skip' then exists (
              select from (select t.step, t.status, t.task from amends.steps t
                           where t.saga_id = o.id offset 0) t
              where t.step = candidates.step
                and ((t.status = 'stuck' and o.status = 'stuck')
                     or (t.status = 'waiting' and t.task = 'delay')))
              or amends.waits_to_be_repeated(o.id, candidates.step)
          when 'resolve' then exists (
              select from (select t.step, t.status from amends.steps t
                           where t.saga_id = o.id offset 0) t
              where t.step = candidates.step
                and (t.status in ('pending', 'waiting') or (t.status = 'stuck' and o.status = 'stuck')))
              or amends.waits_to_be_repeated(o.id, candidates.step)
          when 'cancel' then o.status in ('running', 'paused', 'queued', 'stuck')
          when 'pause' then o.status in ('running', 'compensating', 'queued')
          when 'resume' then o.status = 'paused'
          else false
      end
      and (candidates.step is null or candidates.act in ('retry', 'skip', 'resolve') or exists (
          select from (select t.step, t.status from amends.steps t
                       where t.saga_id = o.id offset 0) t
          where t.step = candidates.step
            and t.status in ('running', 'waiting', 'pending', 'compensating', 'unknown', 'stuck')))
      and (error_like is null or amends.error_is_like(o.id, candidates.step, error_like))
    order by o.id
    limit max;
end;
comment on function amends.candidates is
    'The sagas that amends.retry_all and the like would act on, oldest first: a look before the act';

-- Notes an act for many sagas, and wakes them.
create function amends.note_acts(
    act text, definition text, step text, error_like text, max integer, outcome json, reason text
) returns table (saga uuid, act_id bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if reason is null or reason !~ '\S' then
        raise exception 'an act needs a reason' using errcode = 'invalid_parameter_value';
    end if;
    if max is null or max not between 1 and 10000 then
        raise exception 'say for how many sagas at most: 1 to 10000'
            using errcode = 'invalid_parameter_value';
    end if;
    if note_acts.act in ('skip', 'resolve') and step is null then
        raise exception '% needs a step', note_acts.act using errcode = 'invalid_parameter_value';
    end if;
    return query
    with noted as (
        insert into amends.act as a (saga_id, act, step, outcome, reason, actor, seen)
        select c.id, note_acts.act,
               case when note_acts.act in ('skip', 'resolve') then note_acts.step end,
               note_acts.outcome, note_acts.reason, session_user,
               coalesce((select max(f.seq) + 1 from amends.fact f where f.saga_id = c.id), 0)
        from amends.candidates(note_acts.act, definition, note_acts.step, error_like, note_acts.max)
            as c (id)
        returning a.saga_id, a.id
    ), free as (
        -- Waiting for turns that are under way, with so many rows locked, would be a deadlock. What is
        -- skipped here is woken by the orchestrator: it looks for acts that nobody decides.
        select t.saga_id from amends.timer t join noted n on n.saga_id = t.saga_id
        for update of t skip locked
    ), woken as (
        update amends.timer t set due_at = clock_timestamp()
        from free where free.saga_id = t.saga_id
    )
    select n.saga_id, n.id from noted n order by n.id;
end
$$;

create function amends.retry_all(
    definition text, step text, error_like text, max integer, reason text
) returns table (saga uuid, act bigint)
    language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from amends.note_acts('retry', definition, step, error_like, max, null, reason);
end;
comment on function amends.retry_all is
    'amends.retry for sagas that are stuck, or have something that waits to be repeated. A null is any; error_like is a pattern of LIKE on an error''s code or message; at most max, oldest first';

create function amends.skip_all(
    definition text, step text, error_like text, max integer, reason text
) returns table (saga uuid, act bigint)
    language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from amends.note_acts('skip', definition, step, error_like, max, null, reason);
end;
comment on function amends.skip_all is
    'amends.skip where this step is stuck, waits to be repeated, or is a delay; like amends.retry_all otherwise';

create function amends.resolve_all(
    definition text, step text, error_like text, max integer, outcome json, reason text
) returns table (saga uuid, act bigint)
    language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from amends.note_acts('resolve', definition, step, error_like, max, outcome, reason);
end;
comment on function amends.resolve_all is
    'amends.resolve where this step is stuck, pending, waiting, or waits to be repeated; like amends.retry_all otherwise';

create function amends.cancel_all(
    definition text, step text, error_like text, max integer, reason text
) returns table (saga uuid, act bigint)
    language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from amends.note_acts('cancel', definition, step, error_like, max, null, reason);
end;
comment on function amends.cancel_all is
    'amends.cancel for sagas that are not on their way back; like amends.retry_all otherwise';

create function amends.pause_all(
    definition text, step text, error_like text, max integer, reason text
) returns table (saga uuid, act bigint)
    language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from amends.note_acts('pause', definition, step, error_like, max, null, reason);
end;
comment on function amends.pause_all is
    'amends.pause for sagas that run or compensate; like amends.retry_all otherwise';

create function amends.resume_all(
    definition text, step text, error_like text, max integer, reason text
) returns table (saga uuid, act bigint)
    language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from amends.note_acts('resume', definition, step, error_like, max, null, reason);
end;
comment on function amends.resume_all is
    'amends.resume for sagas that are paused; like amends.retry_all otherwise';

-- The way back as it was seen, or none.
create function amends.cancel(saga uuid, reason text, seen integer) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    noted bigint;
begin
    noted := amends.note_act(saga, 'cancel', null, null, reason);
    update amends.act a set exact = true
    where a.id = noted and a.seen = cancel.seen;
    if not found then
        raise exception 'the saga has moved on since you looked: look at it again'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    return noted;
end
$$;
comment on function amends.cancel(uuid, text, integer) is
    'amends.cancel, refused when the saga has another number of facts than the operator saw';

-- Dead letters: each is open until it is published once more, or thrown away.

alter table amends.dead_letter add column settled_at timestamptz;
create index dead_letter_open on amends.dead_letter (id) where settled_at is null;

create table amends.letter_act (
    id bigint generated always as identity primary key,
    letter_id bigint not null,
    act text not null check (act in ('replay', 'discard')),
    reason text not null check (reason ~ '\S' and length(reason) <= 1000),
    actor text not null,
    at timestamptz not null default clock_timestamp(),
    done_at timestamptz,
    refusal text,
    check (done_at is null or refusal is null)
);
comment on column amends.letter_act.refusal is 'Why it could not be done; the letter stays open';
-- One act settles a letter; of two that are asked for at once one fails.
create unique index letter_act_settles on amends.letter_act (letter_id) where refusal is null;
create index letter_act_open on amends.letter_act (id) where done_at is null and refusal is null;

create or replace view amends.dead_letters as
select d.id, d.at, d.subject, d.reason, d.headers,
       case when d.is_text then convert_from(d.body, 'UTF8') else encode(d.body, 'escape') end as body,
       d.source
from amends.dead_letter d
where d.settled_at is null;
comment on view amends.dead_letters is
    'Messages that could not be used, and that nobody has settled. body is the text as it came, or escaped when it is no text.';

create view amends.settled_letters as
select d.id, d.at, d.subject, d.reason, d.headers,
       case when d.is_text then convert_from(d.body, 'UTF8') else encode(d.body, 'escape') end as body,
       d.source, d.settled_at
from amends.dead_letter d
where d.settled_at is not null;
comment on view amends.settled_letters is
    'Dead letters that were published once more or thrown away; amends.letter_acts says by whom';

create view amends.letter_acts as
select a.id, a.letter_id, a.act, a.reason, a.actor, a.at, a.done_at, a.refusal
from amends.letter_act a;
comment on view amends.letter_acts is
    'What operators did with dead letters. A replay is done when a stream has stored the message';

create function amends.note_letter_act(dead_letter bigint, act text, reason text) returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    found amends.dead_letter;
    earlier text;
    noted bigint;
begin
    if reason is null or reason !~ '\S' then
        raise exception 'an act needs a reason' using errcode = 'invalid_parameter_value';
    end if;
    select * into found from amends.dead_letter d where d.id = dead_letter for update;
    if found.id is null then
        raise exception 'there is no dead letter %', dead_letter using errcode = 'no_data_found';
    end if;
    select format('%s had it %s', a.actor,
                  case a.act when 'replay' then 'replayed' else 'discarded' end) into earlier
    from amends.letter_act a where a.letter_id = dead_letter and a.refusal is null;
    if earlier is not null then
        raise exception 'the dead letter % is settled: %', dead_letter, earlier
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into amends.letter_act (letter_id, act, reason, actor, done_at)
    values (dead_letter, note_letter_act.act, note_letter_act.reason, session_user,
            case when note_letter_act.act = 'discard' then clock_timestamp() end)
    returning id into noted;
    if note_letter_act.act = 'discard' then
        update amends.dead_letter d set settled_at = clock_timestamp() where d.id = dead_letter;
    end if;
    return noted;
end
$$;

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

-- Who may do what. A role that is missing costs nobody else's rights.

revoke execute on function amends.outline, amends.waits_to_be_repeated, amends.error_is_like, amends.candidates,
    amends.note_acts, amends.retry_all, amends.skip_all, amends.resolve_all, amends.cancel_all,
    amends.pause_all, amends.resume_all, amends.cancel(uuid, text, integer),
    amends.note_letter_act, amends.replay, amends.discard
    from public;

do $$
declare
    role text;
begin
    foreach role in array array['amends_viewer', 'amends_operator', 'amends_orchestrator'] loop
        if to_regrole(role) is null then
            raise warning 'the role % is not there: create it, and grant what 0003 to 0007 grant it', role;
            continue;
        end if;
        execute format('grant usage on schema amends to %I', role);
        if role = 'amends_orchestrator' then
            grant select, insert, update, delete on all tables in schema amends to amends_orchestrator;
            continue;
        end if;
        -- Again what 0003 grants: it grants nothing to anybody where one of the roles is missing.
        execute format(
            'grant select on amends.sagas, amends.steps, amends.sends, amends.history,
                 amends.dead_letters, amends.stuck, amends.acts, amends.exposure, amends.open_sagas,
                 amends.facts, amends.flow, amends.settled_letters, amends.letter_acts to %I', role);
        execute format('grant execute on function amends.candidates, amends.error_is_like, amends.outline to %I', role);
    end loop;
    if to_regrole('amends_operator') is not null then
        grant execute on function amends.retry, amends.skip, amends.resolve,
            amends.cancel(uuid, text), amends.cancel(uuid, text, integer), amends.pause,
            amends.resume, amends.retry_all, amends.skip_all, amends.resolve_all,
            amends.cancel_all, amends.pause_all, amends.resume_all, amends.replay, amends.discard
            to amends_operator;
    end if;
end
$$;
