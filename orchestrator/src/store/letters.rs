//! Messages that could not be used, kept where an operator sees them.

use super::{CommitError, Store};
use crate::letter::Letter;

impl Store {
    /// Keeps dead letters; one that is kept already is not kept twice. Returns the sources of those
    /// that are new.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) async fn bury(&self, letters: &[Letter]) -> Result<Vec<String>, CommitError> {
        let column = |f: fn(&Letter) -> String| letters.iter().map(f).collect::<Vec<_>>();
        let is_text: Vec<_> = letters
            .iter()
            .map(|l| std::str::from_utf8(&l.body).is_ok_and(|text| !text.contains('\0')))
            .collect();
        let bodies: Vec<_> = letters.iter().map(|l| l.body.to_vec()).collect();
        let kept = sqlx::query_file_scalar!(
            "src/store/sql/bury.sql",
            &column(|l| l.source.clone()),
            &column(|l| l.subject.clone()),
            &column(|l| l.reason.clone()),
            &column(Letter::headers_json),
            &is_text,
            &bodies
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(kept)
    }
}
