//! Input that repeats itself. A batch is written by statements over arrays, and a key can come twice in
//! them, or be found twice by a join: `insert … on conflict do update` then fails as a whole (SQLSTATE
//! 21000). Every statement runs over each element once, and over each twice: it must leave the same
//! behind, or be refused by a key.

use std::collections::{BTreeMap, BTreeSet};

use amends::machine::Time;
use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::statements::{Session, Value, names, sqlstate};

/// What doubled input leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubled {
    /// The same rows are written, and as many returned.
    Same,
    /// The same rows are written, and each element is answered: callers ask for each saga once, or take the
    /// answers for a map.
    EachAnswered,
    /// A key refuses it, and nothing is written.
    Refused(&'static str),
}

use Doubled::{EachAnswered, Refused, Same};

/// A statement, one of its parts, and the elements of the arrays that the part reads.
struct Case {
    statement: &'static str,
    part: &'static str,
    given: Vec<Value>,
    doubled: Doubled,
}

fn case(statement: &'static str, part: &'static str, given: &[&[&str]], doubled: Doubled) -> Case {
    let element = |e: &&str| (*e != "-").then(|| (*e).to_owned());
    let column = |c: &&[&str]| match c {
        ["=", literal] => Value::One((*literal).to_owned()),
        _ => Value::Array(c.iter().map(element).collect()),
    };
    Case { statement, part, given: given.iter().map(column).collect(), doubled }
}

/// Sagas that exist, and two that do not.
const A: &str = "00000000-0000-7000-8000-00000000000a";
const B: &str = "00000000-0000-7000-8000-00000000000b";
const ENDED: &str = "00000000-0000-7000-8000-00000000000e";
const ASKED_FOR: &str = "00000000-0000-7000-8000-000000000010";
const NEW: &str = "00000000-0000-7000-8000-000000000011";
const OTHER_NEW: &str = "00000000-0000-7000-8000-000000000012";

const LONG_AGO: &str = "2001-01-01 00:00:00Z";
const LEASE: &str = "2101-01-01 00:00:00Z";
/// A replica's clock that is behind the database's.
const PAST: &str = "'2000-01-01'";
const LATER: &str = "2102-01-01 00:00:00Z";

/// What every case finds. Whatever a statement joins, it finds twice: a saga has two waits for one key,
/// two locks that another wants, and two items in its mailbox.
const FOUND: &str = "
insert into amends.definition (name, version, digest, outline, retired_at) values
    ('order', 1, 'd', '{\"steps\": []}', null), ('order', 2, 'e', '{\"steps\": []}', now());
insert into amends.saga (id, started_at, finished_at, version, definition, status, key, input) values
    ('00000000-0000-7000-8000-00000000000a', now(), null, 1, 'order', 'running', 'k-a', '{}'),
    ('00000000-0000-7000-8000-00000000000b', now(), null, 1, 'order', 'queued', 'k-b', '{}'),
    ('00000000-0000-7000-8000-00000000000e', now(), now(), 1, 'order', 'completed', null, '{}');
insert into amends.fact (saga_id, seq, attempt, at, kind)
    select s.id, n, 0, now(), 'started' from amends.saga s, generate_series(0, 1) n;
insert into amends.business_key (saga_id, digest, key, definition)
    select id, '\\x00', key, 'order' from amends.saga where key is not null on conflict do nothing;
insert into amends.timer values
    ('00000000-0000-7000-8000-00000000000a', '2001-01-01 00:00:00Z'),
    ('00000000-0000-7000-8000-00000000000b', '2101-01-01 00:00:00Z');
insert into amends.wait (saga_id, step, matcher, key)
    select '00000000-0000-7000-8000-00000000000a', step, 'order/told', 'k'
    from unnest(array['one', 'two']) step;
insert into amends.event (matcher, key, source, body, at)
    select 'order/told', 'k', n::text, '{}', '2001-01-01' from generate_series(1, 2) n;
