-- Dead letters are kept up to a bound for each kind, and beyond it counted: whoever publishes rubbish fills
-- no disk, and hides nobody else's letters.

create function amends.letter_bytes(headers json, body bytea) returns bigint
    language sql immutable parallel safe
    return octet_length(headers::text) + coalesce(octet_length(body), 0);
comment on function amends.letter_bytes is 'What a dead letter counts for, of the bytes that its kind may have';

-- The counter is what most statements look at. Whoever settles a letter leaves it alone, as an operator's
-- open transaction must not hold up the burial of others: where it says that a kind is full the open letters
-- are counted, once a second at most.
create function amends.bury(
    sources text[], subjects text[], kinds text[], reasons text[], headers text[], are_text boolean[],
    bodies bytea[]
) returns table (source text, is_kept boolean)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    letters_max constant integer := 1000;
    bytes_max constant bigint := 64 * 1024 * 1024;
    kinds_max constant integer := 1000;
    -- what an index can hold
    of_subjects text[] := array(
        select left(u.subject, 256) from unnest(subjects) with ordinality u (subject, n) order by u.n);
    ids bigint[];
    needed bigint;
begin
    if exists (
        select from unnest(of_subjects, kinds) u (subject, kind)
        where not exists (select from amends.letter_kind k where k.subject = u.subject and k.kind = u.kind)
    ) then
        -- One row takes the kinds that there is no room for.
        insert into amends.letter_kind (subject, kind)
        (select distinct u.subject, u.kind from unnest(of_subjects, kinds) u (subject, kind)
         where not exists (select from amends.letter_kind k where k.subject = u.subject and k.kind = u.kind)
         order by u.subject, u.kind
         limit greatest(kinds_max - (select count(*) from amends.letter_kind), 0))
        union all
        select '>', 'other kinds'
        on conflict do nothing;
    end if;
    select array_agg(coalesce(k.id, other.id) order by u.n),
           sum(amends.letter_bytes(u.headers::json, u.body))
    into ids, needed
    from unnest(of_subjects, kinds, headers, bodies) with ordinality u (subject, kind, headers, body, n)
    left join amends.letter_kind k on k.subject = u.subject and k.kind = u.kind
    left join amends.letter_kind other on k.id is null and other.subject = '>' and other.kind = 'other kinds';
    perform from amends.letter_kind k where k.id = any(ids) order by k.id for no key update;
    update amends.letter_kind k
    set (open, bytes) = (
            select count(*), coalesce(sum(amends.letter_bytes(d.headers, d.body)), 0)
            from amends.dead_letter d where d.kind_id = k.id and d.settled_at is null),
        counted_at = clock_timestamp()
    where k.id = any(ids) and k.counted_at < clock_timestamp() - interval '1 s'
      and (k.open + cardinality(ids) > letters_max or k.bytes + needed > bytes_max);
    return query
    with letter as materialized (
        select distinct on (l.source) l.*, amends.letter_bytes(l.headers::json, l.body) as size
        from unnest(sources, subjects, reasons, headers, are_text, bodies, ids) with ordinality
            as l (source, subject, reason, headers, is_text, body, kind_id, n)
        where not exists (select from amends.dead_letter d where d.source = l.source)
        order by l.source, l.n
    ), placed as materialized (
        select l.*,
               l.body is not null
                   and k.open + row_number() over kind <= letters_max
                   and k.bytes + sum(l.size) over kind <= bytes_max as fits
        from letter l
        join amends.letter_kind k on k.id = l.kind_id
        window kind as (partition by l.kind_id order by l.n)
    ), kept as (
        insert into amends.dead_letter as d (source, subject, reason, headers, is_text, body, kind_id)
        select p.source, p.subject, p.reason, p.headers::json, p.is_text, p.body, p.kind_id
        from placed p
        where p.fits
        order by p.n
        on conflict do nothing
        returning d.source
    ), counted as (
        update amends.letter_kind k
        set open = k.open + c.kept, bytes = k.bytes + c.bytes, dropped = k.dropped + c.dropped,
            last_at = clock_timestamp(),
            first_dropped_at = coalesce(k.first_dropped_at, case when c.dropped > 0 then clock_timestamp() end),
            last_dropped_at = case when c.dropped > 0 then clock_timestamp() else k.last_dropped_at end,
            first_dropped = coalesce(k.first_dropped, c.first_dropped),
            last_dropped = coalesce(c.last_dropped, k.last_dropped)
        from (
            select p.kind_id,
                   count(t.source) as kept,
                   coalesce(sum(p.size) filter (where t.source is not null), 0) as bytes,
                   count(*) filter (where not p.fits) as dropped,
                   (array_agg(p.source order by p.n) filter (where not p.fits))[1] as first_dropped,
                   (array_agg(p.source order by p.n desc) filter (where not p.fits))[1] as last_dropped
            from placed p
            left join kept t on t.source = p.source
            group by p.kind_id
        ) c
        where k.id = c.kind_id
    )
    select t.source, true from kept t
    union all
    select p.source, false from placed p where not p.fits;
end
$$;
comment on function amends.bury is
    'Keeps dead letters, but only counts those of a kind of which 1,000 are open or 64 MiB, and those without a body. Returns those that are new, and whether they are kept';
