select status as "status!" from amends.sagas where id = $1
