//! Sagas with lists of a thousand elements, as operators look at them: the plans of the views, and what
//! they take.

use std::{convert::Infallible, time::Instant};

use amends::{
    BeforePivot, Compensatable, Definition, Finished, Given, Json, Op, Plan, Record, Saga, SagaId,
    Step, Trigger,
    machine::{
        Decision, Event, OperatorAct, OperatorCommand, ReplyEvent, State, Time, Turn, decide, start,
    },
    wire::Reply,
};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, types::Uuid};

use crate::support;

const ELEMENTS: u32 = 1000;
const SAGAS: u64 = 100;

#[derive(Serialize, Deserialize, Clone)]
struct Stay {
    guest: String,
    nights: u32,
    price: i64,
}

struct Book;

impl Step for Book {
    const NAME: &'static str = "hotel.book";
    type Input = Stay;
    type Output = String;
    type Rejection = Infallible;
}

impl Compensatable for Book {}

struct Pay;

impl Step for Pay {
    const NAME: &'static str = "card.charge";
    type Input = Vec<String>;
    type Output = ();
    type Rejection = Infallible;
}

/// Many rooms, `AT_ONCE` at once.
struct Group<const AT_ONCE: u32>;

impl<const AT_ONCE: u32> Saga for Group<AT_ONCE> {
    const NAME: &'static str = "group";
    const VERSION: u32 = AT_ONCE;
    type Input = Vec<Stay>;
    type Output = ();

    fn trigger() -> Trigger<Self::Input> {
        Trigger::on("groups.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, stays: Given<Self::Input>) -> Finished<()> {
        let rooms = p.step(Book::each(stays).at_once(AT_ONCE));
        let (p, paid) = p.pivot(Pay::with(rooms));
        p.finish(paid)
    }
}

/// How far a group has come.
#[derive(Clone, Copy)]
enum Course {
    /// None is booked.
    Asked,
    /// So many are booked.
    Booked(u32),
    /// All were booked before it was cancelled, and so many are undone.
    Undone(u32),
}

#[derive(Clone)]
struct Walked {
    state: State,
    records: Vec<Record>,
    now: Time,
}

impl Walked {
    fn begin(definition: &Definition, course: Course) -> Self {
        let now = Time::from_timestamp(1_700_000_000, 0).unwrap();
        let id = SagaId::from_message("group", "AMENDS_EVENTS", 0, now);
        let stay = |n| Stay { guest: format!("guest {n}"), nights: 3, price: 123_400 };
        let input = Json::of(&(0..ELEMENTS).map(stay).collect::<Vec<_>>()).unwrap();
        let turn = start(definition, id, input.clone(), now);
        let state = State::new(definition.outline(), id, input);
        let mut group = Self { state, records: Vec::new(), now };
        group.take(definition, turn);
        let (booked, undone) = match course {
            Course::Asked => (0, 0),
            Course::Booked(booked) => (booked, 0),
            Course::Undone(undone) => (ELEMENTS - 1, undone),
        };
        for n in 0..booked {
            group.answer(definition, n, Op::Action);
        }
        if undone > 0 {
            let (by, reason, seen) = ("alice".into(), "a storm".into(), group.state.seq);
            let command = OperatorCommand::Cancel;
            group.decide(definition, &Event::Act(OperatorAct { command, by, reason, seen }));
            group.answer(definition, ELEMENTS - 1, Op::Action);
        }
        for n in 0..undone {
            group.answer(definition, ELEMENTS - 1 - n, Op::Compensation);
        }
        group
    }

    fn answer(&mut self, definition: &Definition, n: u32, op: Op) {
        let (step, service) = (format!("hotel.book.{n}").into(), "hotel".into());
        let reply = Reply::Ok(Json::of(&format!("room {n}")).unwrap());
        self.decide(definition, &Event::Reply(ReplyEvent { step, op, attempt: 1, service, reply }));
    }

    fn decide(&mut self, definition: &Definition, event: &Event) {
        self.now += std::time::Duration::from_millis(1);
        let Decision::Turn(turn) = decide(definition, &self.state, event, self.now) else {
            panic!("{event:?} means nothing");
        };
        self.take(definition, *turn);
    }

