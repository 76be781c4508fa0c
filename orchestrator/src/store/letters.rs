//! Messages that could not be used, kept where an operator sees them.

use amends::machine::Time;
use bytes::Bytes;

use super::{Store, StoreError};
use crate::letter::Letter;

/// A dead letter that an operator wants published once more.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The operator's act.
    pub(crate) act: i64,
    pub(crate) letter: i64,
    /// When the letter was kept.
    pub(crate) kept_at: Time,
    pub(crate) subject: String,
    /// A JSON object of arrays.
    pub(crate) headers: String,
    pub(crate) body: Bytes,
}

impl Store {
    /// Keeps dead letters; one that is kept already is not kept twice. Returns the sources of those
    /// that are new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn bury(&self, letters: &[Letter]) -> Result<Vec<String>, StoreError> {
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
        .fetch_all(&self.database)
        .await?;
        Ok(kept)
    }

    /// Dead letters that wait to be published once more, in the order they were asked for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn replays(&self, limit: i64) -> Result<Vec<Replay>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/load_replays.sql", limit)
            .fetch_all(&self.database)
            .await?;
        let replay = rows.into_iter().map(|row| Replay {
            act: row.id,
            letter: row.letter_id,
            kept_at: row.at,
            subject: row.subject,
            headers: row.headers,
            body: row.body.into(),
        });
        Ok(replay.collect())
    }

    /// Settles a letter that was published once more; one that cannot be stays open, with the reason.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn replayed(&self, act: i64, refusal: Option<&str>) -> Result<(), StoreError> {
        sqlx::query_file!("src/store/sql/replayed.sql", act, refusal)
            .execute(&self.database)
            .await?;
        Ok(())
    }
}
