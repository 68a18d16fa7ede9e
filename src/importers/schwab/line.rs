//! One row of Schwab's table, read as far as its cells go.

use super::actions::Meaning;
use super::{Aside, CURRENCY, is_option};
use crate::importers::rows::Row;
use crate::importers::symbols::{self, Form, OptionTerms, Symbol};
use crate::importers::{identity, nearest};
use daybook_schemas::events::{InstrumentClass, OptionRight, QuarantineReason};
use daybook_schemas::{Day, Multiplier, Price, decimal};
use rust_decimal::Decimal;

/// The multiplier of what is quoted in percent of its face value.
pub(super) const PERCENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// By how much of it an amount may differ from quantity × price before that is said, as one part in so many.
const DISAGREEMENT: u32 = 50;

/// A column of Schwab's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Date,
    Action,
    Symbol,
    Description,
    Quantity,
    Price,
    Fees,
    Amount,
}

impl Column {
    const ALL: [Self; 8] = [
        Self::Date,
        Self::Action,
        Self::Symbol,
        Self::Description,
        Self::Quantity,
        Self::Price,
        Self::Fees,
        Self::Amount,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Date => "Date",
            Self::Action => "Action",
            Self::Symbol => "Symbol",
            Self::Description => "Description",
            Self::Quantity => "Quantity",
            Self::Price => "Price",
            Self::Fees => "Fees & Comm",
            Self::Amount => "Amount",
        }
    }

    fn parse(cell: &str) -> Option<Self> {
        match cell.trim().to_lowercase().as_str() {
            "fees & commissions" | "fees and comm" | "fees and commissions" | "fees" => Some(Self::Fees),
            name => Self::ALL.into_iter().find(|column| column.name().to_lowercase() == name),
        }
    }
}

/// A header, and the names of columns that nobody knows.
type Found = (Header, Vec<String>);

/// Where each column stands.
pub(super) struct Header {
    cells: usize,
    places: [Option<usize>; Column::ALL.len()],
}

impl Header {
    /// The header stands within so many lines.
    pub(super) const LINES_BEFORE_MAX: u64 = 20;

    /// The header and the names of unknown columns, where the row is one; what is wrong with it otherwise.
    pub(super) fn read(row: &Row) -> Result<Option<Found>, (String, String)> {
        let columns: Vec<Option<Column>> = row.iter().map(Column::parse).collect();
        let has = |column: Column| columns.contains(&Some(column));
        if !(has(Column::Date) && has(Column::Action)) {
            return Ok(None);
        }
        let mut places = [None; Column::ALL.len()];
        let mut unknown = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            match column {
                Some(column) if places[*column as usize].is_some() => {
                    return Err((column.name().to_owned(), "the column stands twice: remove one".to_owned()));
                }
                Some(column) => places[*column as usize] = Some(index),
                // Older exports end every line with a comma.
                None if row.cell(index).trim().is_empty() => {}
                None => unknown.push(decimal::shorten(row.cell(index).trim())),
            }
        }
        for needed in [Column::Symbol, Column::Quantity, Column::Amount] {
            if places[needed as usize].is_none() {
                let names: Vec<&str> = unknown.iter().map(String::as_str).collect();
                let meant = nearest::of(needed.name(), &names).map(|name| format!(" (is it `{name}`?)"));
                let text = format!("the column is missing{}: export all columns", meant.unwrap_or_default());
                return Err((needed.name().to_owned(), text));
            }
        }
        Ok(Some((Self { cells: row.len(), places }, unknown)))
    }

    /// The name of the column of a cell, or its number.
    pub(super) fn name(&self, cell: usize) -> String {
        let column = Column::ALL.iter().find(|column| self.places[**column as usize] == Some(cell));
        column.map_or_else(|| (cell + 1).to_string(), |column| column.name().to_owned())
    }

    /// Whether the row is the sum at the end of the table.
    pub(super) fn is_total(row: &Row) -> bool {
        row.cell(0).trim().to_lowercase().starts_with("transactions total")
    }

    /// Reads a row.
    pub(super) fn line(&self, row: &Row) -> Result<Line, Aside> {
        if row.len() < self.cells || row.iter().skip(self.cells).any(|cell| !cell.trim().is_empty()) {
            let detail = format!("the row has {} cells and the header {}", row.len(), self.cells);
            return Err(Aside::of_row(detail));
        }
        let cell = |column: Column| self.places[column as usize].map_or("", |place| row.cell(place).trim());
        let number = |column: Column| {
            let text = cell(column);
            if text.is_empty() || text == "--" || text.eq_ignore_ascii_case("n/a") {
                return Ok(None);
            }
            number(text)
                .map(Some)
                .map_err(|detail| Aside::new(QuarantineReason::BadField, column.name(), detail))
        };
        let (posted, as_of) = date(cell(Column::Date))
            .map_err(|detail| Aside::new(QuarantineReason::BadField, Column::Date.name(), detail))?;
        let text = cell(Column::Symbol);
        let symbol =
            match text {
                "" => None,
                text => Some(symbol(text).map_err(|detail| {
                    Aside::new(QuarantineReason::BadField, Column::Symbol.name(), detail)
                })?),
            };
        let action = collapse(cell(Column::Action));
        let meaning = Meaning::of(&action, symbol.as_ref().is_some_and(is_option));
        Ok(Line {
            posted,
            as_of,
            action,
            meaning,
            symbol_text: text.to_uppercase(),
            symbol,
            description: collapse(cell(Column::Description)),
            quantity: number(Column::Quantity)?,
            price: number(Column::Price)?.map(|price| price.abs()),
            fees: number(Column::Fees)?,
            amount: number(Column::Amount)?,
        })
    }
}

