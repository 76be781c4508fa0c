//! What the shop has when it opens for the first time.

use std::collections::BTreeMap;

/// Quantities by article.
#[must_use]
pub fn stock() -> BTreeMap<String, i64> {
    [("tea", 100_000), ("cup", 100_000), ("kettle", 1_000), ("moon-lamp", 10)]
        .map(|(sku, quantity)| (sku.to_owned(), quantity))
        .into()
}
