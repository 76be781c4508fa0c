select exists (select from amends.keys where definition = $1 and key = $2) as "taken!"
