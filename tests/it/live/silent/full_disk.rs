//! The disk of a service is full: its orders wait, none is turned back, and no attempt is spent.

use std::{
    os::unix::fs::{MetadataExt as _, chown},
    time::Duration,
};

use super::roles::{BLIND, Open, start_workers_but, worker};
use crate::support::{Shop, SmallDisk, eventually, spell};

/// How long it is full.
const FULL: Duration = Duration::from_secs(40);

/// Attempts that the service gave up, and orders that turned back although nobody said no.
const BROKEN: &str = "select count(*) from amends.history
    where kind = 'broke' and step like 'payment.%'";
const TURNED_BACK: &str = "select count(*) from amends.sagas
    where error is not null and coalesce(error ->> 'code', '') not in ('card_declined', 'no_route')";

/// Where the ledger of payment is.
struct Disk(Option<SmallDisk>);

impl Disk {
    async fn of_payment(shop: &Shop) -> Self {
        let folder = shop.folder.path().join("small");
        let Some(disk) = SmallDisk::at(&folder) else {
            spell::can_fake_a_full_disk(shop.local.database_url()).await;
            return Self(None);
        };
        let owner = std::fs::metadata(shop.folder.path().join("postgres/data")).unwrap();
        chown(&folder, Some(owner.uid()), Some(owner.gid())).unwrap();
        let tablespace = format!("create tablespace small location '{}'", folder.display());
        let statements = [
            &tablespace,
            "alter table payment.ledger set tablespace small",
            "alter index payment.ledger_saga set tablespace small",
        ];
        spell::command(shop.local.database_url(), &statements).await;
        Self(Some(disk))
    }

    async fn fill(&self, shop: &Shop) {
        match &self.0 {
            Some(disk) => disk.fill(),
            None => spell::fake_a_full_disk(shop.local.database_url()).await,
        }
        let log = shop.folder.path().join("postgres/server.log");
        eventually("a full disk", async || {
            let log = std::fs::read_to_string(&log).ok()?;
            log.contains("No space left on device").then_some(())
        })
        .await;
    }

    async fn empty(&self, shop: &Shop) {
        match &self.0 {
            Some(disk) => disk.empty(),
            None => spell::end_a_faked_full_disk(shop.local.database_url()).await,
        }
    }
}

#[tokio::test]
async fn a_full_disk_turns_no_order_back() {
    let mut shop = Shop::closed().await;
    let database = shop.local.database_url().to_owned();
    shop.start("orchestrator", &["orchestrator"]);
    start_workers_but(&mut shop, "payment");
    let probe = worker(&mut shop, "payment", &database).await;
    probe.is_ready().await;
    let disk = Disk::of_payment(&shop).await;
    let open = Open::at(shop, vec![probe]).await;
    // It goes before the folder that it is in.
    let disk = disk;
    disk.fill(&open.shop).await;
    let lookout = open.look_out();
    tokio::time::sleep(FULL).await;
    let sights = lookout.end();
    disk.empty(&open.shop).await;
    let course = open.struck(Duration::from_secs(20), async || {}).await;
    let broken = open.shop.number(BROKEN).await;
    let turned_back = open.shop.number(TURNED_BACK).await;
    println!("{broken} attempts broke, {turned_back} orders turned back; {sights:?}; {course}");
    assert_eq!((broken, turned_back), (0, 0), "broken attempts and orders turned back");
    assert!(sights.iter().all(|sight| sight.blind <= BLIND), "{sights:?}");
    course.assert_moving_within(Duration::from_secs(20));
    let shop = open.closes().await;
    assert_eq!((shop.number(BROKEN).await, shop.number(TURNED_BACK).await), (0, 0));
}
