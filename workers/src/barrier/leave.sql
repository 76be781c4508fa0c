select amends_barrier.leave($1, $2::text::json)::text as done
