select accepted, answer from amends.starts where saga_id = $1
