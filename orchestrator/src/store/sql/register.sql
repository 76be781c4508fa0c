with registered as (
    insert into amends.definition (name, version, digest, outline)
    values ($1, $2, $3, $4::text::json)
    on conflict (name, version) do nothing
    returning name, version
), steps as (
    insert into amends.definition_step (name, version, position, step, service, operation, kind,
         task)
    select r.name, r.version, s.position, s.step, s.service, s.operation, s.kind, s.task
    from registered r,
         unnest($5::integer[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
             as s (position, step, service, operation, kind, task)
)
select coalesce(
    (select $3 from registered),
    (select digest from amends.definition where name = $1 and version = $2)
) as digest
