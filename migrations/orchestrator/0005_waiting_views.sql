-- The views, with waits, lists, nested sagas, locks and versions.

-- What is usual is not written: the action, its first attempt; an output that is the fact's detail.
comment on column amends.fact.next is
    'What followed: {"sends": [{"step", "op", "attempt", "due", "input"}], "due", "status", "error", "output" or "echo", "event"}; "op" is action and "attempt" 1 unless said; "due" in microseconds since 1970; "echo" says that the output is the detail';

create or replace view amends.sends as
select f.saga_id, f.seq, f.at,
       s ->> 'step' as step,
       coalesce(s ->> 'op', 'action') as op,
       coalesce((s ->> 'attempt')::integer, 1) as attempt,
       s -> 'input' as input
from amends.fact f, json_array_elements(f.next -> 'sends') s;

create or replace view amends.history as
select f.saga_id, f.seq, f.at, f.kind, f.step, f.op, f.attempt, f.detail,
       f.next ->> 'status' as status,
       (select json_agg(json_build_object('step', s.step, 'op', s.op, 'attempt', s.attempt, 'input', s.input))
        from amends.sends s
        where s.saga_id = f.saga_id and s.seq = f.seq) as sends
from amends.fact f;

create or replace view amends.steps as
select a.saga_id, a.step, d.service, d.operation,
       case
           when act.kind = 'omitted' then 'skipped'
           when 'skip' in (undo.outcome, act.kind) then 'skipped'
           when undo.outcome = 'done' then 'compensated'
           when undo.outcome is not null and stuck.at is not null then 'stuck'
           when undo.sent is not null then 'compensating'
           when act.kind in ('done', 'late') then 'done'
           when act.kind in ('rejected', 'unmappable') and d.kind <> 'retriable' then 'rejected'
           when act.kind = 'pending' and act.due is not null then 'pending'
           when act.kind is not null and act.due is null and d.kind = 'compensatable'
               then case when d.task in ('event', 'delay') then 'rejected' else 'unknown' end
           when act.kind is not null and act.due is null then 'stuck'
           when d.task in ('event', 'delay')
               then case when saga.status in ('compensating', 'compensated') then 'cancelled'
                         else 'waiting' end
           else 'running'
       end as status,
       a.attempts,
       a.input,
       act.output,
       coalesce(undo.error, act.error) as error,
       a.started_at,
       case
           when undo.sent is not null then undo.finished_at
           when act.kind in ('done', 'late', 'rejected', 'omitted') then act.at
       end as finished_at,
       d.task
from (
    select s.saga_id, s.step,
           max(s.attempt) as attempts,
           min(s.at) as started_at,
           (array_agg(s.input order by s.attempt))[1] as input
    from amends.sends s
    where s.op = 'action'
    group by s.saga_id, s.step
    union all
    select f.saga_id, f.step, 0, f.at, null
    from amends.fact f
    where f.kind = 'omitted'
) a
join amends.saga on saga.id = a.saga_id
-- an element of a list is named <list>.<n>
join lateral (
    select d.service, d.operation, d.kind, d.task
    from amends.definition_step d
    where d.name = saga.definition and d.version = saga.version
      and d.step in (a.step, regexp_replace(a.step, '\.[0-9]+$', ''))
    order by d.step = a.step desc
    limit 1
) d on true
-- the last thing that happened to the action, unless it was sent again since
left join lateral (
    select f.kind, f.at, f.next ->> 'due' as due,
           case when f.kind in ('done', 'late') then f.detail end as output,
           case when f.kind not in ('done', 'late') then f.detail end as error
    from amends.fact f
    where f.saga_id = a.saga_id and f.step = a.step and f.op = 'action'
      and f.kind not in ('resumed', 'resolve')
      and (f.attempt = a.attempts or f.kind in ('done', 'late')
           -- what must happen is repeated after a no, when an operator says so
           or f.kind = 'rejected' and d.kind <> 'retriable')
    order by f.kind in ('done', 'late') desc, f.seq desc
    limit 1
) act on true
left join lateral (
    select max(s.attempt) as sent from amends.sends s
    where s.saga_id = a.saga_id and s.step = a.step and s.op = 'compensation'
) sent on true
left join lateral (
    select f.kind as outcome, f.at as finished_at, sent.sent, f.next ->> 'due' as due,
           case when f.kind <> 'done' then f.detail end as error
    from (select 1) one
    left join lateral (
        select f.* from amends.fact f
        where f.saga_id = a.saga_id and f.step = a.step and f.op = 'compensation'
          and f.kind not in ('resumed', 'resolve')
          and (f.attempt = sent.sent or f.kind in ('done', 'skip'))
          -- what was undone before a late success must be undone again
          and f.seq > coalesce((select max(l.seq) from amends.fact l
                                where l.saga_id = a.saga_id and l.step = a.step
                                  and l.kind = 'late'), -1)
        order by f.seq desc
        limit 1
    ) f on true
) undo on sent.sent is not null
left join lateral (
    select undo.finished_at as at
    where undo.outcome in ('rejected', 'broke', 'timed_out') and undo.due is null
) stuck on true;

