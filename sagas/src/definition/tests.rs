//! What a definition refuses, and what it says.

use std::convert::Infallible;

use crate::{
    Await, BeforePivot, Compensatable, Definition, DefinitionErrorKind, Finished, Given, Json,
    Outline, OutlineError, Plan, STEPS_MAX, Saga, Step, Trigger, read_outline,
};

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

/// The visa of a trip, or nobody's.
#[derive(serde::Deserialize)]
struct VisaGranted {
    trip: String,
}

struct Trip;

impl Saga for Trip {
    const NAME: &'static str = "trip";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = ();

    fn trigger() -> Trigger<String> {
        let known = |trip: &String| match trip.as_str() {
            "nowhere" => panic!("no such place: {trip}"),
            _ => trip.clone(),
        };
        Trigger::on("trips.wanted").key(known).lock(|trip| trip[1..].to_owned())
    }

    fn plan(mut p: Plan<BeforePivot>, trip: Given<String>) -> Finished<()> {
        p.step(Await::<VisaGranted>::on("visas.granted").matching(|visa| {
            assert!(visa.trip != "nobody", "nobody travels");
            visa.trip.clone()
        }));
        p.finish(trip.map(|_| ()))
    }
}

#[test]
fn an_awaited_event_that_cannot_be_used_names_its_step() {
    let definition = Definition::of::<Trip>().unwrap();
    let matched = |event: &str| {
        let event = Json::parse(event.as_bytes()).unwrap();
        definition.matches(0, &event).map_err(|error| error.to_string())
    };
    assert_eq!(matched(r#"{"trip":"t-1"}"#), Ok("t-1".to_owned()));
    let event = "the event that the step `visas.granted` of `trip` waits for cannot be used: ";
    let shape = "its body does not fit the type that the plan gives it: ";
    let error = matched(r#"{"visa":"v-1"}"#).unwrap_err();
    assert!(error.starts_with(&format!("{event}{shape}")), "{error}");
    assert!(error.contains("missing field `trip`"), "{error}");
    let error = matched(r#"{"trip":""}"#).unwrap_err();
    assert!(error.starts_with(&format!("{event}the name that `.matching(…)` finds")), "{error}");
}

/// A dead letter says so.
#[test]
fn a_panic_of_a_users_function_has_its_message() {
    let definition = Definition::of::<Trip>().unwrap();
    let admitted = |trip: &str| {
        let trip = Json::parse(serde_json::to_vec(trip).unwrap().as_slice()).unwrap();
        definition.admit(&trip).map(|admitted| admitted.key).map_err(|error| error.to_string())
    };
    assert_eq!(admitted("t-1"), Ok(Some("t-1".to_owned())));
    let key = "the trigger's function `.key(…)` panicked: no such place: nowhere";
    assert_eq!(admitted("nowhere"), Err(key.to_owned()));
    let lock = admitted("ä").unwrap_err();
    assert!(lock.starts_with("the trigger's function `.lock(…)` panicked: "), "{lock}");
    let event = Json::parse(br#"{"trip":"nobody"}"#).unwrap();
    let error = definition.matches(0, &event).unwrap_err().to_string();
    assert!(
        error.ends_with("used: its function `.matching(…)` panicked: nobody travels"),
        "{error}"
    );
}

fn stored(outline: &Outline) -> Result<Outline, OutlineError> {
    read_outline(&serde_json::to_string(outline).unwrap())
}

#[test]
fn a_stored_plan_is_one_that_a_definition_can_have() {
    let trip = Definition::of::<Trip>().unwrap().outline().clone();
    assert_eq!(stored(&trip), Ok(trip.clone()));
    let forged = |forge: &dyn Fn(&mut Outline)| {
        let mut outline = trip.clone();
        forge(&mut outline);
        stored(&outline).unwrap_err()
    };
    let many = |outline: &mut Outline| {
        outline.steps = (0..=STEPS_MAX)
            .map(|n| crate::StepOutline { name: format!("a.{n}x"), ..outline.steps[0].clone() })
            .collect();
    };
    let wrong = |kind| OutlineError::Wrong(kind);
    assert_eq!(forged(&many), wrong(DefinitionErrorKind::Steps(STEPS_MAX + 1)));
    assert_eq!(forged(&|o| o.steps.clear()), wrong(DefinitionErrorKind::Steps(0)));
    assert_eq!(
        forged(&|o| o.steps.push(o.steps[0].clone())),
        wrong(DefinitionErrorKind::Twice(trip.steps[0].name.clone()))
    );
    let stage = wrong(DefinitionErrorKind::Stage(trip.steps[0].name.clone()));
    assert_eq!(forged(&|o| o.steps[0].stage = u32::MAX), stage);
    assert_eq!(forged(&|o| o.steps[0].stage = 1), stage);
    let needs = vec!["input".to_owned(); 1_000_000];
    assert_eq!(
        forged(&|o| o.output_needs.clone_from(&needs)),
        wrong(DefinitionErrorKind::Needs(1_000_000))
    );
    assert_eq!(
        forged(&|o| o.steps[0].needs.clone_from(&needs)),
        wrong(DefinitionErrorKind::Needs(1_000_000))
    );
    assert!(matches!(forged(&|o| o.name = "<b>".to_owned()), OutlineError::Wrong(_)));
    let large = |o: &mut Outline| o.trigger = "a".repeat(32 << 20);
    assert!(matches!(forged(&large), OutlineError::TooLarge(_)));
    assert!(matches!(read_outline("{}"), Err(OutlineError::Json(_))));
}
