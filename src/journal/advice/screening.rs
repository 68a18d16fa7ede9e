//! Screening: what a portfolio consists of, what trades would make of it, and what the rules say.

use crate::journal::{Invalid, Journal, JournalError, Moment, PortfolioView};
use crate::sync::instruments::{SymbolError, known_symbol, nearest_said};
use daybook_projections::firm_views::InForce;
use daybook_projections::suitability::{
    Allocation, Drift, Mending, PlannedTrade, Risk, Size, SizedTrade, WeeklyReturns, drift, mend,
    portfolio_risk, weekly_returns,
};
use daybook_projections::{At, PriceSource, Resolution};
use daybook_schemas::decimal::{self, QUOTIENT_SCALE};
use daybook_schemas::events::{
    IdentifierScheme, InstrumentClass, InvestmentProfileSet, ProposedTrade, RuleFinding, Side,
};
use daybook_schemas::{
    Currency, Day, Fraction, InstrumentId, ModelId, Money, PartyId, PortfolioId, Price, Quantity,
};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// The most trades of one recommendation.
const TRADES_MAX: usize = 100;

/// A trade as somebody asks about it: stated in units, in money, or as the weight to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedTrade {
    /// A symbol, or an instrument's id.
    pub(crate) symbol: String,
    /// Which way.
    pub(crate) side: Side,
    /// Units.
    pub(crate) quantity: Option<Decimal>,
    /// Money in the portfolio's base currency.
    pub(crate) amount: Option<Decimal>,
    /// The part of equity to reach.
    pub(crate) weight: Option<Decimal>,
    /// The price not to go beyond.
    pub(crate) limit: Option<Decimal>,
}

/// What the rules say of trades in a portfolio, and what they looked at.
#[derive(Clone, Debug)]
pub(crate) struct Screened {
    /// What each rule says.
    pub(crate) findings: Vec<RuleFinding>,
    /// The trades as they are recorded, with the prices of the day.
    pub(crate) trades: Vec<ProposedTrade>,
    /// What each comes to.
    pub(crate) sized: Vec<SizedTrade>,
    /// The head of the ledger that was seen.
    pub(crate) seen_sequence: u64,
    /// The portfolio as it is.
    pub(crate) before: ScreenedPortfolio,
    /// The portfolio as the trades would leave it.
    pub(crate) after: ScreenedPortfolio,
    /// The party by whose profile it is judged, and that profile.
    pub(crate) profile: Option<(PartyId, InvestmentProfileSet)>,
    /// The event that set the profile.
    pub(crate) profile_sequence: Option<u64>,
    /// The model that the portfolio follows.
    pub(crate) model: Option<ModelId>,
    /// The portfolio's base currency.
    pub(crate) currency: Currency,
    /// The day in the portfolio's zone.
    pub(crate) on: Day,
}

/// A portfolio as rules see it.
#[derive(Clone, Debug)]
pub(crate) struct ScreenedPortfolio {
    /// What it consists of.
    pub(crate) allocation: Allocation,
    /// Its risk.
    pub(crate) risk: Risk,
    /// How far it is from its targets; absent where there are none, or why it is not known.
    pub(crate) drift: Option<Result<Drift, String>>,
}

impl Screened {
    /// The equity that was seen.
    pub(crate) fn seen_equity(&self) -> Option<Money> {
        let equity = self.before.allocation.equity().ok()?;
        Some(Money::new(equity, self.currency))
    }
}

impl Journal {
    /// Holds trades in a portfolio against the rules, at a moment; without trades, the portfolio as it is.
    pub(crate) fn screen(
        &self,
        portfolio: PortfolioId,
        asked: &[AskedTrade],
        cost: Option<Decimal>,
        moment: &Moment,
    ) -> Result<Screened, JournalError> {
        self.portfolio(portfolio, moment, |view| {
            let planned = plan(self, view, asked)?;
            view.screened(&planned, cost)
        })
    }
}

