insert into amends.dead_letter (source, subject, reason, headers, is_text, body)
select l.source, l.subject, l.reason, l.headers::json, l.is_text, l.body
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::bytea[])
    as l (source, subject, reason, headers, is_text, body)
on conflict (source) do nothing
returning source
