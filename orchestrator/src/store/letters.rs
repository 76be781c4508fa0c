//! Messages that could not be used, kept where an operator sees them.

use std::collections::HashMap;

use amends::machine::Time;
use bytes::Bytes;

use super::{Store, StoreError};
use crate::letter::{Kind, Letter};

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

/// What became of a letter that was not known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buried {
    Kept,
    /// Counted only: too many of its kind are open.
    Dropped,
}

impl Store {
    /// Keeps dead letters, as far as there is room for their kinds, and counts the others; those that are
    /// `full` are only counted, and their bodies not sent. Returns what became of each by its source; one that
    /// is kept already is left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn bury(
        &self,
        letters: &[Letter],
        is_full: impl Fn(&Kind) -> bool,
    ) -> Result<HashMap<String, Buried>, StoreError> {
        let kinds: Vec<_> = letters.iter().map(Letter::kind).collect();
        let column = |f: fn(&Letter) -> String| letters.iter().map(f).collect::<Vec<_>>();
        let bodies: Vec<_> = letters
            .iter()
            .zip(&kinds)
            .map(|(l, kind)| (!is_full(kind)).then_some(&*l.body))
            .collect();
        let kinds: Vec<_> = kinds.into_iter().map(|kind| kind.reason).collect();
        let are_text: Vec<_> = letters
            .iter()
            .map(|l| std::str::from_utf8(&l.body).is_ok_and(|text| !text.contains('\0')))
            .collect();
        let rows = sqlx::query_file!(
            "src/store/sql/bury.sql",
            &column(|l| l.source.clone()),
            &column(|l| l.subject.clone()),
            &kinds,
            &column(|l| l.reason.clone()),
            &column(Letter::headers_json),
            &are_text,
            &bodies as &[Option<&[u8]>]
        )
        .fetch_all(&self.database)
        .await?;
        let fate = |is_kept| if is_kept { Buried::Kept } else { Buried::Dropped };
        Ok(rows.into_iter().map(|row| (row.source, fate(row.is_kept))).collect())
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
