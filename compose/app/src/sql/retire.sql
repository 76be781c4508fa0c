select amends.retire($1, $2, $3)
