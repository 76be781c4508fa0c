insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
select f.saga_id, f.seq, f.attempt, f.at, f.kind, f.step, f.op, f.detail::json, f.sent, f.next::json
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::text[])
    as f (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
