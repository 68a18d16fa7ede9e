//! The importer of prices: bars, ticks and rates from a CSV, always as traded.
//!
//! Rows are read whole before anything is made of them, because a split further down says what the prices above it
//! were. A file with one bad row is refused.

mod series;
mod table;

use super::desk::{Desk, Sought};
use super::faults::Faults;
use super::symbols::{self, Form, Symbol};
use super::{Context, Draft, Fault, InstrumentFacts, Parsed, Role, Warning};
use daybook_schemas::events::{Event, InstrumentClass};
use daybook_schemas::{Currency, Day, InstrumentId, Timestamp, Zone, calendar};
pub(crate) use series::Factor;
use series::{Bar, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use table::{Column, Quote, Table};

/// The feed that an imported file is.
const FEED: &str = "csv";

/// The names of the columns of prices.
pub(crate) fn column_names() -> impl Iterator<Item = &'static str> {
    Column::names()
}

/// How the prices of a file were adjusted by its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Adjustment {
    /// Not at all: they are as traded.
    #[default]
    None,
    /// For splits: prices and dividends before a split were divided by its ratio, volumes multiplied.
    Splits,
}

/// What is said of a file of prices beside its content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct PriceOptions {
    /// The symbol of every row, for a file without a column for it.
    pub(crate) symbol: Option<String>,
    /// How its source adjusted the prices.
    pub(crate) adjusted: Adjustment,
}

/// Reads a file of prices. `progress` is told the bytes read so far.
///
/// # Errors
/// Every fault that was found, up to [`super::faults::FAULTS_MAX`]; nothing of the file may be appended then.
pub(crate) fn read_prices(
    file_name: &str,
    input: impl Read,
    options: &PriceOptions,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    read_prices_of(FEED, file_name, input, options, context, progress)
}

/// Reads prices, in the form of such a file, that a feed states.
///
/// # Errors
/// As [`read_prices`].
pub(crate) fn read_prices_of(
    feed: &str,
    file_name: &str,
    input: impl Read,
    options: &PriceOptions,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    let mut faults = Faults::new(file_name);
    let symbol = match options.symbol.as_deref().map(symbols::read).transpose() {
        Ok(symbol) => symbol,
        Err(text) => return Err(vec![Fault::of_file(file_name, format!("--symbol: {text}"))]),
    };
    let table = Table::read(input, symbol.as_ref(), &mut faults, progress);
    let Some(table) = table.filter(|_| faults.is_empty()) else { return Err(faults.into_sorted()) };
    let mut file = File {
        name: file_name,
        feed,
        adjusted: options.adjusted,
        desk: Desk::new(context, None, None),
        faults,
        warned: BTreeSet::new(),
        parsed: Parsed { rows: table.quotes.len() as u64, ..Parsed::default() },
    };
    for (line, column, text) in &table.warnings {
        file.warn(*line, Some(column), text.clone());
    }
    for (target, quotes) in file.by_target(&table) {
        file.series(&target, quotes);
    }
    file.parsed.warnings.sort_by_key(|warning| warning.line);
    if file.faults.is_empty() { Ok(file.parsed) } else { Err(file.faults.into_sorted()) }
}

/// When a row's price held: on a day, or at an instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Moment {
    Day(Day),
    At(Timestamp),
}

impl Moment {
    /// The trading day.
    fn day(self) -> Day {
        match self {
            Self::Day(day) => day,
            Self::At(time) => time.day_in(Zone::NEW_YORK),
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::At(time) => time.fmt(f),
        }
    }
}

/// The last instant of a daily bar: the close in New York, or the end of the day of what never closes.
fn closes(day: Day, class: &InstrumentClass) -> Timestamp {
    match class {
        InstrumentClass::Crypto | InstrumentClass::CurrencyPair => day.end_in(Zone::UTC),
        _ => calendar::close_of(day),
    }
}

