//! What is told of changes of status.

use serde_json::Value;

use super::*;

/// The status, and the code of the error, of each change that is told.
fn told(disposition: &Disposition) -> Vec<(String, String)> {
    let Disposition::Publish(messages) = disposition else { panic!("{disposition:?}") };
    let event = |message: &Message| match message {
        Message::Status(event, _) => Some(serde_json::from_str(&event.body).unwrap()),
        Message::Command(..) => None,
    };
    let data = |event: Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["data"]["status"]), text(&event["data"]["error"]["code"]))
    };
    messages.iter().filter_map(event).map(data).collect()
}

fn changes(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    changes.iter().map(|(status, code)| ((*status).to_owned(), (*code).to_owned())).collect()
}

fn undo(step: &str, attempt: u32, answer: Reply) -> Item {
    let mut item = reply(1, step, attempt, answer);
    if let Input::Reply(reply, _) = &mut item.input {
        reply.op = Op::Compensation;
    }
    item
}

/// The row of the saga is told what the world is.
fn row(outcome: &Outcome) -> Option<(String, String)> {
    let (status, error) = outcome.rows.sagas[0].1.status.as_ref()?;
    let code = error.as_ref().map(|error| error.code.clone()).unwrap_or_default();
    Some((status.to_string(), code))
}

fn no(code: &str) -> Reply {
    Reply::Rejected { code: code.into(), message: String::new() }
}

#[test]
fn the_end_of_a_saga_that_turned_back_tells_why_it_did() {
    let turned = after(&trip(), vec![done(1, "hotel.book"), rejected(1, "card.charge")]);
    let ended = [undo("hotel.book", 1, Reply::Ok(Json::null()))];
    let (dispositions, outcome) = run(read(1, turned), &ended);
    assert_eq!(told(&dispositions[0]), changes(&[("compensated", "full")]));
    assert_eq!(row(&outcome), Some(("compensated".into(), "full".into())));
}

/// Being stuck on the way back is another reason than that for which it was gone.
#[test]
fn a_saga_that_was_stuck_on_its_way_back_tells_both_reasons() {
    let turned = vec![done(1, "hotel.book"), rejected(1, "card.charge")];
    let (dispositions, outcome) =
        run(read(1, after(&trip(), turned)), &[undo("hotel.book", 1, no("gone"))]);
    assert_eq!(told(&dispositions[0]), changes(&[("stuck", "gone")]));
    assert_eq!(row(&outcome), Some(("stuck".into(), "gone".into())));
    let stuck = outcome.instances[&id(1)].clone();
    let late = [undo("hotel.book", 1, Reply::Ok(Json::null()))];
    let (dispositions, outcome) = run(read(2, stuck), &late);
    assert_eq!(told(&dispositions[0]), changes(&[("compensated", "full")]));
    assert_eq!(row(&outcome), Some(("compensated".into(), "full".into())));
}

#[test]
fn a_saga_that_was_not_turned_back_tells_no_reason() {
    let items = ["hotel.book", "card.charge"].map(|step| done(1, step));
    let stuck = [reply(1, "mail.tickets", 1, no("gone"))];
    let (dispositions, outcome) = run(read(1, after(&trip(), items.into())), &stuck);
    assert_eq!(told(&dispositions[0]), changes(&[("stuck", "gone")]));
    let (dispositions, _) =
        run(read(2, outcome.instances[&id(1)].clone()), &[done(1, "mail.tickets")]);
    assert_eq!(told(&dispositions[0]), changes(&[("completed", "")]));
}

/// The saga 1, which ended at 0 s, when its timer fires.
fn fires(seconds: i64, announced: Option<u32>) -> (Vec<(String, String)>, Rearm) {
    let ended = after(&trip(), vec![rejected(1, "hotel.book")]);
    assert_eq!(ended.changes.last().map(|change| change.seq), Some(1));
    let mut batch = read(seconds, ended);
    if let Some(seq) = announced {
        batch.put_announced(id(1), seq);
    }
    let (dispositions, outcome) = run(batch, &[fired(1, seconds)]);
    assert!(outcome.rows.is_empty());
    (told(&dispositions[0]), outcome.rearm[0])
}

/// A timer fires at once after the end of a saga that others wait for.
#[test]
fn a_timer_that_fires_soon_after_a_change_does_not_tell_it_again() {
    let until = |n: i64, seconds| Rearm::Set(due(1, n), Some(at(seconds)));
    for seconds in [0, 9] {
        assert_eq!(fires(seconds, None), (Vec::new(), until(seconds, 10)), "it may be lost");
    }
    assert_eq!(fires(0, Some(0)), (Vec::new(), until(0, 10)), "an earlier one is stored");
}

#[test]
fn a_change_is_told_again_until_it_is_known_to_be_stored() {
    let ended = changes(&[("compensated", "full")]);
    for seconds in [10, 20, 3600] {
        let again = Rearm::Set(due(1, seconds), Some(at(seconds + 10)));
        assert_eq!(fires(seconds, None), (ended.clone(), again));
        assert_eq!(fires(seconds, Some(1)), (Vec::new(), Rearm::Delete(due(1, seconds))));
    }
    assert_eq!(fires(0, Some(1)), (Vec::new(), Rearm::Delete(due(1, 0))));
}
