//! The importer of Robinhood's account activity: each row is an event, or is kept aside with the reason.
//!
//! The rows run from the newest to the oldest and have no ids and no times of day. The amount of a row is what was paid,
//! to the cent; its price is rounded. A row that takes an option's life says no side: the position does.

mod codes;
mod happenings;
mod line;

use super::desk::{Desk, Sought};
use super::faults::Faults;
use super::kept::{self, Aside, Origin};
use super::rows::{Row, Rows};
use super::transaction::{multiplier_of, worth};
use super::{Context, Fault, InstrumentFacts, Parsed, PortfolioFacts, Resolution, Warning, identity};
use codes::Meaning;
use daybook_schemas::events::{
    CapitalReturned, CashAdjusted, CashInLieuPaid, CashTransferKind, CashTransferred, DistributionKind,
    DividendPosted, Effect, Entry, Event, ExchangeKind, ExchangeLeg, FeePosted, HoldingDistributed,
    IdentifierScheme, InterestPosted, OptionSettled, PositionExchanged, QuarantineReason, RawRow, Reported,
    RewardPosted, Scope, SecuritiesTransferKind, SecuritiesTransferred, Side, SplitApplied, TaxPosted,
    TradeExecuted,
};
use daybook_schemas::{
    Currency, Day, Group, InstrumentId, Money, Phase, Price, Quantity, Sealed, Timestamp, When,
};
use line::{Column, Header, Line};
use rust_decimal::Decimal;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;

/// The currency of all that Robinhood reports.
const CURRENCY: Currency = Currency::USD;
/// What the format is called, and the broker.
const FORMAT: &str = "robinhood";
/// The label of the account, which the report does not name.
const ACCOUNT: &str = "robinhood";
/// How many rows pass between two reports of progress.
const PROGRESS_ROWS: u64 = 1024;

/// A row as it stands in the file.
type Kept = super::kept::Kept<Line>;

/// A row of a code lacks a column.
fn missing(column: &'static str, code: &str) -> Aside {
    Aside::missing(column, &format!("a row of the code `{code}`"))
}

pub(super) fn read(
    file_name: &str,
    input: impl Read,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    let mut faults = Faults::new(file_name);
    let mut warnings = Vec::new();
    let rows = read_rows(file_name, input, &mut faults, &mut warnings, progress);
    let Some(mut rows) = rows.filter(|_| faults.is_empty()) else { return Err(faults.into_sorted()) };
    kept::in_order(&mut rows, |line| line.activity, portfolio, context);
    let mut file = File {
        portfolio,
        desk: Desk::new(context, Some(portfolio), Some(FORMAT)),
        ranks: HashMap::new(),
        numbered: BTreeSet::new(),
        newest: rows.iter().filter_map(|row| row.line.as_ref().ok().map(|line| line.activity)).max(),
        parsed: Parsed { rows: rows.len() as u64, warnings, ..Parsed::default() },
    };
    let groups = happenings::join(&rows);
    for (index, row) in rows.iter().enumerate() {
        if let Err(text) = file.record(row, groups.get(&index), file_name) {
            faults.line(row.number, text);
        }
    }
    file.parsed.warnings.sort_by_key(|warning| warning.line);
    if faults.is_empty() { Ok(file.parsed) } else { Err(faults.into_sorted()) }
}

