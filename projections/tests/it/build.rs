//! Short ways to write events and to ask for what they lead to.

use daybook_projections::{AsOf, Book, Imports, Library, Meta, State, Summary, View, summary};
use daybook_schemas::events::*;
use daybook_schemas::{
    AccountId, BrokerOrderId, Currency, Day, Event, FxRate, Group, ImportId, InstrumentId, KeyId, KeyRing,
    Money, Multiplier, PortfolioId, Price, Quantity, Ratio, Sealed, Timestamp, When, Zone, stream,
};
use rust_decimal::Decimal;

pub(crate) fn d(text: &str) -> Decimal {
    daybook_schemas::decimal::parse(text).unwrap()
}

pub(crate) fn usd(text: &str) -> Money {
    Money::new(d(text), Currency::USD)
}

pub(crate) fn money(text: &str, currency: &str) -> Money {
    Money::new(d(text), Currency::from_code(currency).unwrap())
}

pub(crate) fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(crate) fn portfolio() -> PortfolioId {
    PortfolioId::from_bytes([1; 16])
}

pub(crate) fn account(number: u8) -> AccountId {
    AccountId::from_bytes([number; 16])
}

pub(crate) fn instrument(number: u8) -> InstrumentId {
    InstrumentId::from_bytes([100 + number; 16])
}

pub(crate) fn import(number: u8) -> ImportId {
    ImportId::from_bytes([200 - number; 16])
}

fn sealed(text: &str) -> Sealed<String> {
    let key = KeyId::Portfolio(portfolio());
    let mut ring = KeyRing::default();
    ring.insert(key, [7; 64]);
    Sealed::seal(&ring, key, &text.to_owned()).unwrap()
}

pub(crate) fn opened(calendar: Calendar, lot_method: LotMethod) -> Event {
    PortfolioOpened {
        portfolio: portfolio(),
        name: sealed("Test"),
        base_currency: Currency::USD,
        zone: Zone::NEW_YORK,
        lot_method,
        calendar,
    }
    .into()
}

/// The same in another zone than New York.
pub(crate) fn opened_in(zone: &str) -> Event {
    let mut event = opened(Calendar::Weekdays, LotMethod::Fifo);
    if let Event::PortfolioOpened(opened) = &mut event {
        opened.zone = Zone::parse(zone).unwrap();
    }
    event
}

/// An entry at an RFC 3339 instant, or on a date at its close; a leading `^` puts it at the open.
pub(crate) fn entry(number: u8, when: &str) -> Entry {
    if let Some(date) = when.strip_prefix('^') {
        return Entry::new(
            account(number),
            When::On { day: day(date), phase: daybook_schemas::Phase::Open, rank: 0 },
            day(date),
        );
    }
    match Timestamp::parse(when) {
        Ok(instant) => Entry::new(account(number), When::At(instant), instant.day_in(Zone::NEW_YORK)),
        Err(_) => Entry::new(
            account(number),
            When::On { day: day(when), phase: daybook_schemas::Phase::Close, rank: 0 },
            day(when),
        ),
    }
}

pub(crate) fn trade(when: &str, side: Side, quantity: &str, price: &str, fee: &str) -> TradeExecuted {
    let charges = if d(fee).is_zero() {
        Vec::new()
    } else {
        vec![Charge { kind: ChargeKind::Commission, amount: usd(fee) }]
    };
    TradeExecuted {
        entry: entry(1, when),
        instrument: instrument(1),
        side,
        effect: Effect::Unstated,
        quantity: Quantity::new(d(quantity)),
        price: Some(Price::new(d(price))),
        currency: Currency::USD,
        multiplier: Multiplier::ONE,
        net_amount: None,
        charges,
        accrued_interest: None,
        order: None,
        execution: None,
        cumulative_quantity: None,
        lots: Vec::new(),
        strategy: None,
        plan: None,
        recommendation: None,
        venue: None,
        fx_rate: None::<FxRate>,
    }
}

pub(crate) fn buy(when: &str, quantity: &str, price: &str) -> TradeExecuted {
    trade(when, Side::Buy, quantity, price, "0")
}

pub(crate) fn sell(when: &str, quantity: &str, price: &str) -> TradeExecuted {
    trade(when, Side::Sell, quantity, price, "0")
}

