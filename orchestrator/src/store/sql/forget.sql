select amends.forget(make_interval(secs => $1)) as "rows!"
