//! Who changes the audit behind its back is found out.

use std::process::Output;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::{self, House};

/// Sagas that run, of long ago, and a dead letter.
const FURNITURE: &str = "
insert into amends.definition (name, version, digest, outline) values ('order', 1, 'x', '{}');
insert into amends.saga (id, started_at, version, definition, status, input)
select ('00000000-0000-7000-8000-00000000000' || n)::uuid, now(), 1, 'order', 'running', '{}'
from generate_series(1, 3) n;
insert into amends.dead_letter (source, subject, reason, headers, is_text, body, kind_id)
values ('1', 'orders.placed', 'not JSON', '{}', true, 'x', 0);
";

/// An act of each form, with decisions: rows 1 to 8 of the chain.
const ACTS: [&str; 6] = [
    "select amends.retire('order', 1, 'the tax changed')",
    "select amends.discard(1, 'rubbish')",
    "select amends.pause('00000000-0000-7000-8000-000000000001', 'a look')",
    "select amends.resolve('00000000-0000-7000-8000-000000000002', 'a.b', '{\"outcome\":\"ok\"}', 'told')",
    "insert into amends.act_decision (act_id, accepted, answer) select id, false, 'too late' from amends.act where act = 'resolve'",
    "select amends.cancel('00000000-0000-7000-8000-000000000003', 'no more', 0)",
];

impl House {
    /// With acts of all forms.
    async fn lived_in() -> Self {
        let mut house = Self::with(FURNITURE).await;
        for act in ACTS {
            house.run(act).await;
        }
        house
    }

