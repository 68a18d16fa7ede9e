//! Yahoo's chart: daily, hourly and minute bars as floats adjusted for splits, with the splits that undo them.

use super::alpaca::read;
use super::feed::{
    Action, Aside, BarAsk, Feed, FeedBar, FeedError, Latest, LatestOf, Market, Moment, Page, Series,
};
use super::figure::{self, Figure};
use super::web::{Web, excerpt, refusal};
use crate::config::BarSize;
use crate::importers::symbols::{Form, Symbol};
use crate::sync::pace::WallClock;
use async_trait::async_trait;
use daybook_schemas::events::{CorporateActionKind, QuarantineReason};
use daybook_schemas::{Currency, Day, Ratio, Timestamp, Zone};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const WHO: &str = "Yahoo";
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Days for which Yahoo has hours, and for which it has minutes; a question for more is refused whole.
const HOURS_KEPT_DAYS: i64 = 729;
const MINUTES_KEPT_DAYS: i64 = 7;
/// How long Yahoo is left alone after it said that it was asked too often, where it does not say for how long.
const TOO_OFTEN: Duration = Duration::from_secs(900);

/// Yahoo's chart.
pub(crate) struct Yahoo {
    web: Web,
    clock: Arc<dyn WallClock>,
}

impl Yahoo {
    /// At a host.
    pub(crate) fn new(base: Url, clock: Arc<dyn WallClock>) -> Self {
        Self { web: Web::new(WHO, base), clock }
    }

    async fn chart(
        &self,
        symbol: &str,
        interval: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<u8>, FeedError> {
        let (from, to) = ((from.nanos() / SECOND).to_string(), (to.nanos() / SECOND).to_string());
        let query = [
            ("period1", from.as_str()),
            ("period2", to.as_str()),
            ("interval", interval),
            ("events", "div,splits"),
        ];
        let answer = self.web.get(&["v8", "finance", "chart", symbol], &query).await?;
        // What goes wrong is told in the body too, and there better.
        let failed =
            serde_json::from_slice::<Chart<'_>>(&answer.body).ok().and_then(|chart| chart.chart.error);
        match (answer.status, failed) {
            (200, None) => Ok(answer.body),
            (429, _) => Err(FeedError::RateLimited {
                retry_after: answer.retry_after.or(Some(TOO_OFTEN)),
                said: excerpt(&answer.body),
            }),
            (_, Some(error)) => Err(error.meaning(symbol)),
            (404, None) => {
                Err(FeedError::UnknownSymbol { symbol: symbol.to_owned(), said: excerpt(&answer.body) })
            }
            (_, None) => Err(refusal(WHO, &answer, excerpt(&answer.body))),
        }
    }
}

#[derive(Deserialize)]
struct Chart<'a> {
    #[serde(borrow)]
    chart: ChartBody<'a>,
}

#[derive(Deserialize)]
struct ChartBody<'a> {
    #[serde(borrow)]
    result: Option<Vec<ChartResult<'a>>>,
    error: Option<ChartError>,
}

#[derive(Deserialize)]
struct ChartError {
    code: Option<String>,
    description: Option<String>,
}

impl ChartError {
    fn meaning(self, symbol: &str) -> FeedError {
        let code = self.code.unwrap_or_default();
        let said = self.description.unwrap_or_else(|| code.clone());
        if code.eq_ignore_ascii_case("not found") || said.contains("No data found") {
            return FeedError::UnknownSymbol { symbol: symbol.to_owned(), said };
        }
        FeedError::Nonsense(format!("{WHO} says: {said}"))
    }
}

#[derive(Deserialize)]
struct ChartResult<'a> {
    meta: Meta,
    timestamp: Option<Vec<Option<i64>>>,
    #[serde(borrow)]
    events: Option<Events<'a>>,
    #[serde(borrow)]
    indicators: Indicators<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    symbol: Option<String>,
    currency: Option<String>,
    gmtoffset: Option<i64>,
    exchange_timezone_name: Option<String>,
    regular_market_price: Option<Figure>,
    regular_market_time: Option<i64>,
}

