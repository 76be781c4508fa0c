//! Dead letters in Postgres: kept up to a bound for each kind, and counted beyond it.

use futures_util::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{self, statement};

const LETTERS_MAX: i64 = 1000;
const BYTES_MAX: usize = 64 << 20;

/// What is open, of how many bytes, and what was only counted, by subject and kind.
type Count = (String, String, i64, i64, i64);

struct House {
    postgres: support::Fresh,
    owner: PgConnection,
    bury: String,
}

/// Letters of one kind: their sources, and a body for each that has one.
struct Letters<'a> {
    subject: &'a str,
    kind: &'a str,
    sources: Vec<String>,
    bodies: Vec<Option<Vec<u8>>>,
}

fn letters<'a>(subject: &'a str, kind: &'a str, from: i64, count: i64) -> Letters<'a> {
    let sources = (from..from + count).map(|n| format!("{subject} {kind} {n}"));
    let bodies = (0..count).map(|_| Some(b"x".to_vec())).collect();
    Letters { subject, kind, sources: sources.collect(), bodies }
}

impl House {
    async fn new() -> Self {
        let (postgres, mut owner) = support::migrated().await;
        support::add_logins(&mut owner, &["orchestrator"]).await;
        Self { postgres, owner, bury: statement("bury") }
    }

    /// With the rights of the orchestrator's role.
    async fn orchestrator(&self) -> PgConnection {
        let url = self.postgres.url.replace("amends@", "orchestrator@");
        PgConnection::connect(&url).await.unwrap()
    }

    async fn bury(&self, session: &mut PgConnection, batch: &[Letters<'_>]) -> [usize; 2] {
        let each = |f: fn(&Letters<'_>) -> String| {
            batch.iter().flat_map(|l| l.sources.iter().map(move |_| f(l))).collect::<Vec<_>>()
        };
        let sources: Vec<_> = batch.iter().flat_map(|l| l.sources.clone()).collect();
        let rows: Vec<(String, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(self.bury.clone()))
            .bind(&sources)
            .bind(each(|l| l.subject.to_owned()))
            .bind(each(|l| l.kind.to_owned()))
            .bind(each(|l| l.kind.to_owned()))
            .bind(each(|_| "{}".to_owned()))
            .bind(vec![true; sources.len()])
            .bind(batch.iter().flat_map(|l| l.bodies.clone()).collect::<Vec<_>>())
            .fetch_all(session)
            .await
            .unwrap();
        let kept = rows.iter().filter(|(_, is_kept)| *is_kept).count();
        [kept, rows.len() - kept]
    }

    async fn counts(&mut self) -> Vec<Count> {
        const COUNTS: &str =
            "select k.subject, k.kind, count(d.id), coalesce(sum(octet_length(d.body)), 0),
                k.dropped
            from amends.letter_kind k
            left join amends.dead_letter d on d.kind_id = k.id and d.settled_at is null
            group by k.id order by k.subject, k.kind";
        sqlx::query_as(COUNTS).fetch_all(&mut self.owner).await.unwrap()
    }

    /// The next statement counts what is open anew: a second is over.
    async fn forget_count(&mut self) {
        let past = "update amends.letter_kind set counted_at = '2001-01-01'";
        self.owner.execute(past).await.unwrap();
    }
}

#[tokio::test]
async fn a_thousand_of_a_kind_are_kept_and_the_others_counted() {
    let mut house = House::new().await;
    let mut session = house.orchestrator().await;
    // One batch holds several kinds, and one of them more than there is room for.
    let batch = [letters("a", "x", 0, 1200), letters("a", "y", 0, 3), letters("b", "x", 0, 5)];
    assert_eq!(house.bury(&mut session, &batch).await, [1008, 200]);
    assert_eq!(house.bury(&mut session, &batch).await, [0, 200], "those that are kept are known");
    assert_eq!(house.bury(&mut session, &[letters("a", "y", 3, 997)]).await, [997, 0]);
    assert_eq!(house.bury(&mut session, &[letters("a", "y", 1000, 1)]).await, [0, 1]);
    let of = |subject: &str, kind: &str, open, dropped| {
        (subject.to_owned(), kind.to_owned(), open, open, dropped)
    };
    let counts = [
        of(">", "other kinds", 0, 0),
        of("a", "x", LETTERS_MAX, 400),
        of("a", "y", LETTERS_MAX, 1),
        of("b", "x", 5, 0),
    ];
    assert_eq!(house.counts().await, counts);
    let told: Vec<(String, i64, String, String)> = sqlx::query_as(
        "select kind, letters, first_source, last_source from amends.dropped_letters
         where first_at <= last_at order by kind",
    )
    .fetch_all(&mut house.owner)
    .await
    .unwrap();
    let [x, y] = &told[..] else { panic!("{told:?}") };
    assert_eq!((x.1, x.2.as_str(), x.3.as_str()), (400, "a x 1000", "a x 1199"));
    assert_eq!((y.1, y.2.as_str(), y.3.as_str()), (1, "a y 1000", "a y 1000"));
}

#[tokio::test]
async fn bodies_of_a_kind_have_a_bound() {
    let mut house = House::new().await;
    let mut session = house.orchestrator().await;
    let mut large = letters("a", "x", 0, 70);
    large.bodies.fill(Some(vec![0; 1 << 20]));
    let [kept, dropped] = house.bury(&mut session, &[large]).await;
    // Each has headers, too.
    assert_eq!([kept, dropped], [63, 7]);
    let counts = house.counts().await;
    assert!(usize::try_from(counts[1].3).unwrap() <= BYTES_MAX, "{counts:?}");
    // What is only counted needs no body.
    let mut bare = letters("a", "z", 0, 10);
    bare.bodies.fill(None);
    assert_eq!(house.bury(&mut session, &[bare]).await, [0, 10]);
}

/// Whoever settles a letter makes room for another, within a second, and holds up no burial before the act's
/// transaction ends.
#[tokio::test]
async fn a_letter_that_is_settled_makes_room() {
    let mut house = House::new().await;
    let mut session = house.orchestrator().await;
    session.execute("set lock_timeout = '1s'").await.unwrap();
    house.bury(&mut session, &[letters("a", "x", 0, LETTERS_MAX)]).await;
    let discard =
        "select amends.discard(id, 'rubbish') from amends.dead_letters order by id limit 10";
    house.owner.execute("begin").await.unwrap();
    house.owner.execute(discard).await.unwrap();
    assert_eq!(house.bury(&mut session, &[letters("a", "x", 1000, 1)]).await, [0, 1]);
    house.owner.execute("commit").await.unwrap();
    house.forget_count().await;
    assert_eq!(house.bury(&mut session, &[letters("a", "x", 2000, 12)]).await, [10, 2]);
}

#[tokio::test]
async fn who_buries_at_once_keeps_no_more() {
    let mut house = House::new().await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(house.orchestrator().await);
    }
    let shared = &house;
    let all = sessions.iter_mut().zip(0_i64..).map(async |(session, n)| {
        let mut fates = [0, 0];
        for round in 0..5 {
            // Some come to two of them.
            let batch = [
                letters("a", "x", 200 * n + 50 * round, 60),
                letters("b", "x", 100 * n + 20 * round, 20),
            ];
            let [kept, dropped] = shared.bury(session, &batch).await;
            fates = [fates[0] + kept, fates[1] + dropped];
        }
        fates
    });
    let kept: usize = join_all(all).await.iter().map(|[kept, _]| kept).sum();
    let counts = house.counts().await;
    let open: Vec<_> = counts.iter().map(|count| count.2).collect();
    assert_eq!(open, [0, LETTERS_MAX, 800]);
    assert_eq!(kept, 1800);
    // The counters are what is there.
    let wrong = "select count(*) from amends.letter_kind k where k.open <> (
        select count(*) from amends.dead_letter d where d.kind_id = k.id)";
    let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(&mut house.owner).await.unwrap();
    assert_eq!(wrong, 0);
}

