//! One row of Robinhood's report, read as far as its cells go.

use super::codes::Meaning;
use super::{Aside, missing};
use crate::importers::rows::Row;
use crate::importers::symbols::{self, Form, OptionTerms, Symbol};
use crate::importers::{identity, nearest};
use daybook_schemas::events::{OptionRight, QuarantineReason};
use daybook_schemas::{Day, Multiplier, Price, decimal};
use rust_decimal::Decimal;

/// By how much of it an amount may differ from quantity × price before that is said, as one part in so many.
const DISAGREEMENT: u32 = 50;

/// A column of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Column {
    Activity,
    Process,
    Settle,
    Instrument,
    Description,
    Code,
    Quantity,
    Price,
    Amount,
}

impl Column {
    const ALL: [Self; 9] = [
        Self::Activity,
        Self::Process,
        Self::Settle,
        Self::Instrument,
        Self::Description,
        Self::Code,
        Self::Quantity,
        Self::Price,
        Self::Amount,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Activity => "Activity Date",
            Self::Process => "Process Date",
            Self::Settle => "Settle Date",
            Self::Instrument => "Instrument",
            Self::Description => "Description",
            Self::Code => "Trans Code",
            Self::Quantity => "Quantity",
            Self::Price => "Price",
            Self::Amount => "Amount",
        }
    }
}

/// Where the columns stand.
#[derive(Clone, Debug)]
pub(super) struct Header {
    cells: usize,
    places: [Option<usize>; Column::ALL.len()],
}

impl Header {
    /// Reads the header, with the columns that are not known; the column and what is wrong with it.
    pub(super) fn read(row: &Row) -> Result<(Self, Vec<String>), (String, String)> {
        let mut places = [None; Column::ALL.len()];
        let mut unknown = Vec::new();
        for (index, cell) in row.iter().enumerate() {
            let cell = collapse(cell);
            match Column::ALL.iter().find(|column| column.name().eq_ignore_ascii_case(&cell)) {
                Some(column) if places[*column as usize].is_some() => {
                    return Err((column.name().to_owned(), "the column stands twice: remove one".to_owned()));
                }
                Some(column) => places[*column as usize] = Some(index),
                None if cell.is_empty() => {}
                None => unknown.push(decimal::shorten(&cell)),
            }
        }
        for needed in Column::ALL {
            let optional = matches!(needed, Column::Process | Column::Settle);
            if places[needed as usize].is_none() && !optional {
                let names: Vec<&str> = unknown.iter().map(String::as_str).collect();
                let meant = nearest::of(needed.name(), &names).map(|name| format!(" (is it `{name}`?)"));
                let text = format!(
                    "the column is missing{}: download the account activity report as CSV from Robinhood",
                    meant.unwrap_or_default()
                );
                return Err((needed.name().to_owned(), text));
            }
        }
        Ok((Self { cells: row.len(), places }, unknown))
    }

    /// The name of the column of a cell, or its number.
    pub(super) fn name(&self, cell: usize) -> String {
        let column = Column::ALL.iter().find(|column| self.places[**column as usize] == Some(cell));
        column.map_or_else(|| (cell + 1).to_string(), |column| column.name().to_owned())
    }

    /// Whether a row may be the disclaimer at the end: it says one thing, and that is no date.
    pub(super) fn may_be_disclaimer(&self, row: &Row) -> bool {
        let mut filled = row.iter().map(str::trim).filter(|cell| !cell.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => only.contains(' ') && only.chars().any(char::is_alphabetic),
            _ => false,
        }
    }