pub(crate) fn order(mut fill: TradeExecuted, id: &str, cumulative: &str) -> TradeExecuted {
    fill.order = Some(BrokerOrderId::new(id));
    fill.cumulative_quantity = Some(Quantity::new(d(cumulative)));
    fill
}

pub(crate) fn cash(when: &str, amount: Money) -> CashTransferred {
    CashTransferred {
        entry: entry(1, when),
        scope: Scope::External,
        kind: CashTransferKind::Unstated,
        amount,
        counter_account: None,
        counterparty: None,
        fx_rate: None,
    }
}

pub(crate) fn dividend(when: &str, amount: Money) -> DividendPosted {
    DividendPosted {
        entry: entry(1, when),
        instrument: Some(instrument(1)),
        kind: DividendKind::Unstated,
        amount,
        quantity: None,
        per_unit: None,
        ex_date: None,
        charges: Vec::new(),
        reinvested: false,
        fx_rate: None,
    }
}

pub(crate) fn interest(when: &str, kind: InterestKind, amount: Money) -> InterestPosted {
    InterestPosted {
        entry: entry(1, when),
        kind,
        instrument: None,
        amount,
        period_from: None,
        period_to: None,
        charges: Vec::new(),
        fx_rate: None,
    }
}

pub(crate) fn fee(when: &str, amount: Money) -> FeePosted {
    FeePosted {
        entry: entry(1, when),
        kind: FeeKind::Unstated,
        amount: Some(amount),
        in_kind: None,
        instrument: None,
        fx_rate: None,
    }
}

pub(crate) fn tax(when: &str, amount: Money) -> TaxPosted {
    TaxPosted {
        entry: entry(1, when),
        kind: TaxKind::Unstated,
        amount: Some(amount),
        in_kind: None,
        instrument: None,
        country: None,
        fx_rate: None,
    }
}

pub(crate) fn adjustment(when: &str, amount: Money) -> CashAdjusted {
    CashAdjusted { entry: entry(1, when), kind: AdjustmentKind::Unstated, amount }
}

pub(crate) fn conversion(when: &str, sold: Money, bought: Money) -> CurrencyConverted {
    CurrencyConverted { entry: entry(1, when), sold, bought, charges: Vec::new(), fx_rate: None }
}

pub(crate) fn split(when: &str, ratio: &str) -> SplitApplied {
    SplitApplied {
        entry: entry(1, when),
        instrument: instrument(1),
        ratio: Some(Ratio::parse(ratio).unwrap()),
        added: None,
        price: None,
    }
}

pub(crate) fn transfer(
    when: &str,
    quantity: &str,
    value: Option<&str>,
    basis: Option<&str>,
) -> SecuritiesTransferred {
    SecuritiesTransferred {
        entry: entry(1, when),
        scope: Scope::External,
        kind: SecuritiesTransferKind::Unstated,
        instrument: instrument(1),
        quantity: Quantity::new(d(quantity)),
        price: None,
        multiplier: Multiplier::ONE,
        value: value.map(usd),
        basis: basis.map(usd),
        acquired: None,
        lots: Vec::new(),
        counter_account: None,
        counterparty: None,
        charges: Vec::new(),
        fx_rate: None,
    }
}

pub(crate) fn reward_in_kind(when: &str, quantity: &str, price: Option<&str>) -> RewardPosted {
    RewardPosted {
        entry: entry(1, when),
        kind: RewardKind::Staking,
        amount: None,
        in_kind: Some(in_kind(quantity, price)),
        charges: Vec::new(),
        fx_rate: None,
    }
}

pub(crate) fn in_kind(quantity: &str, price: Option<&str>) -> InKind {
    InKind {
        instrument: instrument(1),
        quantity: Quantity::new(d(quantity)),
        price: price.map(|price| Price::new(d(price))),
        value: None,
    }
}

pub(crate) fn expiry(when: &str, quantity: Option<&str>) -> OptionSettled {
    OptionSettled {
        entry: entry(1, when),
        settlement: OptionSettlement::Expired,
        instrument: instrument(1),
        quantity: quantity.map(|quantity| Quantity::new(d(quantity))),
        amount: None,
        charges: Vec::new(),
    }
}

