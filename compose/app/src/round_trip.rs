//! A saga that does nothing, to see whether an installation runs sagas.

use std::time::Duration;

use amends::{BeforePivot, Delay, Finished, Given, Plan, Saga, Trigger};
use serde::{Deserialize, Serialize};

/// How long it waits, so that it needs a timer, too.
const PAUSE: Duration = Duration::from_millis(1);

/// A saga without services: `doctor` starts one by a message and looks how long each part of its way takes. A program
/// that registers it has one more definition, and an ended saga for each such look, which `--retain` drops with the
/// others.
///
/// ```
/// use amends_app::{App, RoundTrip};
///
/// let app = App::new("shop").saga::<RoundTrip>();
/// # drop(app);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RoundTrip;

/// What starts it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoundTripCalled {}

impl RoundTrip {
    /// The subject of its trigger.
    pub(crate) const SUBJECT: &'static str = "amends-doctor.called";
}

impl Saga for RoundTrip {
    const NAME: &'static str = "amends-doctor";
    const VERSION: u32 = 1;
    type Input = RoundTripCalled;
    type Output = RoundTripCalled;

    fn trigger() -> Trigger<RoundTripCalled> {
        // Without a key, which would be kept for ever.
        Trigger::on(Self::SUBJECT)
    }

    fn plan(mut p: Plan<BeforePivot>, called: Given<RoundTripCalled>) -> Finished<RoundTripCalled> {
        p.step(Delay::of("pause", PAUSE));
        p.finish(called)
    }
}
