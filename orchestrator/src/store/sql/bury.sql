select b.source as "source!", b.is_kept as "is_kept!"
from amends.bury($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::bytea[]) b
