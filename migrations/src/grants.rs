//! Rights: what the logins of people and of programs need in the schemas, and no more.

use sqlx::{AssertSqlSafe, Connection as _, Error, Executor as _, PgConnection};

use crate::{
    Database, PARTICIPANT,
    class::has_code,
    schema::{SETTINGS, session},
};

/// A role of the schema `amends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads sagas.
    Viewer,
    /// Reads them, and acts.
    Operator,
    /// Sees inputs, outputs and bodies in what another role lets it read.
    PayloadReader,
    /// Says for whom it acts, where another role lets it act.
    Gateway,
    /// Runs orchestrators.
    Orchestrator,
}

/// What a login is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// What a role is for.
    Role(Role),
    /// Runs the worker of a service: calls the barrier, and relays events.
    Participant(Participant),
}

/// What the worker of a service works with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Participant {
    /// The service that the login is registered for, by which it has a barrier and an outbox of its own. Without a
    /// name it shares those of all logins that are not registered.
    pub service: Option<String>,
    /// The schema with the service's tables, if it is known.
    pub schema: Option<String>,
    /// The subjects on which a registered login may emit events; `None` leaves those that it has.
    pub subjects: Option<Vec<String>>,
}

/// What was granted beside what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// Nothing.
    AsAsked,
    /// The login is registered for a service, and may emit events on these subjects.
    Registered(Vec<String>),
}

/// Why a login was not granted what it needs: then nothing was.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Nobody has this name.
    #[error("there is no login `{0}`: create it first, by `create role \"{0}\" login`")]
    NoLogin(String),
    /// Who migrated may not create roles.
    #[error(
        "the role `{0}` is not there: let somebody who may create it (`create role {0} nologin`), and migrate again"
    )]
    NoRole(&'static str),
    /// The database has no schema of this name.
    #[error("there is no schema `{0}` in this database")]
    NoSchema(String),
    /// The role is for others to grant.
    #[error(
        "this login may not grant the role `{0}`: take a superuser, or the login that created the role"
    )]
    DeniedRole(&'static str),
    /// What is in the schema is for others to grant.
    #[error(
        "this login may not grant what `{owner}` owns in the schema `{schema}`: take that login, or a superuser"
    )]
    DeniedSchema {
        /// The schema.
        schema: String,
        /// Whose rights this login lacks.
        owner: String,
    },
    /// What it did for one service is not known to another.
    #[error(
        "the login `{login}` works for the service `{service}`: create another, as each service needs its own"
    )]
    OtherService {
        /// The login.
        login: String,
        /// What it is registered for.
        service: String,
    },
    /// Postgres refuses.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Postgres only warns of a right that was not granted because it was not the login's to grant.
const FOREIGN_OWNER: &str = "
select pg_get_userbyid(owner)::text
from (
    select n.nspowner from pg_namespace n where n.nspname = $1
    union all
    select c.relowner from pg_class c where c.relnamespace = to_regnamespace(quote_ident($1))
        and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
) as owned (owner)
where not pg_has_role(owner, 'usage')
limit 1";

/// The functions run as their owner, so that their tables need no grant. A worker looks at the list whether all
/// is there that it needs.
pub(crate) const BARRIER: &str = "
    grant usage on schema amends_barrier to %1$I;
    grant select on amends_barrier._migrations to %1$I;
    grant execute on function amends_barrier.enter, amends_barrier.leave, amends_barrier.emit,
        amends_barrier.relay_claim, amends_barrier.relay_sent, amends_barrier.relay_postpone,
        amends_barrier.relay_forget, amends_barrier.relay_backlog to %1$I";

const OTHER_SERVICE: &str =
    "select service from amends_barrier.login where login = $1 and service <> $2";

/// All that is there, and what the schema's owner makes later. Nobody but that writes to the list of migrations.
const TABLES: &str = "
select concat_ws(';',
    format('grant usage on schema %I to %I', n.nspname, $2),
    string_agg(
        format('grant %s on %I.%I to %I',
            case
                when c.relkind = 'S' then 'usage'
                when c.relname = '_migrations' then 'select'
                else 'select, insert, update, delete'
            end, n.nspname, c.relname, $2),
        ';'),
    format('alter default privileges for role %1$I in schema %2$I
            grant select, insert, update, delete on tables to %3$I;
            alter default privileges for role %1$I in schema %2$I grant usage on sequences to %3$I',
        pg_get_userbyid(n.nspowner), n.nspname, $2))
from pg_namespace n
left join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
where n.nspname = $1
group by n.nspname, n.nspowner";

