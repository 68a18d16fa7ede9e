//! What a portfolio's entries leave behind: cash, lots, totals, round trips, and what could not be accounted for.

use crate::exact;
use crate::library::Observation;
use daybook_schemas::events::{Calendar, EventType, LotMethod};
use daybook_schemas::{
    AccountId, Currency, Day, InstrumentId, Money, Phase, Quantity, Ratio, Strategy, Timestamp, Zone, codec,
    decimal,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// What was chosen for the portfolio and bears on its figures.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The currency its figures are stated in.
    pub base_currency: Currency,
    /// The zone that bounds its days.
    pub zone: Zone,
    /// The days of its series.
    pub calendar: Calendar,
    /// How disposals relieve lots, from which day on, for which account; by day, then as recorded.
    pub methods: Vec<MethodChoice>,
    /// The sequence at which the portfolio was opened; absent before.
    pub opened: Option<u64>,
    /// Supplied bases whose transfer is not found.
    pub supplies_unmatched: Vec<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_currency: Currency::USD,
            zone: Zone::NEW_YORK,
            calendar: Calendar::Weekdays,
            methods: Vec::new(),
            opened: None,
            supplies_unmatched: Vec::new(),
        }
    }
}

/// A lot method and where it holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MethodChoice {
    /// The first day; absent for always.
    pub from: Option<Day>,
    /// The account; absent for all.
    pub account: Option<AccountId>,
    /// The method.
    pub method: LotMethod,
}

impl Settings {
    /// The method that holds for an account on a day: the one chosen last, by the day it holds from.
    #[must_use]
    pub fn method(&self, account: AccountId, day: Day) -> &LotMethod {
        self.methods
            .iter()
            .rev()
            .find(|choice| {
                choice.from.is_none_or(|from| from <= day) && choice.account.is_none_or(|id| id == account)
            })
            .map_or(&LotMethod::Fifo, |choice| &choice.method)
    }
}

/// A sum of money in a currency that its place names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Amount(#[serde(with = "exact")] pub Decimal);

/// What happened in one currency since the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Gains of price on what was disposed of, charges inside.
    #[serde(with = "exact")]
    pub realised: Decimal,
    /// Dividends, credit interest, rewards, gross.
    #[serde(with = "exact")]
    pub income: Decimal,
    /// Standalone fees, margin and borrow interest, taxes.
    #[serde(with = "exact")]
    pub costs: Decimal,
    /// What conversions brought (positive) and took (negative).
    #[serde(with = "exact")]
    pub converted: Decimal,
    /// The gain that came with transferred securities, less what left with them.
    #[serde(with = "exact")]
    pub transferred_gain: Decimal,
    /// What came in across the portfolio's edge.
    #[serde(with = "exact")]
    pub contributed: Decimal,
    /// What went out across it.
    #[serde(with = "exact")]
    pub withdrawn: Decimal,
    /// Memo: charges on trades.
    #[serde(with = "exact")]
    pub trade_fees: Decimal,
    /// Memo: taxes.
    #[serde(with = "exact")]
    pub taxes: Decimal,
    /// The cash of what could not be accounted for.
    #[serde(with = "exact")]
    pub unaccounted_cash: Decimal,
    /// Cash that left one account of ours and has not reached the other.
    #[serde(with = "exact")]
    pub in_transit: Decimal,
    /// How many flows across the edge had no known value.
    pub flows_unknown: u64,
    /// How many may have crossed it with an event whose figures cannot be computed.
    pub flows_lost: u64,
}

/// A figure that an event can make unknowable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Figure {
    /// `realised`.
    Realised,
    /// `unrealised`.
    Unrealised,
    /// `income`.
    Income,
    /// `costs`.
    Costs,
    /// `net_contributions`.
    NetContributions,
    /// `transferred_gain`.
    TransferredGain,
    /// `cash`, and with it `equity`.
    Cash,
    /// `market_value`, and with it `equity`.
    MarketValue,
    /// `fx`.
    Fx,
    /// `trade_fees`.
    TradeFees,
    /// `taxes`.
    Taxes,
    /// `unaccounted_cash`.
    UnaccountedCash,
}

impl Figure {
    /// The name in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Realised => "realised",
            Self::Unrealised => "unrealised",
            Self::Income => "income",
            Self::Costs => "costs",
            Self::NetContributions => "net_contributions",
            Self::TransferredGain => "transferred_gain",
            Self::Cash => "cash",
            Self::MarketValue => "market_value",
            Self::Fx => "fx",
            Self::TradeFees => "trade_fees",
            Self::Taxes => "taxes",
            Self::UnaccountedCash => "unaccounted_cash",
        }
    }
}