/// What a row says.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The day on which it was posted.
    pub(super) posted: Day,
    /// The day as of which it was posted, where that is another one.
    pub(super) as_of: Option<Day>,
    pub(super) action: String,
    /// What the action means, where it is known.
    pub(super) meaning: Option<Meaning>,
    pub(super) symbol_text: String,
    pub(super) symbol: Option<Symbol>,
    pub(super) description: String,
    pub(super) quantity: Option<Decimal>,
    pub(super) price: Option<Decimal>,
    pub(super) fees: Option<Decimal>,
    pub(super) amount: Option<Decimal>,
}

impl Line {
    /// The day on which it counts.
    pub(super) fn day(&self) -> Day {
        match (&self.meaning, self.as_of) {
            (Some(meaning), Some(_)) if meaning.counts_when_posted() => self.posted,
            (_, Some(as_of)) => as_of,
            (_, None) => self.posted,
        }
    }

    /// What it is recognised by when it comes again.
    pub(super) fn content(&self, account: &str) -> [u8; 32] {
        let number =
            |value: Option<Decimal>| value.map(|value| value.normalize().to_string()).unwrap_or_default();
        let date = match self.as_of {
            Some(as_of) => format!("{} as of {as_of}", self.posted),
            None => self.posted.to_string(),
        };
        let columns = [
            ("account", account.to_owned()),
            ("date", date),
            ("action", self.action.to_lowercase()),
            ("symbol", self.symbol_text.clone()),
            ("description", self.description.to_uppercase()),
            ("quantity", number(self.quantity)),
            ("price", number(self.price)),
            ("fees", number(self.fees)),
            ("amount", number(self.amount)),
        ];
        let filled = columns.iter().filter(|(_, text)| !text.is_empty());
        identity::content(filled.map(|(name, text)| (*name, text.as_str())))
    }

    /// The name of the instrument, as the description has it before what happened to it.
    pub(super) fn instrument_name(&self) -> Option<String> {
        let name = self.description.split("XXX").next().unwrap_or_default().trim();
        (!name.is_empty()).then(|| name.chars().take(120).collect())
    }

    /// What a new symbol most likely is.
    pub(super) fn class(&self, symbol: &Symbol) -> Option<InstrumentClass> {
        let text = symbol.text.as_str();
        let letters = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let words: Vec<&str> = self.description.split_whitespace().collect();
        if letters && text.ends_with("XX") {
            Some(InstrumentClass::MoneyMarket)
        } else if letters && text.ends_with('X') {
            Some(InstrumentClass::Fund)
        } else if words.contains(&"ETF") {
            Some(InstrumentClass::Etf)
        } else if words.contains(&"ADR") {
            Some(InstrumentClass::DepositaryReceipt)
        } else {
            None
        }
    }

