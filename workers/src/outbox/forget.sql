select amends_barrier.relay_forget(make_interval(secs => $1), $2) as "gone!"
