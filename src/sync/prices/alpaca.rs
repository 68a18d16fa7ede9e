//! Alpaca's market data: bars as traded, page by page, the latest ones, and corporate actions.

use super::due;
use super::feed::{
    Action, Aside, BarAsk, Feed, FeedBar, FeedError, Latest, LatestOf, Market, Moment, Page, Series,
};
use super::figure::Figure;
use crate::config::BarSize;
use crate::importers::symbols::Symbol;
use crate::sync::alpaca_http::{Answer, Http};
use async_trait::async_trait;
use daybook_schemas::events::{CorporateActionKind, QuarantineReason};
use daybook_schemas::{Currency, Day, Ratio, Timestamp, Zone, calendar, decimal};
use http::Method;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bars that Alpaca puts on a page.
const PAGE_BARS: &str = "10000";
/// The most corporate actions that Alpaca puts on a page.
const PAGE_ACTIONS: &str = "1000";
/// So many symbols still fit into an address.
const SYMBOLS_MAX: usize = 500;
/// Accounts without a subscription may not ask for the last quarter of an hour.
const DELAY: Duration = Duration::from_secs(16 * 60);

/// Alpaca's market data.
#[derive(Debug)]
pub(crate) struct Alpaca {
    http: Http,
}

impl Alpaca {
    /// At a host, with its keys.
    pub(crate) const fn new(http: Http) -> Self {
        Self { http }
    }

    async fn get(&self, path: &str, query: Vec<(String, String)>) -> Result<Vec<u8>, FeedError> {
        let answer = self.http.call(&Method::GET, path, query, None, TIMEOUT).await;
        let answer = answer.map_err(|error| FeedError::Unavailable(format!("Alpaca: {error}")))?;
        match answer.status {
            200 => Ok(answer.body),
            _ => Err(refusal(&answer)),
        }
    }
}

/// What a status other than 200 means.
fn refusal(answer: &Answer) -> FeedError {
    let (status, said) = (answer.status, answer.excerpt());
    match status {
        401 => FeedError::Refused(format!(
            "Alpaca does not know these keys ({said}): correct key_id and secret_key of the feed"
        )),
        403 => FeedError::Refused(format!(
            "Alpaca does not serve this with these keys ({said}): correct key_id and secret_key of the feed, or subscribe to the data"
        )),
        429 => FeedError::RateLimited { retry_after: None, said },
        400 | 422 => match said.split_once("symbol") {
            // `invalid symbol: NOPE!`
            Some((_, rest)) if said.contains("invalid") => {
                let rest = rest.trim_start_matches(['s', ':', ' ']);
                let symbol = rest.split([' ', ',', '"']).next().unwrap_or_default();
                FeedError::UnknownSymbol { symbol: symbol.to_owned(), said: said.clone() }
            }
            _ => FeedError::Nonsense(format!("Alpaca does not take the question ({status}): {said}")),
        },
        404 => FeedError::Nonsense(format!("Alpaca has nothing there ({said}): check base_url of the feed")),
        500.. => FeedError::Unavailable(format!("Alpaca answers {status}: {said}")),
        _ => FeedError::Nonsense(format!("Alpaca answers {status}: {said}")),
    }
}

/// Reads an answer, or quotes what cannot be one.
pub(super) fn read<'a, T: Deserialize<'a>>(who: &str, body: &'a [u8]) -> Result<T, FeedError> {
    serde_json::from_slice(body).map_err(|error| {
        let said = Answer { status: 200, body: body.to_vec() }.excerpt();
        FeedError::Nonsense(format!("{who} answers something that is no answer ({error}): {said}"))
    })
}

#[derive(Deserialize)]
struct BarsAnswer<'a> {
    #[serde(borrow)]
    bars: Option<BTreeMap<Cow<'a, str>, Option<Vec<&'a RawValue>>>>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct LatestAnswer<'a> {
    #[serde(borrow)]
    bars: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

#[derive(Deserialize)]
struct BarRow<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
    o: Figure,
    h: Figure,
    l: Figure,
    c: Figure,
    v: Option<Figure>,
    n: Option<u64>,
    vw: Option<Figure>,
}

