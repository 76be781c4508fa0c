select id as "id!", message_id::text as "message_id!", subject as "subject!", body::text as "body!",
    attempts as "attempts!"
from amends_barrier.relay_claim($1)
