//! What a definition refuses, and what it says.

use std::convert::Infallible;

use crate::{BeforePivot, Compensatable, Definition, Finished, Given, Plan, Saga, Step, Trigger};

struct Dotless;

impl Step for Dotless {
    const NAME: &'static str = "reserve";
    type Input = String;
    type Output = ();
    type Rejection = Infallible;
}

impl Compensatable for Dotless {}

struct Shop;

impl Saga for Shop {
    const NAME: &'static str = "shop";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = ();

    fn trigger() -> Trigger<String> {
        Trigger::on("orders.placed")
    }

    fn plan(mut p: Plan<BeforePivot>, order: Given<String>) -> Finished<()> {
        let done = p.step(Dotless::with(order).named("store.reserve"));
        p.finish(done)
    }
}

#[test]
fn a_step_without_service_is_told_the_form() {
    let error = Definition::of::<Shop>().unwrap_err().to_string();
    let form = "use `<service>.<operation>`, each of them 1 to 64 characters of a-z, 0-9, _ and -";
    let name = r#"step name "reserve" is not allowed"#;
    assert_eq!(error, format!("the saga definition `shop` cannot be used: {name}: {form}"));
}
