//! What a login may do in the schemas, beside what it needs there.
//!
//! What is needed stands in one place, where it is granted: `schema.sql` has each grant that the migrations make to
//! a role, and [`BARRIER`] is what is granted to the logins of services.

use std::collections::BTreeSet;

use sqlx::{Error, FromRow};

use crate::{
    Database, Right, Role,
    grants::{BARRIER, schemas},
};

/// What the migrations make.
const SCHEMA: &str = include_str!("../schema.sql");

/// The schemas of Amends, in which nobody has a right who was not granted it.
const OURS: [&str; 2] = ["amends", "amends_barrier"];

/// A login, and the roles whose rights it has.
const LOGIN: &str = "
with recursive member as (
    select r.oid from pg_roles r where r.rolname = $1
    union
    select a.roleid from pg_auth_members a join member m on m.oid = a.member
)
select r.rolsuper as superuser,
       array(select m.rolname::text from pg_roles m join member using (oid) order by 1) as roles,
       array(select n.nspname::text from pg_namespace n join member m on m.oid = n.nspowner
             where n.nspname !~ '^pg_' order by 1) as owns,
       array(select n.nspname::text from pg_namespace n
             where n.nspname !~ '^pg_' and has_schema_privilege(r.oid, n.oid, 'usage') order by 1) as uses
from pg_roles r
where r.rolname = $1";

/// What a login may do that no part of Amends needs.
const POWERS: &str = "
select p.power
from pg_roles r
cross join lateral (values
    (r.rolsuper, 'superuser'),
    (r.rolcreaterole, 'createrole'),
    (r.rolcreatedb, 'createdb'),
    (r.rolreplication, 'replication'),
    (r.rolbypassrls, 'bypassrls'),
    (has_database_privilege(r.oid, current_database(), 'create'), 'create in this database')
) as p (has, power)
where r.rolname = $1 and p.has
union all
select 'create in the schema ' || n.nspname
from pg_roles r
cross join pg_namespace n
where r.rolname = $1 and n.nspname = any($2) and has_schema_privilege(r.oid, n.oid, 'create')
union all
select 'owner of ' || n.nspname || '.' || c.relname
from pg_roles r
cross join pg_class c
join pg_namespace n on n.oid = c.relnamespace
where r.rolname = $1 and n.nspname = any($2) and c.relkind in ('r', 'p', 'v', 'S')
  and pg_has_role(r.oid, c.relowner, 'usage')
union all
select 'member of ' || m.rolname
from pg_roles r
cross join pg_roles m
where r.rolname = $1 and pg_has_role(r.oid, m.oid, 'member')
  and m.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                    'pg_signal_backend', 'pg_write_all_data')";

/// What it may do with what is in these schemas, whoever granted it; nothing where it may not use the schema. A
/// partition counts as its table, as rights on that are enough.
const HELD: &str = "
with login as (select oid from pg_roles where rolname = $1),
used as (
    select n.oid, n.nspname
    from login l
    cross join pg_namespace n
    where n.nspname = any($2) and has_schema_privilege(l.oid, n.oid, 'usage')
)
select 'usage on schema ' || n.nspname
from used n
union
select v.verb || ' on ' || n.nspname || '.' || coalesce(w.relname, c.relname)
from login l
cross join pg_class c
join used n on n.oid = c.relnamespace
left join pg_inherits i on i.inhrelid = c.oid and c.relispartition
left join pg_class w on w.oid = i.inhparent
cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as v (verb)
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and case when v.verb in ('delete', 'truncate') then has_table_privilege(l.oid, c.oid, v.verb)
      else has_any_column_privilege(l.oid, c.oid, v.verb) end
union
select v.verb || ' on sequence ' || n.nspname || '.' || c.relname
from login l
cross join pg_class c
join used n on n.oid = c.relnamespace
cross join unnest(array['select', 'usage', 'update']) as v (verb)
where c.relkind = 'S' and has_sequence_privilege(l.oid, c.oid, v.verb)
union
select 'execute on function ' || n.nspname || '.' || p.proname
       || '(' || pg_get_function_identity_arguments(p.oid) || ')'
from login l
cross join pg_proc p
join used n on n.oid = p.pronamespace
where has_function_privilege(l.oid, p.oid, 'execute')";

