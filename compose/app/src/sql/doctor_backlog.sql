select waiting as "waiting!", oldest_seconds as "seconds!" from amends_barrier.relay_backlog()