insert into amends.lock (name, saga_id, held_since) values
    ('l', '00000000-0000-7000-8000-00000000000a', now()),
    ('m', '00000000-0000-7000-8000-00000000000a', null),
    ('l', '00000000-0000-7000-8000-00000000000b', null),
    ('m', '00000000-0000-7000-8000-00000000000b', null);
insert into amends.act (id, act, saga_id, seen, reason, actor)
    select 1000000 + n, 'pause', '00000000-0000-7000-8000-00000000000b', 0, 'why', 'ann' from generate_series(1, 2) n;
insert into amends.mailbox (id, saga_id, kind, at)
    select 1000000 + n, '00000000-0000-7000-8000-00000000000b', 'act', '2001-01-01'
    from generate_series(1, 2) n;
insert into amends.letter_kind (subject, kind, open) values ('s', 'k', 999);
insert into amends.dead_letter (id, source, subject, reason, headers, is_text, body, kind_id)
    overriding system value select 1000000 + n, n::text, 's', 'r', '{}', true, '{}', k.id
    from generate_series(1, 2) n, amends.letter_kind k;
insert into amends.act (id, act, letter_id, reason, actor)
    select id + 10, 'replay', id, 'why', 'ann' from amends.dead_letter;
insert into amends.replay_request select id, letter_id from amends.act where letter_id is not null;
insert into amends.start_request (saga_id, definition, input, actor)
    values ('00000000-0000-7000-8000-000000000010', 'order', '{}', 'ann');
";

/// The columns of sagas that start; both have business keys.
fn started() -> Vec<&'static [&'static str]> {
    vec![
        &[NEW, OTHER_NEW],
        &["order", "order"],
        &["1", "1"],
        &["new", "other"],
        &["-", "-"],
        &["{}", "{}"],
        &[LONG_AGO, LONG_AGO],
        &["running", "running"],
        &["-", "-"],
        &["-", "-"],
        &["-", "-"],
        &["-", "-"],
        &[r"\x01", r"\x02"],
    ]
}

