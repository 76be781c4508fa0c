//! The handles of a request and of a saga, typed by the saga.

use std::{fmt, marker::PhantomData};

use amends::{Saga, SagaId};
use sqlx::types::Uuid;

/// A start that was noted: an orchestrator decides it once its transaction has committed, and
/// [`Client::started`](crate::Client::started) says which saga it is.
pub struct Request<S> {
    id: Uuid,
    saga: PhantomData<fn() -> S>,
}

/// A saga that was started.
pub struct Started<S> {
    id: SagaId,
    saga: PhantomData<fn() -> S>,
}

/// Handles are ids, whatever the saga's type can do.
macro_rules! handle {
    ($handle:ident, $id:ty) => {
        impl<S: Saga> $handle<S> {
            /// The handle of an id that was kept.
            #[must_use]
            pub const fn of(id: $id) -> Self {
                Self { id, saga: PhantomData }
            }

            /// The id, to be kept or told.
            #[must_use]
            pub const fn id(&self) -> $id {
                self.id
            }
        }

        impl<S> Clone for $handle<S> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<S> Copy for $handle<S> {}

        impl<S> PartialEq for $handle<S> {
            fn eq(&self, other: &Self) -> bool {
                self.id == other.id
            }
        }

        impl<S> Eq for $handle<S> {}

        impl<S> fmt::Debug for $handle<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($handle)).field(&self.id).finish()
            }
        }
    };
}

handle!(Request, Uuid);
handle!(Started, SagaId);
