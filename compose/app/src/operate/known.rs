//! The names that a filter may have: those of definitions, steps and services that ever ran here.

use amends::{Outline, transcript::printable};
use amends_postgres::Database;

use crate::failed::{During as _, Failed};

/// Names that a sentence lists.
const LISTED: usize = 20;

/// Names that a filter has.
#[derive(Clone, Copy, Default)]
pub(super) struct Names<'a> {
    pub(super) definition: Option<&'a str>,
    pub(super) step: Option<&'a str>,
    pub(super) service: Option<&'a str>,
}

/// A version of a definition; `None` when a newer program wrote its plan.
struct Version {
    definition: String,
    outline: Option<Outline>,
}

/// Says so if one of the names is none: worth asking when a filter has found nothing.
pub(super) async fn check(database: &Database, names: Names<'_>) -> Result<(), Failed> {
    if matches!(names, Names { definition: None, step: None, service: None }) {
        return Ok(());
    }
    let rows = sqlx::query_file!("src/sql/known.sql")
        .fetch_all(database)
        .await
        .during("the definitions in the database cannot be read")?;
    let version = |(definition, outline): (String, String)| Version {
        definition,
        outline: serde_json::from_str(&outline).ok(),
    };
    let known: Vec<_> =
        rows.into_iter().map(|row| version((row.definition, row.outline))).collect();
    match unknown(&known, names) {
        Some(sentence) => Err(Failed::misused(sentence)),
        None => Ok(()),
    }
}

/// The sentence about the first name that is none.
fn unknown(known: &[Version], names: Names<'_>) -> Option<String> {
    if let Some(name) = names.definition
        && known.iter().all(|version| version.definition != name)
    {
        let all = known.iter().map(|version| version.definition.as_str());
        return Some(sentence("definition", name, all));
    }
    let asked = known.iter().filter(|v| names.definition.is_none_or(|name| v.definition == name));
    // What cannot be read may have any name.
    let outlines: Vec<_> = asked.map(|version| version.outline.as_ref()).collect::<Option<_>>()?;
    let steps = || outlines.iter().flat_map(|outline: &&Outline| &outline.steps);
    if let Some(name) = names.step
        && !steps().any(|step| is_or_holds(&step.name, step.each.is_some(), name))
    {
        return Some(sentence("step", name, steps().map(|step| step.name.as_str())));
    }
    if let Some(name) = names.service
        && !steps().any(|step| step.service == name)
    {
        let all = steps().filter(|step| step.task.is_call()).map(|step| step.service.as_str());
        return Some(sentence("service", name, all));
    }
    None
}

/// Whether this is the step, or an element of the list that it is: those have its name and a number.
fn is_or_holds(step: &str, list: bool, name: &str) -> bool {
    match name.strip_prefix(step) {
        Some("") => true,
        Some(rest) => list && rest.ends_with(|c: char| c.is_ascii_digit()),
        None => false,
    }
}

fn sentence<'a>(what: &str, name: &str, all: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    all.dedup();
    let more = match all.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    all.truncate(LISTED);
    let known = match all.as_slice() {
        [] => "none is registered in this database".to_owned(),
        all => format!("the {what}s are {}{more}", all.join(", ")),
    };
    printable(&format!("there is no {what} `{name}`: {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Version> {
        let second = std::time::Duration::from_secs(1);
        let retry = amends::Retry::exponential(second, second);
        let outline = |step: &str, each: Option<u32>| {
            let (service, operation) = step.split_once('.').unwrap();
            serde_json::json!({
                "stage": 0, "name": step, "service": service, "operation": operation,
                "kind": "pivot", "needs": [], "retry": retry,
                "compensation_retry": retry, "attempt_timeout_ms": 1, "each": each,
            })
        };
        let version = |name: &str, steps: &[serde_json::Value]| Version {
            definition: name.to_owned(),
            outline: Some(
                serde_json::from_value(serde_json::json!({
                    "name": name, "version": 1, "trigger": "t", "keyed": true,
                    "steps": steps, "output_needs": [],
                }))
                .unwrap(),
            ),
        };
        vec![
            version("order", &[outline("payment.charge", None)]),
            version("trip", &[outline("hotel.book", Some(2))]),
        ]
    }

    #[test]
    fn a_name_that_is_none_is_told_with_those_that_are() {
        let names = |definition, step, service| Names { definition, step, service };
        let known = known();
        for (names, said) in [
            (names(Some("order"), Some("payment.charge"), Some("payment")), None),
            (names(None, Some("hotel.book.2"), None), None),
            (
                names(Some("x"), None, None),
                Some("there is no definition `x`: the definitions are order, trip"),
            ),
            (
                names(None, Some("payment.charge.2"), None),
                Some(
                    "there is no step `payment.charge.2`: the steps are hotel.book, payment.charge",
                ),
            ),
            (
                names(Some("trip"), Some("payment.charge"), None),
                Some("there is no step `payment.charge`: the steps are hotel.book"),
            ),
            (
                names(None, None, Some("y")),
                Some("there is no service `y`: the services are hotel, payment"),
            ),
        ] {
            assert_eq!(unknown(&known, names).as_deref(), said);
        }
        let none = unknown(&[], names(Some("x"), None, None)).unwrap();
        assert!(none.ends_with("none is registered in this database"), "{none}");
    }

    #[test]
    fn not_all_names_are_listed() {
        let all: Vec<_> = (0..25).map(|n| format!("s{n:02}")).collect();
        let said = sentence("step", "x", all.iter().map(String::as_str));
        assert!(said.ends_with("s18, s19 and 5 more"), "{said}");
    }

    #[test]
    fn what_cannot_be_read_may_have_any_step() {
        let newer = [Version { definition: "order".to_owned(), outline: None }];
        let names = Names { step: Some("x"), ..Names::default() };
        assert_eq!(unknown(&newer, names), None);
    }
}
