//! The importer of Charles Schwab's transactions: each row is an event, or is kept aside with the reason.
//!
//! The rows have no ids and no times of day. Rows that belong to one happening, such as a dividend and the shares it
//! was put into, or the two sides of a merger, are found by what they say and joined by a group.

mod actions;
mod happenings;
mod line;

use super::desk::{Desk, Sought};
use super::faults::Faults;
use super::kept::{self, Aside, Origin};
use super::rows::{Row, Rows};
use super::symbols::{self, Form, Symbol};
use super::transaction::{multiplier_of, worth};
use super::{Context, Fault, InstrumentFacts, Parsed, PortfolioFacts, Resolution, Warning, identity};
use actions::{Meaning, Share};
use daybook_schemas::events::{
    CapitalReturned, CashAdjusted, CashInLieuPaid, CashTransferred, Charge, ChargeKind, DistributionKind,
    DividendPosted, Effect, Entry, Event, ExchangeKind, ExchangeLeg, FeePosted, HoldingDistributed,
    IdentifierScheme, InstrumentClass, InterestPosted, OptionSettled, PositionExchanged, QuarantineReason,
    RawRow, Reported, RewardPosted, Scope, SecuritiesTransferred, Side, SplitApplied, TaxPosted,
    TradeExecuted,
};
use daybook_schemas::{
    Currency, Day, Group, InstrumentId, Money, Multiplier, Phase, Price, Quantity, Sealed, Timestamp, When,
    decimal,
};
use line::{Header, Line};
use rust_decimal::Decimal;
use std::collections::HashMap;
use std::io::Read;

/// The currency of all that Schwab keeps.
const CURRENCY: Currency = Currency::USD;
/// What the format is called, and the broker.
const FORMAT: &str = "schwab";
/// The label of the account where the file names none.
const ACCOUNT: &str = "schwab";
/// How many rows pass between two reports of progress.
const PROGRESS_ROWS: u64 = 1024;

/// A row as it stands in the file.
type Kept = super::kept::Kept<Line>;

/// A row of an action lacks a column.
fn missing(column: &'static str, action: &str) -> Aside {
    Aside::missing(column, &format!("a row of the action `{action}`"))
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
    let table = read_rows(file_name, input, &mut faults, &mut warnings, progress);
    let Some((account, mut rows)) = table.filter(|_| faults.is_empty()) else {
        return Err(faults.into_sorted());
    };
    kept::in_order(&mut rows, |line| line.posted, portfolio, context);
    let mut file = File {
        portfolio,
        account: &account,
        desk: Desk::new(context, Some(portfolio), Some(FORMAT)),
        ranks: HashMap::new(),
        newest: rows.iter().filter_map(|row| row.line.as_ref().ok().map(|line| line.posted)).max(),
        parsed: Parsed { rows: rows.len() as u64, ..Parsed::default() },
    };
    file.parsed.warnings = warnings;
    let groups = happenings::join(&rows);
    for (index, row) in rows.iter().enumerate() {
        if let Err(text) = file.record(row, groups.get(&index), file_name) {
            faults.line(row.number, text);
        }
    }
    file.parsed.warnings.sort_by_key(|warning| warning.line);
    if faults.is_empty() { Ok(file.parsed) } else { Err(faults.into_sorted()) }
}

/// The account that a title names.
#[derive(Default)]
struct Account {
    label: String,
    number: Option<String>,
}

/// Reads all rows; `None` with faults where the file is no such table.
fn read_rows(
    file_name: &str,
    input: impl Read,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
    progress: &mut dyn FnMut(u64),
) -> Option<(Account, Vec<Kept>)> {
    let (mut rows, mut row) = (Rows::new(input, true), Row::default());
    let mut account = Account { label: ACCOUNT.to_owned(), number: None };
    let mut header = None;
    let mut kept = Vec::new();
    while let Some(next) = rows.next(&mut row) {
        let Some(known) = &header else {
            if let Err(trouble) = next {
                faults.line(trouble.line, trouble.text);
                return None;
            }
            match Header::read(&row) {
                Ok(Some((found, unknown))) => {
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
                Ok(None) => title(&row, &mut account),
                Err((column, text)) => {
                    faults.field(row.line, &column, text);
                    return None;
                }
            }
            if header.is_none() && row.line > Header::LINES_BEFORE_MAX {
                break;
            }
            continue;
        };
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
            Ok(()) if Header::is_total(&row) => {}
            Ok(()) => {
                let raw = row.raw.clone();
                kept.push(match known.line(&row) {
                    Ok(line) => {
                        let content = line.content(&account.label);
                        Kept::good(row.line, raw, content, line)
                    }
                    Err(aside) => Kept::bad(row.line, raw, aside),
                });
            }
        }
        if (kept.len() as u64).is_multiple_of(PROGRESS_ROWS) {
            progress(rows.bytes());
        }
    }
    progress(rows.bytes());
    let nothing = match (header.is_some(), kept.is_empty()) {
        (true, false) => return Some((account, kept)),
        (true, true) => "the file has a header and no rows: there is nothing to import",
        (false, _) => {
            "no line names the columns Date, Action, Symbol, Description, Quantity, Price, Fees & Comm, Amount: \
             export the account's history from Schwab as CSV"
        }
    };
    faults.push(Fault::of_file(file_name, nothing));
    None
}

