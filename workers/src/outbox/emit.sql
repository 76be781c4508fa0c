select amends_barrier.emit($1, $2, $3::text::json) as "id!"
