insert into bench_raw.turn (saga_id, seq, output, next)
select id, $3::integer, $2::text::json, $2::text::json from unnest($1::uuid[]) id
