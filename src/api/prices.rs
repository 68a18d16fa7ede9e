//! Prices and rates of exchange: listed, recorded one by one, imported by the file.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::Attempt;
use super::body::{Fields, Form, Input};
use super::imports::{Errand, ImportAnswer};
use super::page::{Limit, List, Page, Pin};
use super::precondition::Precondition;
use super::problem::{Fault, Kind, Problem};
use super::record::record;
use super::scalar::{CurrencyCode, Date, Exact, Instrument, Sequence, Time};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::upload::{Part, Texts, Upload};
use crate::importers::{Adjustment, Format, PriceOptions};
use crate::journal::{Journal, JournalError, decode};
use daybook_ledger::{Direction, RecordView};
use daybook_projections::{Library, Resolution};
use daybook_schemas::events::{Event, IdentifierScheme, Role};
use daybook_schemas::{Currency, Day, ImportId, InstrumentId, Price, Timestamp, Zone, stream};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use rust_decimal::Decimal;
use std::collections::HashMap;
use std::ops::ControlFlow;

record! {
    /// A price: a bar, a rate of exchange, or one that was seen at an instant.
    PriceItem {
        /// `bar`, `rate`, or what kind of price was seen: `trade`, `bid`, `ask`, `mid`…
        kind: String,
        /// The day of a daily bar or rate
        date: Option<Date>,
        /// When the price was seen, or the bar closed
        time: Time,
        /// First price
        open: Option<Exact>,
        /// Highest price
        high: Option<Exact>,
        /// Lowest price
        low: Option<Exact>,
        /// Last price; of a rate, units of `currency` for one unit of the other
        close: Exact,
        /// Units traded
        volume: Option<Exact>,
        /// The prices' currency
        currency: CurrencyCode,
        /// Who stated it
        feed: String,
        /// 0 for the first statement by its feed, then one more for each restatement
        revision: u32,
        /// The instrument; absent for a rate
        instrument: Option<Instrument>,
        /// The event
        sequence: Sequence,
    }
}

/// The columns of a row of prices, and what each says.
const COLUMNS: &[(&str, &str)] = &[
    ("date", "The trading day of a daily bar"),
    ("time", "The instant of a price, or of a bar's close, RFC 3339"),
    ("symbol", "The instrument's symbol, unless `symbol` beside the items says it for all"),
    ("open", "First price"),
    ("high", "Highest price"),
    ("low", "Lowest price"),
    ("close", "Last price"),
    ("volume", "Units traded"),
    ("currency", "The prices' currency; the listing's, else USD, if not said"),
    ("dividend", "A dividend in cash that goes with the day"),
    ("split", "A split that goes with the day, new units for one old"),
];

/// A row of prices, by the columns of a file of prices.
pub(super) struct PriceRow(Vec<Option<String>>);

impl PriceRow {
    /// A row whose columns are these.
    pub(super) fn of(cell: impl FnMut(&str) -> Option<String>) -> Self {
        Self(COLUMNS.iter().map(|(name, _)| *name).map(cell).collect())
    }
}

