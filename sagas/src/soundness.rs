//! Whether definitions can do what they promise: the order of their steps, their times, and the
//! services that they call.

mod finding;
mod order;
mod staff;
mod time;

use std::collections::BTreeMap;

use crate::{Definition, Handler, StepKind};
use finding::Findings;
pub use finding::{Finding, Severity};

/// Checks definitions, and the nested ones in them, against what the services handle. Errors come
/// first; sound definitions have no finding.
///
/// - Steps are compensatable, then at most one pivot, then retriable.
/// - Times hold what they promise: a step's `within` has room for an attempt and its repetition, the
///   deadline for all attempts before the pivot and for a nested saga, a compensation is repeated for
///   as long as its action, and no wait is endless. Not counted are what nobody knows beforehand:
///   replies that come after `pending`, waiting for a lock or until a time, and more elements of a
///   list than run at once.
/// - Each operation has a handler; before the pivot one for its compensation too.
///
/// In a test it needs no database:
///
/// ```
/// # use amends::{Compensatable, BeforePivot, Definition, Finished, Given, Plan, Saga, Step, Trigger};
/// # pub struct BookHotel;
/// # impl Step for BookHotel {
/// #     const NAME: &'static str = "hotel.book";
/// #     type Input = u8;
/// #     type Output = u64;
/// #     type Rejection = std::convert::Infallible;
/// # }
/// # impl Compensatable for BookHotel {}
/// # pub struct BookTrip;
/// # impl Saga for BookTrip {
/// #     const NAME: &'static str = "trip";
/// #     const VERSION: u32 = 1;
/// #     type Input = u8;
/// #     type Output = u64;
/// #     fn trigger() -> Trigger<u8> { Trigger::on("trips.wanted") }
/// #     fn plan(mut p: Plan<BeforePivot>, nights: Given<u8>) -> Finished<u64> {
/// #         let hotel = p.step(BookHotel::with(nights));
/// #         p.finish(hotel)
/// #     }
/// # }
/// use amends::{Handler, check};
/// let definitions = [Definition::of::<BookTrip>()?];
/// let handlers = [Handler::with_compensation("hotel.book")]; // or `service.handlers()`
/// assert_eq!(check(&definitions, &handlers), []);
///
/// let findings = check(&definitions, &[Handler::action("hotel.book")]);
/// assert_eq!(
///     findings[0].to_string(),
///     "error: trip@1 hotel.book: `hotel` does not handle its compensation: register it with `.step`, not `.forward`"
/// );
/// # Ok::<(), amends::DefinitionError>(())
/// ```
#[must_use]
pub fn check(definitions: &[Definition], handlers: &[Handler]) -> Vec<Finding> {
    let mut checker = Checker { handlers, digests: BTreeMap::new(), findings: Vec::new() };
    for definition in definitions {
        checker.visit(definition, false);
    }
    checker.findings.sort();
    // A nested saga is met once for each place where it stands.
    checker.findings.dedup();
    checker.findings
}

struct Checker<'a> {
    handlers: &'a [Handler],
    digests: BTreeMap<String, &'a str>,
    findings: Vec<Finding>,
}

impl<'a> Checker<'a> {
    /// `bounded`: an outer saga limits how long this one takes.
    fn visit(&mut self, definition: &'a Definition, bounded: bool) {
        let outline = definition.outline();
        let mut of = Findings::of(outline.title(), &mut self.findings);
        let digest = *self.digests.entry(outline.title()).or_insert(definition.digest());
        if digest != definition.digest() {
            of.whole("two different plans have this name and version: give one another");
            return;
        }
        order::check(outline, &mut of);
        time::check(definition, bounded, &mut of);
        staff::check(outline, self.handlers, &mut of);
        let bounded = bounded || outline.deadline_ms.is_some();
        for (at, step) in outline.steps.iter().enumerate() {
            if let Some(child) = definition.child(at) {
                let turns_back = bounded && step.kind == StepKind::Compensatable;
                self.visit(child, turns_back || step.within_ms.is_some());
            }
        }
    }
}

#[cfg(test)]
mod tests;
