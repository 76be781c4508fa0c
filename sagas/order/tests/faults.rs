//! The order saga in the fault matrix: whatever goes wrong, stock and money add up.

#![allow(clippy::unwrap_used, reason = "a model that is wrong fails its test")]

use std::collections::BTreeMap;

use amends::{machine::Status, testing::FaultMatrix};
use order::{
    AuthorizePayment, Authorized, BookParcel, Booked, CapturePayment, Captured, Item, NoStock,
    Notified, NotifyCustomer, OrderPlaced, PlaceOrder, ReserveStock, Reserved,
};

/// What the four services know.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Shop {
    /// What is on the shelf.
    stock: BTreeMap<String, u32>,
    /// What is taken from it, by reservation.
    reserved: BTreeMap<String, Vec<(String, u32)>>,
    parcels: Vec<String>,
    /// Money of the customer, held on their card, and of the shop.
    wallet: i64,
    held: BTreeMap<String, i64>,
    till: i64,
    mails: u32,
}

const MONEY: i64 = 10_000;
const TEA: u32 = 5;

impl Shop {
    fn stocked() -> Self {
        Self {
            stock: [("tea".to_owned(), TEA)].into(),
            reserved: BTreeMap::new(),
            parcels: Vec::new(),
            wallet: MONEY,
            held: BTreeMap::new(),
            till: 0,
            mails: 0,
        }
    }

    fn money_is_conserved(&self) -> bool {
        self.wallet + self.held.values().sum::<i64>() + self.till == MONEY
    }

    fn tea_is_conserved(&self) -> bool {
        let taken: u32 = self.reserved.values().flatten().map(|(_, quantity)| quantity).sum();
        self.stock["tea"] + taken == TEA
    }

    /// In the transaction of the action: what was taken before the no is put back with it.
    fn reserve(&mut self, effect: &str, lines: Vec<order::Line>) -> Result<Reserved, NoStock> {
        for line in lines {
            let left = self
                .stock
                .get_mut(&line.sku)
                .ok_or_else(|| NoStock::UnknownSku(line.sku.clone()))?;
            *left = left
                .checked_sub(line.quantity)
                .ok_or_else(|| NoStock::OutOfStock(line.sku.clone()))?;
            self.reserved.entry(effect.to_owned()).or_default().push((line.sku, line.quantity));
        }
        Ok(Reserved { reservation: effect.to_owned() })
    }

    fn release(&mut self, reservation: &str) {
        for (sku, quantity) in self.reserved.remove(reservation).unwrap() {
            *self.stock.get_mut(&sku).unwrap() += quantity;
        }
    }
}

fn matrix(skus: &[&str]) -> FaultMatrix<Shop> {
    let item = |sku: &&str| Item { sku: (*sku).to_owned(), quantity: 2, unit_price: 450 };
    let order = OrderPlaced {
        order_id: "o-1".into(),
        customer: "c-1".into(),
        currency: "EUR".into(),
        items: skus.iter().map(item).collect(),
        card: "tok_visa".into(),
        country: "DE".into(),
    };
    FaultMatrix::of::<PlaceOrder>(order)
        .world(Shop::stocked)
        .act::<AuthorizePayment>(|shop: &mut Shop, effect, wanted| {
            shop.wallet -= wanted.amount;
            shop.held.insert(effect.id(), wanted.amount);
            Ok(Authorized { authorization: effect.id() })
        })
        .compensate::<AuthorizePayment>(|shop, effect, _| {
            shop.wallet += shop.held.remove(&effect.action_id()).unwrap();
        })
        .act::<ReserveStock>(|shop, effect, wanted| shop.reserve(&effect.id(), wanted.items))
        .compensate::<ReserveStock>(|shop, _, undo| {
            shop.release(&undo.output.unwrap().reservation);
        })
        .act::<BookParcel>(|shop, effect, _| {
            shop.parcels.push(effect.id());
            Ok(Booked { parcel: effect.id() })
        })
        .compensate::<BookParcel>(|shop, effect, _| {
            shop.parcels.retain(|parcel| *parcel != effect.action_id());
        })
        .act::<CapturePayment>(|shop, effect, capture| {
            shop.till += shop.held.remove(&capture.authorization).unwrap();
            Ok(Captured { capture: effect.id() })
        })
        .act::<NotifyCustomer>(|shop, _, _| {
            shop.mails += 1;
            Ok(Notified {})
        })
        .invariant("money is conserved", Shop::money_is_conserved)
        .invariant("tea is conserved", Shop::tea_is_conserved)
        .ends(Status::Compensated, "all is as before", |shop| *shop == Shop::stocked())
}

#[test]
fn an_order_survives_every_fault() {
    let coverage = matrix(&["tea"])
        .ends(Status::Completed, "it is paid, sent and told", |shop| {
            (shop.till, shop.parcels.len(), shop.mails) == (900, 1, 1)
        })
        .run();
    eprintln!("{coverage}");
    assert!(coverage.completed > 1_000 && coverage.compensated > 1_000, "{coverage}");
}

#[test]
fn what_cannot_be_had_is_undone_whatever_else_goes_wrong() {
    let coverage = matrix(&["tea", "moon-lamp"]).seeds(2_000).run();
    assert_eq!(coverage.completed, 0, "{coverage}");
}