    /// Reads a row.
    pub(super) fn line(&self, row: &Row) -> Result<Line, Aside> {
        if row.len() < self.cells || row.iter().skip(self.cells).any(|cell| !cell.trim().is_empty()) {
            let detail = format!("the row has {} cells and the header {}", row.len(), self.cells);
            return Err(Aside::of_row(detail));
        }
        let cell = |column: Column| self.places[column as usize].map_or("", |place| row.cell(place).trim());
        let bad = |column: Column, detail| Aside::new(QuarantineReason::BadField, column.name(), detail);
        let date = |column: Column| match cell(column) {
            "" => Ok(None),
            text => day(text).map(Some).map_err(|detail| bad(column, detail)),
        };
        let money = |column: Column| match cell(column) {
            "" => Ok(None),
            text => money(text).map(Some).map_err(|detail| bad(column, detail)),
        };
        let activity = date(Column::Activity)?;
        let code = collapse(cell(Column::Code));
        let Some(activity) = activity else { return Err(missing(Column::Activity.name(), &code)) };
        if code.is_empty() {
            let detail = "the row has no code, so what happened cannot be told";
            return Err(Aside::new(QuarantineReason::MissingField, Column::Code.name(), detail));
        }
        let meaning = Meaning::of(&code);
        let description = cell(Column::Description);
        let instrument = match cell(Column::Instrument) {
            "" => None,
            text => Some(symbols::read(text).map_err(|detail| bad(Column::Instrument, detail))?),
        };
        let option = if meaning.as_ref().is_some_and(Meaning::of_option) {
            let option = option(description).map_err(|detail| bad(Column::Description, detail))?;
            Some(option.ok_or_else(|| {
                let detail = "the description names no option, as in `ABC 1/19/2024 Call $150.00`";
                Aside::new(QuarantineReason::BadField, Column::Description.name(), detail)
            })?)
        } else {
            None
        };
        let (quantity, removed) = match cell(Column::Quantity) {
            "" => (None, false),
            text => quantity(text).map_err(|detail| bad(Column::Quantity, detail))?,
        };
        Ok(Line {
            activity,
            settles: date(Column::Settle)?,
            code,
            meaning,
            instrument,
            option,
            name: name(description),
            cusip: cusip(description),
            quantity,
            removed,
            price: money(Column::Price)?,
            amount: money(Column::Amount)?,
        })
    }
}

/// What a row says.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The day on which it happened.
    pub(super) activity: Day,
    pub(super) settles: Option<Day>,
    pub(super) code: String,
    /// What the code means, where it is known.
    pub(super) meaning: Option<Meaning>,
    pub(super) instrument: Option<Symbol>,
    /// The option that the description names, where the row speaks of one.
    pub(super) option: Option<Symbol>,
    /// The first line of the description.
    pub(super) name: Option<String>,
    pub(super) cusip: Option<String>,
    /// Units, without a sign.
    pub(super) quantity: Option<Decimal>,
    /// Whether the units went: the suffix `S`, or a minus.
    pub(super) removed: bool,
    pub(super) price: Option<Decimal>,
    pub(super) amount: Option<Decimal>,
}

impl Line {
    /// What the row is about.
    pub(super) fn symbol(&self) -> Option<&Symbol> {
        self.option.as_ref().or(self.instrument.as_ref())
    }

    /// What it is recognised by when it comes again. The words of the description are no part of it, as a company may have
    /// another name in the next report; nor are the days of processing and settlement, which a report may state
    /// before they are certain. Rows that then say the same are told apart by their number.
    pub(super) fn content(&self) -> [u8; 32] {
        let number =
            |value: Option<Decimal>| value.map(|value| value.normalize().to_string()).unwrap_or_default();
        let symbol = self.symbol().map(|symbol| symbol.text.clone()).unwrap_or_default();
        let mut quantity = number(self.quantity);
        if self.removed {
            quantity.push('S');
        }
        let columns = [
            ("date", self.activity.to_string()),
            ("code", self.code.to_lowercase()),
            ("symbol", symbol),
            ("quantity", quantity),
            ("price", number(self.price)),
            ("amount", number(self.amount)),
        ];
        let filled = columns.iter().filter(|(_, text)| !text.is_empty());
        identity::content(filled.map(|(name, text)| (*name, text.as_str())))
    }

    /// What is to be said where the amount is far from quantity × price; a price is rounded to cents and charges are small.
    pub(super) fn disagreement(&self, quantity: Decimal, multiplier: Multiplier) -> Option<String> {
        let amount = self.amount?.abs();
        let units = decimal::multiply(quantity, multiplier.get()).ok()?;
        let worth = decimal::multiply(units, self.price?.abs()).ok()?;
        let off = decimal::subtract(worth, amount).ok()?.abs();
        let rounded = decimal::multiply(decimal::add(units, Decimal::ONE).ok()?, Decimal::new(5, 3)).ok()?;
        let slack = decimal::add(rounded, decimal::divide(amount, DISAGREEMENT.into(), 12).ok()?).ok()?;
        (off > slack).then(|| {
            format!("{amount} USD differs by {off} from quantity × price: the amount stands, check the price")
        })
    }
}

/// A text with single spaces.
fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads `1/9/2024`, month first.
pub(super) fn day(text: &str) -> Result<Day, String> {
    let bad = || format!("`{}` is not a date as Robinhood writes it, month/day/year", decimal::shorten(text));
    let parts: Vec<&str> = text.trim().split('/').collect();
    let [month, day, year] = parts.as_slice() else { return Err(bad()) };
    let digits =
        |part: &&str| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if year.len() != 4
        || !year.bytes().all(|byte| byte.is_ascii_digit())
        || ![*month, *day].iter().all(digits)
    {
        return Err(bad());
    }
    Day::parse(&format!("{year}-{month:0>2}-{day:0>2}")).map_err(|error| match error {
        daybook_schemas::TimeError::OutOfRange(_) => error.to_string(),
        _ => bad(),
    })
}