/// What can be told of a bar whose figures cannot be read.
#[derive(Deserialize)]
struct BarTime<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
}

fn moment(time: &str, size: BarSize, market: Market) -> Result<Moment, String> {
    let opens = Timestamp::parse(time).map_err(|error| error.to_string())?;
    Ok(match (size, market) {
        (BarSize::Hour | BarSize::Minute, _) => Moment::From(opens),
        (BarSize::Day, Market::Stocks) => Moment::Day(opens.day_in(Zone::NEW_YORK)),
        (BarSize::Day, _) => {
            let day = opens.day_in(Zone::UTC);
            // A day that begins elsewhere than at midnight in UTC ends there too.
            let ends = opens.plus_nanos(86_400_000_000_000 - 1);
            if day.end_in(Zone::UTC) == ends { Moment::Day(day) } else { Moment::DayUntil(day, ends) }
        }
    })
}

fn bar(raw: &str, size: BarSize, market: Market) -> Result<FeedBar, Aside> {
    let aside = |moment: Option<Moment>, reason: QuarantineReason, detail: String| Aside {
        moment,
        reason,
        detail,
        raw: raw.to_owned(),
    };
    let row: BarRow<'_> = serde_json::from_str(raw).map_err(|error| {
        let time = serde_json::from_str::<BarTime<'_>>(raw).ok();
        let moment = time.and_then(|time| moment(&time.t, size, market).ok());
        aside(moment, QuarantineReason::BadField, error.to_string())
    })?;
    let moment =
        moment(&row.t, size, market).map_err(|error| aside(None, QuarantineReason::BadField, error))?;
    let bar = FeedBar {
        moment,
        open: Some(row.o.0),
        high: Some(row.h.0),
        low: Some(row.l.0),
        close: row.c.0,
        volume: row.v.map(|volume| volume.0),
        average: row.vw.map(|average| average.0).filter(|average| !average.is_zero()),
        trades: row.n,
    };
    match bar.flaw() {
        None => Ok(bar),
        Some((reason, detail)) => Err(aside(Some(moment), reason, detail)),
    }
}

/// The session of the day that was looked at last.
#[derive(Default)]
struct Session {
    day: Option<(Day, Option<calendar::Hours>)>,
}

impl Session {
    /// Whether a bar lies within a session. What is traded before and after it would stand in for the day's close.
    fn has(&mut self, moment: Moment, size: BarSize, market: Market) -> bool {
        let (Moment::From(opens), Market::Stocks) = (moment, market) else { return true };
        let day = opens.day_in(Zone::NEW_YORK);
        let hours = match self.day {
            Some((known, hours)) if known == day => hours,
            _ => calendar::hours(day),
        };
        self.day = Some((day, hours));
        let closes = due::closes(moment, size, market);
        hours.is_some_and(|hours| opens < hours.closes && hours.opens < closes)
    }
}

/// Alpaca prices shares in dollars; of a pair the symbol says the currency.
fn currency(symbol: &str) -> Option<Currency> {
    match symbol.split_once('/') {
        Some((_, quote)) => Currency::parse(quote).ok(),
        None => Some(Currency::USD),
    }
}

fn read_bars(body: &[u8], size: BarSize, market: Market) -> Result<Page, FeedError> {
    let answer: BarsAnswer<'_> = read("Alpaca", body)?;
    let missing = || {
        let said = Answer { status: 200, body: body.to_vec() }.excerpt();
        FeedError::Nonsense(format!("Alpaca answers without `bars`: {said}"))
    };
    let (bars, next) = (answer.bars.ok_or_else(missing)?, answer.next_page_token);
    let series = bars.into_iter().map(|(symbol, rows)| {
        let rows = rows.unwrap_or_default();
        let mut series = Series {
            currency: currency(&symbol),
            symbol: symbol.into_owned(),
            bars: Vec::with_capacity(rows.len()),
            ..Series::default()
        };
        let mut session = Session::default();
        for raw in rows {
            match bar(raw.get(), size, market) {
                Ok(bar) => {
                    if session.has(bar.moment, size, market) {
                        series.bars.push(bar);
                    }
                }
                Err(aside) => series.asides.push(aside),
            }
        }
        series
    });
    Ok(Page { series: series.collect(), next: next.filter(|token| !token.is_empty()) })
}

