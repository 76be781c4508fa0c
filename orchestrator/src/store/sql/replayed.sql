with done as (
    update amends.letter_act a
    set done_at = case when $2::text is null then clock_timestamp() end, refusal = $2
    where a.id = $1 and a.done_at is null and a.refusal is null
    returning a.letter_id, a.done_at
)
update amends.dead_letter d set settled_at = done.done_at
from done
where d.id = any(array[done.letter_id]) and done.done_at is not null