fn commits() -> Vec<Case> {
    let facts: &[&[&str]] = &[
        &[A, A],
        &["2", "3"],
        &["1", "0"],
        &[LONG_AGO, LONG_AGO],
        &["done", "sent"],
        &["s", "-"],
        &["action", "-"],
        &["{}", "-"],
        &["s t", "-"],
        &["{}", "-"],
    ];
    let changed: &[&[&str]] =
        &[&[A, B], &["stuck", "running"], &[r#"{"code":"c"}"#, "-"], &["-", "-"]];
    let armed: &[&[&str]] = &[&[A, B, NEW], &[LATER, "-", LATER]];
    let rearmed: &[&[&str]] = &[&[A, B], &[LATER, LATER], &[LATER, LEASE]];
    let mut cases = vec![
        case("facts", "", facts, Refused("23505")),
        case("starts", "started", &started(), Refused("23505")),
        case("starts", "armed", &[&[NEW], &[LATER]], Refused("23505")),
        case("starts", "facts", facts, Refused("23505")),
        case("everything", "started", &started(), Refused("23505")),
        case("everything", "settled", &[&["99"]], Same),
        case(
            "everything",
            "decided",
            &[&["1000001", "1000002"], &["t", "f"], &["-", "no"]],
            Refused("23505"),
        ),
        case("everything", "undone", &[&[A, A, B], &["x", "y", "x"]], Same),
        case("everything", "waiting", &[&[A, B], &["one", "two"], &["m", "m"], &["k", "l"]], Same),
        case("everything", "found", &[&[A, B], &["one", "one"]], Same),
        case("everything", "queued", &[&[NEW, NEW], &["l", "m"]], Same),
        case("everything", "requested", &[&[ASKED_FOR], &["t"], &["-"], &["-"]], Same),
    ];
    for statement in ["changes", "everything"] {
        cases.extend([
            case(statement, "changed", changed, Same),
            case(statement, "armed", armed, Same),
            case(statement, "rearmed", rearmed, Same),
            case(statement, "disarmed", &[&[A, NEW]], Same),
            case(statement, "facts", facts, Refused("23505")),
        ]);
    }
    cases
}

fn others() -> Vec<Case> {
    let replies: &[&[&str]] = &[
        &[A, A, B],
        &["i", "j", "i"],
        &["{}", "{}", "{}"],
        &["s", "s", "s"],
        &[LATER, LATER, LATER],
    ];
    let events: [&[&str]; 4] = [&["order/told"; 2], &["k", "l"], &["7", "8"], &["{}", "{}"]];
    // The first is there already, there is room for the second, and no room for the third.
    let letters: &[&[&str]] = &[
        &["1", "7", "8", "9"],
        &["s", "s", "s", "t"],
        &["k", "k", "k", "k"],
        &["r", "r", "r", "r"],
        &["{}", "{}", "{}", "{}"],
        &["t", "f", "t", "t"],
        &[r"\x7b7d", r"\x00", r"\x7b7d", r"\x7b7d"],
    ];
    let steps: [&[&str]; 6] = [&["0"], &["s"], &["x"], &["y"], &["pivot"], &["call"]];
    let definition: [&[&str]; 4] = [&["=", "'new'"], &["=", "1"], &["=", "'d'"], &["=", "'{}'"]];
    let replica = ["=", "'00000000-0000-7000-8000-00000000000f'"];
    let keep: [&[&str]; 3] = [&["=", "'order'"], &["1", "2"], &["=", "'s'"]];
    vec![
        // They hold all of theirs already, or from now on.
        case("acquire", "", &[&[A, ENDED, B]], EachAnswered),
        case("arrivals", "", &[&[A, B], &["=", "100"]], Same),
        case("bury", "", letters, Same),
        case(
            "claim_known_timers",
            "",
            &[&["=", "10"], &["=", "10"], &["a@1", "b@1"], &["=", "0"], &["=", PAST]],
            Same,
        ),
        case("claim_timers", "", &[&["=", "10"], &["=", "10"], &["=", "0"], &["=", PAST]], Same),
        case("drop_period", "", &[&["=", "3600"]], Same),
        case("ends", "", &[&[A, ENDED]], EachAnswered),
        case("find_keys", "", &[&["order", "order"], &["k-a", "k-b"]], EachAnswered),
        case("forget", "", &[&["=", "3600"]], Same),
        case("forget_events", "", &[], Same),
        case("keep", "", &[&keep[..], &events].concat(), Same),
        case("forget_leaders", "", &[], Same),
        case("lead", "", &[&["=", "'here'"], &replica, &["=", "null"], &["=", "null"]], Same),
        case("leave", "", &[&["=", "'here'"], &replica], Same),
        case("load_acts", "", &[&[A, B]], Same),
        case("load_facts", "", &[&[A, B]], EachAnswered),
        case("load_replays", "", &[&["=", "10"]], Same),
        case("load_sagas", "", &[&[A, B], &["=", "10"], &["=", PAST]], EachAnswered),
        case("make_periods", "", &[&["=", "3600"]], Same),
        case("next_timer", "", &[&["=", PAST]], Same),
        case("park", "", replies, Same),
        case("pass", "", &[&[A, B]], Same),
        case("rearm_timers", "", &[&[A, B], &[LATER, LATER], &[LATER, LEASE], &[], &[]], Same),
        case("rearm_timers", "", &[&[], &[], &[], &[A, B], &[LATER, LEASE]], Same),
        case("register", "", &[&definition[..], &steps].concat(), Refused("23505")),
        case("release", "", &[&[A, ENDED]], Same),
        case("replayed", "", &[&["=", "1000011"], &["=", "null"]], Same),
        case("requests", "", &[&[ASKED_FOR, A]], Same),
        case("retired", "", &[], Same),
        case("wake_acts", "", &[&["=", "10"]], Same),
        case("wake_waiting", "", &[&["order/told", "x"], &["k", "k"]], Same),
    ]
}

/// The functions that write from arrays or with `on conflict`, and are not run by a statement above: by
/// what they are given as their input, where a key is found twice.
const FUNCTIONS: [(&str, &str); 8] = [
    ("serialize_locks", "select amends.serialize_locks(array['m', 'l', 'm'])"),
    ("note_act", "select amends.pause(id, 'why') from amends.saga, generate_series(1, 2)
                  where finished_at is null"),
    ("ask", "select amends.ask(1, id, 99, 'pause', null, 'why') from amends.saga, generate_series(1, 2)
             where finished_at is null"),
    ("note_act_within", "select amends.note_act_within(id, 'pause', 'why', array['running', 'running'])
                         from amends.saga where finished_at is null"),
    ("seal_forgotten", "set constraints all immediate;
                        select amends.seal_forgotten(array[id, id]) from amends.act"),
    ("wake_next", "select amends.wake_next(array['m', 'l', 'm'])"),
    ("note_stuck", "update amends.saga set status = 'stuck' where finished_at is null;
                    update amends.saga set status = 'stuck' where finished_at is null"),
    ("note_key", "set local amends.keys = 'others note them';
                  insert into amends.saga (id, started_at, version, definition, status, key, input)
                  values ('00000000-0000-7000-8000-000000000011', now(), 1, 'order', 'running', 'n', '{}')"),
];

/// Functions that the statements and functions above run.
const RUN: [&str; 8] = [
    "acquire_locks",
    "add_link",
    "bury",
    "check_starts",
    "forgotten_content",
    "netstrings",
    "pass_locks",
    "release_locks",
];

/// What a statement returned, or its refusal, and all tables after it.
#[derive(Debug, PartialEq)]
struct Outcome {
    rows: Result<usize, String>,
    tables: Vec<String>,
}

impl Outcome {
    fn differences(&self, expected: &Self) -> String {
        let mut differences = format!("{:?}, and not {:?}", self.rows, expected.rows);
        let mut only = |left: &Self, right: &Self, sign: &str| {
            let mut rest = right.tables.clone();
            for row in &left.tables {
                match rest.iter().position(|other| other == row) {
                    Some(found) => drop(rest.swap_remove(found)),
                    None => differences.push_str(&format!("\n  {sign} {row}")),
                }
            }
        };
        only(self, expected, "+");
        only(expected, self, "-");
        differences
    }
}

/// Advisory locks that this session has.
const ADVISORY: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";

struct House {
    session: Session,
    tables: Vec<String>,
}

impl House {
    async fn new() -> Self {
        let mut session = Session::new().await;
        let tables = "select relname from pg_class where relnamespace = 'amends'::regnamespace
            and relkind in ('r', 'p') and not relispartition and relname <> '_migrations'
            order by relname";
        let tables = session.ask(tables).await.unwrap().into_iter().flatten().collect();
        Self { session, tables }
    }

    /// Runs one of these on what is found, and takes all of it back.
    async fn outcome(&mut self, case: Result<(&str, BTreeMap<usize, Value>), &str>) -> Outcome {
        self.session.ask(&format!("begin; {FOUND}")).await.unwrap();
        let began = self.session.ask("select now()").await.unwrap()[0][0].clone();
        let began = DateTime::parse_from_str(&began, "%Y-%m-%d %H:%M:%S%.f%#z").unwrap().to_utc();
        let rows = match &case {
            Ok((statement, given)) => self.session.run(statement, given).await,
            Err(sql) => self.session.ask(sql).await,
        };
        let rows = rows.map(|rows| rows.len()).map_err(|error| sqlstate(&error));
        if rows.is_ok() {
            let advisory = self.session.ask(ADVISORY).await.unwrap();
            assert_eq!(advisory[0][0], "0", "{case:?} takes an advisory lock, as any login may");
        }
        let mut tables = Vec::new();
        for table in self.tables.iter().filter(|_| rows.is_ok()) {
            let all = format!("select to_jsonb(t) from amends.{table} t");
            let all = self.session.ask(&all).await.unwrap().into_iter().flatten();
            tables.extend(all.map(|row| format!("{table}: {}", settled(&row, began))));
        }
        tables.sort();
        self.session.ask("rollback").await.unwrap();
        Outcome { rows, tables }
    }

    fn given(&self, case: &Case) -> BTreeMap<usize, Value> {
        let mut numbers = self.session.part(case.statement, case.part);
        if case.part == "started" {
            // The keys' part reads columns of this one, and one of its own.
            let keyed = self.session.part(case.statement, "keyed");
            numbers.extend(keyed.into_iter().filter(|n| !numbers.contains(n)).collect::<Vec<_>>());
        }
        assert_eq!(numbers.len(), case.given.len(), "{} {}", case.statement, case.part);
        numbers.into_iter().zip(case.given.iter().cloned()).collect()
    }
}

/// A row without what another run would make different: numbers of sequences, and the clock.
fn settled(row: &str, began: Time) -> Json {
    let mut row: Json = serde_json::from_str(row).unwrap();
    let row_ = row.as_object_mut().unwrap();
    if row_.get("id").is_some_and(Json::is_number) {
        row_.remove("id");
    }
    row_.remove("kind_id");
    for value in row_.values_mut() {
        let Some(text) = value.as_str() else { continue };
        let Ok(time) = text.parse::<DateTime<Utc>>() else { continue };
        let away = (time - began).as_seconds_f64();
        if away.abs() < 60.0 {
            *value = format!("{} s from now", (away / 10.0).round() * 10.0).into();
        }
    }
    row
}

#[tokio::test]
async fn a_statement_given_everything_twice_does_what_it_does_once() {
    let mut house = House::new().await;
    let (mut wrong, mut met) = (Vec::new(), BTreeSet::new());
    for case in commits().into_iter().chain(others()) {
        let given = house.given(&case);
        let filled =
            |value: &Value| matches!(value, Value::Array(elements) if !elements.is_empty());
        met.extend(given.iter().filter(|(_, v)| filled(v)).map(|(n, _)| (case.statement, *n)));
        let twice: BTreeMap<_, _> = given.iter().map(|(n, v)| (*n, v.doubled())).collect();
        let once = house.outcome(Ok((case.statement, given))).await;
        let twice = house.outcome(Ok((case.statement, twice))).await;
        let rows = once.rows.clone();
        let expected = match case.doubled {
            Same => once,
            EachAnswered => Outcome { rows: once.rows.map(|rows| 2 * rows), ..once },
            Refused(code) => Outcome { rows: Err(code.into()), tables: Vec::new() },
        };
        if rows.is_err() || twice != expected {
            let name = format!("{} {} ({rows:?} once)", case.statement, case.part);
            wrong.push(format!("{name}: {}", twice.differences(&expected)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    for name in names() {
        for number in house.session.arrays(&name) {
            assert!(met.contains(&(name.as_str(), number)), "nothing doubles ${number} of {name}");
        }
    }
    let here: BTreeSet<_> = commits().iter().chain(&others()).map(|c| c.statement).collect();
    assert_eq!(here.into_iter().collect::<Vec<_>>(), names(), "a statement is missing here");
}

#[tokio::test]
async fn a_function_that_finds_a_key_twice_writes_it_once() {
    let mut house = House::new().await;
    let found = "select proname from pg_proc p where pronamespace = 'amends'::regnamespace
        and (pg_get_functiondef(oid) ~* 'on conflict' or exists (
            select from unnest(proargtypes::oid[]) a join pg_type t on t.oid = a where t.typcategory = 'A'))";
    let found: BTreeSet<_> =
        house.session.ask(found).await.unwrap().into_iter().flatten().collect();
    let here = FUNCTIONS.map(|(name, _)| name).into_iter().chain(RUN);
    assert_eq!(found, here.map(str::to_owned).collect());
    for (name, call) in FUNCTIONS {
        let outcome = house.outcome(Err(call)).await;
        assert!(outcome.rows.is_ok(), "{name}: {:?}", outcome.rows);
        let mut rows = BTreeSet::new();
        for row in
            outcome.tables.iter().filter(|row| row.contains("timer") || row.contains("stuck"))
        {
            assert!(rows.insert(row), "{name} writes twice: {row}");
        }
    }
}