#[derive(Deserialize, Default)]
struct Events<'a> {
    #[serde(borrow, default)]
    dividends: BTreeMap<String, &'a RawValue>,
    #[serde(borrow, default)]
    splits: BTreeMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct DividendRow {
    amount: Figure,
    date: i64,
}

#[derive(Deserialize)]
struct SplitRow {
    date: i64,
    numerator: Figure,
    denominator: Figure,
}

#[derive(Deserialize)]
struct Indicators<'a> {
    #[serde(borrow)]
    quote: Vec<Quote<'a>>,
}

/// Columns, as long as the timestamps.
#[derive(Deserialize, Default)]
struct Quote<'a> {
    #[serde(borrow, default)]
    open: Vec<Option<&'a RawValue>>,
    #[serde(borrow, default)]
    high: Vec<Option<&'a RawValue>>,
    #[serde(borrow, default)]
    low: Vec<Option<&'a RawValue>>,
    #[serde(borrow, default)]
    close: Vec<Option<&'a RawValue>>,
    #[serde(borrow, default)]
    volume: Vec<Option<&'a RawValue>>,
}

/// A currency, and what its figures are multiplied by: pence and cents are written as currencies of their own.
fn currency(code: &str) -> Option<(Currency, Decimal)> {
    let hundredth = Decimal::new(1, 2);
    match code {
        "GBp" | "GBX" => Currency::parse("GBP").ok().map(|currency| (currency, hundredth)),
        "ZAc" | "ZAC" => Currency::parse("ZAR").ok().map(|currency| (currency, hundredth)),
        "ILA" => Currency::parse("ILS").ok().map(|currency| (currency, hundredth)),
        code => Currency::parse(code).ok().map(|currency| (currency, Decimal::ONE)),
    }
}

impl Meta {
    /// The day of an instant at the exchange.
    fn day(&self, at: Timestamp) -> Day {
        let zone = self.exchange_timezone_name.as_deref().and_then(|name| Zone::parse(name).ok());
        match (zone, self.gmtoffset) {
            (Some(zone), _) => at.day_in(zone),
            (None, Some(offset)) => at.plus_nanos(offset.saturating_mul(SECOND)).day_in(Zone::UTC),
            (None, None) => at.day_in(Zone::NEW_YORK),
        }
    }
}

fn cell<'a>(column: &[Option<&'a RawValue>], index: usize) -> Option<&'a str> {
    column.get(index).copied().flatten().map(RawValue::get)
}