/// Reads all rows; `None` with faults where the file is no such report.
fn read_rows(
    file_name: &str,
    input: impl Read,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
    progress: &mut dyn FnMut(u64),
) -> Option<Vec<Kept>> {
    let (mut rows, mut row) = (Rows::new(input, true), Row::default());
    let mut header: Option<Header> = None;
    let mut kept = Vec::new();
    // A line that may be the disclaimer, if nothing follows it.
    let mut last: Option<(u64, String)> = None;
    while let Some(next) = rows.next(&mut row) {
        let Some(known) = &header else {
            if let Err(trouble) = next {
                faults.line(trouble.line, trouble.text);
                return None;
            }
            match Header::read(&row) {
                Ok((found, unknown)) => {
                    for name in unknown {
                        warnings.push(Warning {
                            file: file_name.to_owned(),
                            line: Some(row.line),
                            column: Some(name),
                            text: "the column is not known and was left out; the raw rows keep it".to_owned(),
                        });
                    }
                    header = Some(found);
                }
                Err((column, text)) => {
                    faults.field(row.line, &column, text);
                    return None;
                }
            }
            continue;
        };
        if let Some((number, raw)) = last.take() {
            let detail = "the row says one thing only, and rows follow it".to_owned();
            kept.push(Kept::bad(number, raw, Aside::of_row(detail)));
        }
        match next {
            Err(trouble) if trouble.fatal => {
                match trouble.cell {
                    Some(cell) => faults.field(trouble.line, &known.name(cell), trouble.text),
                    None => faults.line(trouble.line, trouble.text),
                }
                return None;
            }
            Err(trouble) => {
                kept.push(Kept::bad(trouble.line, trouble.raw, Aside::of_row(trouble.text)));
            }
            Ok(()) if known.may_be_disclaimer(&row) => last = Some((row.line, row.raw.clone())),
            Ok(()) => match known.line(&row) {
                Err(aside) => kept.push(Kept::bad(row.line, row.raw.clone(), aside)),
                Ok(line) => {
                    let content = line.content();
                    kept.push(Kept::good(row.line, row.raw.clone(), content, line));
                }
            },
        }
        if (kept.len() as u64).is_multiple_of(PROGRESS_ROWS) {
            progress(rows.bytes());
        }
    }
    progress(rows.bytes());
    let nothing = match (header.is_some(), kept.is_empty()) {
        (true, false) => return Some(kept),
        (true, true) => "the file has a header and no rows: there is nothing to import",
        (false, _) => "the file is empty: download the account activity report as CSV from Robinhood",
    };
    faults.push(Fault::of_file(file_name, nothing));
    None
}

/// The file while its rows are turned into events.
struct File<'f> {
    portfolio: &'f PortfolioFacts,
    desk: Desk<'f>,
    ranks: HashMap<(Day, Phase), u32>,
    /// CUSIPs that were noted.
    numbered: BTreeSet<String>,
    newest: Option<Day>,
    parsed: Parsed,
}

/// What an instrument is, and what is known of it.
type Held = (InstrumentId, InstrumentFacts);

