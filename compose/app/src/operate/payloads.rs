//! Payloads: inputs, outputs and bodies, which not every login sees.

use amends_postgres::{Database, Role};

use crate::{
    failed::{During as _, Failed},
    program_name::program_name,
    rights::word,
};

/// What a login without the right to payloads is told where it would see one.
pub(super) async fn hidden(database: &Database) -> Result<Option<String>, Failed> {
    let shown = sqlx::query_file_scalar!("src/sql/payloads.sql")
        .fetch_one(database)
        .await
        .during("the rights of this login cannot be read")?;
    let (role, program) = (Role::PayloadReader, program_name());
    let note = || {
        format!(
            "inputs, outputs and bodies are hidden from this login: the role {} shows them ({program} migrate --grant {}=LOGIN)",
            role.name(),
            word(role)
        )
    };
    Ok((!shown).then(note))
}
