select m.id, m.at, m.saga_id, coalesce(a.act, m.kind) as "act!", a.step, a.outcome::text,
       coalesce(a.reason, m.reason, '') as "reason!", a.actor as "actor?", a.seen as "seen?",
       a.exact as "exact?", m.amends_id, m.service, m.body::text
from amends.mailbox m
left join amends.act a on a.id = any(array[m.id])
where m.saga_id = any($1::uuid[])
order by m.id
