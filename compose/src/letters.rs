//! `letters`: messages that could not be used, and what becomes of them.

use std::{fmt::Write as _, time::Instant};

use amends::{Json, machine::Time, transcript::printable};
use serde::Serialize;
use sqlx::PgPool;

use crate::{
    During as _, Failed,
    acts::{LOOK, PATIENCE},
    cli::{LetterActArgs, LetterArgs, LettersArgs, LettersCommand, Settings},
    link,
    list::columns,
    looks::{print, print_json},
};

/// Characters of a reason in the list.
const REASON_WIDTH: usize = 100;

struct Found {
    id: i64,
    at: Time,
    subject: String,
    reason: String,
    headers: String,
    body: String,
    source: String,
    settled_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct Letter {
    id: i64,
    at: Time,
    subject: String,
    reason: String,
    source: String,
    headers: Json,
    /// As text, for it may be no JSON.
    body: String,
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

/// `amends letters` and what stands below it.
pub(crate) async fn run(settings: &Settings, args: LettersArgs) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    match args.command {
        None => list(&pool, args).await,
        Some(LettersCommand::Show(letter)) => show(&pool, letter).await,
        Some(LettersCommand::Replay(letter)) => act(&pool, "replay", letter).await,
        Some(LettersCommand::Discard(letter)) => act(&pool, "discard", letter).await,
    }
}

async fn list(pool: &PgPool, args: LettersArgs) -> Result<(), Failed> {
    let before = args.older_than.map(|age| chrono::Utc::now() - age);
    let subject = args.subject.as_deref().map(pattern);
    let limit = i64::from(args.limit);
    let letters = read(pool, args.settled, subject.as_deref(), before, None, limit).await?;
    if args.json {
        return print_json(&letters);
    }
    if letters.is_empty() {
        return print("no dead letters\n");
    }
    let mut lines = vec![["LETTER", "KEPT", "SUBJECT", "REASON"].map(str::to_owned)];
    lines.extend(letters.iter().map(|letter| {
        [
            letter.id.to_string(),
            letter.at.format("%Y-%m-%d %H:%M:%S").to_string(),
            printable(&letter.subject),
            printable(&letter.reason.chars().take(REASON_WIDTH).collect::<String>()),
        ]
    }));
    print(&columns(&lines))
}

async fn read(
    pool: &PgPool,
    settled: bool,
    subject: Option<&str>,
    before: Option<Time>,
    id: Option<i64>,
    limit: i64,
) -> Result<Vec<Letter>, Failed> {
    let found =
        sqlx::query_file_as!(Found, "src/sql/letters.sql", settled, subject, before, id, limit)
            .fetch_all(pool)
            .await
            .during("dead letters cannot be read")?;
    let letter = |found: Found| Letter {
        id: found.id,
        at: found.at,
        subject: found.subject,
        reason: found.reason,
        source: found.source,
        headers: Json::trusted(&found.headers),
        body: found.body,
        settled_at: found.settled_at,
    };
    Ok(found.into_iter().map(letter).collect())
}

/// A subject with NATS's wildcards as a regular expression.
fn pattern(subject: &str) -> String {
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

async fn show(pool: &PgPool, args: LetterArgs) -> Result<(), Failed> {
    let mut found = read(pool, false, None, None, Some(args.letter), 1).await?;
    if found.is_empty() {
        found = read(pool, true, None, None, Some(args.letter), 1).await?;
    }
    let none = || Failed(format!("there is no dead letter {} (amends letters)", args.letter));
    let letter = found.into_iter().next().ok_or_else(none)?;
    let acts = sqlx::query_file_as!(Act, "src/sql/letter_acts.sql", args.letter)
        .fetch_all(pool)
        .await
        .during("what was done with it cannot be read")?;
    if args.json {
        #[derive(Serialize)]
        struct Shown {
            #[serde(flatten)]
            letter: Letter,
            acts: Vec<Act>,
        }
        return print_json(&Shown { letter, acts });
    }
    print(&told(&letter, &acts))
}

fn told(letter: &Letter, acts: &[Act]) -> String {
    let settled = if letter.settled_at.is_some() { "settled" } else { "open" };
    let mut text = format!(
        "letter {}  {settled}\nkept     {}\nsubject  {}\nreason   {}\nfrom     {}\nheaders  {}\nbody     {}\n",
        letter.id,
        letter.at.format("%Y-%m-%d %H:%M:%S UTC"),
        printable(&letter.subject),
        printable(&letter.reason),
        printable(&letter.source),
        printable(letter.headers.as_str()),
        printable(&letter.body),
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

async fn act(pool: &PgPool, verb: &'static str, args: LetterActArgs) -> Result<(), Failed> {
    let letter = args.letter;
    let act = sqlx::query_file!("src/sql/letter_act.sql", letter, verb, args.reason)
        .fetch_one(pool)
        .await
        .during(&format!("cannot {verb}"))?
        .id;
    let began = Instant::now();
    let (done, refusal) = loop {
        let now = sqlx::query_file!("src/sql/letter_acted.sql", act)
            .fetch_one(pool)
            .await
            .during("what became of it cannot be read")?;
        let done = now.done_at.is_some();
        if done || now.refusal.is_some() || began.elapsed() > PATIENCE {
            break (done, now.refusal);
        }
        tokio::time::sleep(LOOK).await;
    };
    if args.json {
        #[derive(Serialize)]
        struct Acted {
            act: i64,
            letter: i64,
            verb: &'static str,
            done: bool,
            refusal: Option<String>,
        }
        print_json(&Acted { act, letter, verb, done, refusal: refusal.clone() })?;
    }
    match refusal {
        Some(why) => Err(Failed(format!("{verb}: not possible: {why}"))),
        None if !done => Err(Failed(format!(
            "{verb}: noted as act {act}, but no orchestrator has done it yet: is one running? (select * from amends.letter_acts where id = {act})"
        ))),
        None if args.json => Ok(()),
        None => print(&format!("{verb}: done with letter {letter}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::pattern;

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
}
