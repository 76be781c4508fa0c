with ended as (
    update bench_raw.saga s set status = 'completed', finished_at = now()
    from unnest($1::uuid[]) e (id) where s.id = e.id
)
insert into bench_raw.turn (saga_id, seq, output)
select id, 3, $2::text::json from unnest($1::uuid[]) id
