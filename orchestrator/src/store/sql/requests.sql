select saga_id, definition, key, input::text as "input!"
from amends.start_request
where saga_id = any($1::uuid[]) and decided_at is null
