//! Who has an account: each service, and each of those who publish events or follow sagas.

use std::collections::{BTreeMap, BTreeSet};

use amends::check_subject;

use super::installation::Installation;
use crate::{assignment::Assignment, failed::Failed};

/// Who publishes and follows everything, if nobody is named.
const PUBLISHER: &str = "publisher";

/// Users of the account that has the streams.
const RESERVED: [&str; 4] = ["orchestrator", "admin", "amends", "sys"];

/// What each party may, beside the services' own work.
#[derive(Debug, Default)]
pub(crate) struct Assignments {
    /// Who publishes on which subjects.
    pub(crate) publishers: Vec<Assignment>,
    /// Who follows sagas of which definitions.
    pub(crate) followers: Vec<Assignment>,
}

/// Who has an account of the same name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Party {
    /// Whether it is a service.
    pub(super) serves: bool,
    /// The subjects that it publishes on.
    pub(super) publishes: BTreeSet<String>,
    /// The definitions whose sagas it follows.
    pub(super) follows: BTreeSet<String>,
}

/// All parties by name.
///
/// # Errors
/// One that names a subject or a definition which is not there.
pub(super) fn parties(
    installation: &Installation,
    assigned: &Assignments,
) -> Result<BTreeMap<String, Party>, Failed> {
    let Installation { definitions, services, events } = installation;
    let mut parties: BTreeMap<String, Party> = BTreeMap::new();
    for service in services {
        check_free(service).map_err(Failed::new)?;
        parties.entry(service.clone()).or_default().serves = true;
    }
    for Assignment { name: party, what } in &assigned.publishers {
        check_free(party).map_err(Failed::misused)?;
        let party_of = parties.entry(party.clone()).or_default();
        for subject in what {
            check_subject(subject).map_err(|error| Failed::misused(error.to_string()))?;
            // A service may emit what no saga waits for.
            if !party_of.serves && !events.contains(subject) {
                return Err(unknown("event", subject, events));
            }
            party_of.publishes.insert(subject.clone());
        }
    }
    for Assignment { name: party, what } in &assigned.followers {
        check_free(party).map_err(Failed::misused)?;
        let party_of = parties.entry(party.clone()).or_default();
        for definition in what {
            if !definitions.contains(definition) {
                return Err(unknown("definition", definition, definitions));
            }
            party_of.follows.insert(definition.clone());
        }
    }
    if assigned.publishers.is_empty() && assigned.followers.is_empty() {
        let publisher = parties.entry(PUBLISHER.to_owned()).or_default();
        publisher.publishes.clone_from(events);
        publisher.follows.clone_from(definitions);
    }
    Ok(parties)
}

/// The subjects of triggers and awaited events that are nobody's to publish on.
pub(super) fn unpublished<'a>(
    installation: &'a Installation,
    parties: &BTreeMap<String, Party>,
) -> impl Iterator<Item = &'a String> {
    let published = |subject: &String| parties.values().any(|p| p.publishes.contains(subject));
    installation.events.iter().filter(move |subject| !published(subject))
}

fn check_free(name: &str) -> Result<(), String> {
    if RESERVED.contains(&name) {
        return Err(format!("`{name}` has a meaning of its own here: another name is needed"));
    }
    Ok(())
}

fn unknown(what: &str, name: &str, known: &BTreeSet<String>) -> Failed {
    let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Failed::misused(format!("there is no {what} `{name}`: the {what}s are {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn shop() -> Installation {
        Installation {
            definitions: set(&["order", "trip"]),
            services: set(&["payment"]),
            events: set(&["orders.placed", "visas.granted"]),
        }
    }

    fn granted(publishers: &[&str], followers: &[&str]) -> Result<BTreeMap<String, Party>, Failed> {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let assigned = Assignments { publishers: all(publishers), followers: all(followers) };
        parties(&shop(), &assigned)
    }

    #[test]
    fn each_party_has_what_it_is_granted() {
        let all = granted(&["shop=orders.placed", "payment=payments.refunded"], &["shop=order"]);
        let all = all.unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["payment", "shop"]);
        assert!(all["payment"].serves && !all["shop"].serves);
        assert_eq!(all["payment"].publishes, set(&["payments.refunded"]));
        assert_eq!(all["shop"].publishes, set(&["orders.placed"]));
        assert_eq!(all["shop"].follows, set(&["order"]));
        assert_eq!(unpublished(&shop(), &all).collect::<Vec<_>>(), ["visas.granted"]);
    }

    #[test]
    fn a_service_is_not_named_as_somebody_else() {
        let installation = Installation { services: set(&["admin"]), ..shop() };
        let error = parties(&installation, &Assignments::default()).unwrap_err().to_string();
        assert!(error.contains("`admin` has a meaning of its own"), "{error}");
    }

    #[test]
    fn without_grants_one_publisher_has_all() {
        let all = granted(&[], &[]).unwrap();
        assert_eq!(all["publisher"].publishes, shop().events);
        assert_eq!(all["publisher"].follows, shop().definitions);
    }

    #[test]
    fn what_is_not_there_is_not_granted() {
        for (publishers, followers, why) in [
            (
                &["shop=orders.given"][..],
                &[][..],
                "there is no event `orders.given`: the events are orders.placed, visas.granted",
            ),
            (&[], &["shop=stay"], "there is no definition `stay`: the definitions are order, trip"),
            (&["payment=a.>"], &[], "in parts joined by dots"),
            (&["admin=orders.placed"], &[], "`admin` has a meaning of its own"),
            (&[], &["sys=order"], "`sys` has a meaning of its own"),
        ] {
            let error = granted(publishers, followers).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
