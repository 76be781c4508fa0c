select pg_try_advisory_lock(hashtextextended('amends ' || $1, 0)) as "leads!"