    /// Whether quantity × price is a hundred times the amount: what is quoted in percent, as bonds are.
    pub(super) fn is_quoted_in_percent(&self) -> bool {
        let traded = matches!(self.meaning, Some(Meaning::Trade { .. }));
        if !traded || !symbols::is_cusip(&self.symbol_text) {
            return false;
        }
        let quoted = |multiplier| self.off(self.quantity?.abs(), multiplier);
        // Accrued interest and charges are a few percent of the amount.
        quoted(Multiplier::new(PERCENT))
            .is_some_and(|(off, amount)| decimal::multiply(off, Decimal::TEN).is_ok_and(|off| off < amount))
    }

    /// By how much the amount differs from quantity × price, and the amount without its sign.
    fn off(&self, quantity: Decimal, multiplier: Multiplier) -> Option<(Decimal, Decimal)> {
        let amount = self.amount?.abs();
        let units = decimal::multiply(quantity, multiplier.get()).ok()?;
        let worth = decimal::multiply(units, self.price?).ok()?;
        Some((decimal::subtract(worth, amount).ok()?.abs(), amount))
    }

    /// What is to be said where the amount is far from quantity × price; a price is rounded and charges are small.
    pub(super) fn disagreement(&self, quantity: Decimal, multiplier: Multiplier) -> Option<String> {
        let (off, amount) = self.off(quantity, multiplier)?;
        let slack = decimal::add(
            self.fees.unwrap_or_default().abs(),
            decimal::divide(amount, DISAGREEMENT.into(), 12).ok()?,
        );
        // The price and the amount are rounded to cents at the coarsest.
        let rounded = decimal::multiply(decimal::add(quantity, Decimal::ONE).ok()?, half_a_cent()).ok()?;
        let slack = decimal::add(slack.ok()?, rounded).ok()?;
        (off > slack).then(|| {
            format!("{amount} {CURRENCY} differs by {off} from quantity × price: the amount stands, check the price")
        })
    }

    /// The period that a line of interest is for: `SCHWAB1 INT 09/28-10/29`.
    pub(super) fn period(&self) -> Option<(Day, Day)> {
        let word = self
            .description
            .split_whitespace()
            .find(|word| word.len() == 11 && word.as_bytes()[5] == b'-')?;
        let (from, to) = word.split_once('-')?;
        let year = self.posted.to_string().get(..4)?.parse::<i32>().ok()?;
        let day = |text: &str, year| {
            let (month, day) = text.split_once('/')?;
            Day::from_ymd(year, month.parse().ok()?, day.parse().ok()?)
        };
        // A period lies before the day on which it is posted.
        let latest =
            |text, until: Day| day(text, year).filter(|day| *day <= until).or_else(|| day(text, year - 1));
        let to = latest(to, self.posted.plus_days(7))?;
        Some((latest(from, to)?, to))
    }
}

fn half_a_cent() -> Decimal {
    Decimal::new(5, 3)
}

/// A text with single spaces.
fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads `10/31/2023`, or `10/31/2023 as of 10/30/2023`: the day it was posted, and as of which.
fn date(text: &str) -> Result<(Day, Option<Day>), String> {
    let (posted, as_of) = match text.split_once(" as of ") {
        Some((posted, as_of)) => (posted, Some(day(as_of)?)),
        None => (text, None),
    };
    let posted = day(posted)?;
    Ok((posted, as_of.filter(|as_of| *as_of != posted)))
}

fn day(text: &str) -> Result<Day, String> {
    let bad = || format!("`{}` is not a date as Schwab writes it, month/day/year", decimal::shorten(text));
    let parts: Vec<&str> = text.trim().split('/').collect();
    let [month, day, year] = parts.as_slice() else { return Err(bad()) };
    if year.len() != 4
        || [month, day, year].iter().any(|part| !part.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err(bad());
    }
    let number = |text: &str| text.parse::<u32>().map_err(|_| bad());
    let written = format!("{year}-{:02}-{:02}", number(month)?, number(day)?);
    Day::parse(&written).map_err(|error| match error {
        daybook_schemas::TimeError::OutOfRange(_) => error.to_string(),
        _ => bad(),
    })
}

