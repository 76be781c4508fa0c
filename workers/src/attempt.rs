//! What a handler is given beside its input.

use amends::{AttemptId, Op};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

/// One attempt at an action or a compensation, inside its transaction.
///
/// ```
/// # use std::convert::Infallible;
/// # use amends::Step;
/// # use amends_workers::{Act, Attempt, Halt};
/// # pub struct Charge;
/// # impl Step for Charge {
/// #     const NAME: &'static str = "card.charge";
/// #     type Input = i64;
/// #     type Output = ();
/// #     type Rejection = Infallible;
/// # }
/// # struct CardNetwork;
/// # impl CardNetwork {
/// #     async fn charge(&self, _: &str, _: i64) -> std::io::Result<()> { Ok(()) }
/// # }
/// struct Card { network: CardNetwork }
///
/// impl Act<Charge> for Card {
///     async fn act(&self, cx: &mut Attempt<'_>, amount: i64) -> Result<(), Halt<Infallible>> {
///         // An effect elsewhere: the network knows the charge by this key, and makes it once.
///         self.network.charge(&cx.effect_id(), amount).await?;
///         // An effect in the database: once by the barrier.
///         let insert = "insert into card.charge (id, amount) values ($1, $2)";
///         sqlx::query(insert).bind(cx.effect_id()).bind(amount).execute(&mut *cx.tx).await?;
///         // An event: published if and only if this attempt commits.
///         cx.emit("cards.charged", Some(&cx.effect_id()), &amount).await?;
///         Ok(())
///     }
/// }
/// ```
pub struct Attempt<'t> {
    /// The transaction. What is written here commits together with the barrier's row and the
    /// remembered reply, or not at all. It is at READ COMMITTED; never commit it or roll it back.
    pub tx: &'t mut PgConnection,
    /// Saga, step, half and number of this attempt.
    pub id: &'t AttemptId,
    deadline: Option<DateTime<Utc>>,
    /// Whether an event was emitted, for the relay to look after the commit.
    pub(crate) emitted: bool,
}

impl<'t> Attempt<'t> {
    pub(crate) fn new(
        tx: &'t mut PgConnection,
        id: &'t AttemptId,
        deadline: Option<DateTime<Utc>>,
    ) -> Self {
        Self { tx, id, deadline, emitted: false }
    }

    /// Emits an event that is published if and only if this attempt commits: see
    /// [`emit`](crate::emit).
    ///
    /// # Errors
    /// As [`emit`](crate::emit).
    pub async fn emit<T: Serialize + ?Sized + Sync>(
        &mut self,
        subject: &str,
        key: Option<&str>,
        body: &T,
    ) -> sqlx::Result<i64> {
        let id = crate::emit(self.tx, subject, key, body).await?;
        self.emitted = true;
        Ok(id)
    }

    /// `<saga id>:<step>:<action|compensation>`: the same for all attempts, so it is the idempotency
    /// key for effects outside the database, for instance at a card provider.
    #[must_use]
    pub fn effect_id(&self) -> String {
        self.id.effect()
    }

    /// The effect id of the step's action, also while it is compensated: the key under which the
    /// action's effect can be found again when its output is unknown.
    #[must_use]
    pub fn action_id(&self) -> String {
        AttemptId { op: Op::Action, ..self.id.clone() }.effect()
    }

    /// The number of this attempt, from 1. A redelivery has the number of the first delivery.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.id.attempt
    }

    /// When the orchestrator stops waiting for this attempt and sends a new one. Work that is done
    /// later still counts: its reply is used. `None` when the command does not say.
    #[must_use]
    pub fn deadline(&self) -> Option<DateTime<Utc>> {
        self.deadline
    }
}
