select saga as "saga!" from amends.release_locks($1::uuid[]) as saga
