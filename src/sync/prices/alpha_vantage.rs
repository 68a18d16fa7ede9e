//! Alpha Vantage: daily bars as traded, with dividends and splits where the key may see them.
//!
//! Whatever goes wrong comes with status 200 and a sentence, which may quote the key.

use super::alpaca::read;
use super::feed::{
    Action, Aside, BarAsk, Feed, FeedBar, FeedError, Latest, LatestOf, Market, Moment, Page, Series,
};
use super::figure::Figure;
use super::web::{Answer, Web, excerpt, refusal};
use crate::config::{BarSize, Secret};
use crate::importers::symbols::Symbol;
use async_trait::async_trait;
use daybook_schemas::events::{CorporateActionKind, QuarantineReason};
use daybook_schemas::{Day, Ratio, Timestamp, Zone, calendar};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use url::Url;

use crate::sync::pace::WallClock;

const WHO: &str = "Alpha Vantage";
/// A compact answer holds the last hundred trading days.
const COMPACT_DAYS: i32 = 130;
/// How long a key that used up its day is left alone; the day it means is nowhere stated.
const DAY_USED_UP: Duration = Duration::from_secs(3600);
/// How long a key that asks too fast is left alone.
const TOO_FAST: Duration = Duration::from_secs(60);

/// Alpha Vantage.
pub(crate) struct AlphaVantage {
    web: Web,
    key: Secret,
    clock: Arc<dyn WallClock>,
    /// The key may not ask for dividends and splits.
    plain: AtomicBool,
    /// The key may not ask for more than the last hundred days.
    compact: AtomicBool,
}

impl AlphaVantage {
    /// At a host, with a key.
    pub(crate) fn new(base: Url, key: Secret, clock: Arc<dyn WallClock>) -> Self {
        Self {
            web: Web::new(WHO, base),
            key,
            clock,
            plain: AtomicBool::new(false),
            compact: AtomicBool::new(false),
        }
    }

    async fn ask(&self, query: &[(&str, &str)]) -> Result<Answer, FeedError> {
        let mut query = query.to_vec();
        query.push(("apikey", self.key.expose()));
        let answer = self.web.get(&["query"], &query).await?;
        match answer.status {
            200 => Ok(answer),
            _ => Err(refusal(WHO, &answer, self.without_key(&excerpt(&answer.body)))),
        }
    }

    fn without_key(&self, text: &str) -> String {
        if self.key.expose().is_empty() { text.to_owned() } else { text.replace(self.key.expose(), "(key)") }
    }
}

/// What an answer says instead of prices.
#[derive(Deserialize, Default)]
struct Instead {
    #[serde(rename = "Information")]
    information: Option<String>,
    #[serde(rename = "Note")]
    note: Option<String>,
    #[serde(rename = "Error Message")]
    error: Option<String>,
}

/// What a sentence in place of prices means.
#[derive(PartialEq, Debug)]
enum Sentence {
    Premium(String),
    Error(FeedError),
}

impl Instead {
    fn sentence(self, symbol: &str, without_key: impl Fn(&str) -> String) -> Option<Sentence> {
        if let Some(said) = self.error {
            let said = without_key(&said);
            let of_the_key = said.to_lowercase().contains("apikey");
            return Some(Sentence::Error(if of_the_key && !said.contains("TIME_SERIES") {
                FeedError::Refused(format!("{WHO} does not take the key ({said}): correct the feed's key"))
            } else {
                FeedError::UnknownSymbol { symbol: symbol.to_owned(), said }
            }));
        }
        let said = without_key(&self.information.or(self.note)?);
        let lower = said.to_lowercase();
        let limited = ["limit", "frequency", "per second", "per minute", "per day"];
        let limited = limited.iter().any(|words| lower.contains(words));
        if lower.contains("premium") && !limited {
            return Some(Sentence::Premium(said));
        }
        if limited {
            let a_day = ["per day", "daily"].iter().any(|words| lower.contains(words))
                && !lower.contains("per minute");
            let retry_after = Some(if a_day { DAY_USED_UP } else { TOO_FAST });
            return Some(Sentence::Error(FeedError::RateLimited { retry_after, said }));
        }
        if lower.contains("demo") || lower.contains("api key") {
            return Some(Sentence::Error(FeedError::Refused(format!(
                "{WHO} does not take the key ({said}): correct the feed's key"
            ))));
        }
        Some(Sentence::Error(FeedError::Nonsense(format!("{WHO} says: {said}"))))
    }
}

