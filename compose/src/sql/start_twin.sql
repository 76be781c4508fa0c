-- A saga that was there already under the key: the start named it, or the input did.
select id as "id!" from amends.sagas where key = $2 and definition = $1