/// What a feed prices under a symbol.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Priced {
    /// The instrument.
    pub(crate) id: InstrumentId,
    /// What is known of it.
    pub(crate) facts: InstrumentFacts,
    /// What lists it, where nobody knew it before.
    pub(crate) references: Vec<Draft>,
}

/// The instrument of a symbol that a feed prices in a currency, listed provisionally where nobody knows it.
///
/// # Errors
/// A sentence that says why it cannot be told.
pub(crate) fn priced(
    context: &dyn Context,
    symbol: &Symbol,
    currency: Option<Currency>,
    day: Day,
) -> Result<Priced, String> {
    let mut desk = Desk::new(context, None, None);
    let sought = Sought {
        symbol,
        isin: None,
        mic: None,
        currency,
        quoted: false,
        default_currency: Currency::USD,
        multiplier: None,
        class: None,
        name: None,
        day,
        occurred_at: closes(day, &InstrumentClass::Unstated),
        line: 0,
    };
    let found = desk.instrument(&sought).map_err(|unclear| unclear.text)?;
    Ok(Priced { id: found.id, facts: found.facts, references: desk.take_drafts() })
}

/// The file while its rows are turned into events.
struct File<'f> {
    name: &'f str,
    feed: &'f str,
    adjusted: Adjustment,
    desk: Desk<'f>,
    faults: Faults,
    warned: BTreeSet<(String, String)>,
    parsed: Parsed,
}

