select case $2::text
    when 'retry' then amends.retry($1, $5)
    when 'skip' then amends.skip($1, $3, $5)
    when 'resolve' then amends.resolve($1, $3, $4::text::json, $5)
    when 'reply' then amends.resolve($1, $3, $4::text::json, $5)
    when 'cancel' then amends.cancel($1, $5)
    when 'pause' then amends.pause($1, $5)
    when 'resume' then amends.resume($1, $5)
end as "id!"
