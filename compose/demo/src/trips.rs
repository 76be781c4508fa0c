//! The trips of a demo, and the visas for some of them: a mix in which every fate occurs, the same in
//! every run.

use amends_app::Failed;
use trip::{CarWanted, Stay, TripWanted, VisaGranted};

use crate::message::Message;

/// A visa that comes while its trip waits is published so many trips later.
const LATER: u32 = 30;

/// When the visa for a trip comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visa {
    NotNeeded,
    Before,
    Later,
    Never,
}

/// What `count` trips publish: each trip, and visas before and after.
pub(crate) fn generate(count: u32) -> Result<Vec<Message>, Failed> {
    let mut messages = Vec::new();
    for n in 0..count + LATER {
        if n < count {
            if visa(n) == Visa::Before {
                messages.push(granted(n)?);
            }
            messages.push(Message::new("trips.wanted", &trip(n))?);
        }
        if let Some(n) = n.checked_sub(LATER).filter(|n| visa(*n) == Visa::Later) {
            messages.push(granted(n)?);
        }
    }
    Ok(messages)
}

fn visa(n: u32) -> Visa {
    match n % 24 {
        1 | 9 => Visa::Before,
        2 | 18 => Visa::Later,
        5 => Visa::Never,
        _ => Visa::NotNeeded,
    }
}

fn id(n: u32) -> String {
    format!("t-{}", 1001 + n)
}

fn granted(n: u32) -> Result<Message, Failed> {
    let granted = VisaGranted { trip_id: id(n), visa: format!("v-{}", 1001 + n) };
    Message::new("visas.granted", &granted)
}

/// Trip number `n` of a run.
fn trip(n: u32) -> TripWanted {
    // Three trips of each tenth traveller, at once.
    let traveller = if n % 10 < 3 { format!("busy-{}", n / 10) } else { format!("p-{n}") };
    let stay = |at: u32| {
        let hotel = match (n + at) % 2 {
            // Three rooms for one trip in seven: most of them come too late.
            _ if n % 7 == 6 && at == 1 => "attic",
            0 => "grand",
            _ => "station",
        };
        Stay { hotel: hotel.into(), nights: 1 + (n + at) % 4 }
    };
    let car = |class: &str, age| Some(CarWanted { class: class.into(), days: 2 + n % 5, age });
    TripWanted {
        trip_id: id(n),
        traveller,
        card: if n % 20 == 3 { "tok_declined" } else { "tok_visa" }.into(),
        stays: (0..2 + n % 3).map(stay).collect(),
        car: match n % 30 {
            4 => car("compact", 19),
            // Five for ten trips of three hundred.
            7 => car("cabrio", 40),
            n if n % 3 == 0 => None,
            _ => car("compact", 40),
        },
        insured: n.is_multiple_of(2),
        visa: visa(n) != Visa::NotNeeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_occurs_in_a_hundred_trips() {
        let trips: Vec<_> = (0..100).map(trip).collect();
        let some = |fits: fn(&TripWanted) -> bool| trips.iter().filter(|t| fits(t)).count() > 1;
        let declined = |t: &TripWanted| t.card == "tok_declined";
        assert!(some(|t| t.card == "tok_declined" && t.car.is_some() && t.stays.len() > 2));
        assert!(trips.iter().any(declined));
        assert!(some(|t| t.car.as_ref().is_some_and(|car| car.age < 21)));
        assert!(some(|t| t.car.as_ref().is_some_and(|car| car.class == "cabrio")));
        assert!(some(|t| t.car.is_none()) && some(|t| t.insured) && some(|t| !t.insured));
        assert!(some(|t| t.stays.iter().skip(1).any(|stay| stay.hotel == "attic")));
        assert!(some(|t| t.traveller == "busy-3"));
        for fate in [Visa::Before, Visa::Later, Visa::Never] {
            assert!((0..100).filter(|n| visa(*n) == fate).count() > 1, "{fate:?}");
        }
    }

    #[test]
    fn visas_come_before_and_after_their_trips() {
        let messages = generate(100).unwrap();
        let position = |subject: &str, id: &str| {
            let found = messages.iter().position(|m| {
                m.subject == subject
                    && String::from_utf8_lossy(&m.body).contains(&format!("{id:?}"))
            });
            found.unwrap()
        };
        assert!(position("visas.granted", "t-1002") < position("trips.wanted", "t-1002"));
        assert!(position("visas.granted", "t-1003") > position("trips.wanted", "t-1003"));
        assert!((0..100).all(|n| visa(n) != Visa::Later || position("visas.granted", &id(n)) > 0));
    }
}