#[derive(Deserialize)]
struct ActionsAnswer<'a> {
    #[serde(borrow)]
    corporate_actions: Option<BTreeMap<Cow<'a, str>, Option<Vec<&'a RawValue>>>>,
    next_page_token: Option<String>,
}

/// All that a corporate action may say, whatever its kind.
#[derive(Deserialize, Default)]
struct ActionRow {
    id: Option<String>,
    symbol: Option<String>,
    old_symbol: Option<String>,
    new_symbol: Option<String>,
    source_symbol: Option<String>,
    acquiree_symbol: Option<String>,
    acquirer_symbol: Option<String>,
    ex_date: Option<Day>,
    effective_date: Option<Day>,
    process_date: Option<Day>,
    declaration_date: Option<Day>,
    record_date: Option<Day>,
    payable_date: Option<Day>,
    rate: Option<Figure>,
    cash_rate: Option<Figure>,
    new_rate: Option<Figure>,
    old_rate: Option<Figure>,
    source_rate: Option<Figure>,
    acquirer_rate: Option<Figure>,
    acquiree_rate: Option<Figure>,
}

/// What a row of one family says, with the symbol it is about; or why it cannot be used.
fn action(family: &str, row: ActionRow) -> Result<(String, Action), (QuarantineReason, String)> {
    use CorporateActionKind as Kind;
    let missing = |name: &str| (QuarantineReason::MissingField, format!("it does not say `{name}`"));
    let kind = match family {
        "forward_splits" | "reverse_splits" => Kind::Split,
        "cash_dividends" => Kind::CashDividend,
        "stock_dividends" => Kind::StockDividend,
        "spin_offs" => Kind::SpinOff,
        "cash_mergers" | "stock_mergers" | "stock_and_cash_mergers" => Kind::Merger,
        "redemptions" => Kind::Redemption,
        "name_changes" => Kind::SymbolChange,
        "worthless_removals" => Kind::Worthless,
        "rights_distributions" => Kind::Rights,
        other => {
            let detail = format!("`{other}` is not a kind of corporate action that can be recorded");
            return Err((QuarantineReason::UnknownCode, detail));
        }
    };
    let symbol = row.symbol.or(row.source_symbol).or(row.acquiree_symbol).or(row.old_symbol);
    let symbol = symbol.ok_or_else(|| missing("symbol"))?;
    let effective = row.ex_date.or(row.effective_date).or(row.process_date);
    let effective = effective.ok_or_else(|| missing("ex_date"))?;
    let ratio = |new: Option<Figure>, old: Option<Figure>, name: &str| {
        let (new, old) = new.zip(old).ok_or_else(|| missing(name))?;
        Ratio::new(new.0, old.0).map_err(|error| (QuarantineReason::BadField, error))
    };
    let one = Some(Figure(Decimal::ONE));
    let (ratio, cash) = match (family, &kind) {
        (_, Kind::Split) => (Some(ratio(row.new_rate, row.old_rate, "new_rate and old_rate")?), None),
        (_, Kind::CashDividend) => (None, Some(row.rate.ok_or_else(|| missing("rate"))?.0)),
        (_, Kind::StockDividend) => {
            // Of a dividend of 5 % in shares, 105 are held where 100 were.
            let rate = row.rate.ok_or_else(|| missing("rate"))?.0;
            let held = decimal::add(Decimal::ONE, rate);
            let held = held.map_err(|error| (QuarantineReason::BadField, error.to_string()))?;
            (Some(ratio(Some(Figure(held)), one, "rate")?), None)
        }
        (_, Kind::SpinOff) => (Some(ratio(row.new_rate, row.source_rate, "new_rate and source_rate")?), None),
        (_, Kind::Rights) => (Some(ratio(row.rate, one, "rate")?), None),
        ("cash_mergers", _) | (_, Kind::Redemption) => {
            (None, Some(row.rate.ok_or_else(|| missing("rate"))?.0))
        }
        ("stock_mergers" | "stock_and_cash_mergers", _) => {
            let names = "acquirer_rate and acquiree_rate";
            let ratio = ratio(row.acquirer_rate, row.acquiree_rate, names)?;
            (Some(ratio), row.cash_rate.map(|cash| cash.0))
        }
        _ => (None, None),
    };
    let action = Action {
        ratio,
        cash,
        other: row.new_symbol.or(row.acquirer_symbol).filter(|other| *other != symbol),
        declared: row.declaration_date,
        record_date: row.record_date,
        pays: row.payable_date,
        id: row.id,
        ..Action::new(kind, effective)
    };
    Ok((symbol, action))
}

