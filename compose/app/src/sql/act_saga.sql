select saga_id as "saga!" from amends.acts where id = $1