impl File<'_> {
    /// Turns a row into its event, or keeps it aside; the text of what stops the whole import.
    fn record(&mut self, row: &Kept, group: Option<&String>, file_name: &str) -> Result<(), String> {
        let day = row.line.as_ref().ok().map(|line| line.activity);
        let phase = row
            .line
            .as_ref()
            .ok()
            .and_then(|line| line.meaning.as_ref())
            .map_or(Phase::Close, Meaning::phase);
        let at = day.or(self.newest).unwrap_or_default();
        let mut when = When::On { day: at, phase, rank: 0 };
        let occurred_at = when.occurs(self.portfolio.zone);
        let account = self.desk.account(ACCOUNT, None, occurred_at, row.number)?;
        let raw = Sealed::seal(self.desk.context.keys(), self.portfolio.key, &RawRow::keep(&row.raw));
        let raw = raw.map_err(|error| error.to_string())?;
        let event = match &row.line {
            Err(aside) => Err(aside.clone()),
            Ok(line) => {
                let rank = self.ranks.entry((at, phase)).or_default();
                when = When::On { day: at, phase, rank: *rank };
                *rank = rank.saturating_add(1);
                let mut entry = Entry::new(account, when, at);
                entry.settles_on = line.settles;
                entry.group = group.map(|name| Group::new(name.as_str()));
                entry.reported =
                    Some(Reported { code: Some(line.code.as_str().into()), raw: Some(raw.clone()) });
                let mut reading = Reading {
                    file: self,
                    line,
                    entry,
                    joined: group.is_some(),
                    number: row.number,
                    occurred_at,
                    warning: None,
                };
                let event = reading.event();
                if let Some(text) = reading.warning.take() {
                    self.parsed.warnings.push(Warning {
                        file: file_name.to_owned(),
                        line: Some(row.number),
                        column: Some(Column::Amount.name().to_owned()),
                        text,
                    });
                }
                event
            }
        };
        let references = self.desk.take_drafts();
        self.parsed.drafts.extend(references);
        self.parsed.quarantined += u64::from(event.is_err());
        let origin =
            Origin { format: FORMAT, portfolio: self.portfolio, account, line: Some(row.number), day };
        let draft = row.draft(event, &origin, self.desk.context.keys(), raw, occurred_at);
        self.parsed.drafts.push(draft.map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// One row while it is turned into its event.
struct Reading<'r, 'f> {
    file: &'r mut File<'f>,
    line: &'r Line,
    entry: Entry,
    /// Whether another row belongs to the same happening.
    joined: bool,
    number: u64,
    occurred_at: Timestamp,
    warning: Option<String>,
}

impl Reading<'_, '_> {
    fn event(&mut self) -> Result<Event, Aside> {
        let line = self.line;
        let Some(meaning) = &line.meaning else {
            let detail = format!("the code `{}` is not known", daybook_schemas::decimal::shorten(&line.code));
            return Err(Aside::new(QuarantineReason::UnknownCode, Column::Code.name(), detail));
        };
        let entry = self.entry.clone();
        Ok(match meaning {
            Meaning::Trade(side, effect) | Meaning::OptionTrade(side, effect) => self.trade(side, effect)?,
            Meaning::Dividend(kind) => DividendPosted {
                entry,
                instrument: self.payer()?,
                kind: kind.clone(),
                amount: self.amount()?,
                quantity: line.quantity.map(Quantity::new),
                per_unit: line.price.map(Price::new),
                ex_date: None,
                charges: Vec::new(),
                reinvested: false,
                fx_rate: None,
            }
            .into(),
            Meaning::Interest(kind) => InterestPosted {
                entry,
                kind: kind.clone(),
                instrument: self.payer()?,
                amount: self.amount()?,
                period_from: None,
                period_to: None,
                charges: Vec::new(),
                fx_rate: None,
            }
            .into(),
            Meaning::Fee(kind) => FeePosted {
                entry,
                kind: kind.clone(),
                amount: Some(self.amount()?),
                in_kind: None,
                instrument: self.payer()?,
                fx_rate: None,
            }
            .into(),
            Meaning::Tax(kind) => TaxPosted {
                entry,
                kind: kind.clone(),
                amount: Some(self.amount()?),
                in_kind: None,
                instrument: self.payer()?,
                country: None,
                fx_rate: None,
            }
            .into(),
            Meaning::Reward(kind) => RewardPosted {
                entry,
                kind: kind.clone(),
                amount: Some(self.amount()?),
                in_kind: None,
                charges: Vec::new(),
                fx_rate: None,
            }
            .into(),
            Meaning::Adjustment(kind) => {
                CashAdjusted { entry, kind: kind.clone(), amount: self.amount()? }.into()
            }
            Meaning::Cash(kind) => self.cash(kind.clone())?,
            Meaning::Transfer { kind, out } => self.transfer(kind.clone(), *out)?,
            Meaning::Split => SplitApplied {
                entry,
                instrument: self.held()?.0,
                ratio: None,
                added: Some(self.signed()?),
                price: line.price.map(Price::new),
            }
            .into(),
            Meaning::Distribution(kind) => self.distribution(kind.clone())?,
            Meaning::Exchange(kind) | Meaning::OptionExchange(kind) => self.exchange(kind.clone())?,
            Meaning::Option(settlement) => OptionSettled {
                entry,
                settlement: settlement.clone(),
                instrument: self.held()?.0,
                // The running position says which way.
                quantity: Some(self.quantity()?),
                amount: line
                    .amount
                    .filter(|amount| !amount.is_zero())
                    .map(|amount| Money::new(amount, CURRENCY)),
                charges: Vec::new(),
            }
            .into(),
            Meaning::CashInLieu => CashInLieuPaid {
                entry,
                instrument: self.held()?.0,
                fraction: line.quantity.map(Quantity::new),
                amount: self.amount()?,
            }
            .into(),
            Meaning::CapitalReturned => CapitalReturned {
                entry,
                instrument: self.held()?.0,
                amount: self.amount()?,
                quantity: line.quantity.map(Quantity::new),
            }
            .into(),
        })
    }

    fn trade(&mut self, side: &Side, effect: &Effect) -> Result<Event, Aside> {
        let line = self.line;
        let quantity = self.quantity()?.get();
        let (instrument, facts) = self.held()?;
        let multiplier = multiplier_of(&facts);
        if line.removed && *side == Side::Buy {
            let detail = format!("units went, and the code `{}` says that they came", line.code);
            return Err(Aside::new(QuarantineReason::Contradiction, Column::Quantity.name(), detail));
        }
        let wrong_way = |amount: Decimal| match side {
            Side::Buy => amount > Decimal::ZERO,
            // What is sold for next to nothing may cost more than it brings.
            _ => amount < -Decimal::ONE,
        };
        if line.amount.is_some_and(wrong_way) {
            let detail = format!("the sign of `Amount` does not fit the code `{}`", line.code);
            return Err(Aside::new(QuarantineReason::Contradiction, Column::Amount.name(), detail));
        }
        if line.price.is_some_and(|price| price.is_sign_negative() && !price.is_zero()) {
            let detail = "a price is not less than zero";
            return Err(Aside::new(QuarantineReason::BadField, Column::Price.name(), detail));
        }
        if line.amount.is_none() {
            let price = line.price.ok_or_else(|| missing(Column::Amount.name(), &line.code))?;
            worth(quantity, price, multiplier).map_err(|_| {
                let detail = "Quantity × Price needs more than 28 digits, and `Amount` is empty";
                Aside::new(QuarantineReason::MissingField, Column::Amount.name(), detail)
            })?;
        }
        self.warning = line.disagreement(quantity, multiplier);
        Ok(TradeExecuted {
            entry: self.entry.clone(),
            instrument,
            side: side.clone(),
            effect: effect.clone(),
            quantity: Quantity::new(quantity),
            price: line.price.map(Price::new),
            currency: CURRENCY,
            multiplier,
            // The price is rounded to cents: what was paid is the amount, charges inside.
            net_amount: line.amount.map(|amount| Money::new(amount, CURRENCY)),
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
            scope: Scope::External,
            kind,
            amount: self.amount()?,
            counter_account: None,
            counterparty: None,
            fx_rate: None,
        }
        .into())
    }

    /// Securities or cash from or to another broker.
    fn transfer(&mut self, kind: SecuritiesTransferKind, out: bool) -> Result<Event, Aside> {
        let line = self.line;
        let cash = line.amount.filter(|amount| !amount.is_zero());
        if line.quantity.is_none() {
            return self.cash(CashTransferKind::Unstated);
        }
        if cash.is_some() {
            let detail =
                format!("a row of the code `{}` moves either cash or shares, and this moves both", line.code);
            return Err(Aside::new(QuarantineReason::Contradiction, Column::Amount.name(), detail));
        }
        let quantity = self.quantity()?.get();
        let (instrument, facts) = self.held()?;
        Ok(SecuritiesTransferred {
            entry: self.entry.clone(),
            scope: Scope::External,
            kind,
            instrument,
            quantity: Quantity::new(if out || line.removed { -quantity } else { quantity }),
            price: line.price.filter(|price| !price.is_zero()).map(Price::new),
            multiplier: multiplier_of(&facts),
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

    fn distribution(&mut self, kind: DistributionKind) -> Result<Event, Aside> {
        if self.line.amount.is_some_and(|amount| !amount.is_zero()) {
            let detail = format!("a row of the code `{}` brings shares and no cash", self.line.code);
            return Err(Aside::new(QuarantineReason::Contradiction, Column::Amount.name(), detail));
        }
        Ok(HoldingDistributed {
            entry: self.entry.clone(),
            kind,
            parent: None,
            child: self.held()?.0,
            quantity: self.signed()?,
            price: self.line.price.map(Price::new),
            basis_share: None,
        }
        .into())
    }

    /// One side of an exchange: what went has the suffix `S`.
    fn exchange(&mut self, kind: ExchangeKind) -> Result<Event, Aside> {
        let line = self.line;
        let cash = line.amount.filter(|amount| !amount.is_zero()).map(|amount| Money::new(amount, CURRENCY));
        let (gave, received) = match line.quantity.filter(|quantity| !quantity.is_zero()) {
            None if cash.is_none() => return Err(missing(Column::Quantity.name(), &line.code)),
            None => (None, None),
            Some(quantity) => {
                // What went for cash needs no other side.
                if !self.joined && cash.is_none() {
                    let detail = format!(
                        "the code `{}` comes in two rows, what went and what came, and the other one is missing",
                        line.code
                    );
                    return Err(Aside::new(QuarantineReason::Unpaired, Column::Code.name(), detail));
                }
                let (instrument, _) = self.held()?;
                let leg = ExchangeLeg { instrument, quantity: Some(Quantity::new(quantity)) };
                if line.removed { (Some(leg), None) } else { (None, Some(leg)) }
            }
        };
        let charges = Vec::new();
        Ok(PositionExchanged { entry: self.entry.clone(), kind, gave, received, ratio: None, cash, charges }
            .into())
    }

    /// The units, which are not zero.
    fn quantity(&self) -> Result<Quantity, Aside> {
        let quantity = self.line.quantity.filter(|quantity| !quantity.is_zero());
        quantity.map(Quantity::new).ok_or_else(|| missing(Column::Quantity.name(), &self.line.code))
    }

    /// The units, negative where they went.
    fn signed(&self) -> Result<Quantity, Aside> {
        let quantity = self.quantity()?.get();
        Ok(Quantity::new(if self.line.removed { -quantity } else { quantity }))
    }

    /// The effect on cash.
    fn amount(&self) -> Result<Money, Aside> {
        let amount = self.line.amount.ok_or_else(|| missing(Column::Amount.name(), &self.line.code))?;
        Ok(Money::new(amount, CURRENCY))
    }

    fn held(&mut self) -> Result<Held, Aside> {
        self.find(true)?.ok_or_else(|| missing(Column::Instrument.name(), &self.line.code))
    }

    /// What something was paid for, where the row says.
    fn payer(&mut self) -> Result<Option<InstrumentId>, Aside> {
        Ok(self.find(false)?.map(|(id, _)| id))
    }

    fn find(&mut self, quoted: bool) -> Result<Option<Held>, Aside> {
        let line = self.line;
        let Some(symbol) = line.symbol() else { return Ok(None) };
        let name = line.name.as_deref().filter(|_| line.option.is_none());
        let sought = Sought {
            symbol,
            isin: None,
            mic: None,
            currency: Some(CURRENCY),
            quoted,
            default_currency: CURRENCY,
            multiplier: None,
            class: None,
            name,
            day: line.activity,
            occurred_at: self.occurred_at,
            line: self.number,
        };
        let found = self.file.desk.instrument(&sought).map_err(|unclear| {
            let reason = if unclear.multiplier {
                QuarantineReason::Contradiction
            } else {
                QuarantineReason::AmbiguousInstrument
            };
            Aside::new(reason, Column::Instrument.name(), unclear.text)
        })?;
        if let Some(cusip) = line.cusip.as_deref().filter(|_| line.option.is_none()) {
            let (scheme, day) = (IdentifierScheme::Cusip, Some(line.activity));
            let known = self.file.desk.context.resolve(&scheme, cusip, day, None, None);
            if known == Resolution::Unknown && self.file.numbered.insert(cusip.to_owned()) {
                let key = format!("instrument:{}:cusip:{cusip}", found.id);
                self.file.desk.assign(key, found.id, scheme, cusip, None, self.occurred_at, self.number);
            }
        }
        Ok(Some((found.id, found.facts)))
    }
}

#[cfg(test)]
mod tests;
