select amends.make_periods(make_interval(secs => $1)) as "made!"
