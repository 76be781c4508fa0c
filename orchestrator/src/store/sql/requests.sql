select saga_id, definition, key, input::text as "input!",
       at < clock_timestamp() - interval '1 hour' as "expired!"
from amends.start_request
where saga_id = any($1::uuid[]) and decided_at is null
