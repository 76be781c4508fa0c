with decided as (
    delete from amends.replay_request r where r.act_id = $1
    returning r.act_id, r.letter_id
), noted as (
    insert into amends.act_decision (act_id, accepted, answer)
    select d.act_id, $2::text is null, $2 from decided d
    returning at
)
update amends.dead_letter d set settled_at = noted.at
from decided, noted
where d.id = any(array[decided.letter_id]) and $2::text is null
