select k.saga_id as "saga!" from amends.keys k where k.key = $1 and k.definition = $2
