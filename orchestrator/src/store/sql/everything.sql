with started as (
    insert into amends.saga
        (id, definition, version, key, trace, input, started_at, status, error, finished_at)
    select s.id, s.definition, s.version, s.key, s.trace, s.input::json, s.started_at, s.status,
           s.error::json, s.finished_at
    from unnest($10::uuid[], $11::text[], $12::integer[], $13::text[], $14::text[], $15::text[],
                $16::timestamptz[], $17::text[], $18::text[], $19::timestamptz[])
        as s (id, definition, version, key, trace, input, started_at, status, error, finished_at)
), changed as (
    update amends.saga s
    set status = c.status, finished_at = c.finished_at,
        -- a saga that goes on, or went well, has no error any more
        error = case when c.status in ('running', 'completed') then null
                     else coalesce(c.error::json, s.error) end
    from unnest($22::uuid[], $23::text[], $24::text[], $25::timestamptz[])
        as c (id, status, error, finished_at)
    where s.id = c.id
), armed as (
    insert into amends.timer (saga_id, due_at)
    select t.saga_id, coalesce(t.due_at, 'infinity')
    from unnest($20::uuid[], $21::timestamptz[]) as t (saga_id, due_at)
    on conflict (saga_id) do update set due_at = excluded.due_at
), decided as (
    update amends.act a
    set decided_at = clock_timestamp(), accepted = d.accepted, answer = d.answer
    from unnest($27::bigint[], $28::boolean[], $29::text[]) as d (id, accepted, answer)
    where a.id = d.id
), disarmed as (
    delete from amends.timer t using unnest($26::uuid[]) as d (saga_id)
    where t.saga_id = d.saga_id
)
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.next::json
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, next)
