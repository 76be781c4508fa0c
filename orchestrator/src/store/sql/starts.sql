with started as (
    insert into amends.saga
        (id, definition, version, key, trace, input, started_at, status, error, finished_at, parent,
         parent_step)
    select s.id, s.definition, s.version, s.key, s.trace, s.input::json, s.started_at, s.status,
           s.error::json, s.finished_at, s.parent, s.parent_step
    from unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[],
                $7::timestamptz[], $8::text[], $9::text[], $10::timestamptz[], $11::uuid[],
                $12::text[])
        as s (id, definition, version, key, trace, input, started_at, status, error, finished_at,
              parent, parent_step)
    where amends.check_starts($2, $3, $11)
), keyed as (
    insert into amends.business_key (saga_id, digest, key, definition)
    select s.id, s.digest, s.key, s.definition
    from unnest($1::uuid[], $13::bytea[], $4::text[], $2::text[]) as s (id, digest, key, definition)
    where s.key is not null
), armed as (
    insert into amends.timer (saga_id, due_at)
    select t.saga_id, coalesce(t.due_at, 'infinity')
    from unnest($14::uuid[], $15::timestamptz[]) as t (saga_id, due_at)
)
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.sent, f.next::json
from unnest($16::uuid[], $17::integer[], $18::integer[], $19::timestamptz[], $20::text[], $21::text[],
            $22::text[], $23::text[], $24::text[], $25::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
