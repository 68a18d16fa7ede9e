//! What an activity comes to: the event of each meaning.

use super::Translation;
use super::activity::{self, Aside};
use super::kinds::Meaning;
use super::said::Said;
use crate::importers::desk::Sought;
use crate::importers::symbols::{self, Form, Symbol};
use crate::importers::transaction::{multiplier_of, worth};
use crate::importers::{InstrumentFacts, Resolution};
use daybook_schemas::events::{
    AdjustmentKind, CapitalReturned, CashAdjusted, CashInLieuPaid, CashTransferKind, CashTransferred,
    DistributionKind, DividendKind, DividendPosted, Effect, Entry, Event, ExchangeKind, ExchangeLeg, FeeKind,
    FeePosted, HoldingDistributed, IdentifierScheme, InKind, InstrumentClass, InterestKind, InterestPosted,
    OptionSettled, OptionSettlement, PositionExchanged, QuarantineReason, RawRow, Reported, Scope,
    SecuritiesTransferKind, SecuritiesTransferred, Side, SplitApplied, TaxPosted, TradeExecuted,
};
use daybook_schemas::{
    BrokerOrderId, Day, ExternalId, Group, InstrumentId, Money, Multiplier, Price, Quantity, Sealed, When,
    Zone, decimal,
};

/// Shares of one contract, where nothing else is known of it.
const CONTRACT: u32 = 100;

/// What crypto assets are priced in at Alpaca, the longest first.
const QUOTES: [&str; 4] = ["USDT", "USDC", "USD", "BTC"];

/// An instrument, and what is known of it.
type Held = (InstrumentId, InstrumentFacts);

/// How an instrument is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    /// What is traded or moved, quoted in the row's currency.
    Quoted,
    /// What something was paid for.
    Payer,
    /// A crypto asset, whose symbol may lack the slash.
    Crypto,
}

impl Translation<'_, '_> {
    /// The event of a row.
    pub(super) fn event(
        &mut self,
        said: &Said,
        id: &str,
        raw: Sealed<RawRow>,
        line: u64,
    ) -> Result<Event, Aside> {
        let day = said.day.or_else(|| said.time.map(|time| time.day_in(Zone::NEW_YORK)));
        let day = day.unwrap_or(self.binding.today);
        let when = match said.time {
            Some(time) => When::At(time),
            // Rows of one day have no order but that of their phases: a rank counted within a batch would be another
            // one in the next.
            None => When::On { day, phase: said.meaning.phase(), rank: 0 },
        };
        let mut entry = Entry::new(self.account, when, day);
        entry.group = said.group.as_deref().map(Group::new);
        entry.external_id = Some(ExternalId::new(id));
        entry.reported = Some(Reported { code: Some(said.code().into()), raw: Some(raw) });
        let mut reading = Reading { translation: self, said, entry, day, line };
        reading.event()
    }
}

/// One row while it is turned into its event.
struct Reading<'r, 't, 'c, 'd> {
    translation: &'r mut Translation<'t, 'c>,
    said: &'d Said,
    entry: Entry,
    day: Day,
    line: u64,
}

impl Reading<'_, '_, '_, '_> {
    fn event(&mut self) -> Result<Event, Aside> {
        let said = self.said;
        match &said.meaning {
            Meaning::Fill => self.fill(),
            Meaning::Trade => self.trade(),
            Meaning::Cash(kind) => self.cash(kind.clone()),
            Meaning::Units(kind) => self.units(kind.clone()),
            Meaning::CashOrUnits(cash, units) => match (said.quantity, said.amount) {
                (Some(_), None) => self.units(units.clone()),
                (None, _) => self.cash(cash.clone()),
                (Some(_), Some(_)) => Err(self.both()),
            },
            Meaning::StockDividend if said.amount.is_none() => {
                let (child, _) = self.held(As::Quoted)?;
                Ok(HoldingDistributed {
                    entry: self.entry.clone(),
                    kind: DistributionKind::StockDividend,
                    parent: Some(child),
                    child,
                    quantity: self.quantity()?,
                    price: said.price.map(Price::new),
                    basis_share: None,
                }
                .into())
            }
            Meaning::StockDividend => self.dividend(DividendKind::Ordinary),
            Meaning::Dividend(kind) => self.dividend(kind.clone()),
            Meaning::Interest(kind) => self.interest(kind.clone()),
            Meaning::Fee(kind) => self.fee(kind.clone()),
            Meaning::FeeInKind if said.quantity.is_some() => self.fee_in_kind(),
            Meaning::FeeInKind => self.fee(FeeKind::Trading),
            Meaning::Tax(kind) => Ok(TaxPosted {
                entry: self.entry.clone(),
                kind: kind.clone(),
                amount: Some(self.amount()?),
                in_kind: None,
                instrument: self.payer()?,
                country: None,
                fx_rate: None,
            }
            .into()),
            Meaning::CapitalReturned => {
                let amount = self.amount()?;
                let Some(instrument) = self.payer()? else {
                    return self.adjustment(AdjustmentKind::Unstated);
                };
                let quantity = said.quantity.map(|quantity| Quantity::new(quantity.abs()));
                Ok(CapitalReturned { entry: self.entry.clone(), instrument, amount, quantity }.into())
            }
            Meaning::CashInLieu => self.cash_in_lieu(),
            Meaning::Split => self.split(),
            Meaning::Distribution(kind) => self.distribution(kind.clone()),
            Meaning::Exchange(kind) => self.exchange(kind.clone()),
            Meaning::Option(settlement) => self.settlement(settlement.clone()),
            Meaning::Adjustment(kind) => {
                // Units that move without cash are no adjustment of cash.
                if said.amount.is_none() && said.quantity.is_some() && self.names_something() {
                    return self.units(SecuritiesTransferKind::Other(said.activity_type.as_str().into()));
                }
                self.adjustment(kind.clone())
            }
        }
    }

