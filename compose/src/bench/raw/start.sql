with started as (
    insert into bench_raw.saga (id, started_at, status, input)
    select id, now(), 'running', $2::text::json from unnest($1::uuid[]) id
)
insert into bench_raw.turn (saga_id, seq, next)
select id, 0, $2::text::json from unnest($1::uuid[]) id