/// Reads money as Robinhood writes it: `$1,234.56`, and `($1,234.56)` for what went out.
pub(super) fn money(text: &str) -> Result<Decimal, String> {
    let bad =
        || format!("`{}` is not money as Robinhood writes it, such as ($1,234.56)", decimal::shorten(text));
    let (inner, bracketed) = match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) => (inner.trim(), true),
        None => (text, false),
    };
    let (inner, minus) = match inner.strip_prefix('-') {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    let inner = inner.strip_prefix('$').unwrap_or(inner);
    let value = plain(inner).ok_or_else(bad)?;
    match (bracketed, minus) {
        (true, true) => Err(bad()),
        (false, false) => Ok(value),
        _ if value.is_zero() => Ok(value),
        _ => Ok(-value),
    }
}

/// Reads a quantity, and whether its suffix `S` or a minus says that the units went.
pub(super) fn quantity(text: &str) -> Result<(Option<Decimal>, bool), String> {
    let bad = || {
        format!("`{}` is not a quantity as Robinhood writes it, such as 40 or 200S", decimal::shorten(text))
    };
    let (inner, suffixed) = match text.strip_suffix(['S', 's']) {
        Some(inner) => (inner.trim_end(), true),
        None => (text, false),
    };
    let (inner, bracketed) = match inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    let (inner, minus) = match inner.strip_prefix('-') {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    if usize::from(suffixed) + usize::from(bracketed) + usize::from(minus) > 1 {
        return Err(bad());
    }
    let value = plain(inner).ok_or_else(bad)?;
    Ok((Some(value), suffixed || bracketed || minus))
}

/// Reads digits in groups of three, without a sign.
fn plain(text: &str) -> Option<Decimal> {
    let whole = text.split('.').next().unwrap_or_default();
    let groups: Vec<&str> = whole.split(',').collect();
    let grouped = groups.len() == 1
        || (1..=3).contains(&groups[0].len()) && groups[1..].iter().all(|group| group.len() == 3);
    if !grouped || text.starts_with(['+', '-']) || text[whole.len()..].contains(',') {
        return None;
    }
    decimal::parse(&text.replace(',', "")).ok()
}

/// The option that a description names, whatever stands around it: `ABC 1/19/2024 Call $150.00`.
pub(super) fn option(description: &str) -> Result<Option<Symbol>, String> {
    let words: Vec<&str> = description.split_whitespace().collect();
    for window in words.windows(4) {
        let [root, expiry, right, strike] = window else { continue };
        let right = match right.to_ascii_lowercase().as_str() {
            "call" => OptionRight::Call,
            "put" => OptionRight::Put,
            _ => continue,
        };
        let Some(strike) = strike.strip_prefix('$').filter(|_| expiry.contains('/')) else { continue };
        let terms =
            OptionTerms {
                // The OCC writes the root of a class of shares without its sign: BRK.B is BRKB.
                root: root.to_uppercase().replace(['.', '/', '-'], ""),
                expiry: day(expiry)?,
                right,
                strike: Price::new(plain(strike).ok_or_else(|| {
                    format!("`{}` is not the strike of an option", decimal::shorten(strike))
                })?),
            };
        let compact = terms
            .compact()
            .filter(|compact| matches!(symbols::read(compact).map(|symbol| symbol.form), Ok(Form::Option(_))))
            .ok_or_else(|| {
                format!("`{}` is no option whose symbol can be told", decimal::shorten(&window.join(" ")))
            })?;
        return Ok(Some(Symbol { text: compact, form: Form::Option(terms) }));
    }
    Ok(None)
}

/// The name of the instrument: the first line of its description.
fn name(description: &str) -> Option<String> {
    let name = collapse(description.lines().next().unwrap_or_default());
    let named = !name.is_empty() && !name.to_ascii_uppercase().starts_with("CUSIP:");
    named.then(|| name.chars().take(120).collect())
}

/// The CUSIP in a description, as in `CUSIP: 037833100`.
fn cusip(description: &str) -> Option<String> {
    let (_, rest) = description.split_once("CUSIP:")?;
    let word = rest.split_whitespace().next()?.to_ascii_uppercase();
    symbols::is_cusip(&word).then_some(word)
}
