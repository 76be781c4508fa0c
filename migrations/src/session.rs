//! A session that is lent.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use deadpool::managed::Object;
use sqlx::{Error, PgConnection};
use tokio::time::Instant;

use crate::{
    Class,
    class::has_code,
    class_of,
    connector::Connector,
    suspicion::{Suspicion, silence},
};

/// A session of a [`Database`](crate::Database). Who is done with it gives it back by
/// [`give_back`](Self::give_back); dropped instead, in whatever state, it is closed, and its
/// transaction ends with it. So futures that use it may be dropped together with it at any time.
#[derive(Debug)]
pub struct Session {
    object: Option<Object<Connector>>,
    limit: Duration,
}

/// What bounds the waits on a session.
#[derive(Debug, Clone)]
pub struct Watch {
    born: Instant,
    limit: Duration,
    suspicion: Arc<Suspicion>,
}

impl Session {
    pub(crate) fn new(object: Object<Connector>, limit: Duration) -> Self {
        Self { object: Some(object), limit }
    }

    /// Gives it back to be lent again. It is in no transaction.
    pub fn give_back(mut self) {
        // Suspect ones are closed when they are to be lent.
        drop(self.object.take());
    }

    /// Gives it back after a statement outside of a transaction that failed so: unless the error says
    /// that the session is of no use any more.
    pub fn give_back_after(self, error: &Error) {
        if class_of(error) == Class::Outage {
            if is_not_writable(error)
                && let Some(object) = &self.object
            {
                object.suspicion.raise();
            }
        } else {
            self.give_back();
        }
    }

    /// What bounds the waits on it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let object = self.lent();
        Watch { born: object.born, limit: self.limit, suspicion: Arc::clone(&object.suspicion) }
    }

    #[expect(clippy::expect_used, reason = "it is empty only while it is dropped")]
    fn lent(&self) -> &crate::connector::Connected {
        self.object.as_deref().expect("a session that is lent")
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.lent().connection
    }
}

impl DerefMut for Session {
    #[expect(clippy::expect_used, reason = "it is empty only while it is dropped")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.object.as_deref_mut().expect("a session that is lent").connection
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // The process may still be at work, or hold locks.
            object.abandoned.note(object.backend);
            drop(Object::take(object));
        }
    }
}

impl Watch {
    /// Waits for an answer on the session, at most for as long as its database allows a statement. Silence
    /// makes all sessions suspect that are as old.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Io`] of the kind `TimedOut` after silence. The session must then be
    /// dropped.
    pub async fn within<T, E: From<Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.suspicion.outlasted(self.born) => Err(silence("others of its age were silent").into()),
            () = tokio::time::sleep(self.limit) => {
                self.suspicion.raise();
                Err(silence(&format!("no answer within {:?}", self.limit)).into())
            }
        }
    }

    /// Lets `work` take as long as it needs, but for a session that has become suspect.
    ///
    /// # Errors
    /// As [`within`](Self::within).
    pub async fn unless_lost<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.suspicion.outlasted(self.born) => Err(silence("others of its age were silent")),
        }
    }
}

/// Whether a session is at a server that takes no writes (any more).
fn is_not_writable(error: &Error) -> bool {
    has_code(error, &["25006"])
}
