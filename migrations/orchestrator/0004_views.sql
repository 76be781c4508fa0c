-- What users read. The columns of these views are a contract; what stands behind them is not.
--
-- Payloads are a right of their own. A column that may hold one is a `case` over amends.rights, which is
-- asked once a query: whatever a query does with the column, its predicates included, it has the null. No
-- row is left out, so there is none that a predicate could see before it is.

-- Views run functions as whoever reads them, also in a view within a view. Who may read the tables is no
-- stranger to what they hold. The role may be missing: then nobody is a member.
create view amends.rights as
select coalesce(pg_has_role(to_regrole('amends_payload_reader'), 'usage'), false)
       or has_table_privilege('amends.fact'::regclass, 'select') as payloads;
comment on view amends.rights is 'What the login that asks may see';
comment on column amends.rights.payloads is
    'Whether the views show it inputs, outputs and bodies: to members of amends_payload_reader, and to whoever may read the tables';

-- Sagas ------------------------------------------------------------------------------------------

create view amends.sends as
select f.saga_id, f.seq, f.at,
       split_part(s.word, ':', 1) as step,
       coalesce(nullif(split_part(s.word, ':', 2), ''), 'action') as op,
       coalesce(nullif(split_part(s.word, ':', 3), '')::integer, 1) as attempt,
       case when (select r.payloads from amends.rights r) then s.rest -> 'input' end as input
from amends.fact f
-- side by side: the word of a sending, and what else there is to say about it
cross join lateral rows from (string_to_table(f.sent, ' '), json_array_elements(f.next -> 'sends'))
    as s (word, rest);
comment on view amends.sends is
    'What was sent: the sendings that facts tell, each as a row';