impl poem_openapi::types::Type for PriceRow {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        "PriceRow".into()
    }

    fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
        poem_openapi::registry::MetaSchemaRef::Reference("PriceRow".to_owned())
    }

    fn register(registry: &mut poem_openapi::registry::Registry) {
        use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
        registry.create_schema::<Self, _>("PriceRow".to_owned(), |_| MetaSchema {
            description: Some("A row of prices, by the columns of a file of prices; numbers are strings"),
            required: vec!["close"],
            properties: COLUMNS
                .iter()
                .map(|(name, about)| {
                    let schema = MetaSchema { description: Some(*about), ..MetaSchema::new("string") };
                    (*name, MetaSchemaRef::Inline(Box::new(schema)))
                })
                .collect(),
            ..MetaSchema::new("object")
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl poem_openapi::types::ToJSON for PriceRow {
    fn to_json(&self) -> Option<serde_json::Value> {
        let cells = COLUMNS.iter().zip(&self.0);
        Some(cells.filter_map(|((name, _), text)| Some((*name, text.clone()?))).collect())
    }
}

record! {
    /// Prices to be recorded: an import of their own, which can be reverted.
    PricesRequest {
        /// The prices
        items: Vec<PriceRow>,
        /// The symbol of all of them
        symbol: Option<String>,
        /// How their source adjusted them: `none` (if not said) or `splits`
        adjusted: Option<String>,
    }
}

impl Form for PricesRequest {
    fn read(fields: &mut Fields) -> Self {
        let items = fields.objects("items", |row| PriceRow::of(|name| row.text(name)));
        Self { items, symbol: fields.text("symbol"), adjusted: fields.text("adjusted") }
    }
}

/// What may come beside a file of prices.
pub(super) struct PriceFile;

impl Texts for PriceFile {
    const NAME: &'static str = "PriceFile";
    const PARTS: &'static [Part] = &[
        ("symbol", "The symbol of a file that has no column for it"),
        ("adjusted", "How its source adjusted the prices: `none` (if not said) or `splits`"),
        ("dry_run", "`true` to say what would be recorded, and to record nothing"),
        ("format", "`prices`, and nothing else"),
    ];
    const REQUIRED: &'static [&'static str] = &[];
}

/// The routes of prices.
pub(super) struct Prices(pub(super) Service);

#[OpenApi(tag = "Tag::Prices")]
impl Prices {
    /// List the prices of an instrument, or the rates of a pair of currencies
    ///
    /// By the instant at which they occurred. A bar that was stated again is listed as its feed stated it last.
    #[oai(path = "/prices/:symbol", method = "get", operation_id = "listPrices")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// The instrument's symbol or id, or a pair of currencies such as `EURUSD`
        symbol: Path<String>,
        /// The first day
        from: Query<Option<Date>>,
        /// The last day
        to: Query<Option<Date>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<PriceItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let (from, to) = seen::span(from.0, to.0)?;
        // What portfolios of others hold is not to be guessed from which symbols are known.
        let only_priced = *caller.role() == Role::Service;
        self.0
            .blocking(move |journal| {
                let (pin, tag, quoted, streams) = {
                    let library = journal.library()?;
                    let unknown = || unknown_symbol(&symbol.0);
                    let quoted = resolve(&library, &symbol.0);
                    let quoted = if only_priced { quoted.map_err(|_| unknown())? } else { quoted? };
                    let pin = page.pinned(library.applied(), Pin::known(library.applied()))?;
                    let tag =
                        question.tag(&[library.prices.last_sequence(), library.instruments.changed_at()]);
                    let streams: Vec<String> =
                        library.prices.feeds().map(|feed| quoted.stream(feed)).collect();
                    if only_priced && !any_exists(journal, &streams)? {
                        return Err(unknown());
                    }
                    (pin, tag, quoted, streams)
                };
                Found::new(tag, || {
                    let mut prices = stated(journal, quoted, &streams, pin.known)?;
                    prices.retain(|price| {
                        let day = price.day();
                        from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to)
                    });
                    page.cut(pin, prices, |price| price.sequence.0.to_string(), Ok)
                })
            })
            .await
    }

    /// Record prices
    ///
    /// They become an import of their own: all of them count, or none. A bar that its feed stated before is restated.
    #[oai(path = "/prices", method = "post", operation_id = "recordPrices")]
    async fn record(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<PricesRequest>,
    ) -> Result<Made<ImportAnswer>, Problem> {
        let PricesRequest { items, symbol, adjusted } = input.value;
        if items.is_empty() {
            return Err(Problem::from(vec![Fault::new("items", "send at least one price")]));
        }
        let errand = Errand {
            format: Format::Prices,
            portfolio: None,
            prices: PriceOptions { symbol, adjusted: adjustment(adjusted.as_deref())? },
            precondition: Precondition::default(),
        };
        let bytes = as_file(&items)?;
        let key = attempt.commit_key(&caller, &input.canonical);
        let answered = errand.import(&self.0, caller, key, "request".to_owned(), bytes, false).await;
        answered.map_err(|problem| problem.rename(|fault| in_list("items", fault)))
    }

    /// Import a file of prices
    #[oai(path = "/prices/imports", method = "post", operation_id = "importPrices")]
    async fn import(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        upload: Upload<PriceFile>,
    ) -> Result<Made<ImportAnswer>, Problem> {
        if upload.text("format").is_some_and(|format| format != Format::Prices.name()) {
            return Err(Problem::from(vec![Fault::new("format", "write prices, or leave it out")]));
        }
        let errand = Errand {
            format: Format::Prices,
            portfolio: None,
            prices: PriceOptions {
                symbol: upload.text("symbol").map(str::to_owned),
                adjusted: adjustment(upload.text("adjusted"))?,
            },
            precondition: Precondition::default(),
        };
        errand.run(&self.0, caller, &attempt, upload).await
    }
}