impl File<'_> {
    /// Says something once, of the first row it is true of.
    fn warn(&mut self, line: u64, column: Option<&str>, text: String) {
        let column = column.map(str::to_owned);
        if self.warned.insert((column.clone().unwrap_or_default(), text.clone())) {
            self.parsed.warnings.push(Warning { file: self.name.to_owned(), line: Some(line), column, text });
        }
    }

    /// The rows of each instrument and of each pair, by time.
    fn by_target<'t>(&mut self, table: &'t Table) -> Vec<(Target, Vec<Bar<'t>>)> {
        let mut targets: BTreeMap<Target, Vec<Bar<'t>>> = BTreeMap::new();
        for quote in &table.quotes {
            let symbol = &table.symbols[quote.symbol];
            if let Some((target, currency, class)) = self.target(quote, symbol) {
                let (open, high, low) = (quote.open, quote.high, quote.low);
                let bar = Bar { quote, symbol, currency, class, open, high, low, close: quote.close };
                targets.entry(target).or_default().push(bar);
            }
        }
        let mut targets: Vec<_> = targets.into_iter().collect();
        for (_, bars) in &mut targets {
            bars.sort_by_key(|bar| (bar.quote.moment, bar.quote.line));
            for pair in bars.windows(2) {
                if let [first, second] = pair
                    && first.quote.moment == second.quote.moment
                {
                    let (first, second) = (first.quote, second.quote);
                    let text = format!(
                        "line {} has a price of {} already: keep one of them",
                        first.line, first.moment
                    );
                    self.faults.field(second.line, second.moment_column(), text);
                }
            }
        }
        targets
    }

    /// What a row prices, in which currency, and what that is.
    fn target(&mut self, quote: &Quote, symbol: &Symbol) -> Option<(Target, Currency, InstrumentClass)> {
        if let Form::Pair { base, quote: priced_in } = symbol.form {
            for (column, stated) in
                [(Column::Dividend, quote.dividend.is_some()), (Column::Split, quote.split.is_some())]
            {
                if stated {
                    self.faults.field(
                        quote.line,
                        column.name(),
                        format!("the currency pair `{}` has none", symbol.text),
                    );
                }
            }
            if quote.currency.is_some_and(|stated| stated != priced_in) {
                let text = format!("the pair `{}` is priced in {priced_in}", symbol.text);
                self.faults.field(quote.line, Column::Currency.name(), text);
            }
            if quote.close.is_zero() {
                self.faults.field(
                    quote.line,
                    Column::Close.name(),
                    "a rate of exchange must be greater than 0",
                );
            }
            return Some((Target::Pair(base, priced_in), priced_in, InstrumentClass::CurrencyPair));
        }
        let day = quote.moment.day();
        let sought = Sought {
            symbol,
            isin: None,
            mic: None,
            currency: quote.currency,
            quoted: false,
            default_currency: Currency::USD,
            multiplier: None,
            class: None,
            name: None,
            day,
            occurred_at: closes(day, &InstrumentClass::Unstated),
            line: quote.line,
        };
        let found = match self.desk.instrument(&sought) {
            Ok(found) => found,
            Err(unclear) => {
                self.faults.field(quote.line, Column::Symbol.name(), unclear.text);
                return None;
            }
        };
        let references = self.desk.take_drafts();
        self.parsed.drafts.extend(references);
        let listed = found.facts.currency;
        let currency = quote.currency.unwrap_or(listed);
        if currency != listed {
            let text = format!(
                "`{}` is listed in {listed} and priced in {currency}: it is valued through their rate",
                symbol.text
            );
            self.warn(quote.line, Some(Column::Currency.name()), text);
        }
        Some((Target::Instrument(found.id), currency, found.facts.class))
    }

    fn price(
        &mut self,
        event: impl Into<Event>,
        stream: String,
        occurred_at: Timestamp,
        identity: String,
        content: [u8; 32],
        line: u64,
    ) {
        self.parsed.drafts.push(Draft {
            event: event.into(),
            stream,
            occurred_at,
            identity: Some(identity),
            content_hash: content,
            line,
            role: Role::Price,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger_in_memory::Ledger;
    use super::*;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    fn read(ledger: &Ledger, text: &str, options: &PriceOptions) -> Result<Parsed, Vec<String>> {
        read_prices("p.csv", text.as_bytes(), options, ledger, &mut |_| {})
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn of(symbol: &str, adjusted: Adjustment) -> PriceOptions {
        PriceOptions { symbol: Some(symbol.to_owned()), adjusted }
    }

    fn fault(text: &str) -> String {
        read(&Ledger::new(), text, &PriceOptions::default()).unwrap_err().join("\n")
    }

    fn bars(parsed: &Parsed) -> Vec<String> {
        parsed
            .drafts
            .iter()
            .filter_map(|draft| match &draft.event {
                Event::BarClosed(bar) => Some(format!(
                    "{} {} {} by {}",
                    draft.occurred_at,
                    bar.close,
                    bar.volume.map(|volume| volume.to_string()).unwrap_or_default(),
                    bar.unadjusted_by.map_or("nothing".to_owned(), |ratio| ratio.to_string()),
                )),
                _ => None,
            })
            .collect()
    }

    /// 7:1 between the second day and the third, adjusted for it.
    const ADJUSTED: &str = "Date,Open,High,Low,Close,Volume,Dividend,Split\n\
        2014-06-05,92.3,92.8,91.8,92.47857,75951400,0.0,1.0\n\
        2014-06-06,92.8,93,92.1,92.22429,87484600,0.47,1.0\n\
        2014-06-09,92.7,93.9,91.7,93.7,75415000,0.0,7.0\n";

    #[test]
    fn a_bar_occurs_at_its_close_and_never_at_midnight() {
        let daily = |symbol| {
            read(&Ledger::new(), "date,close\n2024-01-05,10\n2024-07-05,11\n", &of(symbol, Adjustment::None))
        };
        assert_eq!(
            bars(&daily("X").unwrap()),
            ["2024-01-05T21:00:00Z 10  by nothing", "2024-07-05T20:00:00Z 11  by nothing",]
        );
        for symbol in ["BTCUSD", "BTC/USD", "BTC"] {
            assert_eq!(bars(&daily(symbol).unwrap())[0], "2024-01-05T23:59:59.999999999Z 10  by nothing");
        }
    }

    #[test]
    fn an_adjusted_file_is_undone_to_what_was_traded() {
        let parsed = read(&Ledger::new(), ADJUSTED, &of("AAPL", Adjustment::Splits)).unwrap();
        assert_eq!(
            bars(&parsed),
            [
                "2014-06-05T20:00:00Z 647.34999 10850200 by 7:1",
                "2014-06-06T20:00:00Z 645.57003 12497800 by 7:1",
                "2014-06-09T20:00:00Z 93.7 75415000 by nothing",
            ]
        );
        assert_eq!(parsed.warnings, []);
        let announced: Vec<_> = parsed
            .drafts
            .iter()
            .filter_map(|draft| match &draft.event {
                Event::CorporateActionAnnounced(action) => Some((
                    action.effective.to_string(),
                    action.ratio.map(|r| r.to_string()),
                    action.cash.map(|c| c.to_string()),
                )),
                _ => None,
            })
            .collect();
        assert_eq!(
            announced,
            [
                ("2014-06-06".to_owned(), None, Some("3.29 USD".to_owned())),
                ("2014-06-09".to_owned(), Some("7:1".to_owned()), None),
            ]
        );
    }

    #[test]
    fn what_was_said_of_the_adjustment_is_checked_against_the_jump() {
        let parsed = read(&Ledger::new(), ADJUSTED, &of("AAPL", Adjustment::None)).unwrap();
        assert_eq!(parsed.warnings.len(), 1);
        assert!(
            parsed.warnings[0]
                .to_string()
                .starts_with("p.csv:4: column `split`: `AAPL` was split 7:1 on 2014-06-09")
        );
        assert!(parsed.warnings[0].text.ends_with("--adjusted splits"));
        let traded = ADJUSTED
            .replace("92.47857", "647.35")
            .replace("92.22429", "645.57")
            .replace("93,92.1", "646,92.1");
        let parsed = read(&Ledger::new(), &traded, &of("AAPL", Adjustment::Splits)).unwrap();
        assert!(
            parsed.warnings.iter().any(|warning| warning.text.ends_with("--adjusted none")),
            "{:?}",
            parsed.warnings
        );
    }

    #[test]
    fn a_split_that_another_file_announced_is_undone_too() {
        let mut ledger = Ledger::new();
        let parsed = read(&ledger, ADJUSTED, &of("AAPL", Adjustment::Splits)).unwrap();
        ledger.apply(&parsed).unwrap();
        let text = "date,close,volume\n2014-06-04,92.1,700\n2014-06-10,94,70\n";
        let parsed = read(&ledger, text, &of("AAPL", Adjustment::Splits)).unwrap();
        assert_eq!(bars(&parsed)[0], "2014-06-04T20:00:00Z 644.7 100 by 7:1");
        let parsed = read(&ledger, "date,close\n2014-06-04,92.1\n", &of("AAPL", Adjustment::Splits)).unwrap();
        assert!(parsed.warnings[0].text.contains("after the last row"));
    }

    #[test]
    fn importing_prices_twice_adds_nothing_and_a_symbol_is_the_same_instrument_again() {
        let mut ledger = Ledger::new();
        let parsed = read(&ledger, ADJUSTED, &of("AAPL", Adjustment::Splits)).unwrap();
        assert_eq!(ledger.apply(&parsed), Ok(5));
        let again = read(&ledger, ADJUSTED, &of("aapl", Adjustment::Splits)).unwrap();
        assert_eq!(ledger.apply(&again), Ok(0));
        assert!(again.drafts.iter().all(|draft| draft.role == Role::Price));
        let restated = ADJUSTED.replace("92.47857", "92.47858");
        let restated = read(&ledger, &restated, &of("AAPL", Adjustment::Splits)).unwrap();
        assert!(
            ledger.apply(&restated).unwrap_err().contains("2014-06-05"),
            "another price is another content"
        );
    }

    #[test]
    fn a_pair_of_currencies_is_a_rate_and_times_within_a_day_are_ticks_or_bars() {
        let parsed =
            read(&Ledger::new(), "date,symbol,close\n2024-01-05,EURUSD,1.0945\n", &PriceOptions::default())
                .unwrap();
        let [draft] = parsed.drafts.as_slice() else { panic!("{:?}", parsed.drafts) };
        let Event::FxRateObserved(rate) = &draft.event else { panic!("{:?}", draft.event) };
        assert_eq!(
            (rate.base.as_str(), rate.quote.as_str(), rate.rate.to_string()),
            ("EUR", "USD", "1.0945".to_owned())
        );
        assert_eq!(draft.occurred_at.to_string(), "2024-01-05T23:59:59.999999999Z");
        let text =
            "time,symbol,open,close,volume\n2024-01-05T15:00:00Z,X,,10,5\n2024-01-05T15:01:00Z,X,10,11,5\n";
        let parsed = read(&Ledger::new(), text, &PriceOptions::default()).unwrap();
        let names: Vec<_> = parsed.drafts.iter().map(|draft| draft.event.event_type().name()).collect();
        assert_eq!(names[names.len() - 2..], ["PriceTick", "BarClosed"]);
    }

    #[test]
    fn a_bad_row_refuses_the_file_by_line_and_column() {
        let rows =
            |rows: &str| fault(&format!("date,symbol,open,high,low,close,volume,currency,split\n{rows}"));
        assert!(
            rows("2024-01-05,X,1,1,2,1,5,,\n")
                .starts_with("p.csv:2: column `high`: the highest price, 1, is less")
        );
        assert!(
            rows("2024-01-05,X,1,1,1,1,-5,,\n").contains("column `volume`: `volume` must not be negative")
        );
        assert!(
            rows("2024-01-05,X,1,1,1,,5,,\n").contains("column `close`: every row needs a closing price")
        );
        assert!(rows("2024-01-05,X,1,1,1,null,5,,\n").contains("column `close`: `null` is not a number"));
        assert!(rows("2024-01-05,,1,1,1,1,5,,\n").contains("column `symbol`: every row needs a symbol"));
        assert!(rows("2024-01-05,X,1,1,1,1,5,USX,\n").contains("`USX` is not a currency"));
        assert!(
            rows("2024-01-05,X,1,1,1,1,5,,-2\n").contains("column `split`: a ratio's parts must be positive")
        );
        assert!(rows("05/01/2024,X,1,1,1,1,5,,\n").contains("column `date`: `05/01/2024` is not a date"));
        assert!(rows("2024-01-05T15:00:00Z,X,1,1,1,1,5,,\n").contains("name the column `time`"));
        let twice = rows("2024-01-05,X,1,1,1,1,5,,\n2024-01-04,X,1,1,1,1,5,,\n2024-01-05,x,1,1,1,2,5,,\n");
        assert!(
            twice.contains("p.csv:4: column `date`: line 2 has a price of 2024-01-05 already"),
            "{twice}"
        );
    }

    #[test]
    fn faults_of_the_header_say_what_is_missing_or_meant() {
        assert!(fault("").contains("the file is empty"));
        assert!(fault("date,symbol,close\n").contains("no rows"));
        assert!(fault("date,symbol,clsoe\n").contains("did you mean `close`?"));
        assert!(fault("date,close\n2024-01-05,1\n").contains("--symbol"));
        assert!(fault("symbol,close\nX,1\n").contains("column `date`: the column is missing"));
        assert!(
            fault("date,symbol,open\n2024-01-05,X,1\n").contains("column `close`: the column is missing")
        );
        assert!(fault("date,time,symbol,close\n2024-01-05,,X,1\n").contains("remove one of them"));
        let yahoo = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-05,1,1,1,1,0.9,5\n";
        let parsed = read(&Ledger::new(), yahoo, &of("X", Adjustment::None)).unwrap();
        assert!(parsed.warnings[0].to_string().contains("column `Adj Close`: the column was left out"));
    }

    #[test]
    fn a_stated_currency_is_the_price_s_and_does_not_make_another_instrument() {
        let mut ledger = Ledger::new();
        let parsed =
            read(&ledger, "date,symbol,close,currency\n2024-01-05,VWRL,90,EUR\n", &PriceOptions::default())
                .unwrap();
        ledger.apply(&parsed).unwrap();
        assert_eq!(ledger.class("VWRL").currency.as_str(), "EUR");
        let parsed =
            read(&ledger, "date,symbol,close,currency\n2024-01-06,VWRL,80,GBP\n", &PriceOptions::default())
                .unwrap();
        assert!(parsed.warnings[0].text.contains("listed in EUR and priced in GBP"));
        ledger.apply(&parsed).unwrap();
        assert_eq!(ledger.class("VWRL").currency.as_str(), "EUR", "it is still one instrument");
    }

    proptest! {
        #[test]
        fn the_order_of_rows_and_columns_is_no_matter(order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(), rows in Just(vec![1usize, 2, 3]).prop_shuffle()) {
            let ledger = Ledger::new();
            let options = of("AAPL", Adjustment::Splits);
            let lines: Vec<Vec<&str>> = ADJUSTED.lines().map(|line| line.split(',').collect()).collect();
            let turned: Vec<String> = std::iter::once(0)
                .chain(rows)
                .map(|row| order.iter().map(|column| lines[row][*column]).collect::<Vec<_>>().join(","))
                .collect();
            let said = |text: &str| {
                let drafts = read(&ledger, text, &options).unwrap().drafts;
                drafts.into_iter().filter(|draft| draft.role == Role::Price).map(|draft| (draft.event, draft.identity)).collect::<Vec<_>>()
            };
            prop_assert_eq!(said(ADJUSTED), said(&turned.join("\n")));
        }

        #[test]
        fn undoing_an_adjustment_by_whole_numbers_is_exact(cents in 1i64..1_000_000_000, ratio in 2u32..50) {
            let traded = Decimal::new(cents, 2);
            let adjusted = daybook_schemas::decimal::divide(traded, ratio.into(), 20).unwrap();
            let text = format!("date,close,split\n2024-01-04,{adjusted},\n2024-01-05,1,{ratio}\n");
            let parsed = read(&Ledger::new(), &text, &of("X", Adjustment::Splits)).unwrap();
            let Some(Event::BarClosed(bar)) = parsed.drafts.iter().map(|draft| &draft.event).find(|event| matches!(event, Event::BarClosed(_))) else { panic!() };
            let exact = daybook_schemas::decimal::multiply(adjusted, ratio.into()).unwrap();
            prop_assert_eq!(bar.close.get(), exact);
        }

        #[test]
        fn any_bytes_are_faults_or_prices(bytes in proptest::collection::vec(any::<u8>(), 0..300), row in 1usize..4, column in 0usize..8, cell in "[ -~]{0,14}") {
            let ledger = Ledger::new();
            let mut lines: Vec<Vec<&str>> = ADJUSTED.lines().map(|line| line.split(',').collect()).collect();
            lines[row][column] = &cell;
            let corrupted: Vec<_> = lines.iter().map(|cells| cells.join(",")).collect();
            let corrupted = corrupted.join("\n");
            let header = ADJUSTED.lines().next().unwrap();
            for input in [bytes.as_slice(), &[header.as_bytes(), b"\n", &bytes].concat()] {
                let _ = read_prices("p.csv", input, &of("X", Adjustment::Splits), &ledger, &mut |_| {});
            }
            if let Err(faults) = read_prices("p.csv", corrupted.as_bytes(), &of("X", Adjustment::Splits), &ledger, &mut |_| {}) {
                prop_assert!(faults.iter().any(|fault| fault.line.is_some()), "{faults:?}");
            }
        }
    }
}
