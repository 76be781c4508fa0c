-- The key is what the input says of it.
select amends.start($1, $2::text::json) as "id!"
