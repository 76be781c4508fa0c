//! Starts that were asked for in SQL.

use super::*;

fn start(input: &str) -> Result<Start, String> {
    Ok(Start { key: Some("t-1".into()), input: Json::trusted(input), ..start_of(&trip()) })
}

/// What is decided of starts under the ids 1, 2, …, in one batch.
fn decided(mut batch: Batch, starts: Vec<Result<Start, String>>) -> Outcome {
    let fired = (1..).zip(starts).map(|(n, start)| {
        batch.inbox(id(n)).request = Some(start);
        fired(n, 0)
    });
    let items: Vec<_> = fired.collect();
    run(batch, &items).1
}

fn of(n: u128, holder: Option<u128>, refusal: Option<&str>) -> DecidedStart {
    DecidedStart { saga: id(n), holder: holder.map(id), refusal: refusal.map(str::to_owned) }
}

const OTHER: &str = "the key `t-1` of `trip` was used before with another body, by saga ";

#[test]
fn of_one_key_the_first_begins_and_the_others_name_it() {
    let wrong = Err("no input".to_owned());
    let starts = vec![start("{}"), start("{}"), start("[]"), wrong];
    let Outcome { rows, rearm, .. } = decided(Batch::new(at(0)), starts);
    let other = format!("{OTHER}{}", id(1));
    assert_eq!(
        rows.starts,
        [
            of(1, None, None),
            of(2, Some(1), None),
            of(3, Some(1), Some(&other)),
            of(4, None, Some("no input")),
        ]
    );
    assert_eq!(rows.sagas.len(), 1);
    // Only the first has anything to wait for.
    let deleted = [2, 3, 4].map(|n| Rearm::Delete(due(n, 0)));
    assert_eq!(rearm, deleted);
}

#[test]
fn a_key_that_is_held_names_its_holder() {
    let mut batch = Batch::new(at(0));
    let digest = Json::trusted("{}").digest();
    batch.put_key("trip".into(), "t-1".into(), KeyHolder { id: id(9), digest });
    let Outcome { rows, .. } = decided(batch, vec![start("{}"), start("[]")]);
    let other = format!("{OTHER}{}", id(9));
    assert_eq!(rows.starts, [of(1, Some(9), None), of(2, Some(9), Some(&other))]);
    assert!(rows.sagas.is_empty());
}

#[test]
fn a_start_without_a_key_begins_each_time() {
    let starts = vec![Ok(start_of(&trip())), Ok(start_of(&trip()))];
    let Outcome { rows, .. } = decided(Batch::new(at(0)), starts);
    assert_eq!(rows.starts, [of(1, None, None), of(2, None, None)]);
    assert_eq!(rows.sagas.len(), 2);
}
