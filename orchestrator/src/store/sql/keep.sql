-- Kept once for each step and key that this program knows of. A version that it does not know may wait
-- for the event too, as long as it may have sagas.
with foreign_version as (
    select exists (
        select from amends.definition d
        where d.name = $1 and not d.version = any($2::integer[]) and exists (
            select from json_array_elements(d.outline -> 'steps') s
            where s -> 'task' -> 'event' ->> 'subject' = $3)
        and (d.retired_at is null or exists (
            select from amends.timer t
            join amends.saga s on s.id = any(array[t.saga_id])
            where s.definition = d.name and s.version = d.version))
    ) as known_elsewhere
), kept as (
    insert into amends.event (matcher, key, source, body)
    select e.matcher, e.key, e.source, e.body::json
    from unnest($4::text[], $5::text[], $6::text[], $7::text[]) as e (matcher, key, source, body)
    on conflict (source, matcher, key) do nothing
)
select known_elsewhere as "known_elsewhere!" from foreign_version
