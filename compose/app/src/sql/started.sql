select accepted, answer, saga_id from amends.starts where id = $1
