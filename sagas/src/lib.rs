//! Amends runs distributed transactions across services as sagas. This crate is its pure core: how
//! a saga is written ([`Saga`], [`Step`], [`Plan`]), what it is as data ([`Definition`],
//! [`Outline`]), how it goes on ([`machine`]), and how it speaks with services ([`wire`]). Nothing
//! here does I/O, reads a clock or draws a random number.
//!
//! | to read | start at |
//! |---|---|
//! | how a saga is written | [`Saga`] and [`Step`] |
//! | what the machine decides | [`machine::decide`] |
//! | what a worker sees | [`wire`] |
//! | what people read | [`transcript`] |

mod cloudevent;
mod definition;
mod ids;
mod json;
pub mod machine;
mod name;
mod outline;
mod plan;
mod record;
mod retry;
mod step;
mod trace;
pub mod transcript;
pub mod wire;

pub use cloudevent::event_data;
pub use definition::{
    Definition, DefinitionError, DefinitionErrorKind, InputError, KEY_BYTES_MAX, STEPS_MAX,
};
pub use ids::{AttemptId, IdError, Op, SagaId};
pub use json::{Json, JsonError, PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX};
pub use name::{NAME_LEN_MAX, NameError, STEP_LEN_MAX, check_name, check_step, check_subject};
pub use outline::{Outline, StepKind, StepOutline};
pub use plan::{
    Compensating, Finished, Given, Group, MapError, Plan, Retrying, Saga, StandsIn, Trigger, Values,
};
pub use record::{NextRecord, Record, RecordError, SendRecord};
pub use retry::Retry;
pub use step::{Call, Compensatable, Rejection, Step};
pub use trace::{TraceError, TraceParent};
