//! The ledgers of the order services.

use amends_postgres::Database;

use super::statuses::{count, statuses};

/// Findings of one look at the ledgers of the order services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Orders by status, in order of status.
    pub statuses: Vec<(String, i64)>,
    /// Units taken from the stock and not given back, according to the ledger.
    pub stock_reserved: i64,
    /// Units missing from the stock, compared with what was put in.
    pub stock_missing: i64,
    /// Captured money, in minor units, according to the ledger.
    pub captured: i64,
    /// What the completed orders cost, in minor units.
    pub owed: i64,
    /// What is wrong, a line each; empty when every effect was applied once or undone once.
    pub problems: Vec<String>,
}

impl Audit {
    /// Whether all ledgers balance.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many sagas have this status.
    #[must_use]
    pub fn count(&self, status: &str) -> i64 {
        count(&self.statuses, status)
    }

    /// Reads all ledgers, of services that share the orchestrator's database.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(database: &Database, seeded_units: i64) -> Result<Self, sqlx::Error> {
        let statuses = statuses(database, "order").await?;
        let sums = sqlx::query_file!("src/sql/audit_sums.sql").fetch_one(database).await?;
        let wrong = sqlx::query_file!("src/sql/audit_problems.sql").fetch_all(database).await?;
        let mut audit = Self {
            statuses,
            stock_reserved: sums.reserved,
            stock_missing: seeded_units - sums.available,
            captured: sums.captured,
            owed: sums.owed,
            problems: wrong
                .into_iter()
                .map(|r| format!("saga {} ({}): {}", r.saga_id, r.status, r.problem))
                .collect(),
        };
        if audit.stock_missing != audit.stock_reserved {
            audit.problems.push(format!(
                "stock: {} units are missing, the ledger explains {}",
                audit.stock_missing, audit.stock_reserved
            ));
        }
        if audit.captured != audit.owed {
            audit.problems.push(format!(
                "money: {} was captured, completed orders cost {}",
                audit.captured, audit.owed
            ));
        }
        Ok(audit)
    }
}