fn adjustment(text: Option<&str>) -> Result<Adjustment, Problem> {
    match text {
        None | Some("none") => Ok(Adjustment::None),
        Some("splits") => Ok(Adjustment::Splits),
        Some(_) => Err(Problem::from(vec![Fault::new("adjusted", "write none or splits")])),
    }
}

/// The rows as the file that they would come in, so that there is one way to read prices.
pub(super) fn as_file(rows: &[PriceRow]) -> Result<Vec<u8>, Problem> {
    let used: Vec<usize> = (0..COLUMNS.len())
        .filter(|at| rows.iter().any(|row| row.0.get(*at).is_some_and(Option::is_some)))
        .collect();
    let mut file = csv::Writer::from_writer(Vec::new());
    let written = file.write_record(used.iter().map(|at| COLUMNS[*at].0)).and_then(|()| {
        rows.iter().try_for_each(|row| {
            file.write_record(
                used.iter().map(|at| row.0.get(*at).and_then(Option::as_deref).unwrap_or_default()),
            )
        })
    });
    written.map_err(Problem::internal)?;
    file.into_inner().map_err(Problem::internal)
}

/// A fault of a file's line as a fault of the item that the line was made of.
pub(super) fn in_list(list: &str, fault: &mut Fault) {
    if let Some(at) = fault.line.take().and_then(|line| line.checked_sub(2)) {
        fault.field = Some(match &fault.field {
            Some(field) => format!("{list}[{at}].{field}"),
            None => format!("{list}[{at}]"),
        });
    }
}

/// What has prices: an instrument, or a pair of currencies.
#[derive(Clone, Copy)]
enum Quoted {
    Instrument(InstrumentId),
    Pair(Currency, Currency),
}

impl Quoted {
    fn stream(self, feed: &str) -> String {
        match self {
            Self::Instrument(id) => stream::market(feed, id),
            Self::Pair(base, quote) => stream::pair(feed, base, quote),
        }
    }
}

/// What a symbol, an id or a pair of currencies means.
fn resolve(library: &Library, text: &str) -> Result<Quoted, Problem> {
    if let Ok(id) = text.parse::<InstrumentId>()
        && library.instruments.get(id).is_some()
    {
        return Ok(Quoted::Instrument(library.instruments.canonical(id)));
    }
    match library.instruments.resolve(&IdentifierScheme::Symbol, text, None, None, None) {
        Resolution::One(id) => Ok(Quoted::Instrument(id)),
        Resolution::Ambiguous(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let detail =
                format!("several instruments have this symbol: ask by id for one of {}", ids.join(", "));
            Err(Problem::faulty(Kind::InvalidParameter, vec![Fault::new("symbol", detail)]))
        }
        Resolution::Unknown => pair(text).ok_or_else(|| unknown_symbol(text)),
    }
}

fn unknown_symbol(text: &str) -> Problem {
    let shown: String = text.chars().take(100).collect();
    Problem::not_found("instrument with the symbol", shown)
}

