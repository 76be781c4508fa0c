select saga as "saga!" from amends.pass_locks($1::uuid[]) as p (saga)