/// Why a figure cannot be known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unknown {
    /// The first event, in fold order, that made it so.
    pub sequence: u64,
    /// What is to be said of that event; without its number, so that the reason is the same wherever the event stands.
    pub reason: Box<str>,
}

impl Unknown {
    /// The reason in a sentence that names the event.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("event {} {}", self.sequence, self.reason)
    }
}

/// A position whose quantity is not known any more, since an entry in it could not be computed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lost {
    /// Since when, and why.
    pub unknown: Unknown,
    /// The currency of its basis and price.
    pub currency: Currency,
    /// Units of the underlying in one unit.
    #[serde(with = "exact")]
    pub multiplier: Decimal,
    /// Units that were held before, signed.
    #[serde(with = "exact")]
    pub quantity: Decimal,
    /// Gains realised before.
    #[serde(with = "exact")]
    pub realised: Decimal,
}

/// What is known of a lot's basis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum BasisState {
    /// It is known.
    Known,
    /// It stands at the value that the units had when they came, until it is supplied.
    Provisional,
    /// Neither basis nor value is known.
    Missing,
}

/// Units acquired together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lot {
    /// The event that opened it.
    pub opened: u64,
    /// Which of that event's lots it is, from 0.
    pub part: u32,
    /// When it was acquired: the order of relief.
    pub acquired_at: Timestamp,
    /// The day on which its holding period starts.
    pub acquired_on: Day,
    /// Units, signed: negative for a short lot.
    #[serde(with = "exact")]
    pub quantity: Decimal,
    /// Total basis of a long lot, total proceeds of a short one, in the holding's currency.
    #[serde(with = "exact")]
    pub basis: Decimal,
    /// What is known of the basis.
    pub basis_state: BasisState,
}

/// The price of the portfolio's own last fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastPrice {
    /// The price of one unit, rescaled by the splits applied since.
    #[serde(with = "exact")]
    pub price: Decimal,
    /// When the fill happened.
    pub at: Timestamp,
    /// The fill.
    pub sequence: u64,
}

/// A split that was applied to a holding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AppliedSplit {
    /// When.
    pub at: Timestamp,
    /// The day on which it counts.
    pub day: Day,
    /// Where in that day it stands; absent where it states an instant.
    pub phase: Option<Phase>,
    /// New units for old ones.
    pub ratio: Ratio,
    /// The event.
    pub sequence: u64,
}

impl AppliedSplit {
    /// Whether a price is one of units before the split. A close of a trading day is told by its day from a split that
    /// states no more than a day, since the day's close and the day's start may lie in different zones; everything
    /// else is told by the instant.
    #[must_use]
    pub fn is_after(&self, seen: &Observation) -> bool {
        match (self.phase, seen.day) {
            (Some(Phase::Open), Some(day)) => day < self.day,
            (Some(Phase::Close), Some(day)) => day <= self.day,
            (None, _) | (_, None) => seen.occurred_at < self.at,
        }
    }
}

/// What an account holds, or once held, of an instrument.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holding {
    /// The currency of basis and price.
    pub currency: Currency,
    /// Units of the underlying in one unit.
    #[serde(with = "exact")]
    pub multiplier: Decimal,
    /// Units, signed.
    #[serde(with = "exact")]
    pub quantity: Decimal,
    /// Open lots, all of the position's sign, by acquisition.
    pub lots: VecDeque<Lot>,
    /// Gains realised since the beginning.
    #[serde(with = "exact")]
    pub realised: Decimal,
    /// The round trip that is open.
    pub trip: Option<Box<Trip>>,
    /// The price of the last fill.
    pub last_price: Option<LastPrice>,
    /// Splits that were applied, in fold order.
    pub splits: Vec<AppliedSplit>,
    /// When units were held first.
    pub held_from: Day,
    /// What was held before splits whose ratio has no finite decimal, until something else moves the holding.
    pub(crate) unrounded: Option<Box<Unrounded>>,
}

/// A holding before its units were cut: 100 units split 1:3 are 33.333333333333, and split 3:1 they must be 100 again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Unrounded {
    /// All splits since, as one ratio.
    pub(crate) ratio: Ratio,
    /// Units before.
    #[serde(with = "exact")]
    pub(crate) quantity: Decimal,
    /// Lots before.
    pub(crate) lots: VecDeque<Lot>,
    /// Lots after: as long as they stand, nothing else has moved the holding.
    pub(crate) lots_after: VecDeque<Lot>,
    /// The open round trip's sums before.
    pub(crate) sums: Option<TripSums>,
    /// The last price before.
    pub(crate) last_price: Option<LastPrice>,
}

