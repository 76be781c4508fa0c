select amends.break_lock($1, $2) as "id!"
