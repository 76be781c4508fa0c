//! `letters`: messages that could not be used, and what becomes of them.

use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use amends::{Json, SagaId, machine::Time, transcript::printable, wire};
use amends_postgres::Database;
use serde::{Serialize, Serializer};

use super::{
    dropped_letters,
    known::{self, Names},
    patience::{INTERVAL, PATIENCE},
    payloads, saga,
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json, print_table},
    program_name::program_name,
    run::connect,
    settings::Settings,
    terminal::Terminal,
};

/// Characters of a reason in the list on a terminal.
const REASON_WIDTH: usize = 100;

/// Which letters to list.
pub(crate) struct Filter {
    /// With NATS's wildcards.
    pub(crate) subject: Option<String>,
    /// Those that belong to this saga or are about it: its id or its key.
    pub(crate) saga: Option<String>,
    /// Those of commands to this service, and of its replies.
    pub(crate) service: Option<String>,
    /// Only those that were kept longer ago than this.
    pub(crate) older_than: Option<Duration>,
    /// Those that were replayed or discarded, instead of those that are open.
    pub(crate) settled: bool,
    pub(crate) limit: u32,
}

/// What may be done with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetterVerb {
    Replay,
    Discard,
}

impl LetterVerb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}

impl fmt::Display for LetterVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for LetterVerb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A row as it comes from Postgres.
struct Row {
    id: i64,
    at: Time,
    subject: String,
    reason: String,
    headers: String,
    body: Option<String>,
    source: String,
    settled_at: Option<Time>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Letter {
    pub(crate) id: i64,
    at: Time,
    pub(crate) subject: String,
    pub(crate) reason: String,
    source: String,
    headers: Json,
    /// As text, for it may be no JSON.
    pub(crate) body: Option<String>,
    /// Why there is none, and not all headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct Act {
    id: i64,
    act: String,
    reason: String,
    actor: String,
    at: Time,
    done_at: Option<Time>,
    refusal: Option<String>,
}

/// Lists letters.
pub(crate) async fn list(settings: &Settings, filter: &Filter, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let subject = filter.subject.as_deref().map(pattern);
    let service = filter.service.as_deref().map(service_pattern);
    let saga = match &filter.saga {
        Some(saga) => Some(saga_id(&database, saga).await?.to_string()),
        None => None,
    };
    let which = Which {
        settled: filter.settled,
        subject: subject.as_deref(),
        before: filter.older_than.map(|age| chrono::Utc::now() - age),
        id: None,
        limit: i64::from(filter.limit),
        saga: saga.as_deref(),
        service: service.as_deref(),
    };
    let letters = read(&database, which).await?;
    if letters.is_empty() {
        let names = Names { service: filter.service.as_deref(), ..Names::default() };
        known::check(&database, names).await?;
    }
    if json {
        return print_json(&letters);
    }
    // Those that were only counted keep no saga.
    let dropped = match filter.settled || saga.is_some() {
        true => String::new(),
        false => dropped_letters::note(&database, subject.or(service).as_deref()).await?,
    };
    if letters.is_empty() {
        return print(&format!("no dead letters\n{dropped}"));
    }
    let terminal = Terminal::of_stdout();
    let mut lines = vec![["LETTER", "KEPT", "SUBJECT", "REASON"].map(str::to_owned)];
    lines.extend(letters.iter().map(|letter| {
        [
            letter.id.to_string(),
            letter.at.format("%Y-%m-%d %H:%M:%S").to_string(),
            printable(&letter.subject),
            terminal.shorten(&printable(&letter.reason), REASON_WIDTH),
        ]
    }));
    print_table(&lines, &dropped)
}

/// The id of the saga, which needs not be there: a letter may be about one that is gone, or never was.
async fn saga_id(database: &Database, saga: &str) -> Result<SagaId, Failed> {
    match saga.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(SagaId(saga::find(database, saga).await?.id)),
    }
}

/// Which letters to read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Which<'a> {
    pub(crate) settled: bool,
    /// A regular expression.
    pub(crate) subject: Option<&'a str>,
    pub(crate) before: Option<Time>,
    pub(crate) id: Option<i64>,
    pub(crate) limit: i64,
    pub(crate) saga: Option<&'a str>,
    /// A regular expression for the subject.
    pub(crate) service: Option<&'a str>,
}

/// Dead letters, the newest first.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn read(database: &Database, which: Which<'_>) -> Result<Vec<Letter>, Failed> {
    let Which { settled, subject, before, id, limit, saga, service } = which;
    let rows = sqlx::query_file_as!(
        Row,
        "src/sql/letters.sql",
        settled,
        subject,
        before,
        id,
        limit,
        saga,
        service
    )
    .fetch_all(database)
    .await
    .during("dead letters cannot be read")?;
    let hidden = if rows.is_empty() { None } else { payloads::hidden(database).await? };
    let letter = |row: Row| Letter {
        hidden: hidden.clone(),
        id: row.id,
        at: row.at,
        subject: row.subject,
        reason: row.reason,
        source: row.source,
        headers: Json::trusted(&row.headers),
        body: row.body,
        settled_at: row.settled_at,
    };
    Ok(rows.into_iter().map(letter).collect())
}

