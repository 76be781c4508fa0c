//! The ledgers of the trip services.

use amends_postgres::Database;

use super::statuses::{count, statuses};

/// Findings of one look at the ledgers of the trip services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TripAudit {
    /// Trips by status, in order of status.
    pub statuses: Vec<(String, i64)>,
    /// Rooms that the hotels have not free.
    pub rooms_taken: i64,
    /// Rooms that stand booked, according to the ledger.
    pub rooms_booked: i64,
    /// Cars that the fleet has not free.
    pub cars_out: i64,
    /// Cars that stand reserved, according to the ledger.
    pub cars_reserved: i64,
    /// Charged money, in minor units, according to the ledger.
    pub charged: i64,
    /// What hotels, cars and insurances ask of completed trips, in minor units.
    pub owed: i64,
    /// Travellers who wanted more than one trip, which took turns.
    pub busy_travellers: i64,
    /// What is wrong, a line each; empty when every effect was applied once or undone once, and no
    /// two trips of one traveller ran at the same time.
    pub problems: Vec<String>,
}

impl TripAudit {
    /// Whether all ledgers balance.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many trips have this status.
    #[must_use]
    pub fn count(&self, status: &str) -> i64 {
        count(&self.statuses, status)
    }

    /// Reads all ledgers, of services that share the orchestrator's database.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(database: &Database) -> Result<Self, sqlx::Error> {
        let statuses = statuses(database, "trip").await?;
        let sums = sqlx::query_file!("src/sql/trip_sums.sql").fetch_one(database).await?;
        let wrong = sqlx::query_file!("src/sql/trip_problems.sql").fetch_all(database).await?;
        let mut problems: Vec<_> = wrong
            .into_iter()
            .map(|r| format!("saga {} ({}): {}", r.saga_id, r.status, r.problem))
            .collect();
        let mut equal = |what: &str, left: i64, right: i64| {
            if left != right {
                problems.push(format!("{what}: {left} and {right}"));
            }
        };
        equal("rooms that are taken and that are booked", sums.rooms_taken, sums.rooms_booked);
        equal("cars that are out and that are reserved", sums.cars_out, sums.cars_reserved);
        equal("money that was charged and that trips cost", sums.charged, sums.owed);
        Ok(Self {
            statuses,
            rooms_taken: sums.rooms_taken,
            rooms_booked: sums.rooms_booked,
            cars_out: sums.cars_out,
            cars_reserved: sums.cars_reserved,
            charged: sums.charged,
            owed: sums.owed,
            busy_travellers: sums.busy_travellers,
            problems,
        })
    }
}
