//! How a saga is written: typed steps, and typed values that flow between them.

mod build;
mod group;
mod nested;
mod part;
mod phase;
mod saga;
mod steps;
mod wait;
mod writing;

pub use group::Group;
pub use part::{Decides, Part};
pub(crate) use phase::EitherPhase;
pub use phase::{AfterPivot, BeforePivot, StandsIn};
pub use saga::{Nested, Saga, Trigger};
pub use steps::Position;
pub use wait::{Await, Delay};
pub use writing::{Finished, Plan};
