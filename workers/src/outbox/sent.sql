select amends_barrier.relay_sent($1)::text as done