fn read_series(symbol: &str, body: &[u8], size: BarSize, market: Market) -> Result<Series, FeedError> {
    let chart: Chart<'_> = read(WHO, body)?;
    if let Some(error) = chart.chart.error {
        return Err(error.meaning(symbol));
    }
    let nothing = || FeedError::Nonsense(format!("{WHO} answers without prices: {}", excerpt(body)));
    let result = chart.chart.result.and_then(|results| results.into_iter().next()).ok_or_else(nothing)?;
    let meta = &result.meta;
    if let Some(other) = meta.symbol.as_deref().filter(|other| !other.eq_ignore_ascii_case(symbol)) {
        let other = excerpt(other.as_bytes());
        return Err(FeedError::Nonsense(format!(
            "{WHO} was asked for `{symbol}` and answers about `{other}`"
        )));
    }
    let mut series = Series { symbol: symbol.to_owned(), adjusted: true, ..Series::default() };
    let unit = match meta.currency.as_deref().map(|code| (code, currency(code))) {
        Some((_, Some((currency, unit)))) => {
            series.currency = Some(currency);
            unit
        }
        Some((code, None)) => {
            let code = daybook_schemas::decimal::shorten(code);
            return Err(FeedError::Nonsense(format!(
                "{WHO} prices `{symbol}` in `{code}`, which is no currency"
            )));
        }
        None => Decimal::ONE,
    };
    let timestamps = result.timestamp.unwrap_or_default();
    let quote = result.indicators.quote.into_iter().next().unwrap_or_default();
    for (index, seconds) in timestamps.iter().enumerate() {
        let Some(seconds) = *seconds else { continue };
        // A row whose close is null was not traded: nothing is said of it.
        let Some(close) = cell(&quote.close, index) else { continue };
        let at = Timestamp::from_nanos(seconds.saturating_mul(SECOND));
        let moment = match (size, market) {
            (BarSize::Day, Market::Stocks) => Moment::Day(meta.day(at)),
            // A day of what is traded always is UTC's; that of a pair is London's, whose summer midnight lies before.
            (BarSize::Day, _) => Moment::Day(at.plus_nanos(3600 * SECOND).day_in(Zone::UTC)),
            _ => Moment::From(at),
        };
        let cells = [
            Some(close),
            cell(&quote.open, index),
            cell(&quote.high, index),
            cell(&quote.low, index),
            cell(&quote.volume, index),
        ];
        let number = |cell: Option<&str>, unit: Decimal| -> Result<Option<Decimal>, String> {
            let Some(text) = cell else { return Ok(None) };
            let value = figure::read(text)?;
            daybook_schemas::decimal::multiply(value, unit).map(Some).map_err(|error| error.to_string())
        };
        let raw = || {
            let [close, open, high, low, volume] = cells.map(|cell| cell.unwrap_or("null"));
            format!(
                "{{\"timestamp\":{seconds},\"open\":{open},\"high\":{high},\"low\":{low},\"close\":{close},\"volume\":{volume}}}"
            )
        };
        let read = || -> Result<FeedBar, String> {
            Ok(FeedBar {
                moment,
                open: number(cells[1], unit)?,
                high: number(cells[2], unit)?,
                low: number(cells[3], unit)?,
                close: number(cells[0], unit)?.unwrap_or_default(),
                // Of an index and of a pair the volume is always zero, which says nothing.
                volume: number(cells[4], Decimal::ONE)?.filter(|volume| !volume.is_zero()),
                average: None,
                trades: None,
            })
        };
        let kept_aside = match read() {
            Ok(bar) => match bar.flaw() {
                None => {
                    series.bars.push(bar);
                    continue;
                }
                Some(flaw) => flaw,
            },
            Err(detail) => (QuarantineReason::BadField, detail),
        };
        let (reason, detail) = kept_aside;
        series.asides.push(Aside { moment: Some(moment), reason, detail, raw: raw() });
    }
    for raw in result.events.iter().flat_map(|events| events.splits.values()) {
        let row = serde_json::from_str::<SplitRow>(raw.get()).map_err(|error| error.to_string());
        match row.and_then(|row| Ok((row.date, Ratio::new(row.numerator.0, row.denominator.0)?))) {
            Ok((date, ratio)) => {
                let day = meta.day(Timestamp::from_nanos(date.saturating_mul(SECOND)));
                let action = Action::new(CorporateActionKind::Split, day);
                series.actions.push(Action { ratio: Some(ratio), ..action });
            }
            // Without it the prices before cannot be told.
            Err(detail) => {
                return Err(FeedError::Nonsense(format!(
                    "{WHO} states a split of `{symbol}` that cannot be read ({detail}): {}",
                    daybook_schemas::decimal::shorten(raw.get())
                )));
            }
        }
    }
    for raw in result.events.iter().flat_map(|events| events.dividends.values()) {
        let row = serde_json::from_str::<DividendRow>(raw.get());
        let read = row.map_err(|error| error.to_string()).and_then(|row| {
            let cash = daybook_schemas::decimal::multiply(row.amount.0, unit);
            Ok((row.date, cash.map_err(|error| error.to_string())?))
        });
        match read {
            Ok((date, cash)) if cash > Decimal::ZERO => {
                let day = meta.day(Timestamp::from_nanos(date.saturating_mul(SECOND)));
                let action = Action::new(CorporateActionKind::CashDividend, day);
                series.actions.push(Action { cash: Some(cash), ..action });
            }
            Ok(_) => {}
            Err(detail) => series.asides.push(Aside {
                moment: None,
                reason: QuarantineReason::BadField,
                detail,
                raw: raw.get().to_owned(),
            }),
        }
    }
    Ok(series)
}

