select coalesce(r.rolname::text, 'every login') as "login!"
from pg_db_role_setting s
left join pg_roles r on r.oid = s.setrole
where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
  and s.setconfig && array['synchronous_commit=off', 'synchronous_commit=false']
order by 1
