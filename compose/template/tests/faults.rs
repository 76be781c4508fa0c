//! The saga under every fault, in a model without servers.

use amends::{machine::Status, testing::FaultMatrix};
use shop::order::*;

#[derive(Clone)]
struct Model {
    tea: i64,
    held: i64,
    taken: i64,
    told: bool,
}

fn start() -> Model {
    Model { tea: 5, held: 0, taken: 0, told: false }
}

#[test]
fn an_order_survives_every_fault() {
    let order =
        Order { id: "o-1".into(), article: "tea".into(), quantity: 2, card: "tok_visa".into() };
    let coverage = FaultMatrix::of::<PlaceOrder>(order)
        .world(start)
        .act::<ReserveStock>(|model: &mut Model, _, order| {
            model.tea = model.tea.checked_sub(order.quantity).ok_or(SoldOut)?;
            Ok(order.quantity * 450)
        })
        .compensate::<ReserveStock>(|model, _, undo| model.tea += undo.input.quantity)
        .act::<HoldMoney>(|model, _, hold| {
            model.held += hold.amount;
            Ok(hold)
        })
        .compensate::<HoldMoney>(|model, _, undo| model.held -= undo.input.amount)
        .act::<TakeMoney>(|model, _, held| {
            model.held -= held.amount;
            model.taken += held.amount;
            Ok(held.amount)
        })
        .act::<SendReceipt>(|model, _, _| {
            model.told = true;
            Ok(())
        })
        .ends(Status::Completed, "sold, paid and told", |model| {
            (model.tea, model.held, model.taken, model.told) == (3, 0, 900, true)
        })
        .ends(Status::Compensated, "as before", |model| {
            (model.tea, model.held, model.taken, model.told) == (5, 0, 0, false)
        })
        .run();
    assert!(coverage.completed > 0 && coverage.compensated > 0, "{coverage}");
}