fn read_actions(body: &[u8]) -> Result<Page, FeedError> {
    let answer: ActionsAnswer<'_> = read("Alpaca", body)?;
    let families = answer.corporate_actions.ok_or_else(|| {
        let said = Answer { status: 200, body: body.to_vec() }.excerpt();
        FeedError::Nonsense(format!("Alpaca answers without `corporate_actions`: {said}"))
    })?;
    let mut by_symbol: BTreeMap<String, Series> = BTreeMap::new();
    let mut of = |symbol: String, add: &mut dyn FnMut(&mut Series)| {
        let series = by_symbol.entry(symbol.clone()).or_insert_with(|| Series {
            currency: Some(Currency::USD),
            symbol,
            ..Series::default()
        });
        add(series);
    };
    for (family, rows) in families {
        for raw in rows.unwrap_or_default() {
            let read = serde_json::from_str::<ActionRow>(raw.get())
                .map_err(|error| (QuarantineReason::BadField, error.to_string()))
                .and_then(|row| action(&family, row));
            match read {
                Ok((symbol, action)) => of(symbol, &mut |series| series.actions.push(action.clone())),
                Err((reason, detail)) => {
                    let raw = format!("{{\"{family}\":[{}]}}", raw.get());
                    let aside = Aside { moment: None, reason, detail, raw };
                    of(String::new(), &mut |series| series.asides.push(aside.clone()));
                }
            }
        }
    }
    let next = answer.next_page_token.filter(|token| !token.is_empty());
    Ok(Page { series: by_symbol.into_values().collect(), next })
}

/// The days of New York whose daily bars close after one instant and not after another.
fn days(ask: &BarAsk) -> (Day, Day) {
    let first = ask.after.day_in(Zone::NEW_YORK);
    let closed = calendar::close_of(first) <= ask.after;
    (if closed { first.plus_days(1) } else { first }, ask.until.day_in(Zone::NEW_YORK))
}

#[async_trait]
impl Feed for Alpaca {
    fn spell(&self, symbol: &Symbol, market: Market, _size: BarSize) -> Option<String> {
        match market {
            Market::Stocks => Some(symbol.text.replace([' ', '/', '-'], ".")),
            Market::Crypto if symbol.text.contains('/') => Some(symbol.text.clone()),
            Market::Crypto => Some(format!("{}/USD", symbol.text)),
            Market::Rates => None,
        }
    }

    fn symbols_max(&self) -> usize {
        SYMBOLS_MAX
    }

    fn delay(&self, _size: BarSize) -> Duration {
        DELAY
    }

    fn freshness(&self, size: BarSize) -> Duration {
        Duration::from_secs(if size == BarSize::Day { 1800 } else { 300 })
    }

