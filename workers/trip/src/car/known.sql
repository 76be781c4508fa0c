select exists (select from car.fleet where class = $1) as "known!"