    fn fill(&mut self) -> Result<Event, Aside> {
        let said = self.said;
        let (instrument, facts) = self.held(As::Quoted)?;
        let (side, effect) = match said.side.as_deref() {
            Some("buy") => (Side::Buy, Effect::Unstated),
            // Beyond the position it opens a short: Alpaca sells nothing that is not there otherwise.
            Some("sell") => (Side::Sell, Effect::Unstated),
            Some("sell_short") => (Side::Sell, Effect::Open),
            Some(other) => {
                let detail = format!("the side `{}` is not known", decimal::shorten(other));
                return Err(Aside::new(QuarantineReason::UnknownCode, "side", detail));
            }
            None => return Err(self.missing("side")),
        };
        let stated = self.quantity()?.get();
        if stated.is_sign_negative() && side == Side::Buy {
            let detail = format!("a purchase of {stated} units: the side and the sign contradict each other");
            return Err(Aside::new(QuarantineReason::Contradiction, "qty", detail));
        }
        let quantity = stated.abs();
        let price = said.price.ok_or_else(|| self.missing("price"))?;
        if price.is_sign_negative() && !price.is_zero() {
            let detail = format!("the price {price} is less than zero");
            return Err(Aside::new(QuarantineReason::BadField, "price", detail));
        }
        let multiplier = multiplier(&facts);
        worth(quantity, price, multiplier).map_err(|_| {
            let detail = "quantity × price needs more than 28 digits, so the cash of the fill cannot be told";
            Aside::new(QuarantineReason::BadField, "price", detail)
        })?;
        // A crypto asset trades around the clock: the portfolio's days bound its trades. Everything else trades on New
        // York's days.
        if facts.class == InstrumentClass::Crypto {
            self.entry.trade_date = self.entry.when.day(self.translation.portfolio.zone);
        }
        let order = said.order.as_deref();
        let strategy = order.and_then(|order| (self.translation.extras.strategy_of)(order));
        Ok(TradeExecuted {
            entry: self.entry.clone(),
            instrument,
            side,
            effect,
            quantity: Quantity::new(quantity),
            price: Some(Price::new(price)),
            currency: facts.currency,
            multiplier,
            net_amount: None,
            // A commission comes as an activity of its own.
            charges: Vec::new(),
            accrued_interest: None,
            order: order.map(BrokerOrderId::new),
            // The activity's id is not proven to be that of the execution.
            execution: None,
            cumulative_quantity: said.cumulative.map(Quantity::new),
            lots: Vec::new(),
            strategy,
            plan: None,
            recommendation: None,
            venue: None,
            fx_rate: None,
        }
        .into())
    }