    async fn bars(&self, ask: &BarAsk, page: Option<&str>) -> Result<Page, FeedError> {
        let (timeframe, start, end) = match (ask.size, ask.market) {
            (BarSize::Day, Market::Stocks) => {
                let (first, last) = days(ask);
                // A daily bar stands at its day's midnight.
                let at = |day: Day| day.start_in(Zone::NEW_YORK).to_string();
                ("1Day", at(first), at(last))
            }
            (BarSize::Day, _) => {
                let day = ask.after.plus_nanos(1).day_in(Zone::UTC).plus_days(-1);
                ("1Day", day.start_in(Zone::UTC).to_string(), ask.until.to_string())
            }
            (BarSize::Hour, _) => ("1Hour", ask.after.to_string(), ask.until.plus_nanos(-1).to_string()),
            (BarSize::Minute, _) => ("1Min", ask.after.to_string(), ask.until.plus_nanos(-1).to_string()),
        };
        let mut query = vec![
            ("symbols".to_owned(), ask.symbols.join(",")),
            ("timeframe".to_owned(), timeframe.to_owned()),
            ("start".to_owned(), start),
            ("end".to_owned(), end),
            ("limit".to_owned(), PAGE_BARS.to_owned()),
            ("sort".to_owned(), "asc".to_owned()),
        ];
        let path = if ask.market == Market::Crypto {
            "/v1beta3/crypto/us/bars"
        } else {
            query.push(("adjustment".to_owned(), "raw".to_owned()));
            "/v2/stocks/bars"
        };
        query.extend(page.map(|token| ("page_token".to_owned(), token.to_owned())));
        let body = self.get(path, query).await?;
        read_bars(&body, ask.size, ask.market)
    }

    fn has_latest(&self) -> bool {
        true
    }

    async fn latest(&self, symbols: &[String], market: Market) -> Result<Vec<LatestOf>, FeedError> {
        let path = match market {
            Market::Crypto => "/v1beta3/crypto/us/latest/bars",
            _ => "/v2/stocks/bars/latest",
        };
        let body = self.get(path, vec![("symbols".to_owned(), symbols.join(","))]).await?;
        let answer: LatestAnswer<'_> = read("Alpaca", &body)?;
        let mut latest = Vec::new();
        for (symbol, raw) in answer.bars.unwrap_or_default() {
            match bar(raw.get(), BarSize::Minute, market) {
                Ok(bar) if !Session::default().has(bar.moment, BarSize::Minute, market) => {}
                Ok(bar) => latest.push(LatestOf {
                    currency: currency(&symbol),
                    symbol: symbol.into_owned(),
                    latest: Latest::Bar(bar),
                }),
                // The same bar is asked for again once it is history, and kept aside then.
                Err(aside) => tracing::warn!(%symbol, "the latest bar cannot be used: {}", aside.detail),
            }
        }
        Ok(latest)
    }

    fn has_actions(&self) -> bool {
        true
    }