#[derive(Deserialize)]
struct Daily<'a> {
    #[serde(rename = "Time Series (Daily)", borrow)]
    days: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

#[derive(Deserialize)]
struct DayRow {
    #[serde(rename = "1. open")]
    open: Figure,
    #[serde(rename = "2. high")]
    high: Figure,
    #[serde(rename = "3. low")]
    low: Figure,
    #[serde(rename = "4. close")]
    close: Figure,
    #[serde(rename = "6. volume", alias = "5. volume")]
    volume: Option<Figure>,
    #[serde(rename = "7. dividend amount")]
    dividend: Option<Figure>,
    #[serde(rename = "8. split coefficient")]
    split: Option<Figure>,
}

#[derive(Deserialize)]
struct GlobalQuote {
    #[serde(rename = "Global Quote")]
    quote: Option<QuoteRow>,
}

#[derive(Deserialize, Default)]
struct QuoteRow {
    #[serde(rename = "05. price")]
    price: Option<Figure>,
    #[serde(rename = "07. latest trading day")]
    day: Option<Day>,
}

/// Reads the days; none if the answer has none.
fn read_days(symbol: &str, body: &[u8]) -> Result<Option<Series>, FeedError> {
    let Some(days) = read::<Daily<'_>>(WHO, body)?.days else { return Ok(None) };
    let mut series = Series { symbol: symbol.to_owned(), ..Series::default() };
    for (text, raw) in days {
        let aside = |moment: Option<Moment>, reason: QuarantineReason, detail: String| Aside {
            moment,
            reason,
            detail,
            raw: format!("{{\"{text}\":{}}}", raw.get()),
        };
        let day = match Day::parse(&text) {
            Ok(day) => day,
            Err(error) => {
                series.asides.push(aside(None, QuarantineReason::BadField, error.to_string()));
                continue;
            }
        };
        let moment = Moment::Day(day);
        let row: DayRow = match serde_json::from_str(raw.get()) {
            Ok(row) => row,
            Err(error) => {
                series.asides.push(aside(Some(moment), QuarantineReason::BadField, error.to_string()));
                continue;
            }
        };
        let bar = FeedBar {
            moment,
            open: Some(row.open.0),
            high: Some(row.high.0),
            low: Some(row.low.0),
            close: row.close.0,
            volume: row.volume.map(|volume| volume.0),
            average: None,
            trades: None,
        };
        if let Some(dividend) = row.dividend.filter(|dividend| dividend.0 > Decimal::ZERO) {
            let action = Action::new(CorporateActionKind::CashDividend, day);
            series.actions.push(Action { cash: Some(dividend.0), ..action });
        }
        if let Some(split) = row.split.filter(|split| split.0 != Decimal::ONE && split.0 > Decimal::ZERO) {
            match Ratio::new(split.0, Decimal::ONE) {
                Ok(ratio) => {
                    let action = Action::new(CorporateActionKind::Split, day);
                    series.actions.push(Action { ratio: Some(ratio), ..action });
                }
                Err(error) => series.asides.push(aside(None, QuarantineReason::BadField, error)),
            }
        }
        match bar.flaw() {
            None => series.bars.push(bar),
            Some((reason, detail)) => series.asides.push(aside(Some(moment), reason, detail)),
        }
    }
    Ok(Some(series))
}

#[async_trait]
impl Feed for AlphaVantage {
    fn spell(&self, symbol: &Symbol, market: Market, size: BarSize) -> Option<String> {
        (market == Market::Stocks && size == BarSize::Day).then(|| symbol.text.replace([' ', '/'], "."))
    }

    fn symbols_max(&self) -> usize {
        1
    }