/// What the worker of a service does with the tables of its schema.
const WORK: &str = "
select 'usage on schema ' || n.nspname from pg_namespace n where n.nspname = $1
union all
select v.verb || ' on ' || case c.relkind when 'S' then 'sequence ' else '' end || n.nspname || '.' || c.relname
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join unnest(case
    when c.relkind = 'S' then array['usage']
    when c.relname = '_migrations' then array['select']
    else array['select', 'insert', 'update', 'delete']
end) as v (verb)
where n.nspname = $1 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not c.relispartition";

/// A login of the server, as this database sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Login {
    /// Whether it may do anything.
    pub superuser: bool,
    /// The roles of Amends that it is a member of.
    pub roles: Vec<Role>,
    /// The schemas that it owns.
    pub owns: Vec<String>,
    /// The schemas that it may use, those of Postgres left out.
    pub uses: Vec<String>,
}

/// What a login may do, beside what it needs: each in words, such as `select on amends.saga`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Privileges {
    /// What no part of Amends needs: to be a superuser, to make roles, to own tables of Amends, and the like.
    pub powers: Vec<String>,
    /// What it has and does not need.
    pub surplus: Vec<String>,
    /// What it needs and has not.
    pub missing: Vec<String>,
}

#[derive(FromRow)]
struct LoginRow {
    superuser: bool,
    roles: Vec<String>,
    owns: Vec<String>,
    uses: Vec<String>,
}

impl Login {
    /// The login of this name; none where there is no such.
    ///
    /// # Errors
    /// The database's.
    pub async fn find(database: &Database, name: &str) -> Result<Option<Self>, Error> {
        let row = sqlx::query_as(LOGIN).bind(name).fetch_optional(database).await?;
        Ok(row.map(|LoginRow { superuser, roles, owns, uses }| {
            let is_in = |role: &Role| roles.iter().any(|name| name == role.name());
            Self { superuser, roles: Role::ALL.into_iter().filter(is_in).collect(), owns, uses }
        }))
    }
}

impl Privileges {
    /// Those of a login that is for all of this, and for nothing else: nor has it a right in these other schemas.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(
        database: &Database,
        login: &str,
        rights: &[Right],
        others: &[String],
    ) -> Result<Self, Error> {
        let there = schemas(database).await?;
        let ours = OURS.map(str::to_owned);
        let mut needed = BTreeSet::new();
        let mut looked: Vec<_> = ours.iter().chain(others).cloned().collect();
        for right in rights {
            needed.extend(needed_in_ours(right));
            if let Some(schema) = right.schema() {
                looked.push(schema.to_owned());
                let work = sqlx::query_scalar::<_, String>(WORK).bind(schema);
                needed.extend(work.fetch_all(database).await?);
            }
        }
        let powers = sqlx::query_scalar(POWERS).bind(login).bind(ours.as_slice());
        let held = sqlx::query_scalar::<_, String>(HELD).bind(login).bind(&looked);
        let held = held.fetch_all(database).await?;
        let held: BTreeSet<_> = held.into_iter().map(without_paths).collect();
        let own = |schema: &str| rights.iter().any(|right| right.schema() == Some(schema));
        let everybody: BTreeSet<_> = granted(SCHEMA, "public").collect();
        let surplus = held.iter().filter(|held| !is_covered(held, &needed)).filter(|held| {
            // A service may do what it likes in its own schema, and the list of what was migrated is no secret.
            let is_list = held.starts_with("select on ") && held.ends_with("._migrations");
            !own(schema_of(held)) && !is_list && !everybody.contains(*held)
        });
        let missing = needed.iter().filter(|needed| {
            // A participant's database has no schema of the orchestrator, nor the other way round.
            there.iter().any(|schema| schema == schema_of(needed)) && !covers(&held, needed)
        });
        Ok(Self {
            powers: powers.fetch_all(database).await?,
            surplus: surplus.cloned().collect(),
            missing: missing.cloned().collect(),
        })
    }
}

/// Postgres names the schema of an argument's type only where the search path of a session does not lead to it.
fn without_paths(right: String) -> String {
    match right.split_once('(') {
        None => right,
        Some((function, arguments)) => {
            let unnamed = OURS.iter().fold(arguments.to_owned(), |arguments, schema| {
                arguments.replace(&format!(" {schema}."), " ")
            });
            format!("{function}({unnamed}")
        }
    }
}

