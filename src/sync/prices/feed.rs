//! What a feed of prices is asked, and what it may answer, whoever it is.

use crate::config::BarSize;
use crate::importers::symbols::{Form, Symbol};
use async_trait::async_trait;
use daybook_schemas::events::{CorporateActionKind, InstrumentClass, QuarantineReason};
use daybook_schemas::{Currency, Day, Ratio, Timestamp};
use rust_decimal::Decimal;
use std::time::Duration;

/// By how much of itself a price may leave the range of its bar: feeds round each of them for itself.
const ROUNDING: Decimal = Decimal::from_parts(1, 0, 0, false, 5);

/// Why a feed did not answer with prices.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FeedError {
    /// It was asked too often.
    #[error("it was asked too often: {said}")]
    RateLimited {
        /// How long it wants to be left alone, where it says so.
        retry_after: Option<Duration>,
        /// In its own words.
        said: String,
    },
    /// It does not serve this key; asking again is of no use before somebody acts.
    #[error("{0}")]
    Refused(String),
    /// There is no answer for now.
    #[error("{0}")]
    Unavailable(String),
    /// There is an answer that is none.
    #[error("{0}")]
    Nonsense(String),
    /// It does not know a symbol; the others may be asked for without it.
    #[error("`{symbol}` is not known: {said}")]
    UnknownSymbol {
        /// As the feed writes it.
        symbol: String,
        /// In the feed's own words.
        said: String,
    },
}

/// What kind of thing is priced, as far as feeds ask for it in other ways.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Market {
    /// What is traded at an exchange, in its hours.
    Stocks,
    /// Crypto assets, which are traded always.
    Crypto,
    /// Rates of exchange.
    Rates,
}

impl Market {
    /// Where a symbol is priced, with what is known of its instrument; none for what no feed prices.
    pub(crate) fn of(symbol: &Symbol, class: Option<&InstrumentClass>) -> Option<Self> {
        match (&symbol.form, class) {
            (Form::Option(_), _)
            | (
                _,
                Some(
                    InstrumentClass::Option
                    | InstrumentClass::Future
                    | InstrumentClass::Bond
                    | InstrumentClass::Other(_),
                ),
            ) => None,
            (Form::Pair { .. }, _) => Some(Self::Rates),
            (Form::Crypto { .. }, _) | (_, Some(InstrumentClass::Crypto)) => Some(Self::Crypto),
            _ => Some(Self::Stocks),
        }
    }
}

/// A question for the bars that close after one instant and not after another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BarAsk {
    /// The symbols, as the feed writes them, all of one market.
    pub(crate) symbols: Vec<String>,
    /// Where they are priced.
    pub(crate) market: Market,
    /// The length of a bar.
    pub(crate) size: BarSize,
    /// The bars close later than this.
    pub(crate) after: Timestamp,
    /// The bars close at this instant or before it.
    pub(crate) until: Timestamp,
}

/// Which bar of its size it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Moment {
    /// That of a trading day, which closes as its market does.
    Day(Day),
    /// That of a day which closes at an instant of its own.
    DayUntil(Day, Timestamp),
    /// The one that begins at this instant.
    From(Timestamp),
}

/// A bar as a feed states it, read and found sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FeedBar {
    /// Which.
    pub(crate) moment: Moment,
    /// First price.
    pub(crate) open: Option<Decimal>,
    /// Highest price.
    pub(crate) high: Option<Decimal>,
    /// Lowest price.
    pub(crate) low: Option<Decimal>,
    /// Last price.
    pub(crate) close: Decimal,
    /// Units traded.
    pub(crate) volume: Option<Decimal>,
    /// Average price weighted by volume.
    pub(crate) average: Option<Decimal>,
    /// The number of trades.
    pub(crate) trades: Option<u64>,
}

impl FeedBar {
    /// Why the bar cannot be what was traded, if it cannot.
    pub(crate) fn flaw(&self) -> Option<(QuarantineReason, String)> {
        let prices =
            [("open", self.open), ("high", self.high), ("low", self.low), ("close", Some(self.close))];
        for (name, price) in prices.into_iter().filter_map(|(name, price)| Some((name, price?))) {
            if price <= Decimal::ZERO {
                return Some((
                    QuarantineReason::BadField,
                    format!("`{name}` is {price}: a price is above zero"),
                ));
            }
        }
        if self.volume.is_some_and(|volume| volume.is_sign_negative() && !volume.is_zero()) {
            return Some((QuarantineReason::BadField, "`volume` is below zero".to_owned()));
        }
        if let (Some(high), Some(low)) = (self.high, self.low)
            && high < low
        {
            let text = format!("the highest price, {high}, is below the lowest, {low}");
            return Some((QuarantineReason::Contradiction, text));
        }
        let beyond = |price: Decimal, bound: Decimal| {
            // Sound prices are far from the bounds of a decimal; what is not sound may lose digits here.
            price.checked_sub(bound).is_none_or(|by| by.abs() > bound.saturating_mul(ROUNDING))
        };
        for (name, price) in [("open", self.open), ("close", Some(self.close))] {
            let Some(price) = price else { continue };
            let outside = self.high.filter(|high| price > *high).or(self.low.filter(|low| price < *low));
            if let Some(bound) = outside
                && beyond(price, bound)
            {
                let text = format!("`{name}`, {price}, lies beyond {bound}, the end of the bar's range");
                return Some((QuarantineReason::Contradiction, text));
            }
        }
        None
    }
}

/// A statement of a feed that cannot be used, with its words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Aside {
    /// Which bar it speaks of, where that could be read.
    pub(crate) moment: Option<Moment>,
    /// Why.
    pub(crate) reason: QuarantineReason,
    /// Why, in words.
    pub(crate) detail: String,
    /// The statement.
    pub(crate) raw: String,
}