/// Whoever finds a detail that is taken for a kind gets no more room by it.
#[tokio::test]
async fn kinds_have_a_bound_too() {
    let mut house = House::new().await;
    let mut session = house.orchestrator().await;
    let mut fates = [0, 0];
    for round in 0..6 {
        let kinds: Vec<_> = (0..400).map(|n| format!("{round} {n}")).collect();
        let long = "s".repeat(4000 + round);
        let batch: Vec<_> = kinds.iter().map(|kind| letters(&long, kind, 0, 1)).collect();
        let [kept, dropped] = house.bury(&mut session, &batch).await;
        fates = [fates[0] + kept, fates[1] + dropped];
    }
    assert_eq!(fates, [1999, 401]);
    assert_eq!(house.counts().await.len(), 1000);
}

/// Kinds that nothing came of for long go, as settled letters do; but not those with open letters.
#[tokio::test]
async fn kinds_are_forgotten() {
    let mut house = House::new().await;
    let mut session = house.orchestrator().await;
    let mut bare = letters("a", "z", 0, 1);
    bare.bodies.fill(None);
    let batch = [letters("a", "x", 0, 2), letters("a", "y", 0, 1), bare];
    house.bury(&mut session, &batch).await;
    let settle = "select amends.discard(id, 'rubbish') from amends.dead_letters where reason = 'y'";
    house.owner.execute(settle).await.unwrap();
    session.fetch_all("select amends.forget('1 hour')").await.unwrap();
    assert_eq!(house.counts().await.len(), 4);
    let past = "update amends.letter_kind set last_at = now() - interval '2 hours'";
    house.owner.execute(past).await.unwrap();
    session.fetch_all("select amends.forget('1 hour')").await.unwrap();
    let left: Vec<_> = house.counts().await.into_iter().map(|(_, kind, ..)| kind).collect();
    assert_eq!(left, ["x"]);
}
