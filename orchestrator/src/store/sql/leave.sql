update amends.leader set holder = null
where place = encode(sha256(convert_to($1, 'UTF8')), 'hex') and holder = $2
