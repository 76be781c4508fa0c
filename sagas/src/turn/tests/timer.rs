//! Where a timer is to stand after a turn.

use super::{
    super::timer::{Situation, after as timer_after, idle},
    *,
};

/// A trip with one attempt under way, which is due at 15 s.
fn under_way() -> Instance {
    after(&trip(), vec![done(1, "hotel.book")])
}

/// The same, and its timer stands there.
fn standing_at(seconds: i64) -> Instance {
    Instance { timer_at: Some(at(seconds)), ..under_way() }
}

fn ended() -> Instance {
    let instance = after(&trip(), vec![rejected(1, "hotel.book")]);
    assert!(instance.state.status.ended());
    instance
}

/// A turn at 0 s by a reply, in a saga in which something was due at 5 s.
fn by_reply() -> Situation {
    Situation { now: at(0), fired: None, inbox: false, by_itself: false, due_before: Some(at(5)) }
}

/// A turn at 0 s by the timer.
fn by_timer() -> Situation {
    Situation { fired: Some(due(1, 0)), ..by_reply() }
}

fn set(seconds: i64) -> Timer {
    Timer::Set(Some(at(seconds)))
}

#[test]
fn one_that_stands_early_enough_is_kept() {
    assert_eq!(timer_after(&standing_at(5), &by_reply()), Timer::Keep);
    assert_eq!(timer_after(&standing_at(15), &by_reply()), Timer::Keep);
}

#[test]
fn one_that_stands_too_late_is_set() {
    assert_eq!(timer_after(&standing_at(16), &by_reply()), set(15));
}

#[test]
fn one_that_nobody_has_seen_is_set() {
    assert_eq!(timer_after(&Instance { timer_at: None, ..under_way() }, &by_reply()), set(15));
}

#[test]
fn one_that_may_have_fired_by_another_clock_is_set() {
    assert_eq!(timer_after(&standing_at(2), &by_reply()), set(15));
    assert_eq!(timer_after(&standing_at(3), &by_reply()), Timer::Keep);
}

#[test]
fn one_that_another_replica_may_have_set_for_what_was_due_before_is_set() {
    for due_before in [None, Some(at(16))] {
        let situation = Situation { due_before, ..by_reply() };
        assert_eq!(timer_after(&standing_at(5), &situation), set(15));
    }
}

#[test]
fn one_that_fired_is_armed_again() {
    assert_eq!(timer_after(&under_way(), &by_timer()), Timer::Rearm(Some(at(15)), due(1, 0)));
}

#[test]
fn one_that_fired_repeats_the_news_of_a_change_that_it_caused() {
    let news = after(&trip(), vec![done(1, "hotel.book"), rejected(1, "card.charge")]);
    assert_eq!(news.changes.len(), 1, "it has turned back");
    assert_eq!(timer_after(&news, &by_timer()), Timer::Rearm(Some(at(10)), due(1, 0)));
    let late = Situation { now: at(8), ..by_timer() };
    assert_eq!(
        timer_after(&news, &late),
        Timer::Rearm(Some(at(15)), due(1, 0)),
        "what is due first"
    );
}

#[test]
fn an_inbox_that_is_to_be_read_is_due_now() {
    let inbox = Situation { inbox: true, ..by_reply() };
    assert_eq!(timer_after(&standing_at(5), &inbox), set(0));
    assert_eq!(timer_after(&ended(), &inbox), set(0), "also after the end");
}

#[test]
fn it_is_deleted_at_the_end() {
    assert_eq!(timer_after(&ended(), &by_reply()), Timer::Delete);
    // An end that the timer caused is announced once more first, and one by an act.
    assert_eq!(timer_after(&ended(), &by_timer()), Timer::Rearm(Some(at(10)), due(1, 0)));
    let by_act = Situation { by_itself: true, ..by_reply() };
    assert_eq!(timer_after(&ended(), &by_act), set(10));
    // One after which something came late may not have been announced yet.
    let late = after(&trip(), vec![rejected(1, "hotel.book")]);
    let late = Instance { state: State { seq: late.state.seq + 1, ..late.state }, ..late };
    assert_eq!(timer_after(&late, &by_reply()), set(10));
}

#[test]
fn one_that_led_to_nothing_is_set_again_after_the_commit() {
    assert_eq!(idle(&under_way(), due(1, 0), None), Rearm::Set(due(1, 0), Some(at(15))));
    assert_eq!(idle(&ended(), due(1, 0), None), Rearm::Delete(due(1, 0)));
    // Until an event is known to be stored.
    assert_eq!(idle(&under_way(), due(1, 0), Some(at(2))), Rearm::Set(due(1, 0), Some(at(12))));
    assert_eq!(idle(&ended(), due(1, 0), Some(at(2))), Rearm::Set(due(1, 0), Some(at(12))));
}

#[test]
fn a_batch_in_which_nothing_was_due_writes_nothing() {
    let (_, outcome) = run(read(5, standing_at(5)), &[fired(1, 5)]);
    assert!(outcome.rows.is_empty());
    assert_eq!(outcome.rearm, [Rearm::Set(due(1, 5), Some(at(15)))]);
    // Another replica may move it at the same time.
    assert_eq!(outcome.instances[&id(1)].timer_at, None);
}

#[test]
fn one_that_fired_while_a_reply_moves_the_saga_is_armed_with_that_turn() {
    let items = [fired(1, 5), done(1, "card.charge")];
    let (_, outcome) = run(read(5, standing_at(5)), &items);
    assert_eq!(outcome.rows.sagas[0].1.timer, Timer::Rearm(Some(at(20)), due(1, 5)));
    assert!(outcome.rearm.is_empty());
}

#[test]
fn what_is_due_is_decided_by_the_clock_that_found_it_due() {
    // This replica's clock is 5 s behind the database's.
    let (_, outcome) = run(read(10, under_way()), &[fired(1, 15)]);
    assert_eq!(kinds(&outcome.rows.sagas[0].1), [Kind::TimedOut]);
}

#[test]
fn one_of_a_saga_that_is_not_there_is_deleted() {
    let (_, outcome) = run(Batch::new(at(0)), &[fired(1, 0)]);
    assert_eq!(outcome.rearm, [Rearm::Delete(due(1, 0))]);
}
