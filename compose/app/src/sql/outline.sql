select amends.outline($1, $2)::text as outline