    /// A trade that is no fill. Where the cash says which way, it wins: quantities are not always signed.
    fn trade(&mut self) -> Result<Event, Aside> {
        let said = self.said;
        if said.quantity.is_none() && said.amount.is_some() {
            return self.adjustment(AdjustmentKind::Unstated);
        }
        let (instrument, facts) = self.held(As::Quoted)?;
        let quantity = self.quantity()?.get();
        let sold = quantity.is_sign_negative();
        let side = match said.amount {
            Some(amount) if sold && amount.is_sign_negative() => {
                let detail =
                    format!("{quantity} units went and {amount} went with them: which way is not clear");
                return Err(Aside::new(QuarantineReason::Contradiction, "net_amount", detail));
            }
            Some(amount) if amount.is_sign_positive() => Side::Sell,
            Some(_) => Side::Buy,
            None if sold => Side::Sell,
            None => Side::Buy,
        };
        let multiplier = multiplier(&facts);
        let quantity = quantity.abs();
        let net_amount = match (said.amount, said.price) {
            (Some(amount), _) => Some(Money::new(amount, said.currency)),
            (None, None) => return Err(self.missing("net_amount")),
            (None, Some(price)) => {
                worth(quantity, price, multiplier).map_err(|_| self.missing("net_amount"))?;
                None
            }
        };
        Ok(TradeExecuted {
            entry: self.entry.clone(),
            instrument,
            side,
            effect: Effect::Unstated,
            quantity: Quantity::new(quantity),
            price: said.price.map(Price::new),
            currency: said.currency,
            multiplier,
            net_amount,
            charges: Vec::new(),
            accrued_interest: None,
            order: None,
            execution: None,
            cumulative_quantity: None,
            lots: Vec::new(),
            strategy: None,
            plan: None,
            recommendation: None,
            venue: None,
            fx_rate: None,
        }
        .into())
    }

    fn cash(&self, kind: CashTransferKind) -> Result<Event, Aside> {
        Ok(CashTransferred {
            entry: self.entry.clone(),
            // Whether the other account is the portfolio's too, the row does not say.
            scope: Scope::External,
            kind,
            amount: self.amount()?,
            counter_account: None,
            counterparty: None,
            fx_rate: None,
        }
        .into())
    }

    fn units(&mut self, kind: SecuritiesTransferKind) -> Result<Event, Aside> {
        if self.said.amount.is_some() {
            return Err(self.both());
        }
        let quantity = self.quantity()?;
        let on_chain = kind == SecuritiesTransferKind::Network;
        let (instrument, facts) = self.held(if on_chain { As::Crypto } else { As::Quoted })?;
        Ok(SecuritiesTransferred {
            entry: self.entry.clone(),
            scope: Scope::External,
            kind,
            instrument,
            quantity,
            price: self.said.price.filter(|price| !price.is_zero()).map(Price::new),
            multiplier: multiplier(&facts),
            value: None,
            basis: None,
            acquired: None,
            lots: Vec::new(),
            counter_account: None,
            counterparty: None,
            charges: Vec::new(),
            fx_rate: None,
        }
        .into())
    }

    fn dividend(&mut self, kind: DividendKind) -> Result<Event, Aside> {
        Ok(DividendPosted {
            entry: self.entry.clone(),
            instrument: self.payer()?,
            kind,
            amount: self.amount()?,
            quantity: self.said.quantity.map(Quantity::new),
            per_unit: self.said.per_unit.map(Price::new),
            ex_date: None,
            charges: Vec::new(),
            reinvested: false,
            fx_rate: None,
        }
        .into())
    }

    fn interest(&mut self, kind: Option<InterestKind>) -> Result<Event, Aside> {
        let amount = self.amount()?;
        // Where the row states no kind, only the sign is left: Alpaca charges interest for margin and pays it on credit.
        let kind = kind.unwrap_or_else(|| {
            let charged = amount.amount().is_sign_negative() && !amount.amount().is_zero();
            if charged { InterestKind::Margin } else { InterestKind::Credit }
        });
        Ok(InterestPosted {
            entry: self.entry.clone(),
            kind,
            instrument: self.payer()?,
            amount,
            period_from: None,
            period_to: None,
            charges: Vec::new(),
            fx_rate: None,
        }
        .into())
    }

    fn fee(&mut self, kind: FeeKind) -> Result<Event, Aside> {
        Ok(FeePosted {
            entry: self.entry.clone(),
            kind,
            amount: Some(self.amount()?),
            in_kind: None,
            instrument: self.payer()?,
            fx_rate: None,
        }
        .into())
    }

    /// A fee that is taken out of what was bought.
    fn fee_in_kind(&mut self) -> Result<Event, Aside> {
        let quantity = self.quantity()?;
        let (instrument, _) = self.held(As::Crypto)?;
        let price = self.said.price.map(Price::new);
        Ok(FeePosted {
            entry: self.entry.clone(),
            kind: FeeKind::Trading,
            amount: self.said.amount.map(|amount| Money::new(amount, self.said.currency)),
            in_kind: Some(InKind { instrument, quantity, price, value: None }),
            instrument: Some(instrument),
            fx_rate: None,
        }
        .into())
    }

