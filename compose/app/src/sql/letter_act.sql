select case $2::text
    when 'replay' then amends.replay($1, $3)
    when 'discard' then amends.discard($1, $3)
end as "id!"
