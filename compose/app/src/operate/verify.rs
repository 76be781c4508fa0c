//! `audit verify`: whether the audit is as it was written.

use std::{fmt, str::FromStr};

use amends_postgres::Database;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{
    failed::{During as _, Failed},
    print::{print, print_json},
    run::connect,
    settings::Settings,
};

/// SHA-256 of something, in 64 hex digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no hash.
#[derive(Debug, thiserror::Error)]
#[error("it has 64 hex digits, as `audit verify` prints them")]
pub(crate) struct HashFormError;

impl FromStr for Hash {
    type Err = HashFormError;

    fn from_str(text: &str) -> Result<Self, HashFormError> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(HashFormError) };
        let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(HashFormError)
    }
}

/// A row of the chain, as it comes from Postgres.
struct Link {
    number: i64,
    kind: String,
    act_id: Option<i64>,
    content: Option<String>,
    digest: Vec<u8>,
    hash: Vec<u8>,
    is_forgotten: bool,
}

/// The first row that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Broken {
    /// Its number in the chain; none for what came past it.
    row: Option<i64>,
    act: Option<i64>,
    what: String,
}

/// What a walk along the chain has seen.
#[derive(Debug, Default, Serialize)]
struct Walk {
    intact: bool,
    /// Of the audit, each as it was written.
    acts: u64,
    decisions: u64,
    /// Rows that are gone, as their time of retention was over.
    forgotten: u64,
    /// The last row's number, and its hash.
    rows: i64,
    head: Hash,
    /// The row that had the head which was noted.
    noted_at: Option<i64>,
    broken: Option<Broken>,
}

impl Walk {
    /// One row further. Fails where it is not as it was written.
    fn take(&mut self, link: &Link) -> Result<(), &'static str> {
        let is_first = link.number == 0;
        if is_first != (link.kind == "began") {
            return Err("the chain does not begin with its first row");
        }
        let next = if is_first {
            Hash::of(&[&link.digest])
        } else if link.number == self.rows + 1 {
            Hash::of(&[&self.head.0, &link.digest])
        } else {
            return Err("the row before it is missing");
        };
        if next.0 != *link.hash {
            return Err("its hash does not follow from the one before it");
        }
        match &link.content {
            Some(content) if Hash::of(&[content.as_bytes()]).0 != *link.digest => {
                return Err("it was changed");
            }
            None if !is_first && !link.is_forgotten => return Err("it is missing"),
            Some(_) if link.kind == "act" => self.acts += 1,
            Some(_) if link.kind == "decision" => self.decisions += 1,
            Some(_) => {}
            None => self.forgotten += u64::from(!is_first),
        }
        (self.rows, self.head) = (link.number, next);
        Ok(())
    }
}

/// Walks along the chain, and tells whether all of it is intact; where a head is given, also whether that is, or
/// was, the hash of one of its rows.
pub(crate) async fn run(
    settings: &Settings,
    noted: Option<Hash>,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let mut walk = Walk::default();
    walk.broken = match broken_link(&database, &mut walk, noted).await? {
        None => unsealed(&database).await?,
        broken => broken,
    };
    let is_lost = noted.is_some() && walk.noted_at.is_none();
    walk.intact = walk.broken.is_none() && !is_lost;
    if json {
        print_json(&walk)?;
    }
    if let Some(Broken { row, what, .. }) = walk.broken {
        let row = row.map_or_else(String::new, |row| format!(" at row {row} of its chain"));
        return Err(Failed::new(format!("the audit is not as it was written{row}: {what}")));
    }
    match noted {
        Some(noted) if is_lost => Err(Failed::new(format!(
            "the audit is not the one that had the head {noted}: rows at its end are gone, or all of it was written anew"
        ))),
        _ if json => Ok(()),
        _ => print(&render(&walk)),
    }
}

fn render(walk: &Walk) -> String {
    let Walk { acts, decisions, forgotten, rows, head, .. } = walk;
    let noted =
        walk.noted_at.map_or_else(String::new, |row| format!("noted      the head of row {row}\n"));
    format!(
        "the audit is intact\nacts       {acts}\ndecisions  {decisions}\nforgotten  {forgotten}\nhead       {head}, of row {rows}\n{noted}"
    )
}

/// The first row of the chain that is not as it was written. Reads so many at a time.
async fn broken_link(
    database: &Database,
    walk: &mut Walk,
    noted: Option<Hash>,
) -> Result<Option<Broken>, Failed> {
    let mut last = -1;
    loop {
        let links = sqlx::query_file_as!(Link, "src/sql/audit_chain.sql", last)
            .fetch_all(database)
            .await
            .during("the audit cannot be read")?;
        for link in &links {
            if let Err(why) = walk.take(link) {
                return Ok(Some(broken(link, why)));
            }
            if noted == Some(walk.head) {
                walk.noted_at = Some(walk.rows);
            }
        }
        match links.last() {
            Some(link) => last = link.number,
            None if last < 0 => {
                let what = "the chain is empty".to_owned();
                return Ok(Some(Broken { row: Some(0), act: None, what }));
            }
            None => return Ok(None),
        }
    }
}

fn broken(link: &Link, why: &str) -> Broken {
    let what = match (link.kind.as_str(), link.act_id) {
        ("act", Some(act)) => format!("the act {act}: {why}"),
        ("decision", Some(act)) => format!("the decision of act {act}: {why}"),
        _ => why.to_owned(),
    };
    Broken { row: Some(link.number), act: link.act_id, what }
}

/// A row of the audit that came past the chain.
async fn unsealed(database: &Database) -> Result<Option<Broken>, Failed> {
    let row = sqlx::query_file!("src/sql/unsealed_audit.sql")
        .fetch_optional(database)
        .await
        .during("the audit cannot be read")?;
    Ok(row.map(|row| {
        let whose = if row.kind == "act" { "the act" } else { "the decision of act" };
        let what = format!("{whose} {} was inserted past the chain", row.act);
        Broken { row: None, act: Some(row.act), what }
    }))
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn a_hash_has_sixty_four_digits() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.parse::<Hash>().unwrap(), Hash::of(&[]));
        assert_eq!(Hash::of(&[]).to_string(), empty);
        assert_eq!(empty.to_uppercase().parse::<Hash>().unwrap(), Hash::of(&[b"", b""]));
        for wrong in ["", &empty[1..], &empty[2..], &empty.replace('e', "g"), &format!("{empty}00")]
        {
            wrong.parse::<Hash>().unwrap_err();
        }
    }
}