#[async_trait]
impl Feed for Yahoo {
    fn spell(&self, symbol: &Symbol, market: Market, _size: BarSize) -> Option<String> {
        Some(match (market, &symbol.form) {
            (Market::Rates, Form::Pair { base, quote }) => format!("{base}{quote}=X"),
            (Market::Rates, _) => return None,
            (Market::Crypto, _) if symbol.text.contains('/') => symbol.text.replace('/', "-"),
            (Market::Crypto, _) => format!("{}-USD", symbol.text),
            // A class of shares; after a point stands the exchange.
            (Market::Stocks, _) => match symbol.text.rsplit_once(['.', '/', ' ']) {
                Some((root, class @ ("A" | "B" | "C"))) => format!("{root}-{class}"),
                _ => symbol.text.clone(),
            },
        })
    }

    fn symbols_max(&self) -> usize {
        1
    }

    fn delay(&self, size: BarSize) -> Duration {
        // Its exchanges are told fifteen to twenty minutes late.
        Duration::from_secs(if size == BarSize::Day { 3600 } else { 1200 })
    }

    fn freshness(&self, size: BarSize) -> Duration {
        Duration::from_secs(if size == BarSize::Day { 3600 } else { 600 })
    }

    async fn bars(&self, ask: &BarAsk, _page: Option<&str>) -> Result<Page, FeedError> {
        let Some(symbol) = ask.symbols.first() else { return Ok(Page::default()) };
        let interval = match ask.size {
            BarSize::Day => "1d",
            BarSize::Hour => "1h",
            BarSize::Minute => "1m",
        };
        let now = self.clock.now();
        let from = match ask.size {
            BarSize::Day => ask.after.plus_nanos(-DAY),
            BarSize::Hour => ask.after.max(now.plus_nanos(-HOURS_KEPT_DAYS * DAY)),
            BarSize::Minute => ask.after.max(now.plus_nanos(-MINUTES_KEPT_DAYS * DAY)),
        };
        // Up to now, whatever is asked for: prices are adjusted for the splits up to now.
        let body = self.chart(symbol, interval, from, now).await?;
        let series = read_series(symbol, &body, ask.size, ask.market)?;
        Ok(Page { series: vec![series], next: None })
    }

    fn has_latest(&self) -> bool {
        true
    }