    fn take(&mut self, definition: &Definition, turn: Turn) {
        let record = |fact| Record::of(definition.outline(), &turn.next, fact);
        self.records.extend(turn.facts.iter().map(record));
        self.state = turn.next;
    }
}

/// As many of each course, all open.
async fn groups(sagas: u64) -> (support::Fresh, PgConnection, Vec<Uuid>) {
    let (postgres, mut connection) = support::migrated().await;
    connection.execute("set amends.keys = 'noted'").await.unwrap();
    let few = Definition::of::<Group<4>>().unwrap();
    let all = Definition::of::<Group<1000>>().unwrap();
    for definition in [&few, &all] {
        support::register(&mut connection, definition).await;
    }
    let courses = [
        (&few, Course::Booked(ELEMENTS / 2)),
        (&all, Course::Asked),
        (&few, Course::Booked(ELEMENTS - 1)),
        (&all, Course::Undone(ELEMENTS / 2)),
    ];
    let groups =
        courses.map(|(definition, course)| (definition, Walked::begin(definition, course)));
    let mut ids = Vec::new();
    for (n, (definition, group)) in (0..sagas).zip(groups.iter().cycle()) {
        let mut group = group.clone();
        group.state.id = SagaId::from_message("group", "AMENDS_EVENTS", n, group.now);
        support::store(&mut connection, definition, &group.state, &group.records).await;
        ids.push(group.state.id.0);
    }
    connection.execute("analyze").await.unwrap();
    (postgres, connection, ids)
}

const STEPS: &str = "steps of a saga";

/// What operators ask, by name.
fn questions() -> Vec<(&'static str, String)> {
    let app = |name: &str| {
        let file = support::repository().join(format!("compose/app/src/sql/{name}.sql"));
        std::fs::read_to_string(file).unwrap()
    };
    vec![
        (STEPS, app("steps")),
        ("list", app("list_all")),
        ("list --step", app("list_open")),
        ("top: oldest", app("top_oldest")),
        ("top: stuck", app("top_stuck")),
        ("top: exposure", app("top_exposure")),
        ("retry --all --dry-run", app("candidates")),
    ]
}

/// The question with what it is asked about.
fn asked(name: &str, sql: &str, saga: Uuid) -> String {
    let given = match name {
        STEPS => vec![format!("'{saga}'::uuid")],
        "list" => ["null", "null", "null", "null", "null", "null", "20"].map(String::from).to_vec(),
        "list --step" => ["null", "null", "null", "null", "'card.charge'", "null", "20"]
            .map(String::from)
            .to_vec(),
        "retry --all --dry-run" => {
            ["'retry'", "null", "'hotel.book.999'", "null", "20"].map(String::from).to_vec()
        }
        _ => vec!["8".to_owned()],
    };
    // From the last, so that $1 is not taken for the beginning of $10.
    (1..=given.len())
        .rev()
        .fold(sql.to_owned(), |sql, n| sql.replace(&format!("${n}"), &given[n - 1]))
}

/// Rows of facts that this transaction has read, by whatever plan.
async fn read(connection: &mut PgConnection) -> i64 {
    const READ: &str = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint
        from pg_stat_xact_user_tables where relname like 'fact_%'";
    sqlx::query_scalar(READ).fetch_one(connection).await.unwrap()
}

/// No plan compares rows with rows: whatever is asked, the facts of a saga are read a few times.
#[tokio::test]
async fn views_read_each_fact_a_few_times() {
    const TIMES: i64 = 9;
    let (_postgres, mut connection, ids) = groups(8).await;
    let facts = "select count(*) from amends.fact where $1 is null or saga_id = $1";
    let mut bad = Vec::new();
    for (name, sql) in questions() {
        let one = (name == STEPS).then_some(ids[3]);
        let facts: i64 =
            sqlx::query_scalar(facts).bind(one).fetch_one(&mut connection).await.unwrap();
        connection.execute("begin").await.unwrap();
        let before = read(&mut connection).await;
        let asked = AssertSqlSafe(asked(name, &sql, ids[3]));
        connection.fetch_all(asked).await.unwrap();
        let read = read(&mut connection).await - before;
        connection.execute("commit").await.unwrap();
        if read > facts * TIMES {
            bad.push(format!("{name}: {read} reads of {facts} facts"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Where steps stand is told by the names of what was sent. To read its JSON, too, which has the inputs,
/// takes longer than all the rest.
#[tokio::test]
async fn only_inputs_are_read_from_what_was_sent() {
    let (_postgres, mut connection, ids) = groups(4).await;
    let spoiled =
        r#"update amends.fact set next = '{"sends": "not a list"}' where sent is not null"#;
    let spoiled = connection.execute(spoiled).await.unwrap();
    assert!(spoiled.rows_affected() > 1000);
    for (name, sql) in questions() {
        let answer = connection.fetch_all(AssertSqlSafe(asked(name, &sql, ids[3]))).await;
        assert_eq!(answer.is_err(), name == STEPS, "{name}: {answer:?}");
    }
}

/// What each question takes beside a hundred such sagas; with `--nocapture` it is printed.
#[tokio::test]
async fn a_thousand_elements_are_a_thousand_rows() {
    let (_postgres, mut connection, ids) = groups(SAGAS).await;
    for (course, id) in ids[..4].iter().enumerate() {
        let steps: i64 = sqlx::query_scalar("select count(*) from amends.steps where saga_id = $1")
            .bind(id)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(steps, i64::from(ELEMENTS) + 1, "the elements and the pivot");
        let at: String = sqlx::query_scalar("select step from amends.sagas where id = $1")
            .bind(id)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(at.contains("more"), course % 2 == 1, "{course}: {at}");
    }
    for (name, sql) in questions() {
        let sql = asked(name, &sql, ids[3]);
        let mut best = f64::INFINITY;
        let mut rows = 0;
        for _ in 0..5 {
            let began = Instant::now();
            rows = connection.fetch_all(AssertSqlSafe(sql.clone())).await.unwrap().len();
            best = best.min(began.elapsed().as_secs_f64() * 1000.0);
        }
        println!("{name:<24}{best:>9.1} ms  {rows:>5} rows");
    }
}