impl Journal {
    /// Holds a portfolio as it is against the rules, and says what would bring it back to its targets when so much flows
    /// in; nothing where it has none, or where the drift is not known.
    pub(crate) fn suitability(
        &self,
        portfolio: PortfolioId,
        contribution: Decimal,
        moment: &Moment,
    ) -> Result<(Screened, Option<Mending>), JournalError> {
        let screened = self.screen(portfolio, &[], None, moment)?;
        let equity = screened.before.allocation.equity();
        let reserve = screened
            .profile
            .as_ref()
            .and_then(|(_, profile)| profile.liquidity_reserve)
            .filter(|reserve| reserve.currency() == screened.currency)
            .map_or(Decimal::ZERO, Money::amount);
        let mending = match (&screened.before.drift, equity) {
            (Some(Ok(drift)), Ok(equity)) => {
                let mending = mend(drift, equity, contribution, reserve);
                Some(mending.map_err(|error| JournalError::field("contribution", error.to_string()))?)
            }
            _ => None,
        };
        Ok((screened, mending))
    }
}

/// One trade made ready: what is asked, and what is known of it.
struct Planned {
    trade: PlannedTrade,
    limit: Option<Decimal>,
}

fn plan(
    journal: &Journal,
    view: &PortfolioView<'_>,
    asked: &[AskedTrade],
) -> Result<Vec<Planned>, JournalError> {
    if asked.len() > TRADES_MAX {
        let detail =
            format!("{} trades are more than the {TRADES_MAX} that a recommendation takes", asked.len());
        return Err(JournalError::field("trades", detail));
    }
    let before = view.allocation();
    let (mut planned, mut faults) = (Vec::with_capacity(asked.len()), Vec::new());
    for (index, one) in asked.iter().enumerate() {
        let fault = |field: &str, detail: String| fault(index, field, detail);
        let size = size_of(one).map_err(|(field, detail)| fault(field, detail));
        let limit = one.limit.filter(|limit| *limit <= Decimal::ZERO);
        if limit.is_some() {
            faults.push(fault("limit", "a limit is a positive price".to_owned()));
        }
        let instrument = match instrument_of(journal, view, &one.symbol) {
            Ok(id) => Some(id),
            Err(Unresolved::Fault(detail)) => {
                faults.push(fault("symbol", detail));
                None
            }
            Err(Unresolved::Journal(error)) => return Err(error),
        };
        match (size, instrument) {
            (Ok(size), Some(instrument)) => {
                let trade = view.planned(&before, instrument, one.side.clone(), size);
                planned.push(Planned { trade, limit: one.limit });
            }
            (Err(found), _) => faults.push(found),
            (Ok(_), None) => {}
        }
    }
    if faults.is_empty() { Ok(planned) } else { Err(JournalError::Invalid(faults)) }
}

fn fault(index: usize, field: &str, detail: String) -> Invalid {
    Invalid { file: None, line: None, field: Some(format!("trades[{index}].{field}")), detail }
}

/// How large a trade is, which is said in one way.
fn size_of(asked: &AskedTrade) -> Result<Size, (&'static str, String)> {
    let positive = |field: &'static str, value: Decimal, make: fn(Decimal) -> Size| {
        if value > Decimal::ZERO {
            Ok(make(value))
        } else {
            Err((field, "write a positive number; the side says which way".to_owned()))
        }
    };
    match (asked.quantity, asked.amount, asked.weight) {
        (Some(units), None, None) => positive("quantity", units, Size::Units),
        (None, Some(amount), None) => positive("amount", amount, Size::Amount),
        (None, None, Some(weight)) if (Decimal::ZERO..=Decimal::ONE).contains(&weight) => {
            Ok(Size::Weight(weight))
        }
        (None, None, Some(_)) => Err(("weight", "a weight is a part of one, from 0 to 1".to_owned())),
        (None, None, None) => Err(("quantity", "say how much: a quantity, an amount or a weight".to_owned())),
        _ => Err(("quantity", "say one of quantity, amount and weight, not several".to_owned())),
    }
}

