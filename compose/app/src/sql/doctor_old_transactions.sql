select who as "who!", extract(epoch from clock_timestamp() - since)::double precision as "seconds!"
from (
    select format('process %s of %s (%s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), a.backend_type)),
           a.xact_start
    from pg_stat_activity a
    where a.backend_xmin is not null or a.backend_xid is not null
    union all
    select format('prepared transaction %s of %s', p.gid, p.owner), p.prepared
    from pg_prepared_xacts p
) as old (who, since)
where since is not null
order by since
limit 1
