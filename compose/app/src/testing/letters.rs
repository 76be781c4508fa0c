//! Messages for the sagas of a definition that could not be used: mostly why a saga that a test waits for is
//! not there, or does not end.

use amends::{Outline, Task, transcript::printable, wire};
use amends_postgres::Database;

use crate::{
    failed::Failed,
    operate::letters::{Which, pattern, read},
};

/// How many are shown.
const SHOWN: i64 = 5;

/// Characters of a body that are shown.
const BODY_MAX: usize = 200;

/// The open dead letters on the subjects of these sagas, and how to look at them.
pub(super) async fn of(database: &Database, outline: &Outline) -> Result<String, Failed> {
    let subjects = subjects(outline);
    let patterns: Vec<_> = subjects.iter().map(|subject| pattern(subject)).collect();
    let patterns = patterns.join("|");
    let which = Which { subject: Some(&patterns), limit: SHOWN + 1, ..Which::default() };
    let letters = read(database, which).await?;
    let subjects = subjects.join(", ");
    if letters.is_empty() {
        return Ok(format!("no dead letter is open on {subjects}"));
    }
    let shown = usize::try_from(SHOWN).unwrap_or(usize::MAX);
    let mut text = format!("open dead letters on {subjects}, the newest first:\n");
    for letter in letters.iter().take(shown) {
        let (subject, reason) = (printable(&letter.subject), printable(&letter.reason));
        let body: String =
            letter.body.iter().flat_map(|body| body.chars()).take(BODY_MAX).collect();
        text += &format!("  {} {subject}: {reason}\n    {}\n", letter.id, printable(&body));
    }
    if letters.len() > shown {
        text += "  and more\n";
    }
    text += "look at them whole with `select * from amends.dead_letters order by id` in `live.database()`";
    Ok(text)
}

/// Where messages for these sagas come from: the trigger, events that steps wait for, replies.
fn subjects(outline: &Outline) -> Vec<String> {
    let mut subjects = vec![outline.trigger.clone()];
    for step in &outline.steps {
        let subject = match &step.task {
            Task::Call => wire::reply_subject(&step.service),
            Task::Event { subject } => subject.clone(),
            _ => continue,
        };
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects
}