    fn cash_in_lieu(&mut self) -> Result<Event, Aside> {
        let amount = self.amount()?;
        let Some(instrument) = self.payer()? else { return self.adjustment(AdjustmentKind::Unstated) };
        let fraction = self.said.quantity.map(|quantity| Quantity::new(quantity.abs()));
        Ok(CashInLieuPaid { entry: self.entry.clone(), instrument, fraction, amount }.into())
    }

    /// A split: in one row the units added, or in two the old units and the new ones.
    fn split(&mut self) -> Result<Event, Aside> {
        let said = self.said;
        let Some(quantity) = said.quantity else {
            // A fraction that was paid out.
            return if said.amount.is_some() { self.cash_in_lieu() } else { Err(self.missing("qty")) };
        };
        let name = said.symbol.clone().or_else(|| said.cusip.clone()).unwrap_or_default();
        let in_two = said.group.is_some() || self.translation.split.contains(&(name.clone(), self.day));
        if in_two || said.amount.is_some() {
            if self.entry.group.is_none() {
                self.entry.group = Some(Group::new(format!("alpaca:split:{name}:{}", self.day)));
            }
            let reverse = said.sub_type.as_deref() == Some("RSPLIT");
            return self.exchange(if reverse {
                ExchangeKind::ReverseSplit
            } else {
                ExchangeKind::Other("split".into())
            });
        }
        Ok(SplitApplied {
            entry: self.entry.clone(),
            instrument: self.held(As::Quoted)?.0,
            ratio: None,
            added: Some(Quantity::new(quantity)),
            price: said.price.map(Price::new),
        }
        .into())
    }

    fn distribution(&mut self, kind: DistributionKind) -> Result<Event, Aside> {
        match (self.said.quantity, self.said.amount) {
            (None, Some(_)) => return self.cash_in_lieu(),
            (Some(_), Some(_)) => return Err(self.both()),
            _ => {}
        }
        let quantity = self.quantity()?;
        let (child, _) = self.held(As::Quoted)?;
        Ok(HoldingDistributed {
            entry: self.entry.clone(),
            kind,
            // The row names what came; what brought it, other rows of the group may.
            parent: None,
            child,
            quantity,
            price: self.said.price.map(Price::new),
            basis_share: None,
        }
        .into())
    }

    /// One side of an exchange: units that came are positive, units that went negative; or the cash for them.
    fn exchange(&mut self, kind: ExchangeKind) -> Result<Event, Aside> {
        let said = self.said;
        let cash = said.amount.map(|amount| Money::new(amount, said.currency));
        let (gave, received) = match said.quantity {
            None if cash.is_none() => return Err(self.missing("qty")),
            None => (None, None),
            Some(quantity) => {
                let (instrument, _) = self.held(As::Quoted)?;
                let leg = ExchangeLeg { instrument, quantity: Some(Quantity::new(quantity.abs())) };
                if quantity.is_sign_negative() { (Some(leg), None) } else { (None, Some(leg)) }
            }
        };
        Ok(PositionExchanged {
            entry: self.entry.clone(),
            kind,
            gave,
            received,
            ratio: None,
            cash,
            charges: Vec::new(),
        }
        .into())
    }

    fn settlement(&mut self, settlement: OptionSettlement) -> Result<Event, Aside> {
        let said = self.said;
        let in_cash = settlement == OptionSettlement::Cash;
        if in_cash && !self.symbol(As::Quoted)?.is_some_and(|symbol| matches!(symbol.form, Form::Option(_))) {
            // Cash that an option brings and that names no option.
            return self.adjustment(AdjustmentKind::Unstated);
        }
        let (instrument, facts) = self.held(As::Quoted)?;
        if facts.class != InstrumentClass::Option {
            let detail = format!(
                "an activity of the type `{}` speaks of an option, and this is none",
                said.activity_type
            );
            return Err(Aside::new(QuarantineReason::Contradiction, "symbol", detail));
        }
        let amount = if in_cash {
            Some(self.amount()?)
        } else {
            said.amount.map(|amount| Money::new(amount, said.currency))
        };
        Ok(OptionSettled {
            entry: self.entry.clone(),
            settlement,
            instrument,
            // The running position says which way.
            quantity: said.quantity.map(|quantity| Quantity::new(quantity.abs())),
            amount,
            charges: Vec::new(),
        }
        .into())
    }

    fn adjustment(&self, kind: AdjustmentKind) -> Result<Event, Aside> {
        Ok(CashAdjusted { entry: self.entry.clone(), kind, amount: self.amount()? }.into())
    }

