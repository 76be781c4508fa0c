select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
       (select coalesce(sum(n_tup_upd), 0)::bigint from pg_stat_user_tables where schemaname = 'amends'),
       (select coalesce(sum(n_tup_hot_upd), 0)::bigint from pg_stat_user_tables where schemaname = 'amends'),
       (select coalesce(sum(s.calls), 0)::bigint
        from pg_stat_statements s join pg_database d on d.oid = s.dbid
        where d.datname = current_database())
