select split_part(current_setting('server_version'), ' ', 1) as "version!",
       session_user::text as "login!",
       pg_is_in_recovery() as "standby!",
       current_setting('fsync')::boolean as "fsync!",
       current_setting('full_page_writes')::boolean as "full_page_writes!",
       current_setting('synchronous_commit') as "synchronous_commit!",
       current_setting('max_connections')::bigint
           - current_setting('superuser_reserved_connections')::bigint as "places!",
       (select coalesce(sum(numbackends), 0)::bigint from pg_stat_database) as "taken!",
       pg_has_role(current_user, 'pg_read_all_stats', 'usage') as "sees_all!",
       (select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()) as tls,
       clock_timestamp() as "now!"
