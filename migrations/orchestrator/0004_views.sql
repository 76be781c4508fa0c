-- What users read. The columns of these views are a contract; what stands behind them is not.

-- Sagas ------------------------------------------------------------------------------------------

create view amends.sends as
select f.saga_id, f.seq, f.at,
       s ->> 'step' as step,
       coalesce(s ->> 'op', 'action') as op,
       coalesce((s ->> 'attempt')::integer, 1) as attempt,
       s -> 'input' as input
from amends.fact f, json_array_elements(f.next -> 'sends') s;
comment on view amends.sends is
    'What was sent: the sendings that facts tell, each as a row';

create view amends.steps as
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
           -- what must happen is repeated after a rejection, when an operator says so
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
comment on view amends.steps is
    'The steps that a saga has come to, with their inputs, outputs and errors';

create view amends.sagas as
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
comment on view amends.sagas is 'Sagas, and how they go';

create view amends.history as
select f.saga_id, f.seq, f.at, f.kind, f.step, f.op, f.attempt, f.detail,
       f.next ->> 'status' as status,
       (select json_agg(json_build_object('step', s.step, 'op', s.op, 'attempt', s.attempt, 'input', s.input))
        from amends.sends s
        where s.saga_id = f.saga_id and s.seq = f.seq) as sends
from amends.fact f;
comment on view amends.history is 'What happened in a saga, one row a fact';

create view amends.facts as
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail, f.next
from amends.fact f;
comment on view amends.facts is 'amends.history, with all that followed from each fact';

create view amends.open_sagas as
select s.id, s.definition, s.version, s.key, s.status, s.error, s.started_at
from amends.timer t
join amends.saga s on s.id = t.saga_id
where s.finished_at is null;
comment on view amends.open_sagas is 'Sagas that have not ended: fast, however many have';

create view amends.stuck as
select s.id, s.definition, s.version, s.key, s.step, s.error, s.started_at, s.updated_at,
       k.since as stuck_since
from amends.stuck_saga k
join amends.sagas s on s.id = k.saga_id;
comment on view amends.stuck is 'Sagas that an operator must look at';

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

create view amends.keys as
select k.key, k.definition, k.saga_id from amends.business_key k;
comment on view amends.keys is
    'Which saga holds a business key, or held it: the key stays when the saga is dropped. Fast by key';

-- Counters of a partition go with it, so starts are counted where each saga gets its timer.
create view amends.flow as
select u.n_tup_ins as started, u.n_tup_del as ended, clock_timestamp() as at
from pg_stat_user_tables u
where u.schemaname = 'amends' and u.relname = 'timer';
comment on view amends.flow is
    'How many sagas were started and have ended since the statistics began, a second or so behind, for rates: two looks, and their difference';

create view amends.definitions as
select d.name as definition, d.version, d.digest, d.registered_at, d.retired_at,
       r.actor as retired_by, r.reason as retired_reason,
       coalesce(o.open, 0) as open_sagas
from amends.definition d
left join lateral (
    select a.actor, a.reason
    from amends.act a
    where a.act = 'retire' and a.definition = d.name and a.version = d.version
    order by a.id desc
    limit 1
) r on d.retired_at is not null
left join (
    select s.definition, s.version, count(*) as open
    from amends.timer t
    join amends.saga s on s.id = t.saga_id
    where s.finished_at is null
    group by s.definition, s.version
) o on o.definition = d.name and o.version = d.version;
comment on view amends.definitions is
    'Each version of each definition that ever ran here, and how many of its sagas have not ended';

-- What sagas wait for -----------------------------------------------------------------------------

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

-- What people did ---------------------------------------------------------------------------------

create view amends.audit as
select a.id, a.at, a.actor, a.act, a.saga_id, a.letter_id, a.definition, a.version, a.step, a.outcome,
       a.reason, d.at as decided_at, d.accepted, d.answer
from amends.act a
left join amends.act_decision d on d.act_id = a.id;
comment on view amends.audit is
    'All that people did: acts on sagas, dead letters, versions and keys, and what became of them; accepted is null until an orchestrator has decided';

create view amends.acts as
select a.id, a.saga_id, a.act, a.step, a.outcome, a.reason, a.actor, a.at, d.at as decided_at,
       d.accepted, d.answer
from amends.act a
left join amends.act_decision d on d.act_id = a.id
where a.saga_id is not null;
comment on view amends.acts is
    'What operators did to sagas, and what became of it: accepted is null until an orchestrator has decided';

create view amends.letter_acts as
select a.id, a.letter_id, a.act, a.reason, a.actor, a.at,
       case when d.accepted then d.at end as done_at,
       case when not d.accepted then d.answer end as refusal
from amends.act a
left join amends.act_decision d on d.act_id = a.id
where a.letter_id is not null;
comment on view amends.letter_acts is
    'What operators did with dead letters. A replay is done when a stream has stored the message';
comment on column amends.letter_acts.refusal is 'Why it could not be done; the letter stays open';

-- What stands in the world because of sagas that are not settled, or that ended with an effect which
-- was not undone. The steps of one saga are found by its id; asked for all open sagas together,
-- Postgres would read the facts of all sagas: `offset 0` makes it ask for one saga after the other.
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
       (select a.actor from amends.acts a where a.saga_id = t.saga_id order by a.id desc limit 1) as owner
from (
    -- sagas that have not ended keep a timer; an ended one left something only if an operator skipped
    select saga_id from amends.timer
    union
    select a.saga_id
    from amends.act a
    join amends.act_decision d on d.act_id = a.id
    where a.act = 'skip' and d.accepted
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
comment on view amends.exposure is
    'Effects that are done, in flight, unknown, being undone or given up, of sagas that are not settled. owner: the operator who acted last';

-- Dead letters -----------------------------------------------------------------------------------

create view amends.dead_letters as
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
