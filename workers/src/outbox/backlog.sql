select waiting as "waiting!", oldest_seconds as "oldest_seconds!" from amends_barrier.relay_backlog()
