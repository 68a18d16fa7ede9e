//! Looking at portfolios one by one, on several threads where there are many, and looking up what was said and paid.

use super::desk::{Copied, Kept, Stood};
use super::{Volumes, Wanted};
use crate::journal::{Journal, JournalError, Moment, PortfolioView, decode, scope};
use daybook_projections::firm_views::{Looked, Offered, RateUsed, Standing, Traded};
use daybook_projections::suitability::{HORIZON_DAYS, Outcome, OutcomeState, outcome_of, weekly_returns};
use daybook_projections::{AsOf, Library, Recommendation};
use daybook_schemas::decimal::{self, QUOTIENT_SCALE};
use daybook_schemas::events::{EventType, Side, TradeExecuted};
use daybook_schemas::{
    Currency, Day, Event, InstrumentId, KeyRing, PortfolioId, RecommendationId, Timestamp, Zone,
};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

/// Fewer portfolios than these are looked at on one thread.
const ALONE_MAX: usize = 16;
/// So many outcomes are judged before whoever writes gets a turn.
const OUTCOMES_AT_ONCE: usize = 200;

/// What looking at portfolios gave.
pub(super) struct LookedAt {
    pub(super) standings: BTreeMap<PortfolioId, Result<Arc<Standing>, String>>,
    pub(super) traded: Traded,
}

/// One portfolio, and where it stands.
type One = (PortfolioId, Result<Arc<Stood>, JournalError>);

impl Journal {
    /// Looks at portfolios as they are at a moment.
    pub(super) fn look_at(
        &self,
        portfolios: &Wanted,
        as_of: Option<AsOf>,
        known: u64,
        from: Day,
    ) -> Result<LookedAt, JournalError> {
        let all: Vec<PortfolioId> = portfolios.iter().copied().collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if all.len() <= ALONE_MAX { 1 } else { threads.min(8) };
        let reach = scope::current();
        let some = |part: Vec<PortfolioId>| -> Vec<One> {
            part.into_iter().map(|id| (id, self.stood(id, as_of, known, from))).collect()
        };
        let parts: Vec<Vec<PortfolioId>> =
            (0..threads).map(|first| all.iter().skip(first).step_by(threads).copied().collect()).collect();
        let found: Vec<One> = if threads == 1 {
            some(all)
        } else {
            std::thread::scope(|running| {
                let started: Vec<_> = parts
                    .into_iter()
                    .map(|part| {
                        let (reach, some) = (reach.clone(), &some);
                        running.spawn(move || scope::within(reach, || some(part)))
                    })
                    .collect();
                started
                    .into_iter()
                    .flat_map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            })
        };
        let mut looked_at = LookedAt { standings: BTreeMap::new(), traded: Traded::new() };
        for (id, stood) in found {
            let stood = stood?;
            looked_at.standings.insert(id, Ok(Arc::clone(&stood.standing)));
            looked_at.traded.insert(id, stood.traded.clone());
        }
        Ok(looked_at)
    }

    /// Where a portfolio stands, as it is kept, else told anew.
    fn stood(
        &self,
        id: PortfolioId,
        as_of: Option<AsOf>,
        known: u64,
        from: Day,
    ) -> Result<Arc<Stood>, JournalError> {
        let moment = Moment { as_of, known_at: None, at_sequence: Some(known) };
        self.portfolio(id, &moment, |view| {
            let key = (id, heads(view, from));
            Kept::or_make(&self.desk.standings, key, || {
                Ok(Arc::new(Stood {
                    standing: Arc::new(self.told(view, from)),
                    traded: self.traded(view, from)?,
                }))
            })
        })
    }