/// The names of the schemas that a database has beside Postgres' own.
///
/// # Errors
/// The database's.
pub async fn schemas(database: &Database) -> Result<Vec<String>, Error> {
    const SCHEMAS: &str = "select nspname::text from pg_namespace
        where nspname !~ '^pg_' and nspname <> 'information_schema' order by nspname";
    sqlx::query_scalar(SCHEMAS).fetch_all(database).await
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Viewer, Self::Operator, Self::PayloadReader, Self::Gateway, Self::Orchestrator];

    /// Its name in Postgres.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "amends_viewer",
            Self::Operator => "amends_operator",
            Self::PayloadReader => "amends_payload_reader",
            Self::Gateway => "amends_gateway",
            Self::Orchestrator => "amends_orchestrator",
        }
    }
}

impl Right {
    /// The schema with the tables of the service that it is for.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        match self {
            Self::Participant(participant) => participant.schema.as_deref(),
            Self::Role(_) => None,
        }
    }

    /// Grants it to a login of the server. To be repeated at will: after a new version of the barrier, and after
    /// tables that another login has made than the schema's owner. A login that works already without being
    /// registered is registered while its transactions wait.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn grant(&self, database: &Database, login: &str) -> Result<Granted, GrantError> {
        let mut session = session(database, &SETTINGS).await?;
        let done = self.grant_in(&mut session, login).await;
        session.close().await.ok();
        done
    }

    async fn grant_in(
        &self,
        session: &mut PgConnection,
        login: &str,
    ) -> Result<Granted, GrantError> {
        if !has_role(session, login).await? {
            return Err(GrantError::NoLogin(login.to_owned()));
        }
        match self {
            Self::Role(role) => add_member(session, role.name(), login).await,
            Self::Participant(participant) => participant.grant(session, login).await,
        }
    }
}

async fn has_role(session: &mut PgConnection, name: &str) -> Result<bool, Error> {
    let has = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)");
    has.bind(name).fetch_one(session).await
}

async fn add_member(
    session: &mut PgConnection,
    role: &'static str,
    login: &str,
) -> Result<Granted, GrantError> {
    if !has_role(session, role).await? {
        return Err(GrantError::NoRole(role));
    }
    let add = sqlx::query_scalar::<_, String>("select format('grant %I to %I', $1, $2)");
    let add = add.bind(role).bind(login).fetch_one(&mut *session).await?;
    let added = session.execute(AssertSqlSafe(add)).await;
    added.map(|_| Granted::AsAsked).map_err(|error| match error {
        denied if has_code(&denied, &["42501"]) => GrantError::DeniedRole(role),
        error => error.into(),
    })
}

impl Participant {
    /// Works with the tables of this schema.
    #[must_use]
    pub fn of_schema(schema: String) -> Self {
        Self { schema: Some(schema), ..Self::default() }
    }

    /// All in one transaction.
    async fn grant(&self, session: &mut PgConnection, login: &str) -> Result<Granted, GrantError> {
        check_owner(session, "amends_barrier").await?;
        let grants = sqlx::query_scalar::<_, String>("select format($1, $2)");
        let mut grants = grants.bind(BARRIER).bind(login).fetch_one(&mut *session).await?;
        if let Some(schema) = &self.schema {
            check_owner(session, schema).await?;
            let tables = sqlx::query_scalar::<_, String>(TABLES).bind(schema).bind(login);
            let tables = tables.fetch_optional(&mut *session).await?;
            let none = || GrantError::NoSchema(schema.to_owned());
            grants = format!("{grants}; {}", tables.ok_or_else(none)?);
        }
        let alone = PARTICIPANT.alone();
        session.execute(AssertSqlSafe(format!("{alone}; {grants}"))).await?;
        let granted = match &self.service {
            Some(service) => self.register(session, login, service).await?,
            None => Granted::AsAsked,
        };
        session.execute("commit").await?;
        Ok(granted)
    }

    async fn register(
        &self,
        session: &mut PgConnection,
        login: &str,
        service: &str,
    ) -> Result<Granted, GrantError> {
        let known = sqlx::query_scalar(OTHER_SERVICE).bind(login).bind(service);
        if let Some(service) = known.fetch_optional(&mut *session).await? {
            return Err(GrantError::OtherService { login: login.to_owned(), service });
        }
        let subjects = sqlx::query_scalar("select amends_barrier.register($1, $2, $3)");
        let subjects = subjects.bind(login).bind(service).bind(&self.subjects);
        Ok(Granted::Registered(subjects.fetch_one(session).await?))
    }
}

async fn check_owner(session: &mut PgConnection, schema: &str) -> Result<(), GrantError> {
    let owner = sqlx::query_scalar(FOREIGN_OWNER).bind(schema);
    match owner.fetch_optional(session).await? {
        Some(owner) => Err(GrantError::DeniedSchema { schema: schema.to_owned(), owner }),
        None => Ok(()),
    }
}
