//! The orchestrator's statements as they stand in their files, run with parameters by the name of the
//! part that reads them: so that no parameter's number stands in a test.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _, ValueRef as _, postgres::PgRow};

use crate::support::{self, STATEMENTS, repository, statement};

/// The names of all files.
pub(crate) fn names() -> Vec<String> {
    let files = std::fs::read_dir(repository().join(STATEMENTS)).unwrap();
    let name = |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<_> = files.map(|file| name(file.unwrap().path())).collect();
    names.sort();
    names
}

/// The parameters' numbers in an excerpt, in its order.
pub(crate) fn parameters(excerpt: &str) -> impl Iterator<Item = usize> {
    excerpt.split('$').skip(1).map(|behind| {
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        behind[..digits].parse().unwrap()
    })
}

/// What each parameter is given, by its number: a literal, or the elements of an array.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    One(String),
    Array(Vec<Option<String>>),
}

impl Value {
    /// Every element of an array twice.
    pub(crate) fn doubled(&self) -> Self {
        match self {
            Self::One(_) => self.clone(),
            Self::Array(elements) => {
                Self::Array(elements.iter().flat_map(|e| [e.clone(), e.clone()]).collect())
            }
        }
    }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A prepared statement.
struct Prepared {
    text: String,
    /// The types of its parameters.
    types: Vec<String>,
}

/// A migrated database, and a session of an orchestrator in it that has prepared every statement.
pub(crate) struct Session {
    pub(crate) connection: PgConnection,
    prepared: BTreeMap<String, Prepared>,
    _postgres: support::Fresh,
}

impl Session {
    pub(crate) async fn new() -> Self {
        let (postgres, mut connection) = support::migrated().await;
        for (setting, value) in amends_orchestrator::SESSION {
            let set = AssertSqlSafe(format!("set {setting} = '{value}'"));
            connection.execute(set).await.unwrap();
        }
        let mut prepared = BTreeMap::new();
        for name in names() {
            let text = statement(&name);
            let prepare = AssertSqlSafe(format!("prepare {name} as {text}"));
            connection.execute(prepare).await.unwrap();
            let types =
                "select parameter_types::text[] from pg_prepared_statements where name = $1";
            let types = sqlx::query_scalar(types).bind(&name);
            let types: Vec<String> = types.fetch_one(&mut connection).await.unwrap();
            prepared.insert(name, Prepared { text, types });
        }
        Self { connection, prepared, _postgres: postgres }
    }

    /// The numbers of the parameters that the part of a statement with this name reads, in its order; of
    /// all parameters where no name is given. What follows the named parts has the name `facts`.
    pub(crate) fn part(&self, statement: &str, part: &str) -> Vec<usize> {
        let Prepared { text, types } = &self.prepared[statement];
        if part.is_empty() {
            return (1..=types.len()).collect();
        }
        let given = match part {
            "facts" => text.rsplit_once("unnest(").unwrap().1,
            _ => {
                let starts = [format!("with {part} as ("), format!(", {part} as (")];
                let found = starts.iter().find_map(|start| text.split_once(start.as_str()));
                found.unwrap().1.split_once("unnest(").unwrap().1
            }
        };
        parameters(given.split_once(')').unwrap().0).collect()
    }

    /// The numbers of a statement's parameters that are arrays.
    pub(crate) fn arrays(&self, statement: &str) -> Vec<usize> {
        let types = self.prepared[statement].types.iter();
        (1..).zip(types).filter(|(_, t)| t.ends_with("[]")).map(|(n, _)| n).collect()
    }

    /// Runs a statement; arrays that are not given are empty. Its rows as text.
    pub(crate) async fn run(
        &mut self,
        statement: &str,
        given: &BTreeMap<usize, Value>,
    ) -> sqlx::Result<Vec<Vec<String>>> {
        let types = &self.prepared[statement].types;
        let literal = |(number, of): (usize, &String)| match given.get(&number) {
            Some(Value::One(literal)) => literal.clone(),
            None => "'{}'".to_owned(),
            Some(Value::Array(elements)) => {
                let element =
                    |e: &Option<String>| e.as_ref().map_or_else(|| "null".into(), |e| quoted(e));
                let elements: Vec<_> = elements.iter().map(element).collect();
                format!("array[{}]::{of}", elements.join(","))
            }
        };
        let literals: Vec<_> = (1..).zip(types).map(literal).collect();
        let arguments =
            if literals.is_empty() { String::new() } else { format!("({})", literals.join(", ")) };
        self.ask(&format!("execute {statement}{arguments}")).await
    }

    /// Runs some SQL; its rows as text.
    pub(crate) async fn ask(&mut self, sql: &str) -> sqlx::Result<Vec<Vec<String>>> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        Ok(sql.fetch_all(&mut self.connection).await?.iter().map(row).collect())
    }
}

fn row(row: &PgRow) -> Vec<String> {
    let column = |n| {
        let value = row.try_get_raw(n).unwrap();
        if value.is_null() { "null".to_owned() } else { value.as_str().unwrap().to_owned() }
    };
    (0..row.len()).map(column).collect()
}

/// The SQLSTATE of a refusal.
pub(crate) fn sqlstate(error: &sqlx::Error) -> String {
    let refusal = error.as_database_error().unwrap_or_else(|| panic!("{error}"));
    refusal.code().unwrap().into_owned()
}
