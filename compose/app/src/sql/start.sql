select amends.start($1, $2::text::json, $3) as "id!"