impl Holding {
    /// The sum of the lots' basis: what was paid for a long position, what was received for a short one.
    ///
    /// # Errors
    /// [`daybook_schemas::ArithmeticError::TooManyDigits`].
    pub fn basis(&self) -> Result<Decimal, daybook_schemas::ArithmeticError> {
        self.lots.iter().try_fold(Decimal::ZERO, |sum, lot| decimal::add(sum, lot.basis))
    }

    /// Whether units are held.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.quantity.is_zero()
    }
}

/// Which way a round trip goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Bought first.
    Long,
    /// Sold first.
    Short,
}

/// The sums of a round trip. Values are quantity × price × multiplier, without charges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TripSums {
    /// The most units that were held.
    #[serde(with = "exact")]
    pub quantity_max: Decimal,
    /// Units that came in, in units of today.
    #[serde(with = "exact")]
    pub entry_quantity: Decimal,
    /// What they cost, or brought for a short trip.
    #[serde(with = "exact")]
    pub entry_value: Decimal,
    /// Units that went out again.
    #[serde(with = "exact")]
    pub exit_quantity: Decimal,
    /// What they brought, or cost for a short trip.
    #[serde(with = "exact")]
    pub exit_value: Decimal,
    /// Charges on all of it.
    #[serde(with = "exact")]
    pub fees: Decimal,
    /// What was realised, charges inside.
    #[serde(with = "exact")]
    pub net: Decimal,
}

/// A round trip: from flat to flat in one instrument of one account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trip {
    /// The sequence of the event that opened it.
    pub id: u64,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// The currency of its figures.
    pub currency: Currency,
    /// Units of the underlying in one unit.
    #[serde(with = "exact")]
    pub multiplier: Decimal,
    /// Which way it goes.
    pub direction: Direction,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The day of that.
    pub opened_on: Day,
    /// When it was closed; absent while it is open.
    pub closed_at: Option<Timestamp>,
    /// The day of that.
    pub closed_on: Option<Day>,
    /// Quantities and values.
    pub sums: TripSums,
    /// The events that it is made of, in fold order.
    pub fills: Vec<u64>,
    /// The way of trading that its first fill states.
    pub strategy: Option<Strategy>,
    /// Whether units came or went by transfer, so that entry and exit do not tell the whole story.
    pub transferred: bool,
    /// Whether history is missing: more was closed than had been opened.
    pub incomplete: bool,
}

impl Trip {
    /// What one unit was entered at, charges not included; 12 places.
    #[must_use]
    pub fn entry_average(&self) -> Option<Decimal> {
        self.average(self.sums.entry_value, self.sums.entry_quantity)
    }

    /// What one unit was left at, charges not included; 12 places. Absent before the first exit.
    #[must_use]
    pub fn exit_average(&self) -> Option<Decimal> {
        self.average(self.sums.exit_value, self.sums.exit_quantity)
    }

    fn average(&self, value: Decimal, quantity: Decimal) -> Option<Decimal> {
        let units = decimal::multiply(quantity, self.multiplier).ok()?;
        decimal::divide(value, units, decimal::QUOTIENT_SCALE).ok()
    }

    /// The gain before charges. Absent while the trip is open, and where units came or went by transfer.
    #[must_use]
    pub fn gross(&self) -> Option<Decimal> {
        if self.closed_at.is_none() || self.transferred {
            return None;
        }
        let (entry, exit) = (self.sums.entry_value, self.sums.exit_value);
        match self.direction {
            Direction::Long => decimal::subtract(exit, entry).ok(),
            Direction::Short => decimal::subtract(entry, exit).ok(),
        }
    }

    /// How long it lasted, in nanoseconds. Absent while it is open.
    #[must_use]
    pub fn held_nanos(&self) -> Option<i64> {
        self.closed_at.map(|closed| closed.nanos().saturating_sub(self.opened_at.nanos()))
    }
}

/// An event that could not be accounted for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unaccounted {
    /// The event.
    pub sequence: u64,
    /// The number of its type.
    event_type: u16,
    /// The account it touches.
    pub account: AccountId,
    /// The day on which it counts.
    pub day: Day,
    /// Why it could not be accounted for.
    pub reason: Box<str>,
    /// Its cash, which moved at once.
    pub cash: Vec<Money>,
}

impl Unaccounted {
    pub(crate) const fn new(
        sequence: u64,
        event_type: u16,
        account: AccountId,
        day: Day,
        reason: Box<str>,
        cash: Vec<Money>,
    ) -> Self {
        Self { sequence, event_type, account, day, reason, cash }
    }

    /// The name of its type.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        EventType::from_id(self.event_type).map_or("", EventType::name)
    }
}