create function amends.nested_sagas(saga uuid, step text default null)
    returns table (id uuid, status text, awaited boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    with recursive below as (
        select s.id, s.status, true as awaited
        from amends.saga s
        where s.parent = nested_sagas.saga
          and (nested_sagas.step is null or s.parent_step = nested_sagas.step)
        union all
        select s.id, s.status, b.awaited and b.status not in ('completed', 'compensated')
        from below b
        join amends.saga s on s.parent = b.id
    )
    select b.id, b.status, b.awaited from below b;
end;
comment on function amends.nested_sagas is
    'The sagas that are steps of this one, or this step of it, of any depth; awaited when all that they are nested in go on';

create function amends.stuck_within(saga uuid, step text) returns setof uuid
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select n.id from amends.nested_sagas(stuck_within.saga, stuck_within.step) n
    where n.awaited and n.status = 'stuck'
    order by n.id;
end;
comment on function amends.stuck_within is
    'The stuck sagas among the one that is this step, and those that are nested in it';

create function amends.turned_by(saga uuid) returns integer
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select min(f.seq)
    from amends.saga s
    join amends.fact f on f.saga_id = s.id
    where s.id = turned_by.saga
      -- the facts of most sagas need not be read
      and (s.error is not null or s.status not in ('queued', 'running', 'completed'))
      -- nor need all of its facts be read as JSON: a word is found faster
      and case when f.next::text like '%"status":%' then
              f.next ->> 'status' in ('compensating', 'compensated')
              or f.next ->> 'status' = 'paused' and f.next -> 'error' is not null
          end;
end;
comment on function amends.turned_by is
    'The number of the fact by which a saga turned back; null when it has not';

-- Where the steps of one saga stand: its facts are folded as the orchestrator folds them, in one pass,
-- so that a list of a thousand elements is a thousand rows and not a thousand searches. A function
-- carries its plan along: a query over many sagas reads one after the other.
--
-- What happened last to an operation is a number: 16 times the fact's, and a digit, which decides
-- within a fact. The digits are 1 backoff, 2 pending, 3 given up, 4 rejected, 5 unmappable, 6 done,
-- 7 skipped, 8 reopened (a late effect must be undone once more), 9 sent.
create function amends.standing(saga uuid) returns table (
    step text, "position" integer, element integer, service text, operation text, kind text,
    task text, action text, undo text, status text, attempts integer, started_at timestamptz,
    output_in integer, error_in integer, finished_in integer, stuck_saga uuid,
    turned boolean
)
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    with about as materialized (
        select s.definition, s.version, t.turned, r.retried_action, r.retried_undo
        from amends.saga s
        cross join lateral (select amends.turned_by(s.id) as turned offset 0) t
        cross join lateral (
            select max(f.seq) as retried_undo,
                   max(f.seq) filter (where f.seq <= t.turned or t.turned is null) as retried_action
            from amends.fact f
            where f.saga_id = s.id and f.kind = 'retry'
        ) r
        where s.id = standing.saga
    ), event as (
        select f.step, f.op = 'compensation' as is_undo, f.seq::bigint * 16 + case
                   when f.kind in ('done', 'late') then 6
                   when f.kind in ('broke', 'timed_out', 'pending') then case
                       when f.next ->> 'due' is null then 3
                       when f.kind = 'pending' then 2
                       else 1
                   end
                   when f.kind = 'rejected' then 4
                   when f.kind = 'unmappable' then 5
                   else 7
               end as last,
               case when f.kind in ('omitted', 'unmappable', 'skip') then f.at end as at,
               null::integer as attempt
        from amends.fact f
        where f.saga_id = standing.saga and f.step is not null
          and f.kind in ('done', 'late', 'broke', 'timed_out', 'pending', 'rejected', 'unmappable',
                         'skip', 'omitted')
        union all
        select f.step, true, f.seq::bigint * 16 + 8, null, null
        from amends.fact f
        where f.saga_id = standing.saga and f.kind = 'late'
        union all
        select split_part(s.word, ':', 1), split_part(s.word, ':', 2) = 'compensation',
               f.seq::bigint * 16 + 9, f.at, coalesce(nullif(split_part(s.word, ':', 3), '')::integer, 1)
        from amends.fact f, string_to_table(f.sent, ' ') s (word)
        where f.saga_id = standing.saga and f.sent is not null
    ), told as (
        select e.step,
               max(e.last) filter (where not e.is_undo) as action,
               max(e.last) filter (where e.is_undo) as undo,
               bool_or(e.is_undo and e.last % 16 = 7) as undo_skipped,
               max(e.attempt) filter (where not e.is_undo) as attempts,
               max(e.attempt) filter (where e.is_undo) as undo_attempts,
               min(e.at) filter (where not e.is_undo) as started_at
        from event e
        group by e.step
    ), list as materialized (
        select f.step, json_array_length(f.detail) as elements
        from amends.fact f
        where f.saga_id = standing.saga and f.kind = 'expanded'
    ), planned as (
        -- a list is a step until its elements are known, and then they are
        select d.step, d.position, null::integer as element, d.service, d.operation, d.kind, d.task,
               l.step is not null as is_empty
        from about a
        join amends.definition_step d on d.name = a.definition and d.version = a.version
        left join list l on l.step = d.step
        where l.elements is null or l.elements = 0
        union all
        select d.step || '.' || n, d.position, n, d.service, d.operation, d.kind, d.task, false
        from about a
        join amends.definition_step d on d.name = a.definition and d.version = a.version
        join list l on l.step = d.step
        cross join generate_series(0, l.elements - 1) n
    ), last as (
        select p.*, a.turned, t.started_at, coalesce(t.attempts, 0) as attempts,
               t.undo_skipped, t.undo_attempts,
               t.action / 16 as action_in, t.action % 16 as action_last,
               t.undo / 16 as undo_in, t.undo % 16 as undo_last,
               coalesce(a.retried_action > t.action / 16, false) as action_retried,
               coalesce(a.retried_undo > t.undo / 16, false) as undo_retried
        from planned p
        cross join about a
        left join told t on t.step = p.step
        offset 0
    ), phased as (
        select l.*,
               case
                   when l.is_empty then 'done'
                   when l.action_last is null then 'idle'
                   when l.action_last = 9 then case
                       when l.task = 'call' then 'in flight'
                       when l.turned is null then 'pending'
                       when l.task = 'saga' then 'unknown'
                       else 'cancelled'
                   end
                   when l.action_last = 6 then 'done'
                   when l.action_last = 7 then 'skipped'
                   when l.action_last in (4, 5) and l.kind <> 'retriable' then 'rejected'
                   when l.action_last = 3 and l.kind = 'compensatable'
                       then case when l.task in ('call', 'saga') then 'unknown' else 'rejected' end
                   when l.action_last in (1, 2) and l.turned is not null then 'unknown'
                   when l.action_last = 2 then 'pending'
                   when l.action_retried then case
                       when l.attempts = 0 then 'idle'
                       when l.turned is not null then 'unknown'
                       else 'repeated'
                   end
                   when l.action_last = 1 then 'backoff'
                   else 'given up'
               end as action,
               case
                   when l.undo_skipped then 'skipped'
                   when l.undo_last is null then 'idle'
                   when l.undo_last = 9 then case when l.task = 'call' then 'in flight' else 'pending' end
                   when l.undo_last = 6 then 'done'
                   when l.undo_last = 2 then 'pending'
                   when l.undo_last = 8 and l.kind <> 'compensatable' then 'given up'
                   when l.undo_last = 8 and l.undo_attempts is null then 'idle'
                   when l.undo_last = 8 then 'repeated'
                   when l.undo_retried and l.kind = 'compensatable' then 'repeated'
                   when l.undo_last = 1 then 'backoff'
                   else 'given up'
               end as undo
        from last l
        offset 0
    ), nested as (
        select p.*,
               case when p.task = 'saga' and (p.action = 'pending' or p.undo = 'pending')
                   then (select w.id from amends.stuck_within(standing.saga, p.step) w (id) limit 1)
               end as stuck_saga
        from phased p
        offset 0
    )
    select n.step, n.position, n.element, n.service, n.operation, n.kind, n.task, n.action, n.undo,
           case
               when n.undo = 'skipped' then 'skipped'
               when n.undo = 'done' then 'compensated'
               when n.undo = 'given up' or n.stuck_saga is not null then 'stuck'
               when n.undo <> 'idle' then 'compensating'
               when n.action = 'idle' then 'not reached'
               when n.action = 'given up' then 'stuck'
               when n.action in ('in flight', 'backoff', 'pending', 'repeated') then case
                   when n.task in ('event', 'delay') then 'waiting'
                   when n.task = 'call' and n.action = 'pending' then 'pending'
                   else 'running'
               end
               else n.action
           end,
           n.attempts, n.started_at,
           case when n.action_last = 6 then n.action_in end,
           case
               when n.undo_last in (1, 3, 4, 7) then n.undo_in
               when n.action_last in (1, 3, 4, 5, 7) then n.action_in
           end,
           case
               when n.undo in ('done', 'skipped') then n.undo_in
               when n.undo = 'idle' and n.action in ('done', 'rejected', 'skipped') then n.action_in
           end,
           n.stuck_saga,
           n.turned is not null
    from nested n;
end;
comment on function amends.standing is
    'Where the steps of a saga stand: the phases that the orchestrator''s machine has them in, the status that amends.steps shows, and the numbers of the facts that say so';

-- In one pass over what a saga has sent, as a list may have sent a thousand by one fact. With the rights of
-- the caller, who may see inputs or not.
create function amends.inputs(saga uuid) returns table (step text, input json)
    language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select distinct on (s.step) s.step, s.input
    from amends.sends s
    where s.saga_id = inputs.saga and s.input is not null
    order by s.step, s.seq;
end;
comment on function amends.inputs is 'The inputs that the steps of a saga were sent';

create view amends.steps as
select s.id as saga_id, t.step, t.service, t.operation, t.status, t.attempts,
       -- an input of null is an input
       case when t.attempts > 0 and (select r.payloads from amends.rights r)
           then coalesce(i.input, 'null')
       end as input,
       case when (select r.payloads from amends.rights r)
           then (select f.detail from amends.fact f where f.saga_id = s.id and f.seq = t.output_in)
       end as output,
       case when t.stuck_saga is null
           then (select f.detail from amends.fact f where f.saga_id = s.id and f.seq = t.error_in)
           else (select n.error from amends.saga n where n.id = t.stuck_saga)
       end as error,
       t.started_at,
       (select f.at from amends.fact f where f.saga_id = s.id and f.seq = t.finished_in) as finished_at,
       t.task, t.position, t.element
from amends.saga s
cross join lateral amends.standing(s.id) t
left join lateral amends.inputs(s.id) i on i.step = t.step;
comment on view amends.steps is
    'All steps of a saga''s plan, the elements of lists too, with their inputs, outputs and errors; in the order of the plan by position, element';

create view amends.sagas as
select s.id, s.definition, s.version, s.key, s.status,
       -- what is under way, and of many the first
       case when s.finished_at is null then (
           select string_agg(u.step, ', ' order by u.n) filter (where u.n <= 4)
                  || case when count(*) > 4 then format(', … and %s more', count(*) - 4) else '' end
           from (
               select t.step, row_number() over (order by t.started_at, t.position, t.element) as n
               from amends.standing(s.id) t
               where t.status in
                   ('running', 'waiting', 'pending', 'compensating', 'unknown', 'stuck')
           ) u
       ) end as step,
       case when (select r.payloads from amends.rights r) then s.input end as input,
       case when s.status = 'completed' and (select r.payloads from amends.rights r) then (
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

-- Of what a saga did not write itself, codes, messages and signatures are shown to all, and of a list how many
-- elements it has.
create view amends.facts as
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op,
       case
           when (select r.payloads from amends.rights r) then f.detail
           when f.kind in ('rejected', 'broke', 'timed_out', 'unmappable', 'deadline', 'undo', 'asked', 'retry',
                           'skip', 'resolve', 'cancel', 'pause', 'resume', 'break_lock') then f.detail
           when f.kind = 'expanded' then (
               select coalesce(json_agg(null::json), '[]') from json_array_elements(f.detail))
       end as detail,
       f.sent,
       case
           when (select r.payloads from amends.rights r) then f.next
           else (
               select json_object_agg(n.key, case
                   when n.key <> 'sends' then n.value
                   else (
                       select json_agg((
                           select coalesce(json_object_agg(p.key, p.value), '{}')
                           from json_each(s.send) p where p.key in ('in', 'due')) order by s.n)
                       from json_array_elements(n.value) with ordinality s (send, n))
               end)
               from json_each(f.next) n
               where n.key in ('sends', 'due', 'status', 'error', 'event'))
       end as next
from amends.fact f;
comment on view amends.facts is 'amends.history, with all that followed from each fact';

create view amends.history as
select f.saga_id, f.seq, f.at, f.kind, f.step, f.op, f.attempt, f.detail,
       f.next ->> 'status' as status,
       (select json_agg(json_build_object('step', s.step, 'op', s.op, 'attempt', s.attempt, 'input', s.input))
        from amends.sends s
        where s.saga_id = f.saga_id and s.seq = f.seq) as sends
from amends.facts f;
comment on view amends.history is 'What happened in a saga, one row a fact';

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
    'How many sagas were started and have ended since the statistics began, for rates: two looks, and their difference. A session that is idle reports what it did up to ten seconds later';

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
select e.id, e.at, e.matcher, e.key,
       case when (select r.payloads from amends.rights r) then e.body end as body,
       e.source
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
select r.saga_id as id, coalesce(r.holder, case when r.accepted then r.saga_id end) as saga_id,
       r.definition, r.key, r.actor, r.at, r.decided_at, r.accepted, r.answer
from amends.start_request r;
comment on view amends.starts is
    'Starts that were asked for in SQL, by what amends.start returned; accepted is null until an orchestrator has decided. saga_id is the saga that began, or the one that holds the key: the same where accepted, with another input where not';

-- What people did ---------------------------------------------------------------------------------

create view amends.audit as
select a.id, a.at, a.actor, a.act, a.saga_id, a.letter_id, a.definition, a.version, a.step,
       case when a.act <> 'resolve' or (select r.payloads from amends.rights r) then a.outcome end as outcome,
       a.reason, d.at as decided_at, d.accepted, d.answer
from amends.act a
left join amends.act_decision d on d.act_id = a.id;
comment on view amends.audit is
    'All that people did: acts on sagas, dead letters, versions and keys, and what became of them; accepted is null until an orchestrator has decided';

-- The content is of the row as it is now. A row that is gone has none.
create view amends.audit_chain as
select l.number, l.kind, l.act_id,
       case
           when a.id is not null then amends.act_content(a, l.salt)
           when d.act_id is not null then amends.decision_content(d)
           when l.kind = 'forgotten' then amends.forgotten_content(l, array(
               select f.number from amends.audit_forgotten f where f.link = l.number order by f.number))
       end as content,
       l.digest, l.hash,
       case when l.act_id is not null and a.id is null and d.act_id is null
           then exists (select from amends.audit_forgotten f where f.number = l.number)
           else false
       end as is_forgotten
from amends.audit_link l
left join amends.act a on l.kind = 'act' and a.id = l.act_id
left join amends.act_decision d on l.kind = 'decision' and d.act_id = l.act_id;
comment on view amends.audit_chain is
    'The audit as a chain: digest is SHA-256 of the content, hash of the hash before it and the digest. A change of a row, of one that is gone too, changes all hashes from it on';

create view amends.unsealed_audit as
select a.id as act_id, 'act' as kind
from amends.act a
where not exists (select from amends.audit_link l where l.act_id = a.id and l.kind = 'act')
union all
select d.act_id, 'decision'
from amends.act_decision d
where not exists (select from amends.audit_link l where l.act_id = d.act_id and l.kind = 'decision');
comment on view amends.unsealed_audit is
    'Rows of the audit that came past its chain: none, unless somebody disabled the triggers';

create view amends.acts as
select a.id, a.saga_id, a.act, a.step,
       case when a.act <> 'resolve' or (select r.payloads from amends.rights r) then a.outcome end as outcome,
       a.reason, a.actor, a.at, d.at as decided_at, d.accepted, d.answer
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
-- was not undone. What was never sent has no effect.
create view amends.exposure as
select open.saga_id, s.definition, s.key, s.status as saga_status, t.step, t.service, t.operation,
       case t.status
           when 'compensating' then 'undoing'
           when 'running' then 'in flight'
           when 'stuck' then 'given up'
           else t.status
       end as status,
       clock_timestamp() - t.started_at as age,
       t.started_at,
       (select a.actor from amends.acts a where a.saga_id = open.saga_id order by a.id desc limit 1)
           as owner
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
cross join lateral amends.standing(s.id) t
where t.task in ('call', 'saga')
  and t.attempts > 0
  and t.status not in ('compensated', 'rejected')
  and (s.finished_at is null or t.undo = 'skipped');
comment on view amends.exposure is
    'Effects that are done, in flight, unknown, being undone or given up, of sagas that are not settled. owner: the operator who acted last';

-- Dead letters -----------------------------------------------------------------------------------

-- Headers are whatever a publisher sends: those of protocols say where a message belongs, all others are as much
-- its content as the body.
create view amends.letters as
select d.id, d.at, d.subject, d.reason,
       case
           when (select r.payloads from amends.rights r) then d.headers
           else (
               select coalesce(json_object_agg(h.key, h.value), '{}')
               from json_each(d.headers) h
               where h.key ~* '^(amends-.*|nats-.*|ce-(specversion|id|source|type|subject|time)|content-type|traceparent|tracestate)$')
       end as headers,
       case
           when not (select r.payloads from amends.rights r) then null
           when d.is_text then convert_from(d.body, 'UTF8')
           else encode(d.body, 'escape')
       end as body,
       d.source, d.settled_at
from amends.dead_letter d;
comment on view amends.letters is
    'Messages that could not be used, open and settled. body is the text as it came, or escaped when it is no text.';

create view amends.dead_letters as
select l.id, l.at, l.subject, l.reason, l.headers, l.body, l.source
from amends.letters l
where l.settled_at is null;
comment on view amends.dead_letters is
    'Messages that could not be used, and that nobody has settled. body is the text as it came, or escaped when it is no text.';

create view amends.settled_letters as
select l.id, l.at, l.subject, l.reason, l.headers, l.body, l.source, l.settled_at
from amends.letters l
where l.settled_at is not null;
comment on view amends.settled_letters is
    'Dead letters that were published once more or thrown away; amends.letter_acts says by whom';

create view amends.dropped_letters as
select k.subject, k.kind, k.dropped as letters, k.first_dropped_at as first_at,
       k.last_dropped_at as last_at, k.first_dropped as first_source, k.last_dropped as last_source
from amends.letter_kind k
where k.dropped > 0;
comment on view amends.dropped_letters is
    'Messages that could not be used, and were only counted, because too many of their kind are open in amends.dead_letters. The sources, <stream>:<sequence>@…, say where the first and the last of them are';
