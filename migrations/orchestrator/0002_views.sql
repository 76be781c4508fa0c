-- What users read. The columns of these views are a contract; what stands behind them is not.

-- What was sent and what came of it: the facts of one saga, spread over its operations.
create view amends.sends as
select f.saga_id, f.seq, f.at,
       s ->> 'step' as step,
       s ->> 'op' as op,
       (s ->> 'attempt')::integer as attempt,
       s -> 'input' as input
from amends.fact f, json_array_elements(f.next -> 'sends') s;

create view amends.steps as
select a.saga_id, a.step, d.service, d.operation,
       case
           when 'skip' in (undo.outcome, act.kind) then 'skipped'
           when undo.outcome = 'done' then 'compensated'
           when undo.outcome is not null and stuck.at is not null then 'stuck'
           when undo.sent is not null then 'compensating'
           when act.kind in ('done', 'late') then 'done'
           when act.kind in ('rejected', 'unmappable') and d.kind <> 'retriable' then 'rejected'
           when act.kind = 'pending' and act.due is not null then 'pending'
           when act.kind is not null and act.due is null and d.kind = 'compensatable' then 'unknown'
           when act.kind is not null and act.due is null then 'stuck'
           else 'running'
       end as status,
       a.attempts,
       a.input,
       act.output,
       coalesce(undo.error, act.error) as error,
       a.started_at,
       case
           when undo.sent is not null then undo.finished_at
           when act.kind in ('done', 'late', 'rejected') then act.at
       end as finished_at
from (
    select s.saga_id, s.step,
           max(s.attempt) as attempts,
           min(s.at) as started_at,
           (array_agg(s.input order by s.attempt))[1] as input
    from amends.sends s
    where s.op = 'action'
    group by s.saga_id, s.step
) a
join amends.saga on saga.id = a.saga_id
join amends.definition_step d
    on d.name = saga.definition and d.version = saga.version and d.step = a.step
-- the last thing that happened to the action, unless it was sent again since
left join lateral (
    select f.kind, f.at, f.next ->> 'due' as due,
           case when f.kind in ('done', 'late') then f.detail end as output,
           case when f.kind not in ('done', 'late') then f.detail end as error
    from amends.fact f
    where f.saga_id = a.saga_id and f.step = a.step and f.op = 'action'
      and f.kind not in ('resumed', 'resolve')
      and (f.attempt = a.attempts or f.kind in ('done', 'late', 'rejected'))
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

create view amends.sagas as
select s.id, s.definition, s.version, s.key, s.status,
       case when s.finished_at is null then (
           select string_agg(t.step, ', ' order by t.started_at, t.step)
           from amends.steps t
           where t.saga_id = s.id
             and t.status in ('running', 'pending', 'compensating', 'unknown', 'stuck')
       ) end as step,
       s.input,
       case when s.status = 'completed' then (
           select f.next -> 'output' from amends.fact f
           where f.saga_id = s.id order by f.seq desc limit 1
       ) end as output,
       s.error, s.started_at,
       (select f.at from amends.fact f
        where f.saga_id = s.id order by f.seq desc limit 1) as updated_at,
       s.finished_at,
       null::timestamptz as deadline_at
from amends.saga s;

create view amends.history as
select f.saga_id, f.seq, f.at, f.kind, f.step, f.op, f.attempt, f.detail,
       f.next ->> 'status' as status,
       f.next -> 'sends' as sends
from amends.fact f;

create view amends.dead_letters as
select d.id, d.at, d.subject, d.reason, d.headers,
       case when d.is_text then convert_from(d.body, 'UTF8') else encode(d.body, 'escape') end as body,
       d.source
from amends.dead_letter d;
comment on view amends.dead_letters is
    'Messages that could not be used. body is the text as it came, or escaped when it is no text.';

-- Sagas that an operator must look at.
create view amends.stuck as
select s.id, s.definition, s.version, s.key, s.step, s.error, s.started_at, s.updated_at,
       k.since as stuck_since
from amends.stuck_saga k
join amends.sagas s on s.id = k.saga_id;
