//! Sagas that the machine has led somewhere, written to Postgres as the orchestrator would have.

use amends::{
    Definition, Json, Op, Record,
    machine::{State, Time},
};
use sqlx::{AssertSqlSafe, PgConnection, types::Uuid};

use super::statement;

fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap()
}

/// Writes a definition as the orchestrator does when it starts.
pub(crate) async fn register(connection: &mut PgConnection, definition: &Definition) {
    let outline = definition.outline();
    let column = |of: fn(&amends::StepOutline) -> String| -> Vec<String> {
        outline.steps.iter().map(of).collect()
    };
    sqlx::query(AssertSqlSafe(statement("register")))
        .bind(&outline.name)
        .bind(int(outline.version))
        .bind(definition.digest())
        .bind(serde_json::to_string(outline).unwrap())
        .bind((0..).take(outline.steps.len()).collect::<Vec<i32>>())
        .bind(column(|s| s.name.clone()))
        .bind(column(|s| s.service.clone()))
        .bind(column(|s| s.operation.clone()))
        .bind(column(|s| s.kind.as_str().to_owned()))
        .bind(column(|s| s.task.as_str().to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// Writes a saga as the orchestrator would have by now.
pub(crate) async fn store(
    connection: &mut PgConnection,
    definition: &Definition,
    state: &State,
    records: &[Record],
) {
    let id = state.id.0;
    let last = records.last().unwrap().at;
    let ended = state.status.ended();
    let timers: Vec<Uuid> = if ended { Vec::new() } else { vec![id] };
    let due: Vec<Option<Time>> = timers.iter().map(|_| state.due()).collect();
    let mut errors = records.iter().filter_map(|r| r.next.error.as_ref());
    let error = errors.next_back().map(|failure| failure.to_json().as_str().to_owned());
    let key = definition.admit(&state.input).unwrap().key;
    let next = |r: &Record| r.next.clone().into_columns(r.at, r.detail.as_ref());
    sqlx::query(AssertSqlSafe(statement("starts")))
        .bind([id])
        .bind([&definition.outline().name])
        .bind([int(definition.outline().version)])
        .bind([key])
        .bind([None::<String>])
        .bind([state.input.as_str()])
        .bind([records[0].at])
        .bind([state.status.as_str()])
        .bind([error])
        .bind([ended.then_some(last)])
        .bind([None::<Uuid>])
        .bind([None::<String>])
        .bind([state.input.digest().to_vec()])
        .bind(timers)
        .bind(due)
        .bind(vec![id; records.len()])
        .bind(records.iter().map(|r| int(r.seq)).collect::<Vec<_>>())
        .bind(records.iter().map(|r| int(r.attempt)).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.at).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.kind.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.step.clone()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.op.map(Op::as_str)).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.detail.as_ref().map(Json::as_str)).collect::<Vec<_>>())
        .bind(records.iter().map(|r| next(r).sent).collect::<Vec<_>>())
        .bind(records.iter().map(|r| next(r).next).collect::<Vec<_>>())
        .execute(connection)
        .await
        .unwrap();
}
