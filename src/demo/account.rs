//! One portfolio as it is lived: its cash and its holdings, and every entry that moves them.
//!
//! Cash is counted in whole cents and units in ten-thousandths ("parts"), so that what is made up adds up exactly.

use super::advice::Idea;
use super::cast::{Broker, CLIENTS, Plan, Style};
use super::draw::Draw;
use super::known::Known;
use super::log::{DemoRecord, Log};
use super::market::{DayBar, Market, SECURITIES};
use super::{Names, usd};
use daybook_schemas::events::{
    CashTransferKind, CashTransferred, Charge, ChargeKind, CurrencyConverted, DividendKind, DividendPosted,
    Effect, Entry, Event, EventReversed, FeeKind, FeePosted, InterestKind, InterestPosted, Reference, Scope,
    SecuritiesTransferKind, SecuritiesTransferred, Side, SplitApplied, TaxKind, TaxPosted, TradeExecuted,
    TransferredLot,
};
use daybook_schemas::{
    AccountId, BrokerOrderId, Currency, Day, ExecutionId, ExternalId, FxRate, Group, Money, Multiplier,
    Phase, PlanId, PortfolioId, Price, Quantity, Ratio, RecommendationId, Sealed, Strategy, Timestamp, When,
    Zone, stream,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Parts of one unit.
pub(super) const UNIT: i64 = 10_000;

/// A portfolio on its way through the two years.
pub(super) struct Account<'a> {
    pub(super) plan: &'a Plan,
    pub(super) market: &'a Market,
    pub(super) names: &'a Names,
    /// What the ledger knows beside the entries of portfolios.
    pub(super) known: &'a Known,
    pub(super) log: &'a mut Log,
    pub(super) draw: Draw,
    pub(super) portfolio: PortfolioId,
    pub(super) account: AccountId,
    pub(super) stream: String,
    /// Cents of cash.
    pub(super) cash: i64,
    /// Cents of euros.
    pub(super) euro_cents: i64,
    /// Parts held, by place of the security; negative when short.
    pub(super) holdings: BTreeMap<usize, i64>,
    /// Dividends that are owed: the day of payment, the place in the market's list, the parts they are paid on.
    owed: Vec<(usize, usize, i64)>,
    /// Entries so far, from which their names are made.
    count: u64,
    /// The day and the next rank of entries without a time.
    ranks: (Day, u32),
    /// Whether the portfolio has had its example of a correction.
    pub(super) corrected: bool,
    /// The last day on whose evening the ledger does not know the portfolio as it is.
    pub(super) unsettled_until: Option<usize>,
    /// What the advisor thinks of today.
    pub(super) idea: Option<Idea>,
    /// What the advisor will think of tomorrow instead of what was recommended.
    pub(super) idea_after: Option<Idea>,
    /// What the client accepted and nobody has carried out yet.
    pub(super) accepted: Vec<(RecommendationId, Idea)>,
}

/// What is told of a fill beside what it moves.
#[derive(Default, Clone)]
pub(super) struct Terms {
    pub(super) strategy: Option<Strategy>,
    pub(super) plan: Option<PlanId>,
    pub(super) recommendation: Option<RecommendationId>,
    /// When it is recorded, where that is later than it happened.
    pub(super) recorded_at: Option<Timestamp>,
    pub(super) note: Option<&'static str>,
}

/// Rounds up, so that a charge is never too small.
const fn ceiling(value: i64, divisor: i64) -> i64 {
    (value + divisor - 1) / divisor
}

/// The value of parts at a price, in cents, a half cent rounded up.
pub(super) fn worth(parts: i64, price_cents: i64) -> i64 {
    let tenths = parts.abs() * price_cents;
    (tenths + UNIT / 2) / UNIT * parts.signum()
}

pub(super) fn quantity(parts: i64) -> Quantity {
    Quantity::new(super::fraction_of_parts(parts))
}

pub(super) fn price(cents: i64) -> Price {
    Price::new(Decimal::new(cents, 2))
}

