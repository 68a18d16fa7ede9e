//! The table of prices: its columns under the names that sources give them, and its rows.

use super::Moment;
use crate::importers::faults::Faults;
use crate::importers::rows::{Row, Rows, Trouble};
use crate::importers::symbols::{self, Symbol};
use crate::importers::{Fault, nearest};
use daybook_schemas::{Currency, Day, Ratio, Timestamp, decimal};
use rust_decimal::Decimal;
use std::collections::HashMap;
use std::io::Read;

/// How many rows pass between two reports of progress.
const PROGRESS_ROWS: u64 = 4096;

/// A column of prices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Column {
    Date,
    Time,
    Symbol,
    Open,
    High,
    Low,
    Close,
    Volume,
    Currency,
    Dividend,
    Split,
}

impl Column {
    const ALL: [Self; 11] = [
        Self::Date,
        Self::Time,
        Self::Symbol,
        Self::Open,
        Self::High,
        Self::Low,
        Self::Close,
        Self::Volume,
        Self::Currency,
        Self::Dividend,
        Self::Split,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Time => "time",
            Self::Symbol => "symbol",
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::Currency => "currency",
            Self::Dividend => "dividend",
            Self::Split => "split",
        }
    }

    /// The names of all columns.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|column| column.name())
    }

    /// The column of a name; what Alpha Vantage, Yahoo and their friends call it is understood too.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "timestamp" | "datetime" => Some(Self::Time),
            "ticker" => Some(Self::Symbol),
            "dividends" | "dividend_amount" | "dividend amount" => Some(Self::Dividend),
            "splits" | "stock splits" | "split_coefficient" | "split coefficient" | "split_ratio" => {
                Some(Self::Split)
            }
            name => Self::ALL.into_iter().find(|column| column.name() == name),
        }
    }
}

/// Columns of prices adjusted for dividends: they are no prices that anybody traded at, and nothing needs them.
const LEFT_OUT: &[&str] = &["adj close", "adj_close", "adjclose", "adjusted close", "adjusted_close"];

/// A row of prices.
#[derive(Clone, Debug)]
pub(super) struct Quote {
    pub(super) line: u64,
    /// Its place among the symbols of the table.
    pub(super) symbol: usize,
    pub(super) moment: Moment,
    pub(super) open: Option<Decimal>,
    pub(super) high: Option<Decimal>,
    pub(super) low: Option<Decimal>,
    pub(super) close: Decimal,
    pub(super) volume: Option<Decimal>,
    pub(super) currency: Option<Currency>,
    pub(super) dividend: Option<Decimal>,
    pub(super) split: Option<Ratio>,
}

impl Quote {
    /// The column that says when.
    pub(super) const fn moment_column(&self) -> &'static str {
        match self.moment {
            Moment::Day(_) => Column::Date.name(),
            Moment::At(_) => Column::Time.name(),
        }
    }
}

/// A file of prices.
pub(super) struct Table {
    pub(super) symbols: Vec<Symbol>,
    pub(super) quotes: Vec<Quote>,
    /// Line, column and text.
    pub(super) warnings: Vec<(u64, String, String)>,
}

/// Which cell holds which column.
struct Header(Vec<Option<Column>>);

impl Table {
    /// Reads a file; faults are pushed, and none is given where nothing can be read.
    pub(super) fn read(
        input: impl Read,
        symbol: Option<&Symbol>,
        faults: &mut Faults,
        progress: &mut dyn FnMut(u64),
    ) -> Option<Self> {
        let (mut rows, mut row) = (Rows::new(input, false), Row::default());
        let mut table = Self { symbols: Vec::new(), quotes: Vec::new(), warnings: Vec::new() };
        let header = match rows.next(&mut row) {
            None => {
                let text = "the file is empty: its first line names the columns, such as date,open,high,low,close,volume";
                faults.push(Fault::of_file(faults.file(), text));
                return None;
            }
            Some(Err(trouble)) => {
                push_trouble(faults, &Header(Vec::new()), trouble);
                return None;
            }
            Some(Ok(())) => Header::read(&row, symbol.is_some(), faults, &mut table.warnings)?,
        };
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut read: u64 = 0;
        while let Some(next) = rows.next(&mut row) {
            read += 1;
            match next {
                Err(trouble) => push_trouble(faults, &header, trouble),
                Ok(()) if row.len() != header.0.len() => {
                    let text = format!("the row has {} cells and the header {}", row.len(), header.0.len());
                    faults.line(row.line, text);
                }
                Ok(()) => table.quote(&row, &header, symbol, &mut places, faults),
            }
            if read.is_multiple_of(PROGRESS_ROWS) {
                progress(rows.bytes());
            }
        }
        progress(rows.bytes());
        if read == 0 {
            faults.push(Fault::of_file(
                faults.file(),
                "the file has a header and no rows: there is nothing to import",
            ));
        }
        Some(table)
    }

