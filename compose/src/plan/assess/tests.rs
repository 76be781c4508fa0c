//! Each case of a deploy.

use amends::Definition;

use super::*;

fn known(version: u32) -> Known {
    let definition = Definition::of::<order::PlaceOrder>().unwrap();
    let outline = Outline { version, ..definition.outline().clone() };
    Known { digest: outline.digest(), outline, starts: true }
}

fn row(version: u32, open_sagas: i64) -> Row {
    let Known { outline, digest, .. } = known(version);
    let definition = outline.name.clone();
    Row { definition, version, digest, retired: false, open_sagas, outline: Some(outline) }
}

fn retired(row: Row) -> Row {
    Row { retired: true, ..row }
}

fn told(known: &[Known], rows: &[Row]) -> Vec<(u32, State, bool)> {
    let verdicts = assess(known, rows);
    verdicts.into_iter().map(|v| (v.version, v.state, v.safe)).collect()
}

#[test]
fn a_first_deploy_and_the_same_again() {
    assert_eq!(told(&[known(1)], &[]), [(1, State::New, true)]);
    assert_eq!(told(&[known(1)], &[row(1, 7)]), [(1, State::Same, true)]);
}

#[test]
fn a_new_version_beside_the_old_one() {
    let mut new = known(2);
    new.outline.steps[0].attempt_timeout_ms = 1000;
    let both = [known(1), new.clone()];
    let verdicts = assess(&both, &[row(1, 7)]);
    assert_eq!(told(&both, &[row(1, 7)]), [(1, State::Same, true), (2, State::Beside, true)]);
    assert_eq!(verdicts[1].compared_with, Some(1));
    assert_eq!(verdicts[1].differences.len(), 1);
    assert_eq!(verdicts[1].differences[0].change, "attempt timeout: 15 s → 1 s");
}

#[test]
fn an_old_version_is_dropped_when_it_is_drained() {
    let new = [known(2)];
    let open = [row(1, 1), row(2, 5)];
    assert_eq!(told(&new, &open), [(1, State::Missing, false), (2, State::Same, true)]);
    let drained = [row(1, 0), row(2, 5)];
    assert_eq!(told(&new, &drained), [(1, State::Past, true), (2, State::Same, true)]);
}

#[test]
fn a_version_that_still_starts_sagas_is_retired_before_it_is_dropped() {
    let new = [known(2)];
    assert_eq!(told(&new, &[row(1, 0)])[0], (1, State::Missing, false));
    assert_eq!(told(&new, &[retired(row(1, 0))])[0], (1, State::Past, true));
    assert_eq!(told(&new, &[retired(row(1, 3))])[0], (1, State::Missing, false));
    // The later version is retired, so that what runs starts sagas under the earlier one.
    let rows = [row(1, 0), retired(row(2, 0))];
    assert_eq!(told(&new, &rows)[0], (1, State::Missing, false));
}

#[test]
fn a_plan_that_changed_under_its_version() {
    let mut changed = known(1);
    changed.outline.keyed = false;
    changed.digest = changed.outline.digest();
    let verdicts = assess(&[changed], &[row(1, 0)]);
    assert_eq!((verdicts[0].state, verdicts[0].safe), (State::Changed, false));
    assert_eq!(verdicts[0].differences.len(), 1);
    assert!(verdicts[0].notes[0].contains("give the changed plan version 2"), "{verdicts:?}");
}

#[test]
fn a_plan_that_cannot_be_read_is_said_so() {
    let unreadable = Row { outline: None, ..row(1, 0) };
    let verdicts = assess(&[known(1), known(2)], &[unreadable]);
    assert_eq!(verdicts[1].state, State::Beside);
    assert!(verdicts[1].notes[0].contains("cannot be read"), "{verdicts:?}");
}

#[test]
fn an_older_version_than_what_ran_is_noted() {
    let verdicts = assess(&[known(1)], &[retired(row(2, 0))]);
    assert_eq!(verdicts[0].state, State::Beside);
    assert!(
        verdicts[0].notes.iter().any(|note| note.contains("older than order@2")),
        "{verdicts:?}"
    );
}

#[test]
fn triggers_of_a_retired_definition_wait() {
    let notes = |known: &[Known]| assess(known, &[retired(row(1, 0))])[0].notes.clone();
    assert!(notes(&[known(1)])[0].contains("its triggers wait"));
    assert_eq!(notes(&[known(1), known(2)]), [""; 0]);
}

#[test]
fn a_nested_version_is_begun_by_nobody_else() {
    let nested = Known { starts: false, ..known(2) };
    assert_eq!(told(&[nested], &[row(1, 0)])[0], (1, State::Past, true));
}
