-- Kept once, and only by a program that knows each version which may wait for it.
with foreign_version as (
    select exists (
        select from amends.definition d
        where d.name = $1 and not d.version = any($2::integer[]) and exists (
            select from json_array_elements(d.outline -> 'steps') s
            where s -> 'task' -> 'event' ->> 'subject' = $3)
    ) as known_elsewhere
), kept as (
    insert into amends.event (matcher, key, source, body)
    select e.matcher, e.key, e.source, e.body::json
    from unnest($4::text[], $5::text[], $6::text[], $7::text[]) as e (matcher, key, source, body),
         foreign_version
    where not foreign_version.known_elsewhere
    on conflict (source, matcher) do nothing
)
select known_elsewhere as "known_elsewhere!" from foreign_version
