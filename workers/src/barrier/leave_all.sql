select count(amends_barrier.leave(i.id, i.reply::json)::text)
from unnest($1::text[], $2::text[]) as i (id, reply)