    async fn run(&mut self, sql: &str) {
        self.owner.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// As a viewer, who sees no payload and may verify all the same.
    fn verify(&self, flags: &[&str]) -> Output {
        let mut command = std::process::Command::new(support::amends());
        let url = self.postgres.url.replace("amends@", "viewer@");
        command.args(["audit", "verify"]).args(flags).env("DATABASE_URL", url).output().unwrap()
    }

    /// What is told of an audit that is intact.
    fn intact(&self, flags: &[&str]) -> Value {
        let output = self.verify(&[flags, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&told["intact"], &told["broken"]),
            (&Value::Bool(true), &Value::Null),
            "{told}"
        );
        told
    }

    fn head(&self) -> String {
        self.intact(&[])["head"].as_str().unwrap().to_owned()
    }

    /// The sentence about one that is not.
    fn broken(&self, flags: &[&str]) -> String {
        let output = self.verify(flags);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = self.verify(&[flags, &["--json"]].concat());
        assert_eq!(told.status.code(), Some(1), "{told:?}");
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["intact"], Value::Bool(false), "{told}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test]
async fn an_audit_that_nobody_touched_is_intact() {
    let house = House::empty().await;
    let told = house.intact(&[]);
    assert_eq!((&told["acts"], &told["rows"]), (&0.into(), &0.into()), "{told}");
    let other = House::empty().await;
    assert_ne!(house.head(), other.head(), "each installation has a chain of its own");

    let house = House::lived_in().await;
    let output = house.verify(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let head = house.head();
    let expected = format!(
        "the audit is intact\nacts       5\ndecisions  3\nforgotten  0\nhead       {head}, of row 8\n"
    );
    assert_eq!(text, expected);
    // A head that was noted stays part of it.
    let mut house = house;
    house.run("select amends.reinstate('order', 1, 'it changed back')").await;
    assert_eq!(house.intact(&["--head", &head])["noted_at"], 8);
    assert_eq!(house.intact(&["--head", &head.to_uppercase()])["rows"], 10);
    assert_eq!(house.verify(&["--head", "12"]).status.code(), Some(2));
}

/// Whatever of a row is changed, by whoever may.
#[tokio::test]
async fn a_changed_row_is_found() {
    let mut house = House::lived_in().await;
    house.run("alter table amends.act drop constraint act_about").await;
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "select c.relname::text, a.attname::text, format_type(a.atttypid, null)
         from pg_attribute a join pg_class c on c.oid = a.attrelid
         where a.attrelid in ('amends.act'::regclass, 'amends.act_decision'::regclass)
           and a.attnum > 0 and not a.attisdropped and a.attname not in ('id', 'act_id')",
    )
    .fetch_all(&mut house.owner)
    .await
    .unwrap();
    assert_eq!(columns.len(), 15, "{columns:?}");
    for (table, column, kind) in columns {
        let id = if table == "act" { "id" } else { "act_id" };
        let other = match (column.as_str(), kind.as_str()) {
            ("act", _) => "case when act = 'skip' then 'retry' else 'skip' end".to_owned(),
            (_, "text") => format!("coalesce({column}, '') || 'x'"),
            (_, "boolean") => format!("not {column}"),
            (_, "integer" | "bigint") => format!("coalesce({column}, 0) + 1"),
            (_, "uuid") => "gen_random_uuid()".to_owned(),
            (_, "json") => "'{\"outcome\": \"ok\"}'".to_owned(),
            (_, "timestamp with time zone") => format!("{column} + interval '1 us'"),
            other => panic!("{other:?}"),
        };
        house.run(&format!("create table kept as select * from amends.{table}")).await;
        // The last: all before it are intact.
        let change = format!(
            "update amends.{table} set {column} = {other} where {id} = (select max({id}) from amends.{table})"
        );
        house.run(&change).await;
        let told = house.broken(&[]);
        assert!(told.contains("it was changed"), "{table}.{column}: {told}");
        let restore = format!(
            "update amends.{table} t set {column} = k.{column} from kept k where k.{id} = t.{id}; drop table kept"
        );
        house.run(&restore).await;
        house.intact(&[]);
    }
    // Also where the row's digest is made to fit, and the first that is wrong is named.
    house.run("update amends.act set reason = 'another' where act = 'pause'").await;
    let told = house.broken(&[]);
    assert!(told.contains("at row 5 of its chain: the act 3: it was changed"), "{told}");
    let fit = "update amends.audit_link l set digest = sha256(convert_to(c.content, 'UTF8'))
        from amends.audit_chain c where c.number = l.number and l.number = 5";
    house.run(fit).await;
    let told = house.broken(&[]);
    assert!(told.contains("the act 3: its hash does not follow"), "{told}");
    let fit = "update amends.audit_link l set hash = sha256(p.hash || l.digest)
        from amends.audit_link p where p.number = 4 and l.number = 5";
    house.run(fit).await;
    let told = house.broken(&[]);
    assert!(told.contains("at row 6 of its chain"), "{told}");
}

#[tokio::test]
async fn a_row_that_is_gone_is_found() {
    let mut house = House::lived_in().await;
    house.run("create table kept as select * from amends.act").await;
    house.run("create table links as select * from amends.audit_link").await;
    // In the middle: the row, its place in the chain, or both.
    house.run("delete from amends.act where act = 'pause'").await;
    assert!(house.broken(&[]).contains("at row 5 of its chain: the act 3: it is missing"));
    house.run("delete from amends.audit_link where number = 5").await;
    assert!(
        house
            .broken(&[])
            .contains("at row 6 of its chain: the act 4: the row before it is missing")
    );
    house.run("update amends.audit_link set number = number - 1 where number > 5").await;
    assert!(house.broken(&[]).contains("at row 5 of its chain"));
    let mut house = House::lived_in().await;
    house.run("delete from amends.audit_link where number = 5").await;
    assert!(house.broken(&[]).contains("the row before it is missing"));

    // At the end: what was noted elsewhere says so, and nothing else can.
    let mut house = House::lived_in().await;
    let head = house.head();
    house.run("delete from amends.act where act = 'cancel'").await;
    assert!(house.broken(&[]).contains("at row 8 of its chain: the act 5: it is missing"));
    house.run("delete from amends.audit_link where number = 8").await;
    house.intact(&[]);
    assert!(house.broken(&["--head", &head]).contains("is not the one that had the head"));
    // Nor does it help to have another in its place.
    house.run("select amends.pause('00000000-0000-7000-8000-000000000003', 'a look')").await;
    house.intact(&[]);
    assert!(house.broken(&["--head", &head]).contains("is not the one that had the head"));
    // All of it.
    house.run("truncate amends.audit_link; delete from amends.act").await;
    assert!(house.broken(&[]).contains("the chain is empty"));
    let error = house.owner.execute("select amends.retire('order', 1, 'x')").await.unwrap_err();
    assert!(error.to_string().contains("has no beginning"), "{error}");
    // A commit that fails is told by the command, too: the version starts sagas as before.
    let mut retire = std::process::Command::new(support::amends());
    retire.args(["retire", "order", "1", "--reason", "x"]).env("DATABASE_URL", &house.postgres.url);
    let output = retire.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("has no beginning"), "{told}");
}

#[tokio::test]
async fn a_row_that_came_past_the_chain_is_found() {
    let mut house = House::lived_in().await;
    for (table, insert, whose) in [
        (
            "act_decision",
            "insert into amends.act_decision (act_id, accepted) select id, true from amends.act where act = 'pause'",
            "the decision of act 3",
        ),
        (
            "act",
            "insert into amends.act (act, definition, version, reason, actor) values ('retire', 'order', 1, 'x', 'bob')",
            "the act 6",
        ),
    ] {
        house.run(&format!("alter table amends.{table} disable trigger seal; {insert}")).await;
        let told = house.broken(&[]);
        assert!(told.contains(&format!("{whose} was inserted past the chain")), "{told}");
        house.run(&format!("alter table amends.{table} enable trigger seal")).await;
        house
            .run(&format!(
                "delete from amends.{table} t where not exists (
            select from amends.audit_link l where l.act_id = t.{})",
                if table == "act" { "id" } else { "act_id" }
            ))
            .await;
        house.run("delete from amends.act_decision where act_id = 3").await;
    }
    house.intact(&[]);
}

/// What retention deletes is on record, by whom; nothing else is taken for it.
#[tokio::test]
async fn what_retention_deletes_leaves_the_rest_intact() {
    let mut house = House::lived_in().await;
    let head = house.head();
    for sql in [
        "insert into amends.act_decision (act_id, accepted) select id, true from amends.act where act in ('pause', 'cancel')",
        "delete from amends.mailbox; delete from amends.timer; delete from amends.stuck_saga",
        "update amends.dead_letter set settled_at = settled_at - interval '1 day'",
    ] {
        house.run(sql).await;
    }
    // Two replicas at once delete each row once.
    for _ in 0..3 {
        let both = [house.login("orchestrator").await, house.login("orchestrator").await];
        let both =
            both.map(async |mut session| session.execute("select amends.forget('1 hour')").await);
        for done in futures_util::future::join_all(both).await {
            done.unwrap();
        }
    }
    let told = house.intact(&["--head", &head]);
    // Sagas first, and their acts once they are gone.
    assert_eq!(
        (&told["acts"], &told["decisions"], &told["forgotten"]),
        (&1.into(), &1.into(), &8.into()),
        "{told}"
    );
    let by: Vec<String> =
        sqlx::query_scalar("select login from amends.audit_link where kind = 'forgotten'")
            .fetch_all(&mut house.owner)
            .await
            .unwrap();
    assert!(!by.is_empty() && by.iter().all(|login| login == "orchestrator"), "{by:?}");
    house.run("delete from amends.act").await;
    assert!(house.broken(&[]).contains("at row 1 of its chain: the act 1: it is missing"));
    // Nor is it enough to say so afterwards.
    house.run("insert into amends.audit_forgotten select n, max(link) from amends.audit_forgotten, generate_series(1, 2) n group by n").await;
    assert!(house.broken(&[]).contains("it was changed"));
}

/// Nobody waits for an operator who thinks in an open transaction; of many that act at once each has its place.
#[tokio::test]
async fn acts_at_the_same_time_make_one_chain() {
    let mut house = House::lived_in().await;
    let mut thinking = house.login("operator").await;
    thinking.execute("begin; select amends.retire('order', 1, 'thinking')").await.unwrap();
    let mut old = house.login("operator").await;
    old.execute("begin isolation level repeatable read; select count(*) from amends.audit")
        .await
        .unwrap();
    let many = (0..8).map(async |_| {
        let mut operator = house.login("operator").await;
        operator.execute("set statement_timeout = '20s'").await.unwrap();
        for _ in 0..20 {
            operator.execute("select amends.forget_keys('1 year', 'x')").await.unwrap();
        }
    });
    futures_util::future::join_all(many).await;
    // One that cannot know where the chain ends writes nothing.
    old.execute("select amends.forget_keys('1 year', 'old')").await.unwrap();
    let error = old.execute("commit").await.unwrap_err();
    let code = error.as_database_error().unwrap().code().unwrap().into_owned();
    assert_eq!(code, "40001", "{error}");
    thinking.execute("commit").await.unwrap();
    let told = house.intact(&[]);
    assert_eq!((&told["acts"], &told["rows"]), (&166.into(), &330.into()), "{told}");
    let last: i64 = sqlx::query_scalar("select max(number) from amends.audit_link")
        .fetch_one(&mut house.owner)
        .await
        .unwrap();
    assert_eq!(last, 330);
    // Many in one transaction.
    house.run("insert into amends.timer select id, 'infinity' from amends.saga on conflict do nothing; delete from amends.mailbox").await;
    house.run("select * from amends.pause_all(null, null, null, 10, 'a storm')").await;
    assert_eq!(house.intact(&[])["acts"], 169);
}

/// No role writes to the chain, or to the audit without it.
#[tokio::test]
async fn no_role_writes_to_the_chain() {
    let mut house = House::lived_in().await;
    for role in ["viewer", "operator", "orchestrator"] {
        let mut session = house.login(role).await;
        for sql in [
            "insert into amends.audit_link select * from amends.audit_link",
            "insert into amends.audit_forgotten values (1, 2)",
            "delete from amends.audit_forgotten",
            "update amends.audit_link set salt = null",
            "delete from amends.audit_link",
            "truncate amends.audit_link",
            "alter table amends.act_decision disable trigger seal",
            "set session_replication_role = replica",
            "select from amends.mutex where id = 1025 for update",
            "select amends.add_link(null, 'x')",
            "select amends.seal_forgotten('{1}')",
            "select amends.seal()",
        ] {
            let error = session.execute(sql).await.unwrap_err();
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "42501", "{role}: {sql}: {error}");
        }
    }
    // What an orchestrator decides is in the chain, whether it wants or not.
    let mut orchestrator = house.login("orchestrator").await;
    let decide = "insert into amends.act_decision (act_id, accepted) select id, true from amends.act where act = 'pause'";
    orchestrator.execute(decide).await.unwrap();
    assert_eq!(house.intact(&[])["decisions"], 4);
    // An outcome that may be guessed is not told by its digest: what is hashed has a salt that nobody sees.
    let salt: Option<uuid::Uuid> =
        sqlx::query_scalar("select salt from amends.audit_link where act_id = 4 and kind = 'act'")
            .fetch_one(&mut house.owner)
            .await
            .unwrap();
    let mut viewer = house.login("viewer").await;
    let chain: Vec<String> =
        sqlx::query_scalar("select to_json(c)::text from amends.audit_chain c")
            .fetch_all(&mut viewer)
            .await
            .unwrap();
    assert!(!chain.iter().any(|row| row.contains(&salt.unwrap().to_string())), "{chain:?}");
    let denied = viewer.execute("select salt from amends.audit_link").await.unwrap_err();
    assert!(denied.to_string().contains("permission denied"), "{denied}");
}