enum Unresolved {
    Fault(String),
    Journal(JournalError),
}

/// The instrument that a symbol or an id names; the nearest known symbols for one that nothing has.
fn instrument_of(
    journal: &Journal,
    view: &PortfolioView<'_>,
    text: &str,
) -> Result<InstrumentId, Unresolved> {
    let library = view.library;
    let registry = &library.instruments;
    let by_id = text.parse().ok().and_then(|id: InstrumentId| registry.get(id)).map(|found| found.id);
    let found = match by_id {
        Some(id) => Some(id),
        None => match known_symbol(journal, library, text, false) {
            Ok(Some(id)) => Some(id),
            Ok(None) => match registry.resolve(&IdentifierScheme::Symbol, text, None, None, None) {
                Resolution::One(id) => Some(id),
                Resolution::Ambiguous(ids) => {
                    let ids: Vec<String> = ids.iter().take(5).map(ToString::to_string).collect();
                    let detail =
                        format!("several instruments have this symbol: write one of {}", ids.join(", "));
                    return Err(Unresolved::Fault(detail));
                }
                Resolution::Unknown => None,
            },
            Err(SymbolError::Unknown(_)) => None,
            Err(SymbolError::Journal(error)) => return Err(Unresolved::Journal(error)),
        },
    };
    let Some(instrument) = found.and_then(|id| registry.get(id)) else {
        let hint = nearest_said(library, text, |_| true)
            .unwrap_or_else(|| "list it first, by an import, a feed or a list of instruments".to_owned());
        let shown = decimal::shorten(text);
        return Err(Unresolved::Fault(format!("there is no instrument `{shown}`: {hint}")));
    };
    if instrument.class == InstrumentClass::Index {
        return Err(Unresolved::Fault("it is an index, which cannot be held".to_owned()));
    }
    if let Some(delisted) = &instrument.delisted {
        return Err(Unresolved::Fault(format!("it is traded no more, since {}", delisted.on)));
    }
    Ok(instrument.id)
}

