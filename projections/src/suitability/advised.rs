//! What became of the recommendations that the ledger holds.

use super::outcome::{Advised, Outcome, Record, TradedOn, outcome, record};
use crate::library::{At, Instrument, Library, Recommendation};
use daybook_schemas::decimal::{self, QUOTIENT_SCALE};
use daybook_schemas::events::ProposedTrade;
use daybook_schemas::{Timestamp, Zone};
use rust_decimal::Decimal;

/// What a recommended trade came to on the day: as stated in money, else its units at the price of the day, else its part
/// of the equity that was seen.
fn traded_on(library: &Library, advice: &Recommendation, trade: &ProposedTrade) -> TradedOn {
    let instrument = library.instruments.get(trade.instrument);
    let currency = instrument.map(|instrument| instrument.currency);
    let price = trade.reference_price.map(daybook_schemas::Price::get);
    let of_units = || {
        let units = decimal::multiply(trade.quantity?.get(), price?).ok()?;
        let multiplier = instrument.map_or(Decimal::ONE, Instrument::multiplier);
        decimal::multiply_divide(units, multiplier, Decimal::ONE, QUOTIENT_SCALE).ok()
    };
    let of_weight = || decimal::multiply(trade.weight?.get(), advice.seen_equity?.amount()).ok();
    TradedOn {
        instrument: trade.instrument,
        side: trade.side.clone(),
        price: price.zip(currency),
        amount: trade.amount.map(daybook_schemas::Money::amount).or_else(of_units).or_else(of_weight),
    }
}

/// What became of a recommendation by an instant, so many days after its issue, of what is recorded up to `known`. It is
/// held against what the portfolio was measured by on the day of issue.
#[must_use]
pub fn outcome_of(
    library: &Library,
    advice: &Recommendation,
    days: i32,
    at: Timestamp,
    known: u64,
) -> Outcome {
    let zone = library.directory.get(advice.portfolio).map_or(Zone::UTC, |entry| entry.zone);
    let issued = advice.issued.occurred_at;
    let benchmark = library
        .firm
        .benchmark(advice.portfolio, At { day: issued.day_in(zone), known })
        .and_then(|said| said.fact.instrument);
    let trades = advice.trades.iter().map(|trade| traded_on(library, advice, trade)).collect();
    outcome(&library.prices, &Advised { trades, benchmark, at: issued, zone }, days, at, known)
}

/// What became, by an instant, of those of some recommendations that reached their client and recommend a trade, each
/// judged [`HORIZON_DAYS`](super::HORIZON_DAYS) after its issue; `outcome` says how, and nothing of one that it does not
/// know.
#[must_use]
pub fn record_of<'a>(
    advice: impl Iterator<Item = &'a Recommendation>,
    at: Timestamp,
    known: u64,
    outcome: impl Fn(&Recommendation) -> Option<Outcome>,
) -> Record {
    let outcomes: Vec<_> = advice
        .filter(|advice| advice.issued.sequence <= known && advice.issued.occurred_at <= at)
        .filter(|advice| advice.reached_client(at, known) && !advice.trades.is_empty())
        .filter_map(|advice| Some((outcome(advice)?, advice.was_accepted(at, known))))
        .collect();
    record(&outcomes)
}