/// Takes the account from a title such as `Transactions  for account Individual ...123 as of 11/01/2023`.
fn title(row: &Row, account: &mut Account) {
    let Some((_, rest)) = row.cell(0).split_once("account ") else { return };
    let label = rest.split(" as of ").next().unwrap_or(rest).trim();
    if label.is_empty() || label.chars().any(char::is_control) || label.len() > 200 {
        return;
    }
    account.label = label.to_owned();
    account.number = label
        .split_whitespace()
        .last()
        .filter(|word| word.ends_with(|c: char| c.is_ascii_digit()))
        .map(Into::into);
}

/// The file while its rows are turned into events.
struct File<'f> {
    portfolio: &'f PortfolioFacts,
    account: &'f Account,
    desk: Desk<'f>,
    ranks: HashMap<(Day, Phase), u32>,
    newest: Option<Day>,
    parsed: Parsed,
}

/// What an instrument is, and what is known of it.
type Held = (InstrumentId, InstrumentFacts);

impl File<'_> {
    /// Turns a row into its event, or keeps it aside; the text of what stops the whole import.
    fn record(&mut self, row: &Kept, group: Option<&Share>, file_name: &str) -> Result<(), String> {
        let day = row.line.as_ref().ok().map(Line::day);
        let phase = row
            .line
            .as_ref()
            .map_or(Phase::Close, |line| line.meaning.as_ref().map_or(Phase::Close, Meaning::phase));
        let at = day.or(self.newest).unwrap_or_default();
        let when = When::On { day: at, phase, rank: 0 };
        let account = self.desk.account(
            &self.account.label,
            self.account.number.as_deref(),
            when.occurs(self.portfolio.zone),
            row.number,
        )?;
        let raw = Sealed::seal(self.desk.context.keys(), self.portfolio.key, &RawRow::keep(&row.raw));
        let raw = raw.map_err(|error| error.to_string())?;
        let event = match &row.line {
            Err(aside) => Err(aside.clone()),
            Ok(line) => {
                let rank = self.ranks.entry((at, phase)).or_default();
                let when = When::On { day: at, phase, rank: *rank };
                *rank = rank.saturating_add(1);
                let mut entry = Entry::new(account, when, at);
                entry.group = group.map(|share| Group::new(share.group.as_str()));
                entry.reported =
                    Some(Reported { code: Some(line.action.as_str().into()), raw: Some(raw.clone()) });
                let occurred_at = when.occurs(self.portfolio.zone);
                let mut reading = Reading {
                    file: self,
                    line,
                    entry,
                    share: group,
                    number: row.number,
                    occurred_at,
                    warning: None,
                };
                let event = reading.event();
                if let Some(text) = reading.warning.take() {
                    self.parsed.warnings.push(Warning {
                        file: file_name.to_owned(),
                        line: Some(row.number),
                        column: Some("Amount".to_owned()),
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
        let draft =
            row.draft(event, &origin, self.desk.context.keys(), raw, when.occurs(self.portfolio.zone));
        self.parsed.drafts.push(draft.map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// One row while it is turned into its event.
struct Reading<'r, 'f> {
    file: &'r mut File<'f>,
    line: &'r Line,
    entry: Entry,
    share: Option<&'r Share>,
    number: u64,
    occurred_at: Timestamp,
    warning: Option<String>,
}

impl Reading<'_, '_> {
    fn event(&mut self) -> Result<Event, Aside> {
        let line = self.line;
        let Some(meaning) = &line.meaning else {
            let detail = format!("the action `{}` is not known", decimal::shorten(&line.action));
            return Err(Aside::new(QuarantineReason::UnknownCode, "Action", detail));
        };
        let entry = self.entry.clone();
        Ok(match meaning {
            Meaning::Trade { side, effect } => self.trade(side, effect)?,
            Meaning::Dividend { kind, reinvested } => DividendPosted {
                entry,
                instrument: self.optional_instrument()?,
                kind: kind.clone(),
                amount: self.gross()?,
                quantity: line.quantity.map(Quantity::new),
                per_unit: line.price.map(Price::new),
                ex_date: None,
                charges: self.charges(),
                reinvested: *reinvested || self.share.is_some(),
                fx_rate: None,
            }
            .into(),
            Meaning::Interest(kind) => {
                let period = line.period();
                InterestPosted {
                    entry,
                    kind: kind.clone(),
                    instrument: self.optional_instrument()?,
                    amount: self.gross()?,
                    period_from: period.map(|(from, _)| from),
                    period_to: period.map(|(_, to)| to),
                    charges: self.charges(),
                    fx_rate: None,
                }
                .into()
            }
            Meaning::Fee(kind) => FeePosted {
                entry,
                kind: kind.clone(),
                amount: Some(self.amount()?),
                in_kind: None,
                instrument: self.optional_instrument()?,
                fx_rate: None,
            }
            .into(),
            Meaning::Tax(kind) => TaxPosted {
                entry,
                kind: kind.clone(),
                amount: Some(self.amount()?),
                in_kind: None,
                instrument: self.optional_instrument()?,
                country: None,
                fx_rate: None,
            }
            .into(),
            Meaning::Reward(kind) => RewardPosted {
                entry,
                kind: kind.clone(),
                amount: Some(self.gross()?),
                in_kind: None,
                charges: self.charges(),
                fx_rate: None,
            }
            .into(),
            Meaning::Adjustment(kind) => {
                CashAdjusted { entry, kind: kind.clone(), amount: self.amount()? }.into()
            }
            Meaning::Move { cash, securities } => match (line.quantity, line.amount) {
                (Some(quantity), None) => {
                    let (instrument, facts) = self.instrument()?;
                    SecuritiesTransferred {
                        entry,
                        scope: Scope::External,
                        kind: securities.clone(),
                        quantity: Quantity::new(quantity),
                        price: line.price.map(Price::new),
                        value: None,
                        basis: None,
                        acquired: None,
                        lots: Vec::new(),
                        counter_account: None,
                        counterparty: None,
                        charges: self.charges(),
                        fx_rate: None,
                        multiplier: multiplier_of(&facts),
                        instrument,
                    }
                    .into()
                }
                (None, Some(_)) => CashTransferred {
                    entry,
                    scope: Scope::External,
                    kind: cash.clone(),
                    amount: self.amount()?,
                    counter_account: None,
                    counterparty: self.counterparty()?,
                    fx_rate: None,
                }
                .into(),
                (Some(_), Some(_)) => {
                    let detail = format!(
                        "a row of the action `{}` moves either cash or shares, not both",
                        line.action
                    );
                    return Err(Aside::new(QuarantineReason::Contradiction, "Amount", detail));
                }
                (None, None) => return Err(missing("Amount", &line.action)),
            },
            Meaning::Split => SplitApplied {
                entry,
                instrument: self.instrument()?.0,
                ratio: None,
                added: Some(self.quantity()?),
                price: line.price.map(Price::new),
            }
            .into(),
            Meaning::Distribution(kind) => {
                let (child, _) = self.instrument()?;
                let own = *kind == DistributionKind::StockDividend;
                HoldingDistributed {
                    entry,
                    kind: kind.clone(),
                    parent: own.then_some(child),
                    child,
                    quantity: self.quantity()?,
                    price: line.price.map(Price::new),
                    basis_share: None,
                }
                .into()
            }
            Meaning::Exchange { kind, paired } => self.exchange(kind.clone(), *paired)?,
            Meaning::CashInLieu => CashInLieuPaid {
                entry,
                instrument: self.instrument()?.0,
                fraction: line.quantity.map(|quantity| Quantity::new(quantity.abs())),
                amount: self.amount()?,
            }
            .into(),
            Meaning::CapitalReturned => CapitalReturned {
                entry,
                instrument: self.instrument()?.0,
                amount: self.amount()?,
                quantity: line.quantity.map(|quantity| Quantity::new(quantity.abs())),
            }
            .into(),
            Meaning::Option(settlement) => {
                let (instrument, facts) = self.instrument()?;
                if facts.class != InstrumentClass::Option {
                    let detail =
                        format!("the action `{}` speaks of an option, and `Symbol` names none", line.action);
                    return Err(Aside::new(QuarantineReason::Contradiction, "Symbol", detail));
                }
                let amount = line.amount.filter(|amount| !amount.is_zero());
                OptionSettled {
                    entry,
                    settlement: settlement.clone(),
                    instrument,
                    quantity: Some(Quantity::new(self.quantity()?.get().abs())),
                    amount: match amount {
                        Some(_) => Some(self.gross()?),
                        None => None,
                    },
                    charges: self.charges(),
                }
                .into()
            }
        })
    }

    /// The instrument of the row, listed provisionally where nobody knows it.
    fn instrument(&mut self) -> Result<Held, Aside> {
        self.optional_held()?.ok_or_else(|| missing("Symbol", &self.line.action))
    }

    fn optional_instrument(&mut self) -> Result<Option<InstrumentId>, Aside> {
        Ok(self.optional_held()?.map(|(id, _)| id))
    }

    fn optional_held(&mut self) -> Result<Option<Held>, Aside> {
        let Some(symbol) = &self.line.symbol else { return Ok(None) };
        // The old identifier of a reverse split is the same instrument under the number it had before.
        let symbol = self.share.and_then(|share| share.instrument.as_ref()).unwrap_or(symbol);
        let held = self.find(symbol)?;
        if symbols::is_cusip(&self.line.symbol_text) && self.line.symbol_text != symbol.text {
            let (number, day) = (&self.line.symbol_text, Some(self.line.day()));
            let scheme = IdentifierScheme::Cusip;
            let known = self.file.desk.context.resolve(&scheme, number, day, None, None);
            if known == Resolution::One(held.0) {
                return Ok(Some(held));
            }
            let key = format!("instrument:{}:cusip:{number}", held.0);
            self.file.desk.assign(
                key,
                held.0,
                scheme,
                &self.line.symbol_text,
                None,
                self.occurred_at,
                self.number,
            );
        }
        Ok(Some(held))
    }

    fn find(&mut self, symbol: &Symbol) -> Result<Held, Aside> {
        let line = self.line;
        let bond = line.is_quoted_in_percent();
        let name = line.instrument_name();
        let sought = Sought {
            symbol,
            isin: None,
            mic: None,
            currency: Some(CURRENCY),
            quoted: true,
            default_currency: CURRENCY,
            multiplier: bond.then(|| Multiplier::new(line::PERCENT)),
            class: if bond { Some(InstrumentClass::Bond) } else { line.class(symbol) },
            name: name.as_deref(),
            day: line.day(),
            occurred_at: self.occurred_at,
            line: self.number,
        };
        match self.file.desk.instrument(&sought) {
            Ok(found) => Ok((found.id, found.facts)),
            Err(unclear) if unclear.multiplier => {
                Err(Aside::new(QuarantineReason::Contradiction, "Price", unclear.text))
            }
            Err(unclear) => Err(Aside::new(QuarantineReason::AmbiguousInstrument, "Symbol", unclear.text)),
        }
    }

    fn trade(&mut self, side: &Side, effect: &Effect) -> Result<Event, Aside> {
        let line = self.line;
        let (instrument, facts) = self.instrument()?;
        let quantity = self.quantity()?.get().abs();
        if quantity.is_zero() {
            return Err(missing("Quantity", &line.action));
        }
        if line.amount.is_none() && line.price.is_none() {
            return Err(missing("Amount", &line.action));
        }
        let amount = line.amount.map(|amount| Money::new(amount, CURRENCY));
        let wrong_way = |amount: Decimal| match side {
            Side::Buy => amount > Decimal::ZERO,
            _ => amount < -line.fees.unwrap_or_default().abs(),
        };
        if line.amount.is_some_and(wrong_way) {
            let detail = format!("the sign of `Amount` does not fit the action `{}`", line.action);
            return Err(Aside::new(QuarantineReason::Contradiction, "Amount", detail));
        }
        let multiplier = multiplier_of(&facts);
        if let (None, Some(price)) = (line.amount, line.price) {
            let fees = line.fees.unwrap_or_default();
            worth(quantity, price, multiplier)
                .and_then(|gross| decimal::add(gross, if *side == Side::Buy { fees } else { -fees }))
                .map_err(|_| {
                    let detail = "Quantity × Price needs more than 28 digits, and `Amount` is empty";
                    Aside::new(QuarantineReason::MissingField, "Amount", detail)
                })?;
        }
        if let Some(text) = line.disagreement(quantity, multiplier) {
            self.warning = Some(text);
        }
        Ok(TradeExecuted {
            entry: self.entry.clone(),
            instrument,
            side: side.clone(),
            effect: effect.clone(),
            quantity: Quantity::new(quantity),
            price: line.price.map(Price::new),
            currency: CURRENCY,
            multiplier,
            net_amount: amount,
            charges: self.charges(),
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

    /// One side of an exchange: units that came are positive, units that went negative.
    fn exchange(&mut self, kind: ExchangeKind, paired: bool) -> Result<Event, Aside> {
        let line = self.line;
        if paired && self.share.is_none() {
            let detail = format!(
                "the action `{}` comes in two rows, what was given and what was received, and the other one is missing",
                line.action
            );
            return Err(Aside::new(QuarantineReason::Unpaired, "Action", detail));
        }
        let cash = line.amount.filter(|amount| !amount.is_zero());
        let (instrument, _) = self.instrument()?;
        let leg = |quantity| ExchangeLeg { instrument, quantity };
        let (gave, received) = match line.quantity {
            Some(quantity) if quantity < Decimal::ZERO => (Some(leg(Some(Quantity::new(-quantity)))), None),
            Some(quantity) if quantity > Decimal::ZERO && cash.is_none() => {
                (None, Some(leg(Some(Quantity::new(quantity)))))
            }
            // Cash for units that the row counts without a sign.
            Some(quantity) if quantity > Decimal::ZERO => (Some(leg(Some(Quantity::new(quantity)))), None),
            // Cash whose units another row of the group counts.
            _ if cash.is_some() && self.share.is_some() => (None, None),
            // Cash alone: the whole holding went.
            _ if cash.is_some() => (Some(leg(None)), None),
            _ => return Err(missing("Quantity", &line.action)),
        };
        let cash = match cash {
            Some(_) => Some(self.gross()?),
            None => None,
        };
        let charges = self.charges();
        Ok(PositionExchanged { entry: self.entry.clone(), kind, gave, received, ratio: None, cash, charges }
            .into())
    }

    fn quantity(&self) -> Result<Quantity, Aside> {
        let quantity = self.line.quantity.filter(|quantity| !quantity.is_zero());
        quantity.map(Quantity::new).ok_or_else(|| missing("Quantity", &self.line.action))
    }

    /// The effect on cash, of a row that can have no fee beside it.
    fn amount(&self) -> Result<Money, Aside> {
        if self.line.fees.is_some_and(|fees| !fees.is_zero()) {
            let detail = format!("a row of the action `{}` has no fee of its own", self.line.action);
            return Err(Aside::new(QuarantineReason::Contradiction, "Fees & Comm", detail));
        }
        let amount = self.line.amount.ok_or_else(|| missing("Amount", &self.line.action))?;
        Ok(Money::new(amount, CURRENCY))
    }

    /// The effect on cash before the fee beside it.
    fn gross(&self) -> Result<Money, Aside> {
        let amount = self.line.amount.ok_or_else(|| missing("Amount", &self.line.action))?;
        let gross = decimal::add(amount, self.line.fees.unwrap_or_default())
            .map_err(|error| Aside::new(QuarantineReason::BadField, "Amount", error.to_string()))?;
        Ok(Money::new(gross, CURRENCY))
    }

    fn charges(&self) -> Vec<Charge> {
        let fees = self.line.fees.filter(|fees| !fees.is_zero());
        let charge = |fees| Charge { kind: ChargeKind::Unstated, amount: Money::new(fees, CURRENCY) };
        fees.map(charge).into_iter().collect()
    }

    /// Who is at the other end of a transfer, as the description says: it may name a person or a bank account.
    fn counterparty(&self) -> Result<Option<Sealed<String>>, Aside> {
        if self.line.description.is_empty() {
            return Ok(None);
        }
        let keys = self.file.desk.context.keys();
        Sealed::seal(keys, self.file.portfolio.key, &self.line.description)
            .map(Some)
            .map_err(|error| Aside::new(QuarantineReason::BadField, "Description", error.to_string()))
    }
}

/// Whether a symbol is an option's.
fn is_option(symbol: &Symbol) -> bool {
    matches!(symbol.form, Form::Option(_))
}

#[cfg(test)]
mod tests {
    use super::super::ledger_in_memory::Ledger;
    use super::super::{Format, Role};
    use super::*;
    use daybook_schemas::events::DividendKind;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const HEADER: &str =
        "\"Date\",\"Action\",\"Symbol\",\"Description\",\"Quantity\",\"Price\",\"Fees & Comm\",\"Amount\"\n";

    fn read(ledger: &Ledger, text: &str) -> Result<Parsed, Vec<Fault>> {
        super::super::read(Format::Schwab, "s.csv", text.as_bytes(), &ledger.portfolio, ledger, &mut |_| {})
    }

    fn rows(text: &str) -> Parsed {
        read(&Ledger::new(), &format!("{HEADER}{text}")).unwrap()
    }

    fn entries(parsed: &Parsed) -> Vec<&Event> {
        parsed.drafts.iter().filter(|draft| draft.role == Role::Entry).map(|draft| &draft.event).collect()
    }

    fn only(text: &str) -> Event {
        let parsed = rows(text);
        assert_eq!((parsed.quarantined, entries(&parsed).len()), (0, 1), "{text}: {:?}", parsed.drafts);
        entries(&parsed)[0].clone()
    }

    fn groups(parsed: &Parsed) -> Vec<Option<String>> {
        entries(parsed)
            .iter()
            .map(|event| event.entry().unwrap().group.as_ref().map(ToString::to_string))
            .collect()
    }

    /// Newest first, as Schwab writes it.
    const FILE: &str = "\
\"Transactions  for account Individual ...123 as of 03/09/2024 09:12:34 PM ET\"
\"Date\",\"Action\",\"Symbol\",\"Description\",\"Quantity\",\"Price\",\"Fees & Comm\",\"Amount\",
\"03/08/2024\",\"Sell\",\"ABCX\",\"ABC FUND\",\"10.5\",\"$20.01\",\"$1.00\",\"$209.11\",
\"03/07/2024\",\"Advisor Fee\",\"\",\"TO ADVISOR\",\"\",\"\",\"\",\"-$26.58\",
\"03/07/2024\",\"Advisor Fee\",\"\",\"TO ADVISOR\",\"\",\"\",\"\",\"-$26.58\",
\"03/05/2024\",\"Reinvest Shares\",\"DEF\",\"DEF CORP\",\"0.5\",\"$20.00\",\"\",\"-$10.00\",
\"03/04/2024\",\"Qual Div Reinvest\",\"DEF\",\"DEF CORP\",\"\",\"\",\"\",\"$10.00\",
\"03/01/2024\",\"Frobnicate\",\"\",\"WHO KNOWS\",\"\",\"\",\"\",\"$1.00\",
\"02/29/2024\",\"Wire Received\",\"\",\"WIRED FUNDS\",\"\",\"\",\"\",\"$5,000.00\",
\"Transactions Total\",\"\",\"\",\"\",\"\",\"\",\"\",\"$5,156.95\",
";

    #[test]
    fn a_file_is_read_oldest_first_and_what_is_not_known_is_kept_aside() {
        let ledger = Ledger::new();
        let parsed = read(&ledger, FILE).unwrap();
        assert_eq!((parsed.rows, parsed.quarantined), (7, 1));
        let names: Vec<_> = entries(&parsed).iter().map(|event| event.event_type().name()).collect();
        assert_eq!(
            names,
            ["CashTransferred", "DividendPosted", "TradeExecuted", "FeePosted", "FeePosted", "TradeExecuted",]
        );
        let aside = parsed.drafts.iter().find(|draft| draft.role == Role::Quarantine).unwrap();
        assert!(aside.identity.as_ref().unwrap().starts_with("quarantine:schwab:"));
        let Event::RecordQuarantined(event) = &aside.event else { panic!("{:?}", aside.event) };
        assert_eq!((event.line, event.reason.clone()), (Some(8), QuarantineReason::UnknownCode));
        assert!(event.detail.open(Context::keys(&ledger)).unwrap().contains("`Frobnicate`"));
        let clear = aside.event.to_json().unwrap().to_string();
        assert!(!clear.contains("Frobnicate") && !clear.contains("WHO KNOWS"), "{clear}");
        let raw = event.raw.open(Context::keys(&ledger)).unwrap();
        assert!(raw.text.starts_with("\"03/01/2024\",\"Frobnicate\""), "{}", raw.text);
        let linked = parsed.drafts.iter().find_map(|draft| match &draft.event {
            Event::AccountLinked(event) => Some(event.name.open(Context::keys(&ledger)).unwrap()),
            _ => None,
        });
        assert_eq!(linked.as_deref(), Some("Individual ...123"));
    }

    #[test]
    fn equal_rows_both_count_and_overlapping_files_add_only_what_is_new() {
        let mut ledger = Ledger::new();
        let parsed = read(&ledger, FILE).unwrap();
        assert_eq!(ledger.apply(&parsed), Ok(7));
        assert_eq!(ledger.apply(&read(&ledger, FILE).unwrap()), Ok(0));
        let later = FILE.replace(
            "\"03/07/2024\",\"Advisor Fee\"",
            "\"03/07/2024\",\"Advisor Fee\",\"\",\"TO ADVISOR\",\"\",\"\",\"\",\"-$26.58\",\n\"03/07/2024\",\"Advisor Fee\"",
        );
        assert_eq!(ledger.apply(&read(&ledger, &later).unwrap()), Ok(2), "two rows more stand in this file");
    }

    #[test]
    fn a_dividend_and_the_shares_it_was_put_into_are_one_group() {
        let parsed = read(&Ledger::new(), FILE).unwrap();
        let names = groups(&parsed);
        assert!(names[1].is_some() && names[1] == names[2]);
        assert_eq!(names.iter().flatten().count(), 2);
        let Event::DividendPosted(dividend) = entries(&parsed)[1] else { panic!() };
        assert!(dividend.reinvested && dividend.kind == DividendKind::Qualified);
    }

    #[test]
    fn the_order_of_columns_and_rows_is_no_matter() {
        let ledger = Ledger::new();
        let expected = read(&ledger, FILE).unwrap();
        let mut lines: Vec<&str> = FILE.lines().collect();
        lines[2..9].reverse();
        let turned: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| {
                let mut cells: Vec<&str> = line.trim_end_matches(',').split("\",\"").collect();
                if index > 0 && !line.contains("Total") {
                    let first = cells.remove(0).trim_start_matches('"').to_owned();
                    let last = cells.pop().unwrap().trim_end_matches('"').to_owned();
                    return format!("\"{last}\",\"{}\",\"{first}\"", cells.join("\",\""));
                }
                (*line).to_owned()
            })
            .collect();
        let turned = read(&ledger, &turned.join("\r\n")).unwrap();
        let said = |parsed: &Parsed| -> BTreeSet<String> {
            parsed
                .drafts
                .iter()
                .filter(|d| d.role == Role::Entry)
                .map(|d| d.identity.clone().unwrap())
                .collect()
        };
        assert_eq!(said(&expected), said(&turned));
        let whens =
            |parsed: &Parsed| entries(parsed).iter().map(|e| e.entry().unwrap().when).collect::<Vec<_>>();
        assert_eq!(whens(&expected), whens(&turned));
    }

    #[test]
    fn only_an_action_that_says_so_opens_a_short() {
        let effect = |action: &str| match only(&format!(
            "01/02/2024,{action},ABC,ABC,10,$2.00,,{}20.00\n",
            if action.starts_with("Buy") { "-" } else { "" }
        )) {
            Event::TradeExecuted(trade) => (trade.side, trade.effect),
            other => panic!("{other:?}"),
        };
        assert_eq!(effect("Sell"), (Side::Sell, Effect::Close));
        assert_eq!(effect("Sell Short"), (Side::Sell, Effect::Open));
        assert_eq!(effect("Sell to Open"), (Side::Sell, Effect::Open));
        assert_eq!(effect("Buy"), (Side::Buy, Effect::Unstated));
        assert_eq!(effect("Buy to Close"), (Side::Buy, Effect::Close));
    }

    #[test]
    fn the_amount_stands_with_its_fee_and_a_bond_is_quoted_in_percent() {
        let Event::TradeExecuted(trade) =
            only("01/02/2024,Sell,ABC,ABC,592.199,$8.46,$10.00,\"$5,000.00\"\n")
        else {
            panic!()
        };
        assert_eq!(trade.net_amount, Some(Money::new(Decimal::from(5000), CURRENCY)));
        assert_eq!(trade.charges[0].amount, Money::new(Decimal::TEN, CURRENCY));
        let bond = rows("01/02/2024,Buy,037833100,SOME BOND 5%,\"10,000\",$98.50,,-$9900.12\n");
        let trades: Vec<_> = entries(&bond).into_iter().collect();
        let Event::TradeExecuted(trade) = trades[0] else { panic!() };
        assert_eq!((trade.multiplier.to_string().as_str(), bond.warnings.len()), ("0.01", 0));
        let odd = rows("01/02/2024,Buy,ABC,ABC,10,$2.00,,-$25.00\n");
        assert!(odd.warnings[0].text.contains("differs by 5"), "{:?}", odd.warnings);
    }

    #[test]
    fn a_split_counts_on_the_day_it_is_posted_and_cash_as_of_its_own() {
        let split = only("07/15/2024 as of 07/12/2024,Stock Split,ABC,ABC,9,$170.06,,\n");
        let Event::SplitApplied(event) = &split else { panic!() };
        assert_eq!(event.added, Some(Quantity::new(9.into())));
        assert_eq!((event.entry.trade_date.to_string().as_str(), event.ratio), ("2024-07-15", None));
        assert!(matches!(event.entry.when, When::On { phase: Phase::Open, .. }));
        let cash = only("10/14/2024 as of 10/10/2024,Cash In Lieu,ABC,ABC,,,,$5.49\n");
        assert_eq!(cash.entry().unwrap().trade_date.to_string(), "2024-10-10");
    }

    #[test]
    fn the_two_rows_of_an_exchange_are_two_events_of_one_group() {
        let parsed = rows(
            "07/26/2021,Stock Merger,NEWX,NEW CORP,50,,,\n07/26/2021,Stock Merger,037833100,OLD CORP XXXMANDATORY MERGER,-50,,,\n",
        );
        let events = entries(&parsed);
        let names = groups(&parsed);
        assert!(names[0].is_some() && names[0] == names[1]);
        for event in events {
            let Event::PositionExchanged(event) = event else { panic!() };
            assert_eq!(event.kind, ExchangeKind::Merger);
            assert!(event.gave.is_some() != event.received.is_some());
        }
        let parsed = rows("07/26/2021,Name Change,NEWX,NEW CORP,50,,,\n");
        assert_eq!(parsed.quarantined, 1);
        let parsed =
            rows("07/26/2021,Cash Merger,OLD,OLD,,,,$500.00\n07/26/2021,Cash Merger Adj,OLD,OLD,-50,,,\n");
        assert_eq!(parsed.quarantined, 0);
        assert!(groups(&parsed)[0].is_some());
        let Event::PositionExchanged(alone) = only("07/26/2021,Cash Merger,OLD,OLD,,,,$500.00\n") else {
            panic!()
        };
        assert_eq!(alone.gave.unwrap().quantity, None, "the whole holding went");
    }

    #[test]
    fn a_reverse_split_gives_and_receives_one_instrument() {
        let parsed = rows(
            "06/10/2024,Reverse Split,ABC,ABC HLDGS,1,,,\n06/10/2024,Reverse Split,037833100,ABC HLDGS XXXREVERSE SPLIT,-20,,,\n",
        );
        let legs: BTreeSet<_> = entries(&parsed)
            .into_iter()
            .map(|event| match event {
                Event::PositionExchanged(event) => {
                    event.gave.as_ref().or(event.received.as_ref()).unwrap().instrument
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(legs.len(), 1);
        assert!(parsed.drafts.iter().any(|draft| matches!(&draft.event, Event::IdentifierAssigned(event)
            if event.scheme == IdentifierScheme::Cusip)));
    }

    #[test]
    fn an_assigned_option_is_joined_to_its_shares() {
        let parsed = rows(
            "01/22/2024,Buy,SPY,SPDR,200,$470.00,,\"-$94,000.00\"\n01/22/2024 as of 01/19/2024,Assigned,SPY 01/19/2024 470.00 P,PUT,2,,,\n01/19/2024,Expired,SPY 01/19/2024 480.00 C,CALL,-1,,,\n",
        );
        let names = groups(&parsed);
        assert_eq!(names.iter().flatten().count(), 2);
        let settled: Vec<_> = entries(&parsed)
            .iter()
            .filter(|e| matches!(e, Event::OptionSettled(_)))
            .count()
            .to_string()
            .chars()
            .collect();
        assert_eq!(settled, ['2']);
    }

    #[test]
    fn interest_states_its_period() {
        let Event::InterestPosted(event) =
            only("01/30/2023,Credit Interest,,SCHWAB1 INT 12/29-01/29,,,,$123.85\n")
        else {
            panic!()
        };
        assert_eq!(event.period_from.unwrap().to_string(), "2022-12-29");
        assert_eq!(event.period_to.unwrap().to_string(), "2023-01-29");
    }

    #[test]
    fn a_bad_row_is_kept_aside_with_its_reason_and_the_rest_goes_on() {
        let parsed = rows(
            "01/02/2024,Buy,ABC,ABC,abc,$2.00,,-$20.00\n2024-01-02,Buy,ABC,ABC,1,$2.00,,-$2.00\n01/02/2024,Buy,ABC,ABC,,$2.00,,-$20.00\n01/02/2024,Buy,ABC,ABC,10,$2.00,,$20.00\n01/02/2024,Buy\n01/02/2024,Buy,ABC,\"A\"B,1,$2.00,,-$2.00\n01/02/2024,Buy,ABC,ABC,1,$2.00,,-$2.00\n",
        );
        let reasons: Vec<_> = parsed
            .drafts
            .iter()
            .filter_map(|draft| match &draft.event {
                Event::RecordQuarantined(event) => Some((
                    event.line.unwrap(),
                    event.reason.to_string(),
                    event.column.as_deref().map(str::to_owned),
                )),
                _ => None,
            })
            .collect();
        let of =
            |line, reason: &str, column: Option<&str>| (line, reason.to_owned(), column.map(str::to_owned));
        let mut sorted = reasons.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            [
                of(2, "bad_field", Some("Quantity")),
                of(3, "bad_field", Some("Date")),
                of(4, "missing_field", Some("Quantity")),
                of(5, "contradiction", Some("Amount")),
                of(6, "bad_row", None),
                of(7, "bad_row", None),
            ]
        );
        assert_eq!(entries(&parsed).len(), 1);
    }

    #[test]
    fn a_trade_whose_cash_no_decimal_holds_is_kept_aside_unless_its_amount_is_stated() {
        let row = |amount| format!("01/02/2024,Buy,ABC,ABC,0.123456789012345678,$12.34567891234,,{amount}\n");
        let parsed = rows(&row(""));
        let aside = parsed.drafts.iter().find_map(|draft| match &draft.event {
            Event::RecordQuarantined(event) => Some((event.reason.clone(), event.column.as_deref())),
            _ => None,
        });
        assert_eq!(aside, Some((QuarantineReason::MissingField, Some("Amount"))));
        let parsed = rows(&row("-$1.52"));
        assert_eq!((parsed.quarantined, entries(&parsed).len()), (0, 1));
    }

    #[test]
    fn a_file_that_is_none_of_schwabs_is_refused() {
        let fault = |text: &str| read(&Ledger::new(), text).unwrap_err()[0].to_string();
        assert!(fault("").contains("no line names the columns"));
        assert!(fault("a,b\n1,2\n").contains("no line names the columns"));
        assert!(fault(HEADER).contains("no rows"));
        assert!(fault("Date,Action,Symbol,Amount\n").contains("column `Quantity`: the column is missing"));
        assert!(
            fault(&format!("{HEADER}01/02/2024,\"Buy\n"))
                .contains("s.csv:2: column `Action`: the quote that opens here")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_faults_or_drafts(bytes in proptest::collection::vec(any::<u8>(), 0..300), cell in "[ -~]{0,14}", at in 0usize..60) {
            let ledger = Ledger::new();
            let mut cells: Vec<&str> = FILE.split("\",\"").collect();
            let place = at % cells.len();
            cells[place] = &cell;
            let corrupted = cells.join("\",\"");
            for input in [bytes.as_slice(), &[HEADER.as_bytes(), &bytes].concat(), corrupted.as_bytes()] {
                let _ = super::super::read(Format::Schwab, "s.csv", input, &ledger.portfolio, &ledger, &mut |_| {});
            }
        }
    }
}
