select amends.reinstate($1, $2, $3)
