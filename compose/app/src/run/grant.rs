//! `migrate --grant`: which login is granted what, and in which database.

use std::str::FromStr;

use amends_postgres::{Database, Granted, Participant, Right, Role, schemas};

use crate::{
    app::{App, schema_of},
    assignment::Assignment,
    failed::{During as _, Failed},
    print::print,
    program_name::program_name,
    rights::word,
};

/// The schema with barrier and outbox.
const BARRIER: &str = "amends_barrier";

/// What the login of a service's worker needs, where nothing is known of the service's tables.
const PARTICIPANT: &str = "participant";

/// A right, as the command line names it, and the login that is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    what: String,
    login: String,
}

/// Why a text is no grant.
#[derive(Debug, thiserror::Error)]
#[error("it has the form WHAT=LOGIN, e.g. viewer=alice")]
pub(crate) struct GrantFormError;

impl FromStr for Grant {
    type Err = GrantFormError;

    fn from_str(text: &str) -> Result<Self, GrantFormError> {
        match text.split_once('=') {
            Some((what, login)) if !what.is_empty() && !login.is_empty() => {
                Ok(Self { what: what.to_owned(), login: login.to_owned() })
            }
            _ => Err(GrantFormError),
        }
    }
}

/// What the command line asks for.
pub(crate) struct Asked {
    pub(crate) grants: Vec<Grant>,
    /// The subjects on which services emit.
    pub(crate) publishers: Vec<Assignment>,
}

impl Asked {
    /// Fails for a publisher whose service is granted to nobody.
    fn check(&self) -> Result<(), Failed> {
        let granted = |service: &str| self.grants.iter().any(|grant| grant.what == service);
        match self.publishers.iter().find(|publisher| !granted(&publisher.name)) {
            None => Ok(()),
            Some(Assignment { name, .. }) => Err(Failed::misused(format!(
                "`--publisher {name}=…` says what a login may emit that is granted the service's rights by the same command: add `--grant {name}=LOGIN`"
            ))),
        }
    }
}

/// A grant whose name has a meaning in its database.
pub(super) struct Meant {
    grant: Grant,
    right: Right,
}

/// What is granted in the orchestrator's database, and in those of the program's services.
pub(super) struct Grants {
    pub(super) here: Vec<Meant>,
    services: Vec<Grant>,
    publishers: Vec<Assignment>,
}

impl Grants {
    /// What these mean for a program with this database. Fails for a name that means nothing.
    pub(super) async fn of(app: &App, database: &Database, asked: Asked) -> Result<Self, Failed> {
        asked.check()?;
        let Asked { grants, publishers } = asked;
        let mut all = Self { here: Vec::new(), services: Vec::new(), publishers };
        let mut neighbours = None;
        for grant in grants {
            if let Some(right) = role(&grant.what) {
                all.here.push(Meant { grant, right });
            } else if app.service_names().any(|name| name == grant.what) {
                all.services.push(grant);
            } else {
                let known = match &mut neighbours {
                    Some(known) => known,
                    unread => unread.insert(Neighbours::read(app, database).await?),
                };
                if !known.has(&grant.what) {
                    return Err(no_such(&grant.what, app, known));
                }
                let right = right_of(&grant.what, &known.schemas, &all.publishers);
                all.here.push(Meant { grant, right });
            }
        }
        Ok(all)
    }

    /// Those for a service of the program.
    pub(super) fn for_service(&self, name: &str, schema: &str) -> Vec<Meant> {
        let its = self.services.iter().filter(|grant| grant.what == name).cloned();
        let right = || participant(name, Some(schema.to_owned()), &self.publishers);
        its.map(|grant| Meant { grant, right: right() }).collect()
    }
}

/// Services that are no part of the program, and what they have in the orchestrator's database.
struct Neighbours {
    services: Vec<String>,
    schemas: Vec<String>,
}

impl Neighbours {
    async fn read(app: &App, database: &Database) -> Result<Self, Failed> {
        let registered = sqlx::query_file_scalar!("src/sql/services.sql").fetch_all(database).await;
        let mut services = match registered {
            Err(error) if amends_orchestrator::is_not_migrated(&error) => Vec::new(),
            read => read.during("the definitions in the database cannot be read")?,
        };
        services.extend(app.services_elsewhere().map(str::to_owned));
        services.sort_unstable();
        services.dedup();
        Ok(Self { services, schemas: schemas_of(database).await? })
    }

