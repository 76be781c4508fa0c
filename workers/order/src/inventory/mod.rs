//! Inventory: takes articles from the stock and puts them back.

use std::{collections::BTreeMap, convert::Infallible};

use amends::wire::Undo;
use amends_workers::{Act, Attempt, Compensate, Database, Halt, Service, ServiceError, reject};
use order::{Line, NoStock, Reservation, ReserveStock, Reserved};
use sqlx::migrate::Migrator;

/// What makes its schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/inventory");

struct Inventory;

/// The service over its database, where [`MIGRATIONS`] were applied.
///
/// # Errors
/// Steps that do not fit together.
pub fn service(database: Database) -> Result<Service, ServiceError> {
    Service::new("inventory", database, Inventory).step::<ReserveStock>().build()
}

/// Puts articles on the shelf: those that inventory does not know yet. A known article keeps what is
/// left of it, so that a restart with the same file does not refill a shop that has sold something.
///
/// # Errors
/// The database's, also for a quantity below 0.
pub async fn seed_stock(database: &Database, stock: &BTreeMap<String, i64>) -> sqlx::Result<()> {
    let skus: Vec<String> = stock.keys().cloned().collect();
    let quantities: Vec<i64> = stock.values().copied().collect();
    sqlx::query_file!("src/inventory/seed.sql", &skus, &quantities).execute(database).await?;
    Ok(())
}

impl Act<ReserveStock> for Inventory {
    async fn act(
        &self,
        cx: &mut Attempt<'_>,
        reservation: Reservation,
    ) -> Result<Reserved, Halt<NoStock>> {
        let (skus, quantities) = sums(reservation.items);
        let saga = cx.id.saga.0;
        let taken = sqlx::query_file!("src/inventory/reserve.sql", saga, &skus, &quantities)
            .fetch_all(&mut *cx.tx)
            .await?;
        let Some(lacking) = skus.into_iter().find(|sku| taken.iter().all(|t| t.sku != *sku)) else {
            return Ok(Reserved { reservation: cx.effect_id() });
        };
        // What was taken beside it is rolled back with the rejection.
        let stock =
            sqlx::query_file!("src/inventory/known.sql", lacking).fetch_one(&mut *cx.tx).await?;
        reject(match stock.known {
            true => NoStock::OutOfStock(lacking),
            false => NoStock::UnknownSku(lacking),
        })
    }
}

impl Compensate<ReserveStock> for Inventory {
    async fn compensate(
        &self,
        cx: &mut Attempt<'_>,
        _: Undo<Reservation, Reserved>,
    ) -> Result<(), Halt<Infallible>> {
        sqlx::query_file!("src/inventory/release.sql", cx.id.saga.0).execute(&mut *cx.tx).await?;
        Ok(())
    }
}

/// How many of each article; lines that want none are left out.
fn sums(lines: Vec<Line>) -> (Vec<String>, Vec<i64>) {
    let mut sums = BTreeMap::new();
    for line in lines.into_iter().filter(|line| line.quantity > 0) {
        *sums.entry(line.sku).or_insert(0) += i64::from(line.quantity);
    }
    sums.into_iter().unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_article_are_one_line() {
        let line = |sku: &str, quantity| Line { sku: sku.to_owned(), quantity };
        let lines = vec![line("b", 1), line("a", u32::MAX), line("c", 0), line("a", u32::MAX)];
        let (skus, quantities) = sums(lines);
        assert_eq!(skus, ["a", "b"]);
        assert_eq!(quantities, [2 * i64::from(u32::MAX), 1]);
    }
}
