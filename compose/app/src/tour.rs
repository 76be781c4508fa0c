//! What to try beside a `dev` that runs: one example of each saga, as commands to paste.

use crate::{
    app::App,
    example::{Example, ExampleEvent},
};

/// The commands for these examples, which are the program's with the keys that they have now; `executable` is this
/// program as its user has called it.
pub(crate) fn tour(app: &App, now: &[Example], executable: &str) -> String {
    let mut text = String::new();
    for Example { subject, body, .. } in now {
        text += &publish(subject, body);
    }
    for ExampleEvent { subject, body } in app.example_events() {
        text += &publish(subject, &with_keys(body, app.examples(), now));
    }
    text += "  psql \"$DATABASE_URL\" -c 'select key, status, step, error from amends.sagas'\n";
    for key in now.iter().filter_map(|example| example.key.as_ref()) {
        text += &format!("  {executable} show {}\n", quoted(key));
    }
    text + &with_keys(app.further_hints(), app.examples(), now)
}

fn publish(subject: &str, body: &str) -> String {
    format!("  nats --server \"$NATS_URL\" pub {subject} {}\n", quoted(body))
}

/// What the program's author wrote about its examples, with the keys that the examples have now.
fn with_keys(text: &str, written: &[Example], now: &[Example]) -> String {
    let keys = written
        .iter()
        .zip(now)
        .filter_map(|(written, now)| Some((written.key.as_ref()?, now.key.as_ref()?)));
    keys.fold(text.to_owned(), |text, (old, new)| with_key(&text, old, new))
}

/// The text with another key where this one stands in JSON.
fn with_key(text: &str, old: &str, new: &str) -> String {
    text.replace(&format!("\"{old}\""), &format!("\"{new}\""))
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use amends::{Await, BeforePivot, Finished, Given, Plan, Saga, Step, Trigger};
    use serde_json::{Value, json};

    use super::*;

    struct Charge;

    impl Step for Charge {
        const NAME: &'static str = "card.charge";
        type Input = Value;
        type Output = ();
        type Rejection = Infallible;
    }

    struct Travel;

    impl Saga for Travel {
        const NAME: &'static str = "travel";
        const VERSION: u32 = 1;
        type Input = Value;
        type Output = ();
        fn trigger() -> Trigger<Value> {
            Trigger::on("trips.wanted").key(|trip| trip["trip"].as_str().unwrap().to_owned())
        }
        fn plan(mut p: Plan<BeforePivot>, trip: Given<Value>) -> Finished<()> {
            let visa = Await::<Value>::on("visas.granted")
                .matching(|visa| visa["trip"].as_str().unwrap().to_owned());
            p.step(visa);
            let (p, charged) = p.pivot(Charge::with(trip));
            p.finish(charged)
        }
    }

    #[test]
    fn an_event_that_an_example_waits_for_is_published_behind_it() {
        let app = App::new("agency")
            .example::<Travel>(&json!({"trip": "t-1"}))
            .example_event("visas.granted", &json!({"trip": "t-1", "visa": 7}))
            .hints("then the trip \"t-1\" goes on\n");
        let now: Vec<_> = app.examples().iter().filter_map(|one| one.numbered(2)).collect();
        let tour = tour(&app, &now, "agency");
        let lines: Vec<_> = tour.lines().collect();
        assert_eq!(lines.len(), 5, "{tour}");
        assert!(lines[0].ends_with(r#" pub trips.wanted '{"trip":"t-1-2"}'"#), "{tour}");
        assert!(lines[1].ends_with(r#" pub visas.granted '{"trip":"t-1-2","visa":7}'"#), "{tour}");
        assert_eq!(lines[3..], ["  agency show t-1-2", "then the trip \"t-1-2\" goes on"]);
    }

    #[test]
    fn hints_follow_the_key() {
        let hints = r#"pub visas.granted '{"trip_id":"t-1","visa":"t-10"}'"#;
        let now = r#"pub visas.granted '{"trip_id":"t-1-2","visa":"t-10"}'"#;
        assert_eq!(super::with_key(hints, "t-1", "t-1-2"), now);
    }

    #[test]
    fn a_word_of_a_shell() {
        for (text, word) in [("o-1", "o-1"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(super::quoted(text), word);
        }
    }
}