    fn quote(
        &mut self,
        row: &Row,
        header: &Header,
        symbol: Option<&Symbol>,
        places: &mut HashMap<String, usize>,
        faults: &mut Faults,
    ) {
        let mut cells = Cells { row, header, faults, good: true };
        let moment = cells.moment();
        let symbol = cells.symbol(symbol);
        let [open, high, low, close] =
            [Column::Open, Column::High, Column::Low, Column::Close].map(|column| cells.not_negative(column));
        let volume = cells.not_negative(Column::Volume);
        let currency = cells.read(Column::Currency, Currency::parse);
        let dividend = cells.not_negative(Column::Dividend).filter(|dividend| !dividend.is_zero());
        let split = cells.read(Column::Split, split).flatten();
        if close.is_none() && cells.text(Column::Close).is_empty() {
            cells.fault(Column::Close, "every row needs a closing price: remove a row that has none");
        }
        if let (Some(high), Some(low)) = (high, low)
            && high < low
        {
            cells.fault(Column::High, format!("the highest price, {high}, is less than the lowest, {low}"));
        }
        if !cells.good {
            return;
        }
        let (Some(moment), Some(symbol), Some(close)) = (moment, symbol, close) else { return };
        let outside = [open, Some(close)]
            .into_iter()
            .flatten()
            .any(|price| high.is_some_and(|high| price > high) || low.is_some_and(|low| price < low));
        if outside {
            let text = "a price lies outside the range from low to high; it is kept as it stands".to_owned();
            self.warnings.push((row.line, Column::High.name().to_owned(), text));
        }
        if close.is_zero() {
            let text = "a closing price of 0 values the holding at nothing: remove the row if it is a gap"
                .to_owned();
            self.warnings.push((row.line, Column::Close.name().to_owned(), text));
        }
        let next = self.symbols.len();
        let place = *places.entry(symbol.text.clone()).or_insert(next);
        if place == next {
            self.symbols.push(symbol);
        }
        let line = row.line;
        self.quotes.push(Quote {
            line,
            symbol: place,
            moment,
            open,
            high,
            low,
            close,
            volume,
            currency,
            dividend,
            split,
        });
    }
}

impl Header {
    fn read(
        row: &Row,
        has_symbol: bool,
        faults: &mut Faults,
        warnings: &mut Vec<(u64, String, String)>,
    ) -> Option<Self> {
        if row.len() == 1 && row.cell(0).contains([';', '\t']) {
            faults.line(row.line, "the columns are not separated by commas: export the file with commas");
            return None;
        }
        let names = Column::ALL.map(Column::name);
        let mut columns = Vec::new();
        let mut good = true;
        for (index, cell) in row.iter().enumerate() {
            let name = cell.trim().to_lowercase();
            let column = Column::parse(&name);
            if LEFT_OUT.contains(&name.as_str()) {
                let text = "the column was left out: prices are kept as they were traded".to_owned();
                warnings.push((row.line, decimal::shorten(cell.trim()), text));
            } else if column.is_none() {
                good = false;
                let (shown, text) = match nearest::of(&name, &names) {
                    _ if name.is_empty() => {
                        ((index + 1).to_string(), "the column has no name: name it or remove it".to_owned())
                    }
                    Some(meant) => (name, format!("there is no such column (did you mean `{meant}`?)")),
                    None => (
                        name,
                        format!("there is no such column: remove it, or name it one of {}", names.join(",")),
                    ),
                };
                faults.field(row.line, &decimal::shorten(&shown), text);
            } else if columns.contains(&column) {
                good = false;
                faults.field(row.line, &decimal::shorten(&name), "the column stands twice: remove one");
            }
            columns.push(column);
        }
        let has = |column: Column| columns.contains(&Some(column));
        let mut missing = Vec::new();
        match (has(Column::Date), has(Column::Time)) {
            (true, true) => {
                missing.push((Column::Time, "`date` and `time` both say when: remove one of them"));
            }
            (false, false) => missing
                .push((Column::Date, "the column is missing: add `date`, or `time` with RFC 3339 times")),
            _ => {}
        }
        if !has(Column::Close) {
            missing.push((Column::Close, "the column is missing: it is the one price that every row needs"));
        }
        if !has(Column::Symbol) && !has_symbol {
            missing.push((
                Column::Symbol,
                "the column is missing: add it, or name the symbol of all rows with --symbol",
            ));
        }
        for (column, text) in missing.into_iter().filter(|_| good) {
            faults.field(row.line, column.name(), text);
        }
        (good && faults.is_empty()).then_some(Self(columns))
    }

