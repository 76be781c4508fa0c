select saga as "saga!" from amends.acquire_locks($1::uuid[]) as saga