    async fn latest(&self, symbols: &[String], _market: Market) -> Result<Vec<LatestOf>, FeedError> {
        let Some(symbol) = symbols.first() else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let body = self.chart(symbol, "1d", now.plus_nanos(-DAY), now).await?;
        let chart: Chart<'_> = read(WHO, &body)?;
        let Some(result) = chart.chart.result.and_then(|results| results.into_iter().next()) else {
            return Ok(Vec::new());
        };
        let meta = result.meta;
        let (Some(price), Some(seconds)) = (meta.regular_market_price, meta.regular_market_time) else {
            return Ok(Vec::new());
        };
        let code = meta.currency.as_deref().map_or(Some((Currency::USD, Decimal::ONE)), currency);
        let price = code.and_then(|(currency, unit)| {
            Some((currency, daybook_schemas::decimal::multiply(price.0, unit).ok()?))
        });
        let at = Timestamp::from_nanos(seconds.saturating_mul(SECOND));
        Ok(price
            .filter(|(_, price)| *price > Decimal::ZERO && at <= now)
            .map(|(currency, price)| LatestOf {
                symbol: symbol.clone(),
                currency: Some(currency),
                latest: Latest::Price { price, at },
            })
            .into_iter()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importers::symbols;
    use proptest::prelude::*;

    const CHART: &str = r#"{"chart":{"result":[{"meta":{"currency":"USD","symbol":"ACME","gmtoffset":-14400,"exchangeTimezoneName":"America/New_York","regularMarketPrice":93.7},
        "timestamp":[1401975000,1402061400,1402320600,null],
        "events":{"dividends":{"1402061400":{"amount":0.47,"date":1402061400}},"splits":{"1402320600":{"date":1402320600,"numerator":7,"denominator":1,"splitRatio":"7:1"}}},
        "indicators":{"quote":[{"open":[92.3,null,92.699997],"high":[92.8,null,93.9],"low":[91.8,null,94.1],"close":[92.47857,null,93.7],"volume":[75951400,null,75415000]}],"adjclose":[{"adjclose":[81.5,null,82.1]}]}}],"error":null}}"#;

    #[test]
    fn a_chart_is_read_with_its_gaps_and_its_splits() {
        let series = read_series("ACME", CHART.as_bytes(), BarSize::Day, Market::Stocks).unwrap();
        assert!(series.adjusted);
        let [bar] = series.bars.as_slice() else { panic!("{:?}", series.bars) };
        assert_eq!(bar.moment, Moment::Day(Day::parse("2014-06-05").unwrap()));
        assert_eq!(bar.close.to_string(), "92.47857");
        let [aside] = series.asides.as_slice() else { panic!("{:?}", series.asides) };
        assert!(aside.detail.contains("below the lowest"), "{}", aside.detail);
        let [split, dividend] = series.actions.as_slice() else { panic!("{:?}", series.actions) };
        assert_eq!(
            (split.effective.to_string(), split.ratio.unwrap().to_string()),
            ("2014-06-09".to_owned(), "7:1".to_owned())
        );
        assert_eq!(dividend.cash.unwrap().to_string(), "0.47");
    }

    #[test]
    fn an_answer_about_another_symbol_is_none() {
        let refused = read_series("AAPL", CHART.as_bytes(), BarSize::Day, Market::Stocks).unwrap_err();
        assert!(refused.to_string().contains("answers about `ACME`"), "{refused}");
    }

    #[test]
    fn pence_are_hundredths_of_a_pound() {
        let chart = CHART.replace("\"USD\"", "\"GBp\"").replace("ACME", "VOD.L");
        let series = read_series("VOD.L", chart.as_bytes(), BarSize::Day, Market::Stocks).unwrap();
        assert_eq!(series.currency.unwrap().as_str(), "GBP");
        assert_eq!(series.bars[0].close.to_string(), "0.9247857");
        assert_eq!(series.bars[0].volume.unwrap().to_string(), "75951400");
    }

    #[test]
    fn what_is_no_chart_is_told_apart() {
        let of = |body: &str| read_series("NOPE", body.as_bytes(), BarSize::Day, Market::Stocks).unwrap_err();
        let unknown = r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}"#;
        assert!(matches!(of(unknown), FeedError::UnknownSymbol { symbol, .. } if symbol == "NOPE"));
        assert!(matches!(of("Too Many Requests\r\n"), FeedError::Nonsense(_)));
        assert!(matches!(of(r#"{"chart":{"result":[],"error":null}}"#), FeedError::Nonsense(_)));
        assert!(matches!(of(&CHART.replace("\"numerator\":7", "\"numerator\":0")), FeedError::Nonsense(_)));
        assert!(matches!(of(&CHART.replace("\"USD\"", "\"¤\"")), FeedError::Nonsense(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_chart_or_an_error(at in 0usize..900, byte in any::<u8>(), number in any::<i64>(), cell in "[ -~]{0,12}") {
            let mut bytes = CHART.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let of = |body: &[u8]| {
                for size in [BarSize::Day, BarSize::Hour] {
                    let _ = read_series("ACME", body, size, Market::Stocks);
                }
            };
            of(&bytes);
            of(&CHART.as_bytes()[..at]);
            of(CHART.replace("1401975000", &number.to_string()).as_bytes());
            of(CHART.replace("-14400", &number.to_string()).replace("America/New_York", &cell).as_bytes());
            of(CHART.replace("92.8", &cell).as_bytes());
        }
    }

    #[test]
    fn symbols_are_written_as_yahoo_writes_them() {
        struct Noon;
        impl WallClock for Noon {
            fn now(&self) -> Timestamp {
                Timestamp::default()
            }
        }
        let yahoo = Yahoo::new(Url::parse("http://127.0.0.1").unwrap(), Arc::new(Noon));
        let spell = |text: &str| {
            let symbol = symbols::read(text).unwrap();
            let market = Market::of(&symbol, None)?;
            yahoo.spell(&symbol, market, BarSize::Day)
        };
        for (text, written) in [
            ("BRK.B", Some("BRK-B")),
            ("VOD.L", Some("VOD.L")),
            ("AAPL", Some("AAPL")),
            ("BTC/USD", Some("BTC-USD")),
            ("EURUSD", Some("EURUSD=X")),
            ("AAPL240119C00150000", None),
        ] {
            assert_eq!(spell(text).as_deref(), written, "{text}");
        }
    }
}
