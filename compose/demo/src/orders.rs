//! The orders of a demo: a mix in which every fate occurs, the same in every run.

use order::{Item, OrderPlaced};

/// Order number `n` of a run.
pub(crate) fn generate(n: u32) -> OrderPlaced {
    let item = |sku: &str, quantity, unit_price| Item { sku: sku.into(), quantity, unit_price };
    let mut items = vec![item("tea", 1 + n % 3, 450)];
    if n % 4 == 1 {
        items.push(item("cup", 2, 1290));
    }
    // Ten lamps for about one order in eleven: most of them come too late.
    if n % 11 == 6 {
        items.push(item("moon-lamp", 1, 8900));
    }
    OrderPlaced {
        order_id: format!("o-{}", 1001 + n),
        customer: format!("c-{}", 1 + n % 97),
        currency: "EUR".into(),
        items,
        card: match n % 20 {
            3 => "tok_declined",
            13 => "tok_flaky",
            _ => "tok_visa",
        }
        .into(),
        country: if n % 25 == 9 { "AQ" } else { "DE" }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_occurs_in_a_thousand_orders() {
        let orders: Vec<_> = (0..1000).map(generate).collect();
        assert!(orders.iter().any(|o| o.card == "tok_declined"));
        assert!(orders.iter().any(|o| o.card == "tok_flaky"));
        assert!(orders.iter().any(|o| o.country == "AQ" && o.card == "tok_visa"));
        let lamps = orders.iter().filter(|o| o.items.iter().any(|i| i.sku == "moon-lamp"));
        let (wanted, there) = (lamps.count(), crate::stock::stock()["moon-lamp"]);
        assert!(wanted > 10 && there == 10, "{wanted} lamps are wanted, {there} are there");
    }
}
