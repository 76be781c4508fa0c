//! Each case of a deploy.

use amends::{BeforePivot, Compensatable, Definition, Finished, Given, Plan, Saga, Step, Trigger};

use super::*;

struct Reserve;

impl Step for Reserve {
    const NAME: &'static str = "stock.reserve";
    type Input = String;
    type Output = String;
    type Rejection = std::convert::Infallible;
}

impl Compensatable for Reserve {}

struct Order;

impl Saga for Order {
    const NAME: &'static str = "order";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = String;

    fn trigger() -> Trigger<String> {
        Trigger::on("orders.placed").key(String::clone)
    }

    fn plan(mut p: Plan<BeforePivot>, order: Given<String>) -> Finished<String> {
        let reserved = p.step(Reserve::with(order));
        p.finish(reserved)
    }
}

fn ours(version: u32) -> ProgramVersion {
    let definition = Definition::of::<Order>().unwrap();
    let outline = Outline { version, ..definition.outline().clone() };
    ProgramVersion { digest: outline.digest(), outline, starts: true }
}

fn stored(version: u32, open_sagas: i64) -> StoredVersion {
    let ProgramVersion { outline, digest, .. } = ours(version);
    let definition = outline.name.clone();
    StoredVersion {
        definition,
        version,
        digest,
        retired: false,
        open_sagas,
        outline: Some(outline),
    }
}

fn retired(version: StoredVersion) -> StoredVersion {
    StoredVersion { retired: true, ..version }
}

fn states(ours: &[ProgramVersion], rows: &[StoredVersion]) -> Vec<(u32, State, bool)> {
    let assessments = assess(ours, rows);
    assessments.into_iter().map(|v| (v.version, v.state, v.safe)).collect()
}

#[test]
fn a_first_deploy_and_the_same_again() {
    assert_eq!(states(&[ours(1)], &[]), [(1, State::New, true)]);
    assert_eq!(states(&[ours(1)], &[stored(1, 7)]), [(1, State::Same, true)]);
}

#[test]
fn a_new_version_beside_the_old_one() {
    let mut new = ours(2);
    new.outline.steps[0].attempt_timeout_ms = 1000;
    let both = [ours(1), new.clone()];
    let assessments = assess(&both, &[stored(1, 7)]);
    assert_eq!(states(&both, &[stored(1, 7)]), [(1, State::Same, true), (2, State::Beside, true)]);
    assert_eq!(assessments[1].compared_with, Some(1));
    assert_eq!(assessments[1].differences.len(), 1);
    assert_eq!(assessments[1].differences[0].change, "attempt timeout: 15 s → 1 s");
}

#[test]
fn an_old_version_is_dropped_when_it_is_drained() {
    let new = [ours(2)];
    let open = [stored(1, 1), stored(2, 5)];
    assert_eq!(states(&new, &open), [(1, State::Missing, false), (2, State::Same, true)]);
    let drained = [stored(1, 0), stored(2, 5)];
    assert_eq!(states(&new, &drained), [(1, State::Past, true), (2, State::Same, true)]);
}

#[test]
fn a_version_that_still_starts_sagas_is_retired_before_it_is_dropped() {
    let new = [ours(2)];
    assert_eq!(states(&new, &[stored(1, 0)])[0], (1, State::Missing, false));
    assert_eq!(states(&new, &[retired(stored(1, 0))])[0], (1, State::Past, true));
    assert_eq!(states(&new, &[retired(stored(1, 3))])[0], (1, State::Missing, false));
    // The later version is retired, so that what runs starts sagas under the earlier one.
    let rows = [stored(1, 0), retired(stored(2, 0))];
    assert_eq!(states(&new, &rows)[0], (1, State::Missing, false));
}

#[test]
fn a_plan_that_changed_under_its_version() {
    let mut changed = ours(1);
    changed.outline.keyed = false;
    changed.digest = changed.outline.digest();
    let assessments = assess(&[changed], &[stored(1, 0)]);
    assert_eq!((assessments[0].state, assessments[0].safe), (State::Changed, false));
    assert_eq!(assessments[0].differences.len(), 1);
    assert!(assessments[0].notes[0].contains("give the changed plan version 2"), "{assessments:?}");
}

#[test]
fn a_plan_that_cannot_be_read_is_said_so() {
    let unreadable = StoredVersion { outline: None, ..stored(1, 0) };
    let assessments = assess(&[ours(1), ours(2)], &[unreadable]);
    assert_eq!(assessments[1].state, State::Beside);
    assert!(assessments[1].notes[0].contains("cannot be read"), "{assessments:?}");
}

#[test]
fn an_older_version_than_what_ran_is_noted() {
    let assessments = assess(&[ours(1)], &[retired(stored(2, 0))]);
    assert_eq!(assessments[0].state, State::Beside);
    assert!(
        assessments[0].notes.iter().any(|note| note.contains("older than order@2")),
        "{assessments:?}"
    );
}

#[test]
fn triggers_of_a_retired_definition_wait() {
    let notes = |ours: &[ProgramVersion]| assess(ours, &[retired(stored(1, 0))])[0].notes.clone();
    assert!(notes(&[ours(1)])[0].contains("its triggers wait"));
    assert_eq!(notes(&[ours(1), ours(2)]), [""; 0]);
}

#[test]
fn a_nested_version_is_begun_by_nobody_else() {
    let nested = ProgramVersion { starts: false, ..ours(2) };
    assert_eq!(states(&[nested], &[stored(1, 0)])[0], (1, State::Past, true));
}