    /// Nobody's worker is granted anything where its barrier is not.
    fn has(&self, service: &str) -> bool {
        has(&self.schemas, BARRIER) && has(&self.services, service)
    }
}

/// What these mean in the database of a service that is no part of the program.
pub(super) async fn of_participant(
    database: &Database,
    asked: Asked,
) -> Result<Vec<Meant>, Failed> {
    asked.check()?;
    let Asked { grants, publishers } = asked;
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let schemas = schemas_of(database).await?;
    let meant = |grant: Grant| {
        let right = match grant.what.as_str() {
            PARTICIPANT => Right::Participant(Participant::default()),
            service if schema_in(service, &schemas).is_some() => {
                right_of(service, &schemas, &publishers)
            }
            service => return Err(no_schema(service, &schemas)),
        };
        Ok(Meant { grant, right })
    };
    grants.into_iter().map(meant).collect()
}

/// Grants them one by one, and says so.
pub(super) async fn carry_out(database: &Database, grants: &[Meant]) -> Result<(), Failed> {
    for Meant { grant: Grant { what, login }, right } in grants {
        let granted = right.grant(database, login).await;
        let granted = granted.during(&format!("{what} cannot be granted to {login}"))?;
        let done = match right {
            Right::Role(role) => format!("the role {}", role.name()),
            Right::Participant(Participant { schema: None, .. }) => "barrier and outbox".to_owned(),
            Right::Participant(Participant { schema: Some(schema), .. }) => {
                format!("barrier, outbox, and the tables of the schema {schema}")
            }
        };
        let events = match granted {
            Granted::Registered(subjects) if !subjects.is_empty() => {
                format!("; it may emit on {}", subjects.join(", "))
            }
            _ => String::new(),
        };
        print(&format!("granted {what} to {login}: {done}{events}\n"))?;
    }
    Ok(())
}

fn role(what: &str) -> Option<Right> {
    Role::ALL.into_iter().find(|role| word(*role) == what).map(Right::Role)
}

/// What a service of another program needs.
fn right_of(service: &str, schemas: &[String], publishers: &[Assignment]) -> Right {
    participant(service, schema_in(service, schemas), publishers)
}

fn participant(service: &str, schema: Option<String>, publishers: &[Assignment]) -> Right {
    let its = publishers.iter().filter(|publisher| publisher.name == service);
    let subjects: Vec<_> = its.flat_map(|publisher| publisher.what.clone()).collect();
    let subjects = (!subjects.is_empty()).then_some(subjects);
    Right::Participant(Participant { service: Some(service.to_owned()), schema, subjects })
}

/// The schema of a service's name.
fn schema_in(service: &str, schemas: &[String]) -> Option<String> {
    let schema = schema_of(service);
    (is_a_services(&schema) && has(schemas, &schema)).then_some(schema)
}

/// Amends' own tables are for nobody else to write.
fn is_a_services(schema: &str) -> bool {
    schema != "amends" && schema != BARRIER
}

fn has(all: &[String], name: &str) -> bool {
    all.iter().any(|one| one == name)
}

async fn schemas_of(database: &Database) -> Result<Vec<String>, Failed> {
    schemas(database).await.during("the schemas of the database cannot be read")
}

fn no_such(what: &str, app: &App, known: &Neighbours) -> Failed {
    let here = known.services.iter().filter(|service| known.has(service));
    let mut names: Vec<_> = Role::ALL.map(word).map(str::to_owned).into();
    names.extend(app.service_names().map(str::to_owned));
    names.extend(here.cloned());
    let (names, program) = (names.join(", "), program_name());
    Failed::misused(format!(
        "`{what}` cannot be granted in this database: it has {names}; for a service with a database of its own: `{program} migrate --participant URL --grant {what}=LOGIN`"
    ))
}

fn no_schema(what: &str, schemas: &[String]) -> Failed {
    let its = schemas.iter().map(String::as_str).filter(|schema| is_a_services(schema));
    let names = [PARTICIPANT].into_iter().chain(its).collect::<Vec<_>>().join(", ");
    Failed::misused(format!(
        "`{what}` cannot be granted in this database, which has no schema of that name: it has {names}"
    ))
}