/// Reads a number as Schwab writes it: `1,259.59`, `$4.20`, `-$694.48`, `($694.48)`.
fn number(text: &str) -> Result<Decimal, String> {
    let bad =
        || format!("`{}` is not a number as Schwab writes it, such as -$1,234.56", decimal::shorten(text));
    let (inner, bracketed) = match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) => (inner.trim(), true),
        None => (text, false),
    };
    let (inner, negative) = match inner.strip_prefix('-') {
        Some(inner) => (inner, true),
        None => (inner.strip_prefix('+').unwrap_or(inner), false),
    };
    let inner = inner.strip_prefix('$').unwrap_or(inner).trim();
    let (inner, negative_within) = match inner.strip_prefix('-') {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    let (whole, _) = inner.split_once('.').unwrap_or((inner, ""));
    let groups: Vec<&str> = whole.split(',').collect();
    let grouped = groups.len() == 1
        || (1..=3).contains(&groups[0].len()) && groups[1..].iter().all(|group| group.len() == 3);
    let signs = usize::from(bracketed) + usize::from(negative) + usize::from(negative_within);
    if !grouped || signs > 1 || inner.starts_with(['+', '-']) {
        return Err(bad());
    }
    let value = decimal::parse(&inner.replace(',', "")).map_err(|_| bad())?;
    Ok(if signs == 1 && !value.is_zero() { -value } else { value })
}

/// Reads a symbol, an option's as `SPY 01/19/2024 470.00 C` among them.
fn symbol(text: &str) -> Result<Symbol, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [root, expiry, strike, right @ ("C" | "P")] = words.as_slice()
        && expiry.split('/').count() == 3
        && let Ok(strike) = decimal::parse(strike)
    {
        let expiry = day(expiry)?;
        let right = if *right == "C" { OptionRight::Call } else { OptionRight::Put };
        // The OCC writes the root of a class of shares without its sign: BRK/B is BRKB.
        let root = root.to_uppercase().replace(['/', '.'], "");
        let terms = OptionTerms { root, expiry, right, strike: Price::new(strike) };
        if let Some(compact) = terms.compact() {
            return Ok(Symbol { text: compact, form: Form::Option(terms) });
        }
    }
    symbols::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_schwab_writes_them() {
        for (text, value) in [
            ("1,259.59", "1259.59"),
            ("-$694.48", "-694.48"),
            ("$-694.48", "-694.48"),
            ("($1,694.48)", "-1694.48"),
            ("500,135", "500135"),
            ("$0.00", "0"),
            ("-1,000", "-1000"),
        ] {
            assert_eq!(number(text).unwrap().to_string(), value.to_owned(), "{text}");
        }
        for bad in ["1,5", "12,34.5", "-(5)", "--5", "$", "5 USD", ",5", "1e5", "-$-5"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_may_state_the_day_it_is_as_of() {
        let (posted, as_of) = date("10/31/2023 as of 10/30/2023").unwrap();
        assert_eq!(
            (posted.to_string(), as_of.unwrap().to_string()),
            ("2023-10-31".into(), "2023-10-30".into())
        );
        for bad in ["2023-10-31", "13/01/2023", "02/30/2023", "10/31/23", "", "10/31/1823"] {
            assert!(date(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_option_is_read_from_its_parts() {
        assert_eq!(symbol("SPY 01/19/2024 470.00 C").unwrap(), symbols::read("SPY240119C00470000").unwrap());
        assert!(symbol("SPY 02/30/2024 470.00 C").unwrap_err().contains("`02/30/2024` is not a date"));
        assert!(symbol("SPY240230C00470000").is_err());
        assert_eq!(symbol("BRK/B").unwrap().form, Form::Plain);
        assert_eq!(
            symbol("BRK/B 01/19/2024 470.00 P").unwrap(),
            symbols::read("BRKB240119P00470000").unwrap()
        );
    }
}