/// Units whose basis nobody stated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnknownBasis {
    /// The event that brought them.
    pub sequence: u64,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Units.
    pub quantity: Quantity,
    /// Whether their value is not known either.
    pub value_missing: bool,
}

/// More was disposed of than was held: the history before is missing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IncompleteHistory {
    /// The disposal.
    pub sequence: u64,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Units that were missing.
    pub quantity: Quantity,
    /// What they were taken to be worth.
    pub value: Option<Money>,
}

/// What identifies the two legs of a move between accounts of one portfolio.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct MoveKey {
    pub(crate) instrument: InstrumentId,
    pub(crate) quantity: Quantity,
    pub(crate) group: Box<str>,
}

/// A leg whose other leg has not come yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OpenLeg {
    pub(crate) sequence: u64,
    pub(crate) event_type: u16,
    pub(crate) account: AccountId,
    pub(crate) day: Day,
    pub(crate) incoming: bool,
}

/// What a holding is of: lots belong to an instrument in an account, and their basis to a currency.
pub type HoldingKey = (AccountId, InstrumentId, Currency);

/// What a portfolio's entries leave behind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// What was chosen for the portfolio.
    pub settings: Settings,
    /// Cash by account and currency; also where it is zero.
    pub cash: BTreeMap<(AccountId, Currency), Amount>,
    /// What is or was held.
    pub holdings: BTreeMap<HoldingKey, Holding>,
    /// Sums by currency.
    pub totals: BTreeMap<Currency, Totals>,
    /// Figures that cannot be known, and why.
    pub unknowns: BTreeMap<(Currency, Figure), Unknown>,
    /// Positions that cannot be known; what follows in them is not accounted for.
    pub lost: BTreeMap<(AccountId, InstrumentId), Lost>,
    /// Round trips that were closed, in fold order.
    pub closed_trips: Vec<Trip>,
    /// Events that could not be accounted for, in fold order.
    pub unaccounted: Vec<Unaccounted>,
    /// Units whose basis nobody stated, in fold order.
    pub unknown_basis: Vec<UnknownBasis>,
    /// Disposals beyond what was held, in fold order.
    pub incomplete_history: Vec<IncompleteHistory>,
    /// Trades that name their lots, in a portfolio whose method does not ask for that.
    pub lots_not_followed: Vec<u64>,
    pub(crate) open_legs: BTreeMap<MoveKey, Vec<OpenLeg>>,
    /// How many entries were folded.
    pub entries: u64,
    /// The day of the first entry.
    pub first_day: Option<Day>,
}

impl State {
    /// BLAKE3 over the canonical bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&codec::encode_unbounded(self).expect("a state holds nothing that cannot be written"))
            .as_bytes()
    }

    /// Cash by currency, over all accounts and what is on its way between them; or why it is not known.
    #[must_use]
    pub fn cash_by_currency(&self) -> BTreeMap<Currency, Result<Decimal, String>> {
        let mut sums: BTreeMap<Currency, Result<Decimal, String>> = BTreeMap::new();
        let accounts = self.cash.iter().map(|((_, currency), amount)| (*currency, amount.0));
        let transit = self.totals.iter().map(|(currency, totals)| (*currency, totals.in_transit));
        for (currency, amount) in accounts.chain(transit) {
            let sum = sums.entry(currency).or_insert(Ok(Decimal::ZERO));
            if let Ok(known) = *sum {
                *sum = decimal::add(known, amount)
                    .map_err(|error| format!("the sum of its accounts cannot be computed: {error}"));
            }
        }
        for ((currency, figure), unknown) in &self.unknowns {
            if *figure == Figure::Cash {
                sums.insert(*currency, Err(unknown.sentence()));
            }
        }
        sums
    }

    /// Open positions: account and instrument, and what is held.
    pub fn open_holdings(&self) -> impl Iterator<Item = (AccountId, InstrumentId, &Holding)> {
        self.holdings
            .iter()
            .filter(|(_, holding)| holding.is_open())
            .map(|((account, instrument, _), holding)| (*account, *instrument, holding))
    }

    /// Round trips, closed ones first in the order they were closed, then open ones.
    pub fn trips(&self) -> impl Iterator<Item = &Trip> {
        let open = self.holdings.values().filter_map(|holding| holding.trip.as_deref());
        self.closed_trips.iter().chain(open)
    }

    /// The round trip that a fill opened or is part of; of two, the one it opened.
    #[must_use]
    pub fn trip_of_fill(&self, sequence: u64) -> Option<&Trip> {
        self.trips()
            .find(|trip| trip.id == sequence)
            .or_else(|| self.trips().find(|trip| trip.fills.contains(&sequence)))
    }
}