    fn missing(&self, field: &'static str) -> Aside {
        activity::missing(field, &self.said.activity_type)
    }

    /// A row that moves units and cash, of a type that moves only one of them.
    fn both(&self) -> Aside {
        let detail = format!(
            "an activity of the type `{}` moves either units or cash, and this moves both: record it by hand",
            self.said.activity_type
        );
        Aside::new(QuarantineReason::Contradiction, "net_amount", detail)
    }

    /// The units, signed as they stand, and not zero.
    fn quantity(&self) -> Result<Quantity, Aside> {
        self.said.quantity.map(Quantity::new).ok_or_else(|| self.missing("qty"))
    }

    /// The effect on cash, which may be zero but must be stated.
    fn amount(&self) -> Result<Money, Aside> {
        if !self.said.states_amount {
            return Err(self.missing("net_amount"));
        }
        Ok(Money::new(self.said.amount.unwrap_or_default(), self.said.currency))
    }

    fn names_something(&self) -> bool {
        self.said.symbol.is_some() || self.said.cusip.is_some()
    }

    fn symbol(&self, sought: As) -> Result<Option<Symbol>, Aside> {
        let read = |field, text: &str| {
            symbols::read(text).map_err(|detail| Aside::new(QuarantineReason::BadField, field, detail))
        };
        let Some(text) = &self.said.symbol else {
            return self.said.cusip.as_deref().map(|cusip| read("cusip", cusip)).transpose();
        };
        let symbol = read("symbol", text)?;
        if sought == As::Crypto && symbol.form == Form::Plain {
            let base = QUOTES.iter().find_map(|quote| Some((text.strip_suffix(quote)?, quote)));
            if let Some((base, quote)) = base.filter(|(base, _)| base.len() >= 2) {
                return read("symbol", &format!("{base}/{quote}")).map(Some);
            }
        }
        Ok(Some(symbol))
    }

    fn held(&mut self, sought: As) -> Result<Held, Aside> {
        self.find(sought)?.ok_or_else(|| self.missing("symbol"))
    }

    /// What something was paid for, where the row says.
    fn payer(&mut self) -> Result<Option<InstrumentId>, Aside> {
        Ok(self.find(As::Payer)?.map(|(id, _)| id))
    }

    fn find(&mut self, sought_as: As) -> Result<Option<Held>, Aside> {
        let Some(symbol) = self.symbol(sought_as)? else { return Ok(None) };
        let said = self.said;
        let cusip = said.cusip.as_deref().filter(|cusip| symbols::is_cusip(cusip));
        let known = cusip.map_or(Resolution::Unknown, |cusip| {
            let scheme = IdentifierScheme::Cusip;
            self.translation.desk.context.resolve(&scheme, cusip, Some(self.day), None, None)
        });
        if said.symbol.is_none()
            && let Resolution::One(id) = known
            && let Some(facts) = self.translation.desk.context.instrument(id)
        {
            return Ok(Some((id, facts)));
        }
        let occurred_at = self.entry.when.occurs(self.translation.portfolio.zone);
        let sought = Sought {
            symbol: &symbol,
            isin: None,
            mic: None,
            currency: Some(said.currency),
            quoted: sought_as != As::Payer,
            default_currency: said.currency,
            multiplier: None,
            class: (sought_as == As::Crypto && symbol.form == Form::Plain).then_some(InstrumentClass::Crypto),
            name: None,
            day: self.day,
            occurred_at,
            line: self.line,
        };
        let found = self.translation.desk.instrument(&sought).map_err(|unclear| {
            let reason = if unclear.multiplier {
                QuarantineReason::Contradiction
            } else {
                QuarantineReason::AmbiguousInstrument
            };
            Aside::new(reason, "symbol", unclear.text)
        })?;
        // What a row calls an instrument beside its symbol names it when the symbol has changed.
        if let Some(cusip) = cusip
            && said.symbol.is_some()
            && known == Resolution::Unknown
            && self.translation.numbered.insert(cusip.to_owned())
        {
            let key = format!("instrument:{}:cusip:{cusip}", found.id);
            let scheme = IdentifierScheme::Cusip;
            self.translation.desk.assign(key, found.id, scheme, cusip, None, occurred_at, self.line);
        }
        Ok(Some((found.id, found.facts)))
    }
}

/// The multiplier of a contract: 100 for an option of which nothing else is known, one for anything else.
fn multiplier(facts: &InstrumentFacts) -> Multiplier {
    match facts.class {
        InstrumentClass::Option => facts.multiplier.unwrap_or_else(|| Multiplier::new(CONTRACT.into())),
        _ => multiplier_of(facts),
    }
}