create or replace view amends.sagas as
select s.id, s.definition, s.version, s.key, s.status,
       case when s.finished_at is null then (
           select string_agg(t.step, ', ' order by t.started_at, t.step)
           from amends.steps t
           where t.saga_id = s.id
             and t.status in ('running', 'waiting', 'pending', 'compensating', 'unknown', 'stuck')
       ) end as step,
       s.input,
       case when s.status = 'completed' then (
           select case when f.next -> 'echo' is null then f.next -> 'output' else f.detail end
           from amends.fact f
           where f.saga_id = s.id and f.next ->> 'status' = 'completed' order by f.seq desc limit 1
       ) end as output,
       s.error, s.started_at,
       (select f.at from amends.fact f
        where f.saga_id = s.id order by f.seq desc limit 1) as updated_at,
       s.finished_at,
       (select s.started_at + (d.outline ->> 'deadline_ms')::bigint * interval '1 millisecond'
        from amends.definition d
        where d.name = s.definition and d.version = s.version) as deadline_at,
       s.parent as parent_id,
       s.parent_step
from amends.saga s;

create or replace view amends.acts as
select a.id, a.saga_id, a.act, a.step, a.outcome, a.reason, a.actor, a.at, a.decided_at, a.accepted,
       a.answer
from amends.act a
where a.act <> 'reply';

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
join amends.steps t on t.saga_id = s.id
where t.task in ('call', 'saga')
  and (t.status not in ('compensated', 'rejected', 'skipped') or exists (
      select from amends.fact f
      where f.saga_id = t.saga_id and f.step = t.step and f.kind = 'skip'))
  and (s.finished_at is null or exists (
      select from amends.fact f
      where f.saga_id = t.saga_id and f.step = t.step and f.kind = 'skip' and f.op = 'compensation'));

create view amends.waits as
select w.saga_id, s.definition, s.key as saga_key, w.step,
       (select p.needed from (
           select e -> 'task' -> 'event' ->> 'subject' as needed
           from amends.definition d, json_array_elements(d.outline -> 'steps') e
           where d.name = s.definition and d.version = s.version and e ->> 'name' = w.step) p) as subject,
       w.key, w.since, clock_timestamp() - w.since as age
from amends.wait w
join amends.saga s on s.id = w.saga_id;
comment on view amends.waits is 'Steps that wait for an event, and what it must match';

create view amends.events as
select e.id, e.at, e.matcher, e.key, e.body, e.source
from amends.event e;
comment on view amends.events is
    'Events that are kept for steps which wait for them, now or later. matcher: <definition>/<step>';

create view amends.locks as
select l.name, l.saga_id, s.definition, s.key, s.status as saga_status,
       case when l.held_since is null then 'waiting' else 'held' end as status,
       clock_timestamp() - coalesce(l.held_since, l.since) as age,
       l.since, l.held_since
from amends.lock l
join amends.saga s on s.id = l.saga_id;
comment on view amends.locks is 'Who holds which lock, and who waits for it; they take turns in the order of saga_id';

create view amends.starts as
select r.saga_id, r.definition, r.key, r.actor, r.at, r.decided_at, r.accepted, r.answer
from amends.start_request r;
comment on view amends.starts is
    'Starts that were asked for in SQL; accepted is null until an orchestrator has decided';

create view amends.definitions as
select d.name as definition, d.version, d.digest, d.registered_at, d.retired_at,
       case when d.retired_at is not null then d.retired_by end as retired_by,
       case when d.retired_at is not null then d.retired_reason end as retired_reason,
       coalesce(o.open, 0) as open_sagas
from amends.definition d
left join (
    select s.definition, s.version, count(*) as open
    from amends.timer t
    join amends.saga s on s.id = t.saga_id
    where s.finished_at is null
    group by s.definition, s.version
) o on o.definition = d.name and o.version = d.version;
comment on view amends.definitions is
    'Each version of each definition that ever ran here, and how many of its sagas have not ended';

create view amends.tree as
with recursive tree as (
    select s.id as root, s.id, null::uuid as parent_id, null::text as parent_step, 0 as depth
    from amends.saga s
    where s.parent is null
    union all
    select t.root, s.id, s.parent, s.parent_step, t.depth + 1
    from tree t
    join amends.saga s on s.parent = t.id
)
select t.root, t.id, t.parent_id, t.parent_step, t.depth, s.definition, s.status
from tree t
join amends.saga s on s.id = t.id;
comment on view amends.tree is 'Sagas and their nested sagas: ask for one root';

do $$
declare
    reader text;
begin
    foreach reader in array array['amends_viewer', 'amends_operator'] loop
        if to_regrole(reader) is not null then
            execute format('grant select on amends.waits, amends.events, amends.locks, amends.starts,
                amends.definitions, amends.tree to %I', reader);
        end if;
    end loop;
end
$$;