    fn place(&self, column: Column) -> Option<usize> {
        self.0.iter().position(|held| *held == Some(column))
    }

    fn name(&self, cell: usize) -> String {
        match self.0.get(cell) {
            Some(Some(column)) => column.name().to_owned(),
            _ => (cell + 1).to_string(),
        }
    }
}

fn push_trouble(faults: &mut Faults, header: &Header, trouble: Trouble) {
    match trouble.cell {
        None => faults.line(trouble.line, trouble.text),
        Some(cell) => faults.field(trouble.line, &header.name(cell), trouble.text),
    }
}

/// The cells of one row while they are read.
struct Cells<'c> {
    row: &'c Row,
    header: &'c Header,
    faults: &'c mut Faults,
    good: bool,
}

impl<'c> Cells<'c> {
    fn text(&self, column: Column) -> &'c str {
        self.header.place(column).map_or("", |place| self.row.cell(place).trim())
    }

    fn fault(&mut self, column: Column, text: impl Into<String>) {
        self.good = false;
        self.faults.field(self.row.line, column.name(), text);
    }

    fn read<T>(&mut self, column: Column, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(column);
        if text.is_empty() {
            return None;
        }
        parse(text).map_err(|text| self.fault(column, text)).ok()
    }

    fn not_negative(&mut self, column: Column) -> Option<Decimal> {
        self.read(column, |text| {
            let value = decimal::parse(text)?;
            if value >= Decimal::ZERO {
                Ok(value)
            } else {
                Err(format!("`{}` must not be negative, not {value}", column.name()))
            }
        })
    }

    fn moment(&mut self) -> Option<Moment> {
        let column = if self.header.place(Column::Date).is_some() { Column::Date } else { Column::Time };
        if self.text(column).is_empty() {
            self.fault(column, "every row needs to say when its price held");
        }
        self.read(column, |text| {
            if column == Column::Date || text.len() == 10 {
                return Day::parse(text).map(Moment::Day).map_err(|error| match Timestamp::parse(text) {
                    Ok(_) => "it is a time: name the column `time` for prices within the day".to_owned(),
                    Err(_) => error.to_string(),
                });
            }
            Timestamp::parse(text).map(Moment::At).map_err(|error| error.to_string())
        })
    }

    fn symbol(&mut self, given: Option<&Symbol>) -> Option<Symbol> {
        let stated = self.read(Column::Symbol, symbols::read);
        match (given, stated) {
            (Some(given), Some(stated)) if *given != stated => {
                let text = format!(
                    "the row says `{}` and --symbol says `{}`: leave one of them out",
                    stated.text, given.text
                );
                self.fault(Column::Symbol, text);
                None
            }
            (Some(given), _) => Some(given.clone()),
            (None, Some(stated)) => Some(stated),
            (None, None) => {
                if self.text(Column::Symbol).is_empty() {
                    self.fault(Column::Symbol, "every row needs a symbol where --symbol names none");
                }
                None
            }
        }
    }
}

/// Reads a split: `7`, `1/3` or `1:3` new for old; 0, 1 and nothing mean that there was none.
fn split(text: &str) -> Result<Option<Ratio>, String> {
    if decimal::parse(text).is_ok_and(|value| value.is_zero() || value == Decimal::ONE) {
        return Ok(None);
    }
    Ratio::parse(text).map(Some)
}
