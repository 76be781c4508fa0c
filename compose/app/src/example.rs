//! An input with which a saga goes well, and an event that it waits for.

use std::sync::Arc;

use amends::{Definition, Json, Saga};
use serde::Serialize;

/// An input with which a saga goes well.
#[derive(Clone)]
pub(crate) struct Example {
    pub(crate) subject: String,
    /// JSON.
    pub(crate) body: String,
    /// What names its saga in `show`.
    pub(crate) key: Option<String>,
    definition: Arc<Definition>,
}

/// An event that a step of an example waits for.
pub(crate) struct ExampleEvent {
    pub(crate) subject: String,
    /// JSON.
    pub(crate) body: String,
}

impl ExampleEvent {
    /// `None` where it is no event that could be published.
    pub(crate) fn of<E: Serialize>(subject: &str, event: &E) -> Option<Self> {
        let body = Json::of(event).ok()?.as_str().to_owned();
        Some(Self { subject: subject.to_owned(), body })
    }
}

impl Example {
    /// `None` where the definition is not sound or has no such input: `check` says why.
    pub(crate) fn of<S: Saga<Input: Serialize>>(input: &S::Input) -> Option<Self> {
        let definition = Definition::of::<S>().ok()?;
        Self::read(Arc::new(definition), &Json::of(input).ok()?)
    }

    fn read(definition: Arc<Definition>, input: &Json) -> Option<Self> {
        let key = definition.admit(input).ok()?.key;
        let (subject, body) = (definition.outline().trigger.clone(), input.as_str().to_owned());
        Some(Self { subject, body, key, definition })
    }

    /// The definition's name.
    pub(crate) fn definition(&self) -> &str {
        &self.definition.outline().name
    }

    /// The same input with a key that ends in this number; `None` where the key is not a text of the input as it is.
    pub(crate) fn numbered(&self, number: u32) -> Option<Self> {
        let key = self.key.as_ref()?;
        let next = format!("{key}-{number}");
        let quoted = |text: &str| serde_json::to_string(text).ok();
        let body = self.body.replace(&quoted(key)?, &quoted(&next)?);
        let example =
            Self::read(Arc::clone(&self.definition), &Json::parse(body.as_bytes()).ok()?)?;
        (example.key == Some(next)).then_some(example)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use amends::{BeforePivot, Finished, Given, Plan, Step, Trigger};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Order {
        id: String,
        article: String,
    }

    struct Charge;

    impl Step for Charge {
        const NAME: &'static str = "payment.charge";
        type Input = Order;
        type Output = ();
        type Rejection = Infallible;
    }

    struct Buy;

    impl Saga for Buy {
        const NAME: &'static str = "buy";
        const VERSION: u32 = 1;
        type Input = Order;
        type Output = ();
        fn trigger() -> Trigger<Order> {
            Trigger::on("orders.placed").key(|order: &Order| order.id.clone())
        }
        fn plan(p: Plan<BeforePivot>, order: Given<Order>) -> Finished<()> {
            let (p, charged) = p.pivot(Charge::with(order));
            p.finish(charged)
        }
    }

    #[test]
    fn an_example_has_others_of_its_kind() {
        let example = Example::of::<Buy>(&Order { id: "o-1".into(), article: "lamp".into() });
        let second = example.unwrap().numbered(2).unwrap();
        assert_eq!(second.key.as_deref(), Some("o-1-2"));
        assert_eq!(second.body, r#"{"id":"o-1-2","article":"lamp"}"#);
        assert_eq!((second.definition(), second.subject.as_str()), ("buy", "orders.placed"));
    }
}
