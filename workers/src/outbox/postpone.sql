select amends_barrier.relay_postpone($1, $2, $3, $4)::text as done