impl PortfolioView<'_> {
    /// The day and the knowledge that facts of the firm are asked by.
    pub(crate) fn firm_at(&self) -> At {
        At::of(&self.view, self.portfolio.zone)
    }

    fn rate(&self, from: Currency) -> Option<Decimal> {
        let base = self.portfolio.base_currency;
        let at = self.view.as_of.instant(self.portfolio.zone);
        self.library.prices.rate(from, base, at, self.view.known).map(|rate| rate.rate)
    }

    /// What the portfolio consists of.
    pub(crate) fn allocation(&self) -> Allocation {
        Allocation::of(
            &self.state,
            &self.market,
            &self.library.instruments,
            &|currency| self.rate(currency),
            self.view.as_of,
            self.view.known,
        )
    }

    /// A trade with the price of the day: that at which the portfolio holds the instrument, else the latest seen, in units
    /// of today.
    fn planned(&self, before: &Allocation, instrument: InstrumentId, side: Side, size: Size) -> PlannedTrade {
        let registry = &self.library.instruments;
        let symbol = self.symbol(instrument).map_or_else(|| instrument.to_string(), str::to_owned);
        if let Some(line) = before.lines.get(&instrument).filter(|line| line.price.is_some()) {
            let (price, currency, multiplier) = (line.price, line.currency, line.multiplier);
            return PlannedTrade { instrument, symbol, side, size, price, currency, multiplier };
        }
        let known = registry.get(instrument);
        let at = self.view.as_of.instant(self.portfolio.zone);
        let seen = self.market.latest(instrument, at, self.view.known).ok().flatten();
        let today = self.view.as_of.day(self.portfolio.zone);
        let price = seen.as_ref().and_then(|seen| {
            let day = seen.day.unwrap_or_else(|| seen.occurred_at.day_in(self.portfolio.zone));
            self.market
                .announced_splits(instrument, self.view.known)
                .into_iter()
                .filter(|split| day < split.effective && split.effective <= today)
                .try_fold(seen.price, |price, split| split.ratio.inverse().apply(price, QUOTIENT_SCALE).ok())
        });
        PlannedTrade {
            instrument,
            symbol,
            side,
            size,
            price,
            currency: seen
                .map(|seen| seen.currency)
                .or_else(|| known.map(|known| known.currency))
                .unwrap_or(self.portfolio.base_currency),
            multiplier: known.map_or(Decimal::ONE, daybook_projections::Instrument::multiplier),
        }
    }

    /// The weekly returns of what is held in any of some portfolios, in the base currency.
    fn histories(&self, allocations: &[&Allocation]) -> BTreeMap<InstrumentId, WeeklyReturns> {
        let until = self.view.as_of.day(self.portfolio.zone);
        let base = Some(self.portfolio.base_currency);
        let held: BTreeSet<InstrumentId> =
            allocations.iter().flat_map(|allocation| allocation.lines.keys().copied()).collect();
        held.into_iter()
            .map(|id| (id, weekly_returns(&self.library.prices, id, until, self.view.known, base)))
            .collect()
    }

    fn screened(&self, planned: &[Planned], cost: Option<Decimal>) -> Result<Screened, JournalError> {
        let firm = &self.library.firm;
        let registry = &self.library.instruments;
        let at = self.firm_at();
        let before = self.allocation();
        let trades: Vec<PlannedTrade> = planned.iter().map(|one| one.trade.clone()).collect();
        let (after, sized) = before
            .after(&trades, cost.unwrap_or_default(), &|currency| self.rate(currency))
            .map_err(|faults| {
                let faults = faults.into_iter().map(|found| fault(found.index, found.field, found.detail));
                JournalError::Invalid(faults.collect())
            })?;
        let histories = self.histories(&[&before, &after]);
        let risks = (portfolio_risk(&before, &histories), portfolio_risk(&after, &histories));
        let rules = InForce::of(firm, self.portfolio.id, at);
        let profile_sequence =
            firm.governing_profile(self.portfolio.id, at).map(|(_, said)| said.meta.sequence);
        let classify = |id: InstrumentId| registry.classification(id, at.day, at.known);
        let canonical = |id: InstrumentId| registry.canonical(id);
        let findings =
            rules.screen(self.library, at, [(&before, &risks.0), (&after, &risks.1)], &sized, cost);
        let targets = rules.targets;
        let drifted = |allocation: &Allocation| {
            (!targets.is_empty()).then(|| drift(allocation, targets, &classify, &canonical))
        };
        let (drift_before, drift_after) = (drifted(&before), drifted(&after));
        let base = self.portfolio.base_currency;
        let proposed = planned
            .iter()
            .zip(&sized)
            .map(|(one, sized)| {
                let (quantity, amount, weight) = match one.trade.size {
                    Size::Units(units) => (Some(units), None, None),
                    Size::Amount(amount) => (None, Some(amount), None),
                    // What a weight comes to is kept beside it, because nobody can tell later.
                    Size::Weight(weight) => (None, sized.amount.clone().ok(), Some(weight)),
                };
                ProposedTrade {
                    instrument: one.trade.instrument,
                    side: one.trade.side.clone(),
                    quantity: quantity.map(Quantity::new),
                    amount: amount.map(|amount| Money::new(amount, base)),
                    weight: weight.map(Fraction::new),
                    limit: one.limit.map(Price::new),
                    reference_price: one.trade.price.map(Price::new),
                }
            })
            .collect();
        let (risk_before, risk_after) = risks;
        Ok(Screened {
            findings,
            trades: proposed,
            sized,
            seen_sequence: self.view.known,
            before: ScreenedPortfolio { allocation: before, risk: risk_before, drift: drift_before },
            after: ScreenedPortfolio { allocation: after, risk: risk_after, drift: drift_after },
            profile: rules.party.zip(rules.profile.cloned()),
            profile_sequence,
            model: firm.model_of(self.portfolio.id, at).map(|said| said.fact.model),
            currency: base,
            on: at.day,
        })
    }
}
