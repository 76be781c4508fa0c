-- Of definitions that no replica has any more.
delete from amends.leader where at < clock_timestamp() - interval '1 day'