    fn told(&self, view: &PortfolioView<'_>, from: Day) -> Standing {
        let returns = |instrument: InstrumentId, day: Day, currency: Currency| {
            let prices = &view.library.prices;
            let last = prices.head_of(instrument).max(view.library.imports.changed_at());
            // What changed since is not known to this view, and what it knows is kept for it alone.
            let head = if last <= view.view.known { last } else { u64::MAX - view.view.known };
            let foreign =
                view.library.instruments.get(instrument).is_none_or(|known| known.currency != currency);
            let head = if foreign { prices.last_sequence().max(head) } else { head };
            let week = (day.number() - 1).div_euclid(7);
            let key = (instrument, week, currency, head);
            let made: Result<_, std::convert::Infallible> = Kept::or_make(&self.desk.histories, key, || {
                Ok(Arc::new(weekly_returns(prices, instrument, day, view.view.known, Some(currency))))
            });
            match made {
                Ok(returns) => returns,
                Err(never) => match never {},
            }
        };
        Looked {
            portfolio: view.portfolio.id,
            book: view.book,
            source: &view.market,
            library: view.library,
            view: view.view,
            from,
            returns: &returns,
        }
        .standing()
    }

    /// What was bought and what was sold in the period, in the base currency.
    fn traded(&self, view: &PortfolioView<'_>, from: Day) -> Result<Result<Volumes, String>, JournalError> {
        let mut sequences: Vec<u64> = view
            .entries()
            .into_iter()
            .filter(|row| row.event_type == EventType::TradeExecuted && from <= row.trade_date)
            .map(|row| row.meta.sequence)
            .collect();
        sequences.sort_unstable();
        let (mut volumes, mut reason, mut fault) = ((Decimal::ZERO, Decimal::ZERO), None, None);
        self.ledger.pick(&sequences, &mut |record| match decode(record) {
            Ok(Event::TradeExecuted(fill)) => {
                let of = if fill.side == Side::Buy { &mut volumes.0 } else { &mut volumes.1 };
                match volume(&fill, view.portfolio.base_currency)
                    .and_then(|one| decimal::add(*of, one).map_err(|error| error.to_string()))
                {
                    Ok(sum) => *of = sum,
                    Err(why) => reason = Some(why),
                }
                ControlFlow::Continue(())
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        })?;
        match fault {
            Some(error) => Err(error),
            None => Ok(reason.map_or(Ok(volumes), Err)),
        }
    }

    /// What became of the recommendations for some portfolios.
    pub(super) fn outcomes(
        &self,
        copied: &Copied,
        portfolios: &Wanted,
        instant: Timestamp,
        known: u64,
    ) -> Result<BTreeMap<RecommendationId, Outcome>, JournalError> {
        let judged: Vec<&Recommendation> = copied
            .recommendations
            .list()
            .filter(|advice| portfolios.contains(&advice.portfolio))
            .filter(|advice| advice.issued.sequence <= known && advice.issued.occurred_at <= instant)
            .collect();
        let mut outcomes = BTreeMap::new();
        for some in judged.chunks(OUTCOMES_AT_ONCE) {
            let library = self.library()?;
            for advice in some {
                outcomes.insert(advice.id, self.outcome(&library, advice, instant, known));
            }
        }
        Ok(outcomes)
    }

    fn outcome(&self, library: &Library, advice: &Recommendation, instant: Timestamp, known: u64) -> Outcome {
        let judge = || outcome_of(library, advice, HORIZON_DAYS, instant, known);
        let heads = [
            library.prices.last_sequence(),
            library.firm.last_sequence_of(advice.portfolio),
            library.instruments.changed_at(),
        ];
        let head = heads.into_iter().max().unwrap_or(0);
        if head > known {
            return judge();
        }
        let key = (advice.id, head);
        let found = self.desk.outcomes.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        // What is kept may have been judged from a later moment than this one.
        if let Some(found) = found.filter(|found| instant >= found.judged_on.end_in(zone_of(library, advice)))
        {
            return found;
        }
        let outcome = judge();
        if outcome.state != OutcomeState::Pending {
            self.desk.outcomes.lock().unwrap_or_else(PoisonError::into_inner).put(key, outcome.clone());
        }
        outcome
    }

    /// Rates into a currency.
    pub(super) fn rates(
        &self,
        currencies: &BTreeSet<Currency>,
        to: Currency,
        instant: Timestamp,
        known: u64,
    ) -> Result<BTreeMap<Currency, RateUsed>, JournalError> {
        let library = self.library()?;
        let rate = |from: &Currency| {
            let found = library.prices.rate(*from, to, instant, known)?;
            Some((*from, RateUsed { from: *from, to, rate: found.rate, at: found.occurred_at }))
        };
        Ok(currencies.iter().filter_map(rate).collect())
    }

    /// What the events of recommendations say beside what is folded, opened.
    pub(super) fn offered(
        &self,
        advice: &[&Recommendation],
        keys: &KeyRing,
    ) -> Result<BTreeMap<RecommendationId, Offered>, JournalError> {
        let mut sequences: Vec<u64> = advice.iter().map(|advice| advice.issued.sequence).collect();
        sequences.sort_unstable();
        let (mut offered, mut fault) = (BTreeMap::new(), None);
        self.ledger.pick(&sequences, &mut |record| match decode(record) {
            Ok(Event::RecommendationIssued(issued)) => {
                let said = Offered {
                    rationale: issued.rationale.open(keys).ok(),
                    screening: issued.screening,
                    expected_cost: issued.expected_cost,
                    refused: None,
                };
                offered.insert(issued.recommendation, said);
                ControlFlow::Continue(())
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        })?;
        fault.map_or(Ok(offered), Err)
    }
}

/// A hash over the question and all heads that a standing rests on. What is not known to the view yet does not count;
/// where there is any, the view's own knowledge is part of the question.
fn heads(view: &PortfolioView<'_>, from: Day) -> [u8; 32] {
    let library = view.library;
    let id = view.portfolio.id;
    let mut all = vec![
        library.directory.last_sequence(id),
        library.imports.changed_at(),
        library.instruments.changed_at(),
        library.firm.last_sequence_of(id),
    ];
    let held: BTreeSet<InstrumentId> =
        view.state.holdings.keys().map(|(_, instrument, _)| *instrument).collect();
    let base = view.portfolio.base_currency;
    for instrument in held {
        all.push(library.prices.head_of(instrument));
        all.push(library.prices.head_of(library.instruments.canonical(instrument)));
    }
    let foreign = |currency: &Currency| *currency != base;
    let abroad = view.state.holdings.keys().any(|(_, _, currency)| foreign(currency))
        || view.state.cash.keys().any(|(_, currency)| foreign(currency));
    if abroad {
        all.push(library.prices.last_sequence());
    }
    let known = view.view.known;
    let pinned = all.iter().any(|head| *head > known);
    let mut hasher = blake3::Hasher::new();
    for head in all {
        hasher.update(&head.to_le_bytes());
    }
    hasher.update(&if pinned { known } else { u64::MAX }.to_le_bytes());
    hasher.update(format!("{:?} {from}", view.view.as_of).as_bytes());
    *hasher.finalize().as_bytes()
}

/// What a fill moved at its price, in the portfolio's base currency.
pub(in crate::journal) fn volume(fill: &TradeExecuted, base: Currency) -> Result<Decimal, String> {
    if fill.currency != base {
        return Err(format!(
            "some was traded in {}, and rates of exchange are not applied to it",
            fill.currency
        ));
    }
    let stated = fill.price.map(|price| {
        decimal::multiply_divide(fill.quantity.get(), price.get(), Decimal::ONE, QUOTIENT_SCALE)
            .and_then(|value| {
                decimal::multiply_divide(value, fill.multiplier.get(), Decimal::ONE, QUOTIENT_SCALE)
            })
            .map_err(|error| error.to_string())
    });
    let net = fill.net_amount.map(|net| Ok(net.amount().abs()));
    stated.or(net).unwrap_or_else(|| Err("a trade states neither a price nor an amount".to_owned()))
}

fn zone_of(library: &Library, advice: &Recommendation) -> Zone {
    library.directory.get(advice.portfolio).map_or(Zone::UTC, |entry| entry.zone)
}