/// Whether any feed ever stated a price in one of the streams.
fn any_exists(journal: &Journal, streams: &[String]) -> Result<bool, Problem> {
    for stream in streams {
        if journal.ledger().stream_version(stream).map_err(JournalError::from)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn pair(text: &str) -> Option<Quoted> {
    let letters = text.replace('/', "");
    let (base, quote) = letters.split_at_checked(3)?;
    Some(Quoted::Pair(Currency::parse(base).ok()?, Currency::parse(quote).ok()?))
}

impl PriceItem {
    /// The day on which it is listed.
    fn day(&self) -> Day {
        self.date.map_or_else(|| self.time.0.day_in(Zone::UTC), |date| date.0)
    }

    /// What a feed states once, and perhaps again: its bar or its rate of a day, or of an instant.
    fn statement(&self) -> Option<(String, Option<Day>, Timestamp)> {
        let day = self.date.map(|date| date.0);
        let instant = if day.is_some() { Timestamp::default() } else { self.time.0 };
        matches!(self.kind.as_str(), "bar" | "rate").then(|| (self.feed.clone(), day, instant))
    }
}

/// The prices that the feeds stated last, of what counts up to `known`, by the instant at which they occurred.
///
/// They are read from the log: what is resident has neither highs nor lows, and not every tick.
fn stated(
    journal: &Journal,
    quoted: Quoted,
    streams: &[String],
    known: u64,
) -> Result<Vec<PriceItem>, Problem> {
    // A copy, so that reading a long stream holds up nobody who writes.
    let imports = journal.library()?.imports.clone();
    let mut prices = Vec::new();
    for name in streams {
        let feed =
            name.strip_prefix("market-").and_then(|rest| rest.rsplit_once('-')).map_or("", |(feed, _)| feed);
        let mut unreadable = None;
        let mut read = |record: &RecordView<'_>| {
            if record.sequence > known {
                return ControlFlow::Break(());
            }
            if imports.counts(record.import.copied().map(ImportId::from_bytes), known) {
                match decode(record) {
                    Ok(event) => prices.extend(item(quoted, feed, record, &event)),
                    Err(error) => {
                        unreadable = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        };
        let scanned = journal.ledger().scan_stream(name, 1, usize::MAX, Direction::Forward, &mut read);
        scanned.map_err(JournalError::from)?;
        if let Some(error) = unreadable {
            return Err(error.into());
        }
    }
    // Of several statements of one bar by one feed, the last one stands where it was stated.
    let mut last: HashMap<(String, Option<Day>, Timestamp), (u32, u64)> = HashMap::new();
    for price in &prices {
        if let Some(statement) = price.statement() {
            let stated = (price.revision, price.sequence.0);
            let known = last.entry(statement).or_insert(stated);
            *known = stated.max(*known);
        }
    }
    prices.retain(|price| {
        let stated = (price.revision, price.sequence.0);
        price.statement().is_none_or(|statement| last.get(&statement) == Some(&stated))
    });
    prices.sort_by_key(|price| (price.time.0, price.sequence.0));
    Ok(prices)
}

fn item(quoted: Quoted, feed: &str, record: &RecordView<'_>, event: &Event) -> Option<PriceItem> {
    let price = |price: Option<Price>| price.map(|price| Exact(price.get()));
    let bare = |kind: String, close: Decimal, currency: Currency| PriceItem {
        kind,
        date: None,
        time: Timestamp::from_nanos(record.occurred_at).into(),
        open: None,
        high: None,
        low: None,
        close: close.into(),
        volume: None,
        currency: currency.into(),
        feed: feed.to_owned(),
        revision: 0,
        instrument: match quoted {
            Quoted::Instrument(id) => Some(id.into()),
            Quoted::Pair(..) => None,
        },
        sequence: Sequence(record.sequence),
    };
    Some(match event {
        Event::BarClosed(bar) => PriceItem {
            date: bar.day.map(Date),
            time: bar.closes.into(),
            open: price(bar.open),
            high: price(bar.high),
            low: price(bar.low),
            volume: bar.volume.map(|volume| Exact(volume.get())),
            revision: bar.revision,
            ..bare("bar".to_owned(), bar.close.get(), bar.currency)
        },
        Event::PriceTick(tick) => PriceItem {
            volume: tick.size.map(|size| Exact(size.get())),
            ..bare(tick.kind.to_string(), tick.price.get(), tick.currency)
        },
        Event::FxRateObserved(rate) => PriceItem {
            date: rate.day.map(Date),
            revision: rate.revision,
            ..bare("rate".to_owned(), rate.rate.get(), rate.quote)
        },
        _ => return None,
    })
}