/// A corporate action as a feed announces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Action {
    /// What is announced.
    pub(crate) kind: CorporateActionKind,
    /// The first day on which prices are without it.
    pub(crate) effective: Day,
    /// New units for old ones, or units of the other instrument for one.
    pub(crate) ratio: Option<Ratio>,
    /// Cash for one unit, as traded on that day.
    pub(crate) cash: Option<Decimal>,
    /// The symbol of the other instrument.
    pub(crate) other: Option<String>,
    /// When it was declared.
    pub(crate) declared: Option<Day>,
    /// Whose holders of this day receive it.
    pub(crate) record_date: Option<Day>,
    /// When it is paid.
    pub(crate) pays: Option<Day>,
    /// The feed's own id of it.
    pub(crate) id: Option<String>,
}

impl Action {
    /// An action of which no more is known.
    pub(crate) const fn new(kind: CorporateActionKind, effective: Day) -> Self {
        Self {
            kind,
            effective,
            ratio: None,
            cash: None,
            other: None,
            declared: None,
            record_date: None,
            pays: None,
            id: None,
        }
    }
}

/// What a feed says of one symbol.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Series {
    /// The symbol, as the feed writes it.
    pub(crate) symbol: String,
    /// The currency of its prices, where the feed tells.
    pub(crate) currency: Option<Currency>,
    /// Whether prices, volumes and dividends before a split among `actions` are adjusted for it.
    pub(crate) adjusted: bool,
    /// The bars.
    pub(crate) bars: Vec<FeedBar>,
    /// The corporate actions.
    pub(crate) actions: Vec<Action>,
    /// What cannot be used.
    pub(crate) asides: Vec<Aside>,
}

/// A page of an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Page {
    /// What it says, by symbol.
    pub(crate) series: Vec<Series>,
    /// What brings the next page; none on the last.
    pub(crate) next: Option<String>,
}

/// A price as of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Latest {
    /// A bar that closed last.
    Bar(FeedBar),
    /// A price, and when it was made.
    Price {
        /// The price.
        price: Decimal,
        /// When.
        at: Timestamp,
    },
}

/// What a feed says of one symbol as of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LatestOf {
    /// The symbol, as the feed writes it.
    pub(crate) symbol: String,
    /// The currency of its price, where the feed tells.
    pub(crate) currency: Option<Currency>,
    /// The price.
    pub(crate) latest: Latest,
}

/// A source of prices. It keeps nothing between questions but its connection; each call is one request.
#[async_trait]
pub(crate) trait Feed: Send + Sync {
    /// The symbol as the feed writes it; none for what it does not price.
    fn spell(&self, symbol: &Symbol, market: Market, size: BarSize) -> Option<String>;

    /// The most symbols that one request asks for.
    fn symbols_max(&self) -> usize;

    /// How long after its close a bar is complete at the feed.
    fn delay(&self, size: BarSize) -> Duration;

    /// How long an answer stays true that does not yet have what was asked for.
    fn freshness(&self, size: BarSize) -> Duration;

    /// Asks for bars; `page` is what the page before named as the next.
    async fn bars(&self, ask: &BarAsk, page: Option<&str>) -> Result<Page, FeedError>;

    /// Whether it can be asked for prices as of now.
    fn has_latest(&self) -> bool {
        false
    }

    /// Asks for prices as of now, of symbols of one market.
    async fn latest(&self, _symbols: &[String], _market: Market) -> Result<Vec<LatestOf>, FeedError> {
        Ok(Vec::new())
    }

    /// Whether corporate actions are asked for by themselves; of other feeds they come with the bars, or not at all.
    fn has_actions(&self) -> bool {
        false
    }

    /// Asks for corporate actions that take effect from one day to another.
    async fn actions(
        &self,
        _symbols: &[String],
        _from: Day,
        _to: Day,
        _page: Option<&str>,
    ) -> Result<Page, FeedError> {
        Ok(Page::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daybook_schemas::decimal;

    fn bar(open: &str, high: &str, low: &str, close: &str) -> FeedBar {
        let price = |text: &str| decimal::parse(text).unwrap();
        FeedBar {
            moment: Moment::Day(Day::from_number(20_000)),
            open: Some(price(open)),
            high: Some(price(high)),
            low: Some(price(low)),
            close: price(close),
            volume: None,
            average: None,
            trades: None,
        }
    }

    #[test]
    fn a_bar_that_cannot_have_been_traded_has_a_flaw_and_one_that_is_only_rounded_has_none() {
        assert_eq!(bar("10", "11", "9", "10.5").flaw(), None);
        assert_eq!(bar("10.000049", "10", "9", "9").flaw(), None, "half a hundredth of a cent is rounding");
        let (reason, text) = bar("10", "9", "11", "10").flaw().unwrap();
        assert_eq!(reason, QuarantineReason::Contradiction);
        assert!(text.contains("highest price, 9, is below the lowest, 11"), "{text}");
        assert!(bar("10", "11", "9", "11.02").flaw().unwrap().1.contains("`close`, 11.02, lies beyond 11"));
        assert!(bar("0", "11", "9", "10").flaw().unwrap().1.contains("`open` is 0"));
        assert!(bar("10", "11", "9", "-1").flaw().unwrap().1.contains("`close` is -1"));
        let sold = FeedBar { volume: Some(Decimal::NEGATIVE_ONE), ..bar("1", "1", "1", "1") };
        assert!(sold.flaw().is_some());
        let vast = "79228162514264337593543950335";
        assert!(bar("1", vast, "1", vast).flaw().is_none());
    }
}
