-- A saga that was there already under the key: the start named it, or the input did.
select s.id as "id!"
from amends.keys k
join amends.sagas s on s.id = k.saga_id
where k.key = $2 and k.definition = $1