pub(crate) fn reversed(target: u64) -> Event {
    EventReversed { target, reason: "a mistake".into(), replaced_by: None }.into()
}

pub(crate) fn group(name: &str) -> Option<Group> {
    Some(Group::new(name))
}

pub(crate) fn close(number: u8, date: &str, price: &str, revision: u32) -> BarClosed {
    BarClosed {
        instrument: instrument(number),
        opens: None,
        closes: day(date).at_in(16, 0, Zone::NEW_YORK),
        day: Some(day(date)),
        open: None,
        high: None,
        low: None,
        close: Price::new(d(price)),
        volume: None,
        average: None,
        trades: None,
        currency: Currency::USD,
        revision,
        unadjusted_by: None,
    }
}

pub(crate) fn tick(number: u8, price: &str) -> PriceTick {
    PriceTick {
        instrument: instrument(number),
        price: Price::new(d(price)),
        currency: Currency::USD,
        size: None,
        kind: TickKind::Trade,
    }
}

pub(crate) fn imported(number: u8) -> FileImported {
    FileImported {
        import: import(number),
        format: "csv".into(),
        importer_version: 1,
        file_name: None,
        file_hash: ContentHash::of(b"file"),
        file_bytes: 4,
        portfolio: Some(portfolio()),
        rows: 1,
        events: 1,
        known: 0,
        quarantined: 0,
        warnings: Vec::new(),
        revision: 0,
    }
}

/// When an event occurs, as whoever records it would say.
pub(crate) fn occurs(event: &Event) -> Timestamp {
    match event {
        Event::BarClosed(bar) => bar.closes,
        other => other.entry().map_or(Timestamp::default(), |entry| entry.when.occurs(Zone::NEW_YORK)),
    }
}

pub(crate) fn meta(sequence: u64, event: &Event) -> Meta {
    Meta {
        sequence,
        occurred_at: occurs(event),
        recorded_at: Timestamp::from_nanos(1_800_000_000_000_000_000 + i64::try_from(sequence).unwrap()),
        import: None,
        source_rank: 0,
    }
}