    fn delay(&self, _size: BarSize) -> Duration {
        Duration::from_secs(3600)
    }

    fn freshness(&self, _size: BarSize) -> Duration {
        Duration::from_secs(3 * 3600)
    }

    async fn bars(&self, ask: &BarAsk, _page: Option<&str>) -> Result<Page, FeedError> {
        let Some(symbol) = ask.symbols.first() else { return Ok(Page::default()) };
        let today = self.clock.now().day_in(Zone::NEW_YORK);
        let recent = ask.after.day_in(Zone::NEW_YORK) > today.plus_days(-COMPACT_DAYS);
        loop {
            let plain = self.plain.load(Ordering::Relaxed);
            let compact = recent || self.compact.load(Ordering::Relaxed);
            let function = if plain { "TIME_SERIES_DAILY" } else { "TIME_SERIES_DAILY_ADJUSTED" };
            let size = if compact { "compact" } else { "full" };
            let answer =
                self.ask(&[("function", function), ("symbol", symbol), ("outputsize", size)]).await?;
            if let Some(series) = read_days(symbol, &answer.body)? {
                return Ok(Page { series: vec![series], next: None });
            }
            let instead: Instead = read(WHO, &answer.body)?;
            match instead.sentence(symbol, |text| self.without_key(text)) {
                // What the key may not see is asked for no more; what it may see, it gets.
                Some(Sentence::Premium(_)) if !plain => self.plain.store(true, Ordering::Relaxed),
                Some(Sentence::Premium(_)) if !compact => self.compact.store(true, Ordering::Relaxed),
                Some(Sentence::Premium(said)) => {
                    return Err(FeedError::Refused(format!(
                        "{WHO} does not serve this with the key ({said}): subscribe, or take another feed"
                    )));
                }
                Some(Sentence::Error(error)) => return Err(error),
                None => {
                    let said = self.without_key(&excerpt(&answer.body));
                    return Err(FeedError::Nonsense(format!("{WHO} answers without prices: {said}")));
                }
            }
        }
    }

    fn has_latest(&self) -> bool {
        true
    }

    async fn latest(&self, symbols: &[String], _market: Market) -> Result<Vec<LatestOf>, FeedError> {
        let Some(symbol) = symbols.first() else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let answer = self.ask(&[("function", "GLOBAL_QUOTE"), ("symbol", symbol)]).await?;
        let instead: Instead = read(WHO, &answer.body)?;
        match instead.sentence(symbol, |text| self.without_key(text)) {
            Some(Sentence::Error(error)) => return Err(error),
            Some(Sentence::Premium(said)) => return Err(FeedError::Refused(format!("{WHO}: {said}"))),
            None => {}
        }
        let quote = read::<GlobalQuote>(WHO, &answer.body)?.quote.unwrap_or_default();
        let (Some(price), Some(day)) = (quote.price, quote.day) else { return Ok(Vec::new()) };
        let latest = at_of_quote(day, now).filter(|_| price.0 > Decimal::ZERO).map(|at| LatestOf {
            symbol: symbol.clone(),
            currency: None,
            latest: Latest::Price { price: price.0, at },
        });
        Ok(latest.into_iter().collect())
    }
}

