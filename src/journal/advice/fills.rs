//! By which fills a recommendation was carried out, and how much of it.

use crate::journal::firm_views::volume;
use crate::journal::{Journal, JournalError, Moment, decode};
use daybook_projections::{AdviceStep, Recommendation};
use daybook_schemas::decimal::{self, ArithmeticError, QUOTIENT_SCALE};
use daybook_schemas::events::{ProposedTrade, TradeExecuted};
use daybook_schemas::{Currency, Event, EventType, RecommendationId, Timestamp};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// How much of a recommended trade its fills carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CarriedOut {
    /// The trade.
    pub(crate) trade: ProposedTrade,
    /// What was recommended: units, or money in the base currency.
    pub(crate) advised: Option<Decimal>,
    /// What the fills come to, in the same.
    pub(crate) done: Result<Decimal, String>,
    /// Whether both are units; else they are money.
    pub(crate) in_units: bool,
    /// The second as a part of the first, cut half-even at twelve places.
    pub(crate) part: Option<Decimal>,
}

impl Journal {
    /// The fills that carried a recommendation out: those that are named, if each is one of its portfolio and of its
    /// trades; without names, those since it was accepted that match its trades, of which each must have one.
    pub(super) fn fills_of(&self, advice: &Recommendation, named: &[u64]) -> Result<Vec<u64>, JournalError> {
        if advice.trades.is_empty() {
            return Err(JournalError::Conflict {
                detail: "it recommends no trade, so that there is nothing to carry out".to_owned(),
                sequence: Some(advice.issued.sequence),
            });
        }
        let accepted = advice
            .steps
            .iter()
            .find(|(_, step)| *step == AdviceStep::Accepted)
            .map_or(advice.issued.occurred_at, |(meta, _)| meta.occurred_at);
        let since = if named.is_empty() { accepted } else { advice.issued.occurred_at };
        let fills = self.trades_since(advice, since)?;
        let elsewhere = {
            let library = self.library()?;
            let carried_out = |fill: u64| library.recommendations.carried_out_by(fill).map(|one| one.id);
            let all = fills.iter().map(|(sequence, _)| *sequence).chain(named.iter().copied());
            let others = all.filter_map(|fill| Some((fill, carried_out(fill)?)));
            others.filter(|(_, other)| *other != advice.id).collect::<BTreeMap<u64, RecommendationId>>()
        };
        if named.is_empty() {
            let fills: Vec<_> =
                fills.into_iter().filter(|(sequence, _)| !elsewhere.contains_key(sequence)).collect();
            let lacking = advice.trades.iter().position(|trade| {
                !fills.iter().any(|(_, fill)| carries_out(advice, fill) && matches(trade, fill))
            });
            if let Some(at) = lacking {
                let detail = format!(
                    "no fill since it was accepted matches trades[{at}] and carried out no other recommendation: name the fills, or wait for them"
                );
                return Err(JournalError::field("fills", detail));
            }
            let all = fills.iter().filter(|(_, fill)| carries_out(advice, fill));
            return Ok(all.map(|(sequence, _)| *sequence).collect());
        }
        for (at, sequence) in named.iter().enumerate() {
            let fits = fills.iter().any(|(known, fill)| known == sequence && carries_out(advice, fill));
            if !fits || named[..at].contains(sequence) {
                let detail = format!(
                    "event {sequence} is no trade of the portfolio since the recommendation in an instrument and on a side that it names, or is named twice"
                );
                return Err(JournalError::field(&format!("fills[{at}]"), detail));
            }
            if let Some(other) = elsewhere.get(sequence) {
                let detail = format!(
                    "event {sequence} carried out recommendation {other}, and a fill carries out one: name another"
                );
                return Err(JournalError::field(&format!("fills[{at}]"), detail));
            }
        }
        Ok(named.to_vec())
    }

    /// How much of each of its trades the fills carried out that are known to have; `base` is the portfolio's currency.
    /// A fill counts for the first trade that it matches.
    pub(crate) fn carried_out(
        &self,
        advice: &Recommendation,
        base: Currency,
        known: u64,
    ) -> Result<Vec<CarriedOut>, JournalError> {
        let mut fills = Vec::new();
        for sequence in advice.fills(known).0 {
            if let Event::TradeExecuted(fill) = decode(&self.event(sequence)?.view())? {
                fills.push(fill);
            }
        }
        let first = |fill: &TradeExecuted| advice.trades.iter().position(|trade| matches(trade, fill));
        Ok(advice
            .trades
            .iter()
            .enumerate()
            .map(|(at, trade)| {
                let own = fills.iter().filter(|fill| first(fill) == Some(at));
                carried_out(trade, own, base)
            })
            .collect())
    }

    /// The trades of its portfolio that count and occurred since an instant.
    fn trades_since(
        &self,
        advice: &Recommendation,
        since: Timestamp,
    ) -> Result<Vec<(u64, TradeExecuted)>, JournalError> {
        let sequences: Vec<u64> = self.portfolio(advice.portfolio, &Moment::default(), |view| {
            // A fill on a day alone occurs at its end; one at an instant says it.
            let first = since.day_in(view.portfolio.zone);
            Ok(view
                .entries()
                .into_iter()
                .filter(|row| row.event_type == EventType::TradeExecuted && row.trade_date >= first)
                .filter(|row| row.meta.occurred_at >= since)
                .map(|row| row.meta.sequence)
                .collect())
        })?;
        let mut fills = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            if let Event::TradeExecuted(fill) = decode(&self.event(sequence)?.view())? {
                fills.push((sequence, fill));
            }
        }
        Ok(fills)
    }
}

/// How much of a trade its fills carried out, in what it is stated in: units, else money.
fn carried_out<'f>(
    trade: &ProposedTrade,
    fills: impl Iterator<Item = &'f TradeExecuted>,
    base: Currency,
) -> CarriedOut {
    let in_units = trade.quantity.is_some();
    let units = trade.quantity.map(daybook_schemas::Quantity::get);
    let advised = units.or_else(|| trade.amount.map(daybook_schemas::Money::amount));
    let done = fills.into_iter().try_fold(Decimal::ZERO, |sum, fill| {
        let one = if in_units { fill.quantity.get().abs() } else { volume(fill, base)? };
        decimal::add(sum, one).map_err(|error: ArithmeticError| error.to_string())
    });
    let part = advised.zip(done.as_ref().ok()).and_then(|(advised, done)| {
        if advised.is_zero() { None } else { decimal::divide(*done, advised, QUOTIENT_SCALE).ok() }
    });
    CarriedOut { trade: trade.clone(), advised, done, in_units, part }
}

fn matches(trade: &ProposedTrade, fill: &TradeExecuted) -> bool {
    trade.instrument == fill.instrument && trade.side == fill.side
}

/// Whether a fill is one of the recommended trades, and not said to be another recommendation's.
fn carries_out(advice: &Recommendation, fill: &TradeExecuted) -> bool {
    fill.recommendation.is_none_or(|id| id == advice.id)
        && advice.trades.iter().any(|trade| matches(trade, fill))
}