/// A ledger in memory: a library, and one book kept up event by event.
pub(crate) struct World {
    pub(crate) log: Vec<(Meta, Event)>,
    pub(crate) library: Library,
    pub(crate) book: Book,
    /// The zone that says when an entry of a day occurs.
    zone: Zone,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(opened(Calendar::Weekdays, LotMethod::Fifo))
    }

    pub(crate) fn with(opening: Event) -> Self {
        let zone = match &opening {
            Event::PortfolioOpened(opening) => opening.zone,
            _ => Zone::NEW_YORK,
        };
        let mut world = Self { log: Vec::new(), library: Library::new(), book: Book::new(portfolio()), zone };
        world.record(opening);
        world
    }

    pub(crate) fn of<E: Into<Event>>(events: impl IntoIterator<Item = E>) -> Self {
        let mut world = Self::new();
        for event in events {
            world.record(event);
        }
        world
    }

    pub(crate) fn record(&mut self, event: impl Into<Event>) -> u64 {
        self.record_from(event, None, "prices")
    }

    pub(crate) fn record_imported(&mut self, event: impl Into<Event>, number: u8) -> u64 {
        self.record_from(event, Some(import(number)), "prices")
    }

    pub(crate) fn record_from(
        &mut self,
        event: impl Into<Event>,
        import: Option<ImportId>,
        feed: &str,
    ) -> u64 {
        let event = event.into();
        let sequence = self.log.len() as u64 + 1;
        let mut meta = Meta { import, ..meta(sequence, &event) };
        if let Some(entry) = event.entry() {
            meta.occurred_at = entry.when.occurs(self.zone);
        }
        let stream = match &event {
            Event::BarClosed(bar) => stream::market(feed, bar.instrument),
            Event::PriceTick(tick) => stream::market(feed, tick.instrument),
            Event::FxRateObserved(rate) => stream::pair(feed, rate.base, rate.quote),
            Event::CorporateActionAnnounced(action) => stream::market(feed, action.instrument),
            Event::InstrumentListed(listed) => stream::instrument(listed.instrument),
            Event::FileImported(file) => stream::import(file.import),
            Event::ImportReverted(reverted) => stream::import(reverted.import),
            _ => stream::portfolio(portfolio()),
        };
        self.take(&meta, &stream, &event);
        self.log.push((meta, event));
        sequence
    }

    pub(crate) fn tick(&mut self, when: &str, price: &str) -> u64 {
        let event: Event = tick(1, price).into();
        let sequence = self.log.len() as u64 + 1;
        let meta = Meta { occurred_at: at(when), ..meta(sequence, &event) };
        self.take(&meta, &stream::market("prices", instrument(1)), &event);
        self.log.push((meta, event));
        sequence
    }

    fn take(&mut self, meta: &Meta, stream: &str, event: &Event) {
        self.library.apply(meta, stream, event);
        match event {
            Event::FileImported(file) => self.book.import_changed(file.import, &self.library.imports),
            Event::ImportReverted(reverted) => {
                self.book.import_changed(reverted.import, &self.library.imports);
            }
            _ if stream.starts_with("portfolio-") => self.book.apply(meta, event, &self.library.imports),
            _ => {}
        }
    }

    pub(crate) fn state(&self) -> &State {
        self.book.state()
    }

    pub(crate) fn imports(&self) -> &Imports {
        &self.library.imports
    }

    pub(crate) fn summary(&self, as_of: &str) -> Summary {
        self.summary_known(as_of, u64::MAX)
    }

    pub(crate) fn summary_known(&self, as_of: &str, known: u64) -> Summary {
        let as_of = Timestamp::parse(as_of).map_or_else(|_| AsOf::Day(day(as_of)), AsOf::Instant);
        let state = self.book.state_at(&View { as_of, known }, self.imports());
        summary(&state, &self.library.prices, &self.library.instruments, as_of, known)
    }

    /// The events of the portfolio and of its imports, as a check takes them.
    pub(crate) fn own_records(&self) -> Vec<(Meta, Event)> {
        let is_price = |event: &Event| {
            matches!(event, Event::BarClosed(_) | Event::PriceTick(_) | Event::CorporateActionAnnounced(_))
        };
        self.log.iter().filter(|(_, event)| !is_price(event)).cloned().collect()
    }
}

/// What a state says without the sequences at which it was recorded.
pub(crate) fn economics(state: &State) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for (key, amount) in &state.cash {
        writeln!(text, "cash {key:?} {}", amount.0).unwrap();
    }
    for (key, holding) in &state.holdings {
        writeln!(
            text,
            "holding {key:?} {} {} {:?} {:?}",
            holding.quantity,
            holding.realised,
            holding.last_price.map(|last| (last.price, last.at)),
            holding.splits.iter().map(|split| (split.at, split.ratio)).collect::<Vec<_>>()
        )
        .unwrap();
        for lot in &holding.lots {
            writeln!(
                text,
                "  lot {} {} {} {} {:?}",
                lot.acquired_at, lot.acquired_on, lot.quantity, lot.basis, lot.basis_state
            )
            .unwrap();
        }
    }
    writeln!(text, "{:?}", state.totals).unwrap();
    for (key, unknown) in &state.unknowns {
        writeln!(text, "unknown {key:?} {}", unknown.reason).unwrap();
    }
    for (key, lost) in &state.lost {
        writeln!(text, "lost {key:?} {} {} {}", lost.quantity, lost.realised, lost.unknown.reason).unwrap();
    }
    for trip in state.trips() {
        writeln!(
            text,
            "trip {:?} {:?} {} {:?} {:?} {}",
            trip.instrument,
            trip.direction,
            trip.opened_at,
            trip.closed_at,
            trip.sums,
            trip.fills.len()
        )
        .unwrap();
    }
    for event in &state.unaccounted {
        writeln!(text, "unaccounted {} {} {} {:?}", event.event_type(), event.day, event.reason, event.cash)
            .unwrap();
    }
    for units in &state.unknown_basis {
        writeln!(text, "basis unknown {:?} {}", units.instrument, units.quantity).unwrap();
    }
    for units in &state.incomplete_history {
        writeln!(text, "incomplete {:?} {} {:?}", units.instrument, units.quantity, units.value).unwrap();
    }
    text
}
