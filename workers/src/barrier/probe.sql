-- Whether a write would get through. Where commits wait for a standby, one is made: a record in the log and
-- nothing else.
select not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean) as "writable!",
       case when current_setting('synchronous_standby_names') <> '' and not pg_is_in_recovery()
                 and not current_setting('transaction_read_only')::boolean
            then pg_logical_emit_message(true, 'amends', 'probe')::text end as "logged?"
