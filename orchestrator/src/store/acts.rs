//! Operators' acts that wait for a decision.

use std::collections::HashMap;

use amends::{
    AttemptId, Json, SagaId,
    machine::{Event, OperatorAct, OperatorCommand, ReplyEvent},
    turn::{OpenAct, UnreadableAct},
    wire::Reply,
};

use super::{Store, StoreError, timers::LEASE, uuids};

impl Store {
    /// Wakes sagas with an act that was noted and then forgotten by their timer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn wake_acts(&self) -> Result<(), StoreError> {
        // A lease that was just taken is a little longer than one that runs.
        let lease = LEASE.as_secs_f64() + 1.0;
        sqlx::query_file!("src/store/sql/wake_acts.sql", lease).execute(&self.database).await?;
        Ok(())
    }

    /// The open acts on these sagas, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn open_acts(
        &self,
        ids: &[SagaId],
    ) -> Result<HashMap<SagaId, Vec<OpenAct>>, StoreError> {
        let mut acts: HashMap<_, Vec<_>> = HashMap::new();
        if ids.is_empty() {
            return Ok(acts);
        }
        let rows = sqlx::query_file!("src/store/sql/load_acts.sql", &uuids(ids))
            .fetch_all(&self.database)
            .await?;
        for row in rows {
            let event = match row.act.as_str() {
                "undo" => Ok(Event::Undo(row.reason)),
                "reply" => parked(row.amends_id, row.body, row.service).map(Event::Reply),
                act => read(act, row.step, row.outcome).map(|act| {
                    let seen = row.seen.and_then(|seen| u32::try_from(seen).ok()).unwrap_or(0);
                    Event::Act(OperatorAct {
                        command: act,
                        by: row.actor.unwrap_or_default(),
                        reason: row.reason,
                        seen,
                    })
                }),
            };
            let open =
                OpenAct { id: row.id, came: row.at, event, exact: row.exact.unwrap_or(false) };
            acts.entry(SagaId(row.saga_id)).or_default().push(open);
        }
        Ok(acts)
    }
}

/// A reply that another replica left here.
fn parked(
    id: Option<String>,
    body: Option<String>,
    service: Option<String>,
) -> Result<ReplyEvent, UnreadableAct> {
    let service = service.ok_or(UnreadableAct::NoService)?;
    let id: AttemptId = id.unwrap_or_default().parse()?;
    let reply = Reply::parse(body.unwrap_or_default().as_bytes())?;
    let AttemptId { step, op, attempt, .. } = id;
    Ok(ReplyEvent { step, op, attempt, service, reply })
}

fn read(
    act: &str,
    step: Option<String>,
    outcome: Option<String>,
) -> Result<OperatorCommand, UnreadableAct> {
    Ok(match act {
        "retry" => OperatorCommand::Retry,
        "skip" => {
            step.map_or(OperatorCommand::GiveOutput(None), |step| OperatorCommand::Skip { step })
        }
        "resolve" => {
            let outcome = outcome.ok_or(UnreadableAct::NoOutcome)?;
            let json = Json::parse(outcome.as_bytes())?;
            match (step, Reply::parse(json.as_str().as_bytes())?) {
                (Some(step), outcome) => OperatorCommand::Resolve { step, outcome },
                (None, Reply::Ok(output)) => OperatorCommand::GiveOutput(Some(output)),
                (None, _) => return Err(UnreadableAct::NoOutput),
            }
        }
        "cancel" => OperatorCommand::Cancel,
        "pause" => OperatorCommand::Pause,
        "resume" => OperatorCommand::Resume,
        "break_lock" => OperatorCommand::Unlock,
        other => return Err(UnreadableAct::Unknown(other.to_owned())),
    })
}
