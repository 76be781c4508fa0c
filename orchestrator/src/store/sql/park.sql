with parked as (
    insert into amends.act (saga_id, act, step, outcome, reason, actor, seen)
    select p.saga_id, 'reply', p.id, p.body::json, 'of a version that the receiver does not know',
           p.service, 0
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as p (saga_id, id, body, service)
)
insert into amends.timer as old (saga_id, due_at)
select distinct p.saga_id, clock_timestamp() from unnest($1::uuid[]) as p (saga_id)
on conflict (saga_id) do update set due_at = least(old.due_at, excluded.due_at)
