select exists (select from hotel.house where name = $1) as "known!"
