select amends.cancel($1, $2, $3) as "id!"
