with started as (
    insert into amends.saga
        (id, definition, version, key, trace, input, started_at, status, error, finished_at, parent,
         parent_step)
    select s.id, s.definition, s.version, s.key, s.trace, s.input::json, s.started_at, s.status,
           s.error::json, s.finished_at, s.parent, s.parent_step
    from unnest($10::uuid[], $11::text[], $12::integer[], $13::text[], $14::text[], $15::text[],
                $16::timestamptz[], $17::text[], $18::text[], $19::timestamptz[], $20::uuid[],
                $21::text[])
        as s (id, definition, version, key, trace, input, started_at, status, error, finished_at,
              parent, parent_step)
), keyed as (
    insert into amends.business_key (saga_id, digest, key, definition)
    select s.id, s.digest, s.key, s.definition
    from unnest($10::uuid[], $24::bytea[], $13::text[], $11::text[]) as s (id, digest, key, definition)
    where s.key is not null
), armed as (
    insert into amends.timer (saga_id, due_at)
    select t.saga_id, coalesce(t.due_at, 'infinity')
    from unnest($22::uuid[], $23::timestamptz[]) as t (saga_id, due_at)
)
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.next::json
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, next)