impl<'a> Account<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        market: &'a Market,
        names: &'a Names,
        known: &'a Known,
        log: &'a mut Log,
    ) -> Self {
        let portfolio = names.portfolio(plan);
        Self {
            plan,
            market,
            names,
            known,
            log,
            draw: Draw::new(names.seed, plan.name),
            portfolio,
            account: names.account(plan),
            stream: stream::portfolio(portfolio),
            cash: 0,
            euro_cents: 0,
            holdings: BTreeMap::new(),
            owed: Vec::new(),
            count: 0,
            ranks: (Day::default(), 0),
            corrected: false,
            unsettled_until: None,
            idea: None,
            idea_after: None,
            accepted: Vec::new(),
        }
    }

    /// The first day of the portfolio, by its place in the market's days.
    pub(super) fn first_day(&self) -> usize {
        self.market.days.len() * self.plan.opened_percent / 100
    }

    pub(super) fn day(&self, day: usize) -> Day {
        self.market.days[day]
    }

    pub(super) fn bar(&self, security: usize, day: usize) -> DayBar {
        self.market.bar(security, day)
    }

    pub(super) fn held(&self, security: usize) -> i64 {
        self.holdings.get(&security).copied().unwrap_or(0)
    }

    /// What everything is worth at the day's closing prices, in cents.
    pub(super) fn equity(&self, day: usize) -> i64 {
        let holdings =
            self.holdings.iter().map(|(security, parts)| worth(*parts, self.bar(*security, day).close));
        self.cash + holdings.sum::<i64>()
    }

    /// An instant of a day: minutes after the opening of the exchange at 9:30, and some seconds.
    pub(super) fn at(&mut self, day: usize, minutes: i64) -> Timestamp {
        let opening = self.day(day).at_in(9, 30, Zone::NEW_YORK);
        let nanos = self.draw.below(59_000_000) * 1_000;
        opening.plus_nanos(minutes * 60_000_000_000 + nanos)
    }

    /// A price between the day's low and high.
    pub(super) fn price_within(&mut self, security: usize, day: usize) -> i64 {
        let bar = self.bar(security, day);
        self.draw.between(bar.low, bar.high)
    }

    /// The next name of an entry.
    fn next_name(&mut self) -> String {
        self.count += 1;
        format!("{}-{:05}", self.names.number(self.plan), self.count)
    }

    fn timed(&self, day: usize, at: Timestamp) -> Entry {
        Entry::new(self.account, When::At(at), self.day(day))
    }

    /// An entry of a day without a time.
    fn dated(&mut self, day: usize, phase: Phase) -> Entry {
        let day = self.day(day);
        if self.ranks.0 != day {
            self.ranks = (day, 0);
        }
        let rank = self.ranks.1;
        self.ranks.1 += 1;
        Entry::new(self.account, When::On { day, phase, rank }, day)
    }

    pub(super) fn sealed(&self, text: &str) -> Sealed<String> {
        self.names.seal(self.plan.client, text)
    }

    /// Notes an entry and gives it its name and key.
    fn post(&mut self, recorded_at: Option<Timestamp>, event: impl FnOnce(ExternalId) -> Event) -> String {
        let name = self.next_name();
        let event = event(ExternalId::new(name.as_str()));
        let occurred_at =
            event.entry().map_or(Timestamp::default(), |entry| entry.when.occurs(Zone::NEW_YORK));
        let key = format!("demo:{name}");
        let record = DemoRecord { stream: self.stream.clone(), event, occurred_at, key: Some(key.clone()) };
        self.log.keep(recorded_at.unwrap_or(occurred_at), record);
        key
    }

    /// Moves cash across the portfolio's edge.
    pub(super) fn transfer(&mut self, entry: Entry, cents: i64, kind: CashTransferKind) -> String {
        self.cash += cents;
        self.post_transfer(entry, cents, kind)
    }

    fn post_transfer(&mut self, entry: Entry, cents: i64, kind: CashTransferKind) -> String {
        let counterparty = Some(self.sealed(CLIENTS[self.plan.client].name));
        self.post(None, |name| {
            Event::CashTransferred(CashTransferred {
                entry: Entry { external_id: Some(name), ..entry },
                scope: Scope::External,
                kind,
                amount: usd(cents),
                counter_account: None,
                counterparty,
                fx_rate: None,
            })
        })
    }

    pub(super) fn deposit(&mut self, day: usize, cents: i64) {
        let at = self.day(day).at_in(9, 5, Zone::NEW_YORK);
        let entry = self.timed(day, at);
        self.transfer(entry, cents, CashTransferKind::Bank);
    }

    pub(super) fn withdraw(&mut self, day: usize, cents: i64) {
        let entry = self.dated(day, Phase::Close);
        self.transfer(entry, -cents, CashTransferKind::Bank);
    }

    /// A deposit that was entered twice, and the second one taken back the next morning.
    pub(super) fn deposit_twice(&mut self, day: usize, cents: i64) {
        self.deposit(day, cents);
        let at = self.day(day).at_in(9, 6, Zone::NEW_YORK);
        let entry = self.timed(day, at);
        let twice = self.post_transfer(entry, cents, CashTransferKind::Bank);
        let at = self.day(day + 1).at_in(8, 40, Zone::NEW_YORK);
        self.reverse(&twice, at, "entered twice", None);
    }

    fn reverse(&mut self, target: &str, at: Timestamp, reason: &str, replaced_by: Option<Reference>) {
        let key = format!("{target}:reversal");
        self.log.reverses(&key, target);
        let event = EventReversed { target: 0, reason: reason.into(), replaced_by };
        let record =
            DemoRecord { stream: self.stream.clone(), event: event.into(), occurred_at: at, key: Some(key) };
        self.log.keep(at, record);
    }

    /// What a fill costs beside its price, in cents: commission and the regulators' fees on sales.
    fn charges(&self, side: &Side, parts: i64, gross: i64) -> (i64, i64) {
        let regulatory = match side {
            Side::Sell => ceiling(gross * 278, 10_000_000) + ceiling(parts * 166, 100_000_000),
            _ => 0,
        };
        (self.plan.broker.commission_cents(parts), regulatory)
    }

    /// The cash that a fill moves, in cents.
    fn net(&self, side: &Side, parts: i64, price_cents: i64) -> i64 {
        let gross = worth(parts, price_cents);
        let (commission, regulatory) = self.charges(side, parts, gross);
        (if matches!(side, Side::Buy) { -gross } else { gross }) - commission - regulatory
    }

    /// The most whole units that so many cents buy, charges included; in parts.
    pub(super) fn affordable(&self, cents: i64, price_cents: i64) -> i64 {
        let commission = self.plan.broker.commission_cents((cents / price_cents.max(1)).max(0) * UNIT);
        (cents - commission - 1).max(0) / price_cents.max(1) * UNIT
    }

    fn executed(
        &self,
        entry: Entry,
        security: usize,
        side: &Side,
        parts: i64,
        price_cents: i64,
    ) -> TradeExecuted {
        let gross = worth(parts, price_cents);
        let (commission, regulatory) = self.charges(side, parts, gross);
        let charge = |kind, cents| (cents > 0).then(|| Charge { kind, amount: usd(cents) });
        let charges =
            [charge(ChargeKind::Commission, commission), charge(ChargeKind::Regulatory, regulatory)];
        let held = self.held(security);
        let closes = if matches!(side, Side::Buy) { held < 0 } else { held > 0 };
        TradeExecuted {
            entry,
            instrument: self.names.instrument(security),
            side: side.clone(),
            effect: if closes { Effect::Close } else { Effect::Open },
            quantity: quantity(parts),
            price: Some(price(price_cents)),
            currency: Currency::USD,
            multiplier: Multiplier::ONE,
            net_amount: Some(usd(self.net(side, parts, price_cents))),
            charges: charges.into_iter().flatten().collect(),
            accrued_interest: None,
            order: None,
            execution: None,
            cumulative_quantity: None,
            lots: Vec::new(),
            strategy: None,
            plan: None,
            recommendation: None,
            venue: Some(SECURITIES[security].venue.into()),
            fx_rate: None,
        }
    }

    fn book(&mut self, security: usize, side: &Side, parts: i64, price_cents: i64) {
        self.cash += self.net(side, parts, price_cents);
        let held = self.holdings.entry(security).or_default();
        *held += if matches!(side, Side::Buy) { parts } else { -parts };
        if *held == 0 {
            self.holdings.remove(&security);
        }
    }

    /// Fills an order, now and then in two parts; the key of its last fill.
    pub(super) fn trade(
        &mut self,
        (day, at): (usize, Timestamp),
        security: usize,
        side: &Side,
        parts: i64,
        price_cents: i64,
        terms: &Terms,
    ) -> String {
        let whole = parts / UNIT;
        let first = if whole >= 40 && self.draw.chance(120) {
            self.draw.between(10, whole - 10) * UNIT
        } else {
            parts
        };
        let order = BrokerOrderId::new(format!("o-{}-{}", self.names.number(self.plan), self.count + 1));
        let mut key = String::new();
        let mut filled = 0;
        for (part, after) in [(first, 0), (parts - first, 1_234_567_000)] {
            if part == 0 {
                continue;
            }
            filled += part;
            let entry = Entry {
                settles_on: Some(settlement(self.day(day))),
                note: terms.note.map(|note| self.sealed(note)),
                ..self.timed(day, at.plus_nanos(after))
            };
            let mut executed = self.executed(entry, security, side, part, price_cents);
            executed.order = Some(order.clone());
            executed.cumulative_quantity = Some(quantity(filled));
            executed.strategy.clone_from(&terms.strategy);
            executed.plan = terms.plan;
            executed.recommendation = terms.recommendation;
            self.book(security, side, part, price_cents);
            key = self.post(terms.recorded_at, |name| {
                executed.execution = Some(ExecutionId::new(name.as_str()));
                executed.entry.external_id = Some(name);
                Event::TradeExecuted(executed)
            });
        }
        key
    }

    /// A buy of ten times the shares that was typed wrong, taken back the same evening and entered as it was.
    pub(super) fn buy_mistyped(&mut self, day: usize, security: usize, parts: i64, price_cents: i64) {
        let at = self.at(day, 75);
        let typed = Entry { note: Some(self.sealed("typed from the confirmation")), ..self.timed(day, at) };
        let wrong = self.executed(typed, security, &Side::Buy, parts * 10, price_cents);
        let wrong = self.post(None, |name| {
            let entry = Entry { external_id: Some(name), ..wrong.entry };
            Event::TradeExecuted(TradeExecuted { entry, ..wrong })
        });
        let evening = self.day(day).at_in(18, 20, Zone::NEW_YORK);
        let terms =
            Terms { recorded_at: Some(evening), note: Some("the right quantity"), ..Terms::default() };
        let right = self.trade((day, at), security, &Side::Buy, parts, price_cents, &terms);
        let reason = "ten times the shares: a digit too many";
        self.reverse(&wrong, evening.plus_nanos(1), reason, Some(Reference::Key(right.into())));
    }

    /// Applies the split and takes note of who is owed a dividend: what is due before the first trade of a day.
    pub(super) fn open_day(&mut self, day: usize) {
        let split = super::market::place(super::market::SPLIT_SYMBOL);
        let held = self.held(split);
        if day == self.market.split_day && held != 0 {
            let entry = self.dated(day, Phase::Open);
            let ratio =
                Ratio::new(super::market::SPLIT_RATIO.into(), Decimal::ONE).expect("both parts are positive");
            let instrument = self.names.instrument(split);
            self.post(None, |name| {
                Event::SplitApplied(SplitApplied {
                    entry: Entry { external_id: Some(name), ..entry },
                    instrument,
                    ratio: Some(ratio),
                    added: None,
                    price: None,
                })
            });
            self.holdings.insert(split, held * super::market::SPLIT_RATIO);
        }
        for (place, dividend) in self.market.dividends.iter().enumerate() {
            let held = self.held(dividend.security);
            if dividend.ex == day && held != 0 {
                self.owed.push((dividend.pays, place, held));
            }
        }
    }

    /// What comes after the last trade of a day: dividends, and at the end of a month interest and fees.
    pub(super) fn close_day(&mut self, day: usize) {
        let market = self.market;
        let due: Vec<(usize, usize, i64)> = self.owed.extract_if(.., |(pays, _, _)| *pays == day).collect();
        for (_, place, parts) in due {
            self.dividend(day, &market.dividends[place], parts);
        }
        if market.ends_month(day) {
            self.interest(day);
        }
        let advised = !matches!(self.plan.mandate, daybook_schemas::events::Mandate::ExecutionOnly);
        if advised && market.ends_quarter(day) {
            let fee = self.advisory_fee(day);
            if fee > 0 && fee <= self.cash {
                self.fee(day, FeeKind::Advisory, fee);
            }
        }
    }

    /// An eighth of a percent of everything for a quarter, in cents.
    pub(super) fn advisory_fee(&self, day: usize) -> i64 {
        self.equity(day) / 800
    }

    pub(super) fn fee(&mut self, day: usize, kind: FeeKind, cents: i64) {
        self.cash -= cents;
        let entry = self.dated(day, Phase::Close);
        self.post(None, |name| {
            Event::FeePosted(FeePosted {
                entry: Entry { external_id: Some(name), ..entry },
                kind,
                amount: Some(usd(-cents)),
                in_kind: None,
                instrument: None,
                fx_rate: None,
            })
        });
    }

    fn dividend(&mut self, day: usize, dividend: &super::market::Dividend, parts: i64) {
        let security = &SECURITIES[dividend.security];
        let instrument = self.names.instrument(dividend.security);
        let gross = worth(parts, dividend.cents);
        if gross == 0 {
            return;
        }
        let reinvests = matches!(self.plan.style, Style::Income { reinvest: true, .. }) && parts > 0;
        let withheld = if parts > 0 && security.withheld_by.is_some() { gross * 15 / 100 } else { 0 };
        let group = Group::new(format!("dividend-{}-{}", security.symbol, self.day(dividend.ex)));
        let ex_date = self.day(dividend.ex);
        let entry = Entry { group: Some(group.clone()), ..self.dated(day, Phase::Close) };
        self.cash += gross;
        self.post(None, |name| {
            Event::DividendPosted(DividendPosted {
                entry: Entry { external_id: Some(name), ..entry },
                instrument: Some(instrument),
                kind: if parts < 0 { DividendKind::InLieu } else { DividendKind::Qualified },
                amount: usd(gross),
                quantity: Some(quantity(parts)),
                per_unit: Some(price(dividend.cents)),
                ex_date: Some(ex_date),
                charges: Vec::new(),
                reinvested: reinvests,
                fx_rate: None,
            })
        });
        if withheld > 0 {
            let entry = Entry { group: Some(group.clone()), ..self.dated(day, Phase::Close) };
            self.cash -= withheld;
            self.post(None, |name| {
                Event::TaxPosted(TaxPosted {
                    entry: Entry { external_id: Some(name), ..entry },
                    kind: TaxKind::Foreign,
                    amount: Some(usd(-withheld)),
                    in_kind: None,
                    instrument: Some(instrument),
                    country: security.withheld_by.map(Into::into),
                    fx_rate: None,
                })
            });
        }
        if reinvests {
            self.reinvest(day, dividend.security, gross - withheld, group);
        }
    }

    /// Puts a dividend into new units, fractions included, without a commission.
    fn reinvest(&mut self, day: usize, security: usize, cents: i64, group: Group) {
        let close = self.bar(security, day).close;
        let parts = cents * UNIT / close;
        if parts <= 0 {
            return;
        }
        let entry = Entry { group: Some(group), ..self.dated(day, Phase::Close) };
        let mut executed = self.executed(entry, security, &Side::Buy, parts, close);
        executed.charges.clear();
        executed.net_amount = Some(usd(-cents));
        self.cash -= cents;
        *self.holdings.entry(security).or_default() += parts;
        self.post(None, |name| {
            executed.entry.external_id = Some(name);
            Event::TradeExecuted(executed)
        });
    }

    /// A month's interest: on cash, on a loan, and on what was borrowed to sell it short.
    fn interest(&mut self, day: usize) {
        let last = self.day(day);
        let first = last.plus_days(1 - i32::try_from(chrono::Datelike::day(&last.to_date())).unwrap_or(1));
        let short: i64 = self
            .holdings
            .iter()
            .filter(|(_, parts)| **parts < 0)
            .map(|(security, parts)| worth(*parts, self.bar(*security, day).close))
            .sum();
        // Yearly rates in hundredths of a percent, for a twelfth of a year. What a short sale brought in earns nothing.
        let free = if short < 0 { (self.cash + short).max(0) } else { self.cash };
        let due = [
            (InterestKind::Credit, free.max(0) * 150 / 120_000),
            (InterestKind::Margin, self.cash.min(0) * 725 / 120_000),
            (InterestKind::Borrow, short * 320 / 120_000),
        ];
        for (kind, cents) in due {
            if cents.abs() < 5 {
                continue;
            }
            self.cash += cents;
            let entry = self.dated(day, Phase::Close);
            self.post(None, |name| {
                Event::InterestPosted(InterestPosted {
                    entry: Entry { external_id: Some(name), ..entry },
                    kind,
                    instrument: None,
                    amount: usd(cents),
                    period_from: Some(first),
                    period_to: Some(last),
                    charges: Vec::new(),
                    fx_rate: None,
                })
            });
        }
    }

    /// Shares that came from another broker, with what they cost there.
    pub(super) fn bring(&mut self, day: usize, security: usize, shares: i64, basis_dollars: i64, years: i32) {
        let parts = shares * UNIT;
        let close = self.bar(security, day).close;
        let entry = self.dated(day, Phase::Close);
        let acquired = entry.trade_date.plus_days(-365 * years - 40);
        let instrument = self.names.instrument(security);
        *self.holdings.entry(security).or_default() += parts;
        self.post(None, |name| {
            Event::SecuritiesTransferred(SecuritiesTransferred {
                entry: Entry { external_id: Some(name), ..entry },
                scope: Scope::External,
                kind: SecuritiesTransferKind::Broker,
                instrument,
                quantity: quantity(parts),
                price: Some(price(close)),
                multiplier: Multiplier::ONE,
                value: Some(usd(worth(parts, close))),
                basis: None,
                acquired: None,
                lots: vec![
                    TransferredLot {
                        quantity: quantity(parts / 2),
                        basis: Some(usd(basis_dollars * 40)),
                        acquired: Some(acquired),
                    },
                    TransferredLot {
                        quantity: quantity(parts - parts / 2),
                        basis: Some(usd(basis_dollars * 60)),
                        acquired: Some(acquired.plus_days(500)),
                    },
                ],
                counter_account: None,
                counterparty: None,
                charges: Vec::new(),
                fx_rate: None,
            })
        });
    }

    /// Changes dollars for euros at the day's rate and a fifth of a percent.
    pub(super) fn change_euros(&mut self, day: usize, euro_cents: i64) {
        let rate = self.market.euro[day];
        let dollars = (euro_cents * rate + 5_000) / 10_000;
        let charge = ceiling(dollars, 500);
        if self.cash < dollars + charge {
            return;
        }
        self.cash -= dollars + charge;
        self.euro_cents += euro_cents;
        let at = self.at(day, 190);
        let entry = self.timed(day, at);
        self.post(None, |name| {
            Event::CurrencyConverted(CurrencyConverted {
                entry: Entry { external_id: Some(name), ..entry },
                sold: usd(-dollars),
                bought: Money::new(Decimal::new(euro_cents, 2), super::euro()),
                charges: vec![Charge { kind: ChargeKind::Conversion, amount: usd(charge) }],
                fx_rate: Some(FxRate::new(Decimal::new(rate, 4))),
            })
        });
    }

    pub(super) const fn broker(&self) -> &Broker {
        &self.plan.broker
    }
}

/// The next weekday.
fn settlement(day: Day) -> Day {
    let mut next = day.plus_days(1);
    while next.is_weekend() {
        next = next.plus_days(1);
    }
    next
}
