-- What operators may do to many sagas at once, and what helps them to look before.

create function amends.outline(definition text, version integer) returns json
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select d.outline from amends.definition d
    where d.name = outline.definition and d.version = outline.version;
end;
comment on function amends.outline is 'A definition''s plan as data';

create function amends.is_paused(saga uuid) returns boolean
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select coalesce((
        select f.kind = 'pause' from amends.fact f
        where f.saga_id = is_paused.saga and f.kind in ('pause', 'resume', 'cancel', 'undo')
        order by f.seq desc limit 1), false);
end;
comment on function amends.is_paused is
    'Whether an operator holds a saga, also one that is stuck';

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
comment on function amends.error_is_like is
    'Whether an error, of the saga or the last that a step of it met, is like this pattern of LIKE';

-- Sagas that wait for the decision of another act are left out. A call or a nested saga that may still
-- answer is skipped and resolved by an act on one saga only.
create function amends.candidates(
    act text, definition text, step text, error_like text, max integer
) returns setof uuid
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select o.id
    from amends.open_sagas o
    where (candidates.definition is null or o.definition = candidates.definition)
      and not exists (select from amends.mailbox m where m.saga_id = o.id)
      and case candidates.act
          when 'pause' then o.status in ('running', 'compensating', 'queued')
          when 'resume' then o.status = 'paused' or (o.status = 'stuck' and amends.is_paused(o.id))
          when 'retry' then o.status in ('running', 'compensating')
              or (o.status = 'stuck' and not amends.is_paused(o.id))
          when 'cancel' then amends.turned_by(o.id) is null
          else candidates.act in ('skip', 'resolve')
      end
      and (candidates.act in ('pause', 'resume') and candidates.step is null or (
          select case candidates.act
              when 'retry' then bool_or(t.is_asked_for and t.can_be_repeated)
                  -- nothing was given up: it is the saga's output that could not be computed
                  or (candidates.step is null and o.status = 'stuck' and not bool_or(t.turned)
                      and not bool_or('given up' in (t.action, t.undo)))
              when 'skip' then bool_or(t.is_asked_for and (
                  t.undo in ('backoff', 'given up')
                  or t.action in ('backoff', 'given up')
                      and (t.kind = 'retriable' or t.task = 'delay')
                  or t.action = 'pending'
                      and (t.task = 'delay' or t.task = 'event' and t.kind = 'retriable')))
              when 'resolve' then bool_or(t.is_asked_for and (
                  t.undo in ('backoff', 'given up') or t.undo = 'pending' and t.task = 'call'
                  or t.action in ('backoff', 'given up')
                  or t.action = 'pending' and t.task <> 'saga'))
              else bool_or(t.is_asked_for and (candidates.step is null or t.is_under_way))
                  -- behind the pivot, or while it is decided, there is no way back
                  and (candidates.act <> 'cancel' or not bool_or(
                      t.kind <> 'compensatable'
                      and t.action not in ('idle', 'repeated', 'rejected')))
          end
          from (
              select t.*,
                     candidates.step is null or t.step = candidates.step as is_asked_for,
                     t.action in ('backoff', 'given up') and not t.turned
                         or t.undo in ('backoff', 'given up') and t.kind = 'compensatable'
                         as can_be_repeated,
                     t.status in ('running', 'waiting', 'pending', 'compensating', 'unknown', 'stuck')
                         as is_under_way
              from amends.standing(o.id) t
          ) t))
      and (error_like is null or amends.error_is_like(o.id, candidates.step, error_like))
    order by o.id
    limit max;
end;
comment on function amends.candidates is
    'The sagas that amends.retry_all and the like would act on, oldest first: a look before the act';

create function amends.note_acts(
    act text, definition text, step text, error_like text, max integer, outcome json, reason text
) returns table (saga uuid, act_id bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform amends.begin_act(note_acts.reason);
    if max is null or max not between 1 and 10000 then
        raise exception 'say for how many sagas at most: 1 to 10000'
            using errcode = 'invalid_parameter_value';
    end if;
    if note_acts.act in ('skip', 'resolve') and step is null then
        raise exception '% needs a step', note_acts.act using errcode = 'invalid_parameter_value';
    end if;
    return query
    with chosen as (
        select c.id, coalesce((select max(f.seq) + 1 from amends.fact f where f.saga_id = c.id), 0) as facts
        from amends.candidates(note_acts.act, definition, note_acts.step, error_like, note_acts.max)
            as c (id)
    ), numbered as materialized (
        -- One that moves on at this moment is left out: it is not as it was chosen.
        select c.id, c.facts, amends.ask(nextval('amends.act_id'), c.id, c.facts, note_acts.act,
                                         note_acts.step, note_acts.reason) as act
        from (select * from chosen order by chosen.id) c
    ), noted as (
        insert into amends.act as a (id, saga_id, act, step, outcome, reason, actor, seen)
        select n.act, n.id, note_acts.act,
               case when note_acts.act in ('skip', 'resolve') then note_acts.step end,
               note_acts.outcome, note_acts.reason, amends.actor(), n.facts
        from numbered n
        where n.act is not null
        returning a.saga_id, a.id
    ), posted as (
        insert into amends.mailbox (id, saga_id, kind) select n.id, n.saga_id, 'act' from noted n
    ), free as (
        -- Waiting for turns that are under way, with so many rows locked, would be a deadlock. What is
        -- skipped here is woken by the orchestrator: it looks for acts that nobody decides.
        select t.saga_id from amends.timer t join noted n on n.saga_id = t.saga_id
        for update of t skip locked
    ), woken as (
        update amends.timer t set due_at = least(t.due_at - interval '1 us', clock_timestamp())
        from free where free.saga_id = t.saga_id
    )
    select n.saga_id, n.id from noted n order by n.id;
end
$$;
comment on function amends.note_acts is 'Notes an act on many sagas, and wakes them';

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
    'amends.skip where this step is stuck, waits to be repeated, or waits for a time or an event, if it may be skipped; like amends.retry_all otherwise';

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
    'amends.cancel for sagas that can still turn back; like amends.retry_all otherwise';

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