    async fn actions(
        &self,
        symbols: &[String],
        from: Day,
        to: Day,
        page: Option<&str>,
    ) -> Result<Page, FeedError> {
        let mut query = vec![
            ("symbols".to_owned(), symbols.join(",")),
            ("start".to_owned(), from.to_string()),
            ("end".to_owned(), to.to_string()),
            ("limit".to_owned(), PAGE_ACTIONS.to_owned()),
            ("sort".to_owned(), "asc".to_owned()),
        ];
        query.extend(page.map(|token| ("page_token".to_owned(), token.to_owned())));
        read_actions(&self.get("/v1/corporate-actions", query).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWER: &str = r#"{"bars":{"ACME":[
        {"t":"2024-01-05T05:00:00Z","o":174,"h":174.84,"l":172.31,"c":174.610,"v":85998033,"n":732412,"vw":173.703516},
        {"t":"2024-01-08T05:00:00Z","o":10,"h":9,"l":11,"c":10,"v":1,"n":1,"vw":10},
        {"t":"2024-01-09T05:00:00Z","o":"ten","h":9,"l":8,"c":8.5,"v":1},
        {"o":1}],"ZZZ":null},"next_page_token":"QUNNRQ=="}"#;

    #[test]
    fn a_bad_bar_is_kept_aside_with_its_words_and_the_others_are_read_to_the_last_digit() {
        let page = read_bars(ANSWER.as_bytes(), BarSize::Day, Market::Stocks).unwrap();
        assert_eq!(page.next.as_deref(), Some("QUNNRQ=="));
        let [acme, zzz] = page.series.as_slice() else { panic!("{page:?}") };
        assert_eq!((zzz.bars.len(), zzz.asides.len()), (0, 0));
        let [bar] = acme.bars.as_slice() else { panic!("{acme:?}") };
        assert_eq!(bar.moment, Moment::Day(Day::parse("2024-01-05").unwrap()));
        assert_eq!(bar.close.to_string(), "174.61");
        assert_eq!(bar.average.unwrap().to_string(), "173.703516");
        let asides: Vec<_> =
            acme.asides.iter().map(|aside| (aside.moment.is_some(), aside.reason.clone())).collect();
        assert_eq!(
            asides,
            [
                (true, QuarantineReason::Contradiction),
                (true, QuarantineReason::BadField),
                (false, QuarantineReason::BadField)
            ]
        );
        assert_eq!(acme.asides[2].raw, r#"{"o":1}"#);
    }

    #[test]
    fn an_error_text_with_status_200_is_nonsense_and_quoted() {
        for body in ["<html>busy</html>", r#"{"message":"try later"}"#, r#"{"bars":{"A":[{"t":"#, "[]", ""] {
            let error = read_bars(body.as_bytes(), BarSize::Day, Market::Stocks).unwrap_err();
            assert!(matches!(&error, FeedError::Nonsense(_)), "{error:?}");
        }
        let error =
            read_bars(br#"{"message":"try later"}"#, BarSize::Day, Market::Stocks).unwrap_err().to_string();
        assert!(error.ends_with("without `bars`: try later"), "{error}");
    }

    #[test]
    fn what_is_traded_outside_the_session_is_left_out() {
        let bar = |t: &str| format!(r#"{{"t":"{t}","o":1,"h":1,"l":1,"c":1,"v":1}}"#);
        let body = |times: &[&str]| {
            let bars: Vec<String> = times.iter().map(|time| bar(time)).collect();
            format!(r#"{{"bars":{{"X":[{}]}},"next_page_token":null}}"#, bars.join(","))
        };
        let kept = |times: &[&str], size, market| {
            let page = read_bars(body(times).as_bytes(), size, market).unwrap();
            page.series[0].bars.iter().map(|bar| format!("{:?}", bar.moment)).collect::<Vec<_>>()
        };
        // The day after Thanksgiving closes at one.
        let day = [
            "2024-11-29T14:29:00Z",
            "2024-11-29T14:30:00Z",
            "2024-11-29T17:59:00Z",
            "2024-11-29T18:00:00Z",
            "2024-11-28T16:00:00Z",
        ];
        let within = ["From(2024-11-29T14:30:00Z)", "From(2024-11-29T17:59:00Z)"];
        assert_eq!(kept(&day, BarSize::Minute, Market::Stocks), within);
        assert_eq!(kept(&day, BarSize::Minute, Market::Crypto).len(), 5);
        let hours =
            ["2024-01-05T13:00:00Z", "2024-01-05T14:00:00Z", "2024-01-05T20:00:00Z", "2024-01-05T21:00:00Z"];
        assert_eq!(
            kept(&hours, BarSize::Hour, Market::Stocks).len(),
            2,
            "the hour in which it opens, and the last"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(at in 0usize..400, byte in any::<u8>(), cell in "[ -~]{0,12}") {
            let mut bytes = ANSWER.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            for size in [BarSize::Day, BarSize::Minute] {
                let _ = read_bars(&bytes, size, Market::Stocks);
                let _ = read_bars(&ANSWER.as_bytes()[..at], size, Market::Crypto);
                let _ = read_bars(ANSWER.replace("174.84", &cell).as_bytes(), size, Market::Stocks);
            }
            let _ = read_actions(&bytes);
            let _ = refusal(&Answer { status: 400, body: bytes });
        }
    }

    #[test]
    fn a_status_tells_what_to_do() {
        let refusal = |status, body: &str| refusal(&Answer { status, body: body.as_bytes().to_vec() });
        assert!(matches!(refusal(401, ""), FeedError::Refused(_)));
        assert!(matches!(refusal(403, "{}"), FeedError::Refused(_)));
        assert!(matches!(refusal(429, ""), FeedError::RateLimited { .. }));
        assert!(matches!(refusal(503, "busy"), FeedError::Unavailable(_)));
        let said = r#"{"message":"invalid symbol: NOPE!"}"#;
        assert!(matches!(refusal(400, said), FeedError::UnknownSymbol { symbol, .. } if symbol == "NOPE!"));
        assert!(matches!(refusal(422, r#"{"message":"bad limit"}"#), FeedError::Nonsense(_)));
    }

    #[test]
    fn a_crypto_day_that_begins_in_chicago_ends_there() {
        let at = |time| moment(time, BarSize::Day, Market::Crypto).unwrap();
        let day = Day::parse("2022-05-27").unwrap();
        assert_eq!(at("2022-05-27T00:00:00Z"), Moment::Day(day));
        let ends = Timestamp::parse("2022-05-28T04:59:59.999999999Z").unwrap();
        assert_eq!(at("2022-05-27T05:00:00Z"), Moment::DayUntil(day, ends));
    }

    #[test]
    fn corporate_actions_are_read_by_family_and_unknown_ones_are_kept_aside() {
        let body = br#"{"corporate_actions":{
            "forward_splits":[{"id":"f1","symbol":"ACME","ex_date":"2024-06-10","new_rate":10,"old_rate":1,"payable_date":"2024-06-07"}],
            "reverse_splits":[{"id":"r1","symbol":"TINY","ex_date":"2024-06-11","new_rate":1,"old_rate":50}],
            "cash_dividends":[{"id":"c1","symbol":"ACME","ex_date":"2024-05-04","rate":0.125,"record_date":"2024-05-05","special":false}],
            "stock_dividends":[{"id":"s1","symbol":"ACME","ex_date":"2024-05-19","rate":0.05}],
            "spin_offs":[{"id":"o1","source_symbol":"PARENT","new_symbol":"CHILD","new_rate":1,"source_rate":19.35,"ex_date":"2024-08-15"}],
            "stock_and_cash_mergers":[{"id":"m1","acquiree_symbol":"OLD","acquirer_symbol":"NEW","acquiree_rate":1,"acquirer_rate":0.7733,"cash_rate":7.8,"effective_date":"2024-07-18"}],
            "name_changes":[{"id":"n1","old_symbol":"BSAQ","new_symbol":"VFS","process_date":"2024-08-15"}],
            "unit_splits":[{"id":"u1","old_symbol":"U"}],
            "worthless_removals":[{"id":"w1","symbol":"GONE"}]
            },"next_page_token":null}"#;
        let page = read_actions(body).unwrap();
        let said: Vec<String> = page
            .series
            .iter()
            .flat_map(|series| {
                series.actions.iter().map(|action| {
                    let ratio = action.ratio.map(|ratio| format!(" {ratio}")).unwrap_or_default();
                    let cash = action.cash.map(|cash| format!(" {cash} each")).unwrap_or_default();
                    let other = action.other.as_ref().map(|other| format!(" → {other}")).unwrap_or_default();
                    format!("{} {} {}{ratio}{cash}{other}", series.symbol, action.kind, action.effective)
                })
            })
            .collect();
        assert_eq!(
            said,
            [
                "ACME cash_dividend 2024-05-04 0.125 each",
                "ACME split 2024-06-10 10:1",
                "ACME stock_dividend 2024-05-19 1.05:1",
                "BSAQ symbol_change 2024-08-15 → VFS",
                "OLD merger 2024-07-18 0.7733:1 7.8 each → NEW",
                "PARENT spin_off 2024-08-15 1:19.35 → CHILD",
                "TINY split 2024-06-11 1:50",
            ]
        );
        let asides = &page.series[0].asides;
        assert_eq!(page.series[0].symbol, "");
        assert_eq!(asides.len(), 2);
        assert!(asides[0].detail.contains("`unit_splits` is not a kind"), "{}", asides[0].detail);
        assert!(asides[1].detail.contains("ex_date"), "{}", asides[1].detail);
    }
}
