select subject as "subject!", kind as "kind!", letters as "letters!", first_at as "first_at!",
       last_at as "last_at!", first_source as "first_source!", last_source as "last_source!"
from amends.dropped_letters
where $1::text is null or subject ~ $1
order by last_at desc, subject, kind
