//! What changed from each version of a definition to the next, as the database has them.

use std::fmt::Write as _;

use amends::{Difference, diff};
use amends_postgres::Database;
use serde::Serialize;

use super::stored::{StoredVersion, stored_versions};
use crate::failed::Failed;

/// A version beside the one before it.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    version: u32,
    compared_with: u32,
    /// `None` where a newer program wrote one of the two plans.
    differences: Option<Vec<Difference>>,
}

/// The changes of a definition, the oldest first.
pub(crate) async fn changes(database: &Database, definition: &str) -> Result<Vec<Change>, Failed> {
    let versions = stored_versions(database).await?;
    let its: Vec<_> = versions.iter().filter(|row| row.definition == definition).collect();
    Ok(its.windows(2).filter_map(change).collect())
}

fn change(pair: &[&StoredVersion]) -> Option<Change> {
    let [old, new] = pair else { return None };
    let differences =
        old.outline.as_ref().zip(new.outline.as_ref()).map(|(old, new)| diff(old, new));
    Some(Change { version: new.version, compared_with: old.version, differences })
}

/// The changes as text.
pub(crate) fn render(definition: &str, changes: &[Change]) -> String {
    let mut text = String::new();
    for Change { version, compared_with, differences } in changes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n{definition}@{version}, after {definition}@{compared_with}");
        let lines = match differences.as_deref() {
            None => vec!["a newer program wrote one of the two plans".to_owned()],
            Some([]) => vec!["steps and policies are the same".to_owned()],
            Some(differences) => differences.iter().map(ToString::to_string).collect(),
        };
        for line in lines.iter().flat_map(|lines| lines.lines()) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}
