//! Where the ledger and the broker differ: units, cash, and what is filled of each order. Pure; nothing is ever patched.

pub(crate) use crate::sync::breaks::{Difference, On};
use daybook_schemas::{Currency, InstrumentId};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// One side's books of an account.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Side {
    /// Units by instrument, where they are not zero.
    pub(crate) positions: BTreeMap<InstrumentId, Decimal>,
    /// Units by symbol, of what the ledger does not know.
    pub(crate) unknown: BTreeMap<String, Decimal>,
    /// Cash by currency.
    pub(crate) cash: BTreeMap<Currency, Decimal>,
    /// Units filled, by the broker's id of the order.
    pub(crate) orders: BTreeMap<String, Decimal>,
}

/// Fees that the broker takes from cash when a trade settles and posts as activities later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FeeLag {
    /// What the broker itself says that it has accrued.
    pub(crate) accrued: Decimal,
    /// The most that may be outstanding for the sales of the last days.
    pub(crate) most: Decimal,
}

impl FeeLag {
    /// Whether cash that is lower at the broker by so much is explained by fees that are still to be posted.
    fn explains(&self, lower_by: Decimal) -> bool {
        lower_by > Decimal::ZERO && (lower_by == self.accrued || lower_by <= self.most)
    }
}

/// What the two sides differ on. An order is compared where the broker speaks of it.
pub(crate) fn differences(ours: &Side, theirs: &Side, lag: &FeeLag) -> Vec<Difference> {
    let mut found = Vec::new();
    let zero = Decimal::ZERO;
    let instruments: BTreeSet<&InstrumentId> = ours.positions.keys().chain(theirs.positions.keys()).collect();
    for instrument in instruments {
        let of = |side: &Side| side.positions.get(instrument).copied().unwrap_or(zero);
        found.push(Difference { on: On::Position(*instrument), ours: of(ours), theirs: of(theirs) });
    }
    for (symbol, quantity) in &theirs.unknown {
        found.push(Difference { on: On::Symbol(symbol.clone()), ours: zero, theirs: *quantity });
    }
    for (currency, theirs) in &theirs.cash {
        let ours = ours.cash.get(currency).copied().unwrap_or(zero);
        let lower_by = daybook_schemas::decimal::subtract(ours, *theirs);
        if lower_by.is_ok_and(|lower_by| lag.explains(lower_by)) {
            continue;
        }
        found.push(Difference { on: On::Cash(*currency), ours, theirs: *theirs });
    }
    for (order, theirs) in &theirs.orders {
        let ours = ours.orders.get(order).copied().unwrap_or(zero);
        found.push(Difference { on: On::Order(order.clone()), ours, theirs: *theirs });
    }
    found.retain(|difference| difference.ours != difference.theirs);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn what_agrees_is_no_difference_and_what_one_side_lacks_is() {
        let (a, b) = (InstrumentId::from_bytes([1; 16]), InstrumentId::from_bytes([2; 16]));
        let mut ours = Side::default();
        ours.positions.insert(a, d("10"));
        ours.positions.insert(b, d("1"));
        ours.cash.insert(Currency::USD, d("100"));
        ours.orders.insert("one".to_owned(), d("10"));
        let mut theirs = ours.clone();
        assert_eq!(differences(&ours, &theirs, &FeeLag::default()), []);
        theirs.positions.remove(&b);
        theirs.unknown.insert("ODD".to_owned(), d("3"));
        theirs.orders.insert("two".to_owned(), d("4"));
        theirs.cash.insert(Currency::USD, d("90"));
        let on: Vec<On> = differences(&ours, &theirs, &FeeLag::default())
            .into_iter()
            .map(|difference| difference.on)
            .collect();
        assert_eq!(
            on,
            [
                On::Position(b),
                On::Symbol("ODD".to_owned()),
                On::Cash(Currency::USD),
                On::Order("two".to_owned())
            ]
        );
    }

    #[test]
    fn cash_may_be_lower_at_the_broker_by_fees_it_has_not_posted_yet_but_never_higher() {
        let mut ours = Side::default();
        ours.cash.insert(Currency::USD, d("100"));
        let mut theirs = ours.clone();
        let lag = FeeLag { accrued: d("1.25"), most: d("0.05") };
        for (cash, differs) in [("99.96", false), ("98.75", false), ("99.90", true), ("100.01", true)] {
            theirs.cash.insert(Currency::USD, d(cash));
            assert_eq!(!differences(&ours, &theirs, &lag).is_empty(), differs, "{cash}");
        }
    }
}