/// A subject with NATS's wildcards as a regular expression.
pub(crate) fn pattern(subject: &str) -> String {
    let token = |token: &str| match token {
        "*" => "[^.]+".to_owned(),
        ">" => ".+".to_owned(),
        word => word.chars().fold(String::new(), |mut text, c| {
            if !c.is_alphanumeric() {
                text.push('\\');
            }
            text.push(c);
            text
        }),
    };
    let tokens: Vec<_> = subject.split('.').map(token).collect();
    format!("^{}$", tokens.join("\\."))
}

/// The subjects of a service's commands and replies as a regular expression.
fn service_pattern(service: &str) -> String {
    let commands = pattern(&wire::command_subject(service, ">"));
    format!("{}|{commands}", pattern(&wire::reply_subject(service)))
}

/// A letter, and what was done with it, for scripts.
#[derive(Serialize)]
struct ShownLetter {
    #[serde(flatten)]
    letter: Letter,
    acts: Vec<Act>,
}

/// Shows one letter with its headers and body.
pub(crate) async fn show(settings: &Settings, id: i64, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let which = Which { id: Some(id), limit: 1, ..Which::default() };
    let mut found = read(&database, which).await?;
    if found.is_empty() {
        found = read(&database, Which { settled: true, ..which }).await?;
    }
    let program = program_name();
    let none = || Failed::new(format!("there is no dead letter {id} ({program} letters)"));
    let letter = found.into_iter().next().ok_or_else(none)?;
    let acts = sqlx::query_file_as!(Act, "src/sql/letter_acts.sql", id)
        .fetch_all(&database)
        .await
        .during("what was done with it cannot be read")?;
    if json {
        return print_json(&ShownLetter { letter, acts });
    }
    print(&render(&letter, &acts))
}

fn render(letter: &Letter, acts: &[Act]) -> String {
    let settled = if letter.settled_at.is_some() { "settled" } else { "open" };
    let mut text = format!(
        "letter {}  {settled}\nkept     {}\nsubject  {}\nreason   {}\nfrom     {}\nheaders  {}\nbody     {}\n",
        letter.id,
        letter.at.format("%Y-%m-%d %H:%M:%S UTC"),
        printable(&letter.subject),
        printable(&letter.reason),
        printable(&letter.source),
        printable(letter.headers.as_str()),
        printable(letter.body.as_deref().or(letter.hidden.as_deref()).unwrap_or_default()),
    );
    for act in acts {
        let end = match (&act.done_at, &act.refusal) {
            (Some(_), _) => "done".to_owned(),
            (None, Some(why)) => format!("not possible: {why}"),
            (None, None) => "not done yet".to_owned(),
        };
        let at = act.at.format("%Y-%m-%d %H:%M:%S UTC");
        let (who, why) = (printable(&act.actor), printable(&act.reason));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:8} {at} by {who}, because: {why}; {}", act.act, printable(&end));
    }
    text
}

/// What became of an act on a letter, for scripts.
#[derive(Serialize)]
struct Acted {
    act: i64,
    letter: i64,
    verb: LetterVerb,
    done: bool,
    refusal: Option<String>,
}

/// Replays or discards a letter, and waits until that is done.
pub(crate) async fn act(
    settings: &Settings,
    verb: LetterVerb,
    letter: i64,
    reason: &str,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let act = sqlx::query_file!("src/sql/letter_act.sql", letter, verb.as_str(), reason)
        .fetch_one(&database)
        .await
        .during(&format!("cannot {verb}"))?
        .id;
    let (done, refusal) = wait(&database, act).await?;
    let acted = Acted { act, letter, verb, done, refusal };
    if json {
        print_json(&acted)?;
    }
    match acted.refusal {
        Some(why) => Err(Failed::new(format!("{verb}: not possible: {why}"))),
        None if !done => Err(Failed::new(format!(
            "{verb}: noted as act {act}, but no orchestrator has done it yet: is one running? (select * from amends.letter_acts where id = {act})"
        ))),
        None if json => Ok(()),
        None => print(&format!("{verb}: done with letter {letter}\n")),
    }
}

/// Waits until an act is done or refused; whether it is done, and why not.
async fn wait(database: &Database, act: i64) -> Result<(bool, Option<String>), Failed> {
    let began = Instant::now();
    loop {
        let now = sqlx::query_file!("src/sql/letter_acted.sql", act)
            .fetch_one(database)
            .await
            .during("what became of it cannot be read")?;
        let done = now.done_at.is_some();
        if done || now.refusal.is_some() || began.elapsed() > PATIENCE {
            return Ok((done, now.refusal));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{pattern, service_pattern};

    #[test]
    fn wildcards_are_those_of_nats() {
        for (subject, regex) in [
            ("orders.placed", r"^orders\.placed$"),
            ("orders.*", r"^orders\.[^.]+$"),
            ("amends.reply.>", r"^amends\.reply\..+$"),
            ("a(b.c-d", r"^a\(b\.c\-d$"),
        ] {
            assert_eq!(pattern(subject), regex);
        }
    }

    #[test]
    fn a_service_has_commands_and_replies() {
        let regex = r"^amends\.reply\.pay\-1$|^amends\.command\.pay\-1\..+$";
        assert_eq!(service_pattern("pay-1"), regex);
    }
}
