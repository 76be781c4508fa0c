select amends.drop_period(make_interval(secs => $1)) as "dropped!"