/// What a right needs in the schemas of Amends.
fn needed_in_ours(right: &Right) -> Vec<String> {
    match right {
        // A right on a partition is that on its table.
        Right::Role(role) => {
            granted(SCHEMA, role.name()).filter(|held| !held.ends_with("_default")).collect()
        }
        Right::Participant(_) => granted(BARRIER, LOGIN_IN_BARRIER).collect(),
    }
}

/// Where the login stands in [`BARRIER`].
const LOGIN_IN_BARRIER: &str = "%1$I";

/// What the statements of a text grant to somebody, one by one.
fn granted<'a>(text: &'a str, grantee: &'a str) -> impl Iterator<Item = String> + 'a {
    let statements = text.split(';').filter_map(move |statement| {
        // A block of `schema.sql` ends with them.
        let (verbs, rest) = statement.trim().strip_prefix("grant ")?.split_once(" on ")?;
        let (objects, to) = rest.rsplit_once(" to ")?;
        (to.trim() == grantee).then(|| (listed(verbs), kind_and_names(objects)))
    });
    statements.flat_map(|(verbs, (kind, names))| {
        let of = move |verb: String| {
            names.clone().into_iter().map(move |name| format!("{verb} on {kind}{name}"))
        };
        verbs.into_iter().flat_map(of).map(without_paths).collect::<Vec<_>>()
    })
}

/// `function a, b` as `function ` and its names.
fn kind_and_names(objects: &str) -> (&'static str, Vec<String>) {
    for kind in ["function ", "sequence ", "schema "] {
        if let Some(names) = objects.trim().strip_prefix(kind) {
            return (kind, listed(names));
        }
    }
    ("", listed(objects))
}

/// What commas part, but for those of a function's arguments.
fn listed(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_usize);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// The schema that a privilege is about.
fn schema_of(privilege: &str) -> &str {
    let object = privilege.split_once(" on ").map_or(privilege, |(_, object)| object);
    let name = ["function ", "sequence ", "schema "]
        .into_iter()
        .find_map(|kind| object.strip_prefix(kind))
        .unwrap_or(object);
    name.split('.').next().unwrap_or(name)
}

/// Whether somebody who has these has this one; a function that is named without arguments is any of its name.
fn covers(held: &BTreeSet<String>, needed: &str) -> bool {
    held.contains(needed)
        || (needed.contains(" on function ")
            && held.iter().any(|held| held.split('(').next() == Some(needed)))
}

/// Whether one that is held is among those that are needed.
fn is_covered(held: &str, needed: &BTreeSet<String>) -> bool {
    needed.contains(held) || held.split_once('(').is_some_and(|(name, _)| needed.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_is_read_from_where_it_is_granted() {
        let viewer = needed_in_ours(&Right::Role(Role::Viewer));
        assert!(viewer.contains(&"usage on schema amends".to_owned()), "{viewer:?}");
        assert!(viewer.contains(&"select on amends.sagas".to_owned()), "{viewer:?}");
        assert!(!viewer.iter().any(|held| held.contains("amends.start(")), "{viewer:?}");
        let operator = needed_in_ours(&Right::Role(Role::Operator));
        let start = "execute on function amends.start(definition text, input json, key text)";
        assert!(operator.contains(&start.to_owned()), "{operator:?}");
        let orchestrator = needed_in_ours(&Right::Role(Role::Orchestrator));
        assert!(orchestrator.contains(&"delete on amends.timer".to_owned()), "{orchestrator:?}");
        assert!(orchestrator.contains(&"usage on sequence amends.act_id".to_owned()));
        let service = needed_in_ours(&Right::Participant(crate::Participant::default()));
        assert!(service.contains(&"usage on schema amends_barrier".to_owned()), "{service:?}");
        assert!(service.contains(&"execute on function amends_barrier.enter".to_owned()));
    }

    #[test]
    fn a_function_named_alone_is_any_of_its_name() {
        let held: BTreeSet<_> = ["execute on function a.f(x text, y json)".to_owned()].into();
        assert!(covers(&held, "execute on function a.f"));
        assert!(!covers(&held, "execute on function a.g"));
        let needed: BTreeSet<_> = ["execute on function a.f".to_owned()].into();
        assert!(is_covered("execute on function a.f(x text, y json)", &needed));
        assert!(!is_covered("execute on function a.ff(x text)", &needed));
        assert_eq!(schema_of("execute on function a.f(x text, y json)"), "a");
        assert_eq!(schema_of("usage on schema a"), "a");
        assert_eq!(schema_of("select on a.t"), "a");
    }
}