/// A quote says its day and no time: it is the price of now only while that day is traded; later it is the day's close,
/// which comes as a bar.
fn at_of_quote(day: Day, now: Timestamp) -> Option<Timestamp> {
    (day == now.day_in(Zone::NEW_YORK) && calendar::is_open(now)).then_some(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADJUSTED: &str = r#"{"Meta Data":{"2. Symbol":"ACME"},"Time Series (Daily)":{
        "2021-09-03":{"1. open":"209.7500","2. high":"210.1","3. low":"208","4. close":"209.9","5. adjusted close":"200.1","6. volume":"1200","7. dividend amount":"0.0000","8. split coefficient":"1.0"},
        "2021-09-02":{"1. open":"10","2. high":"11","3. low":"9","4. close":"10","5. adjusted close":"1","6. volume":"5","7. dividend amount":"0.4700","8. split coefficient":"7.0"},
        "2021-09-01":{"1. open":"10","2. high":"8","3. low":"9","4. close":"10","6. volume":"5"},
        "20210831":{"1. open":"10"}}}"#;

    #[test]
    fn days_are_read_as_traded_with_their_splits_and_dividends() {
        let series = read_days("ACME", ADJUSTED.as_bytes()).unwrap().unwrap();
        assert!(!series.adjusted);
        let bars: Vec<_> = series.bars.iter().map(|bar| (bar.moment, bar.close.to_string())).collect();
        let day = |text| Moment::Day(Day::parse(text).unwrap());
        assert_eq!(bars, [(day("2021-09-02"), "10".to_owned()), (day("2021-09-03"), "209.9".to_owned())]);
        let [dividend, split] = series.actions.as_slice() else { panic!("{:?}", series.actions) };
        assert_eq!(dividend.cash.unwrap().to_string(), "0.47");
        assert_eq!(split.ratio.unwrap().to_string(), "7:1");
        assert_eq!(series.asides.len(), 2, "a high below the low, and a day that is none");
        let plain = ADJUSTED.replace("6. volume", "5. volume");
        let series = read_days("ACME", plain.as_bytes()).unwrap().unwrap();
        assert_eq!(series.bars[1].volume.unwrap().to_string(), "1200");
    }

    #[test]
    fn sentences_in_place_of_prices_are_told_apart_and_do_not_show_the_key() {
        let said = |json: &str| {
            let instead: Instead = serde_json::from_str(json).unwrap();
            instead.sentence("ACME", |text| text.replace("S3CRET", "(key)")).unwrap()
        };
        let limited = said(
            r#"{"Information":"We have detected your API key as S3CRET and our standard API rate limit is 25 requests per day. Please subscribe to any of the premium plans"}"#,
        );
        assert!(
            matches!(&limited, Sentence::Error(FeedError::RateLimited { retry_after: Some(DAY_USED_UP), said }) if said.contains("(key)")),
            "{limited:?}"
        );
        let note = said(
            r#"{"Note":"Our standard API call frequency is 5 calls per minute and 500 calls per day."}"#,
        );
        assert!(matches!(note, Sentence::Error(FeedError::RateLimited { retry_after: Some(TOO_FAST), .. })));
        let unknown = said(
            r#"{"Error Message":"Invalid API call. Please retry or visit the documentation for TIME_SERIES_DAILY."}"#,
        );
        assert!(
            matches!(unknown, Sentence::Error(FeedError::UnknownSymbol { symbol, .. }) if symbol == "ACME")
        );
        let key =
            said(r#"{"Error Message":"the parameter apikey is invalid or missing. Please claim your key"}"#);
        assert!(matches!(key, Sentence::Error(FeedError::Refused(_))));
        assert!(matches!(
            said(r#"{"Information":"Thank you! This is a premium endpoint."}"#),
            Sentence::Premium(_)
        ));
        assert!(matches!(
            said(r#"{"Information":"The demo API key is for demo purposes only."}"#),
            Sentence::Error(FeedError::Refused(_))
        ));
        assert!(matches!(said(r#"{"Note":"Hello"}"#), Sentence::Error(FeedError::Nonsense(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_days_or_an_error(at in 0usize..700, byte in any::<u8>(), cell in "[ -~]{0,12}") {
            let mut bytes = ADJUSTED.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read_days("ACME", &bytes);
            let _ = read_days("ACME", &ADJUSTED.as_bytes()[..at]);
            let _ = read_days("ACME", ADJUSTED.replace("209.9", &cell).replace("7.0", &cell).as_bytes());
        }
    }

    #[test]
    fn a_quote_is_the_price_of_now_only_while_its_day_is_traded() {
        let day = Day::parse("2024-01-05").unwrap();
        let at = |text| Timestamp::parse(text).unwrap();
        assert!(at_of_quote(day, at("2024-01-05T15:00:00Z")).is_some());
        assert!(at_of_quote(day, at("2024-01-05T21:00:00Z")).is_none());
        assert!(at_of_quote(day, at("2024-01-08T15:00:00Z")).is_none());
    }
}
