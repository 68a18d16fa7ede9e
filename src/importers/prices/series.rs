//! The prices of one instrument or pair in order of time: what its splits did to them, and what they become.

use super::table::{Column, Quote};
use super::{Adjustment, File, Moment, closes};
use crate::importers::identity;
use crate::importers::symbols::Symbol;
use daybook_projections::library::{Jump, check_adjustment};
use daybook_schemas::events::{
    BarClosed, CorporateActionAnnounced, CorporateActionKind, FxRateObserved, InstrumentClass, PriceTick,
    TickKind,
};
use daybook_schemas::{
    Currency, Day, FxRate, InstrumentId, Money, Price, Quantity, Ratio, Zone, decimal, stream,
};
use rust_decimal::Decimal;

/// Two feeds may date one split so many days apart.
const SAME_SPLIT_DAYS: i32 = 7;

/// What a row prices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    Instrument(InstrumentId),
    Pair(Currency, Currency),
}

/// A row with what it prices; its prices are as traded once the splits after it are undone.
pub(super) struct Bar<'t> {
    pub(super) quote: &'t Quote,
    pub(super) symbol: &'t Symbol,
    pub(super) currency: Currency,
    pub(super) class: InstrumentClass,
    pub(super) open: Option<Decimal>,
    pub(super) high: Option<Decimal>,
    pub(super) low: Option<Decimal>,
    pub(super) close: Decimal,
}

/// A split that the prices are to be checked against.
#[derive(Clone, Copy, Debug)]
struct Split {
    effective: Day,
    ratio: Ratio,
}

/// What splits after a row come to: new units for old ones.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Factor {
    new: Decimal,
    old: Decimal,
}

impl Factor {
    /// That nothing was split.
    pub(crate) const ONE: Self = Self { new: Decimal::ONE, old: Decimal::ONE };

    /// With one split more.
    pub(crate) fn times(self, ratio: Ratio) -> Result<Self, decimal::ArithmeticError> {
        Ok(Self {
            new: decimal::multiply(self.new, ratio.numerator())?,
            old: decimal::multiply(self.old, ratio.denominator())?,
        })
    }

    /// As a ratio; none if nothing was split.
    pub(crate) fn ratio(self) -> Option<Ratio> {
        (self.new != self.old).then(|| Ratio::new(self.new, self.old).ok()).flatten()
    }

    /// `value` × new ÷ old: exactly where that is a finite decimal, else to twelve places more than it had.
    pub(crate) fn apply(self, value: Decimal) -> Result<Decimal, decimal::ArithmeticError> {
        if self.old == Decimal::ONE {
            return decimal::multiply(value, self.new);
        }
        let scale = (value.scale() + decimal::QUOTIENT_SCALE).min(20);
        decimal::multiply_divide(value, self.new, self.old, scale)
            .or_else(|_| decimal::multiply_divide(value, self.new, self.old, decimal::QUOTIENT_SCALE))
    }

    /// `value` × old ÷ new.
    pub(crate) fn undo(self, value: Decimal) -> Result<Decimal, decimal::ArithmeticError> {
        Self { new: self.old, old: self.new }.apply(value)
    }
}

impl File<'_> {
    /// Turns the rows of one target into events.
    pub(super) fn series(&mut self, target: &Target, bars: Vec<Bar<'_>>) {
        match *target {
            Target::Pair(base, quote) => {
                for bar in &bars {
                    self.rate(base, quote, bar);
                }
            }
            Target::Instrument(id) => {
                let splits = self.splits(id, &bars);
                self.check_jumps(&bars, &splits);
                for bar in bars {
                    self.bar(id, bar, &splits);
                }
            }
        }
    }

    /// The splits that the file states and those that feeds announced, by day; the file's own word goes first.
    fn splits(&mut self, id: InstrumentId, bars: &[Bar<'_>]) -> Vec<Split> {
        let mut splits: Vec<Split> = bars
            .iter()
            .filter_map(|bar| Some(Split { effective: bar.quote.moment.day(), ratio: bar.quote.split? }))
            .collect();
        let (first, last) = match bars {
            [first, .., last] => (first, last),
            [only] => (only, only),
            [] => return splits,
        };
        let (from, to) = (first.quote.moment.day(), last.quote.moment.day());
        for (effective, ratio) in self.desk.context.announced_splits(id) {
            let near =
                |split: &Split| (split.effective.number() - effective.number()).abs() <= SAME_SPLIT_DAYS;
            if splits.iter().any(near) || effective <= from {
                continue;
            }
            if effective > to && self.adjusted == Adjustment::Splits {
                let text = format!(
                    "`{}` was split {ratio} on {effective}, after the last row: its prices are taken to be adjusted for that too",
                    last.symbol.text
                );
                self.warn(last.quote.line, Some(Column::Split.name()), text);
            }
            splits.push(Split { effective, ratio });
        }
        splits.sort_by_key(|split| split.effective);
        splits
    }

    /// Warns where the prices around a split contradict what was said of their adjustment.
    fn check_jumps(&mut self, bars: &[Bar<'_>], splits: &[Split]) {
        for split in splits {
            let place = bars.partition_point(|bar| bar.quote.moment.day() < split.effective);
            let (Some(before), Some(after)) =
                (place.checked_sub(1).and_then(|place| bars.get(place)), bars.get(place))
            else {
                continue;
            };
            let (name, ratio, day) = (&after.symbol.text, split.ratio, split.effective);
            let text = match (check_adjustment(before.close, after.close, ratio), self.adjusted) {
                (Ok(Jump::AlreadyAdjusted), Adjustment::None) => format!(
                    "`{name}` was split {ratio} on {day} and its price does not jump there ({} before, {} after), so the file is adjusted for splits already: import it with --adjusted splits",
                    before.close, after.close
                ),
                (Ok(Jump::AsTraded), Adjustment::Splits) => format!(
                    "`{name}` was split {ratio} on {day} and its price jumps there ({} before, {} after), so the file is as traded: import it with --adjusted none",
                    before.close, after.close
                ),
                _ => continue,
            };
            self.warn(after.quote.line, Some(Column::Split.name()), text);
        }
    }

    fn bar(&mut self, id: InstrumentId, mut bar: Bar<'_>, splits: &[Split]) {
        let quote = bar.quote;
        let factor = match self.adjusted {
            Adjustment::None => Ok(Factor::ONE),
            Adjustment::Splits => splits
                .iter()
                .filter(|split| split.effective > quote.moment.day())
                .try_fold(Factor::ONE, |factor, split| factor.times(split.ratio)),
        };
        let undone = factor
            .and_then(|factor| bar.unadjust(factor).map(|(volume, dividend)| (factor, volume, dividend)));
        let (factor, volume, dividend) = match undone {
            Ok(undone) => undone,
            Err(error) => {
                let text =
                    format!("undoing the adjustment for splits: {error}; write the price with fewer digits");
                self.faults.field(quote.line, Column::Close.name(), text);
                return;
            }
        };
        let unadjusted_by = factor.ratio();
        let currency = bar.currency;
        let price = |price: Decimal| Price::new(price);
        let content = bar.content(volume, unadjusted_by);
        let identity = format!("prices:{}:{id}:{}", self.feed, quote.moment);
        let stream = stream::market(self.feed, id);
        let (closes, day) = match quote.moment {
            Moment::Day(day) => (closes(day, &bar.class), Some(day)),
            Moment::At(time) => (time, None),
        };
        let ranged = bar.open.is_some() || bar.high.is_some() || bar.low.is_some();
        if day.is_some() || ranged {
            let event = BarClosed {
                instrument: id,
                opens: None,
                closes,
                day,
                open: bar.open.map(price),
                high: bar.high.map(price),
                low: bar.low.map(price),
                close: price(bar.close),
                volume: volume.map(Quantity::new),
                average: None,
                trades: None,
                currency,
                revision: 0,
                unadjusted_by,
            };
            self.price(event, stream.clone(), closes, identity.clone(), content, quote.line);
        } else {
            let size = volume.map(Quantity::new);
            let event =
                PriceTick { instrument: id, price: price(bar.close), currency, size, kind: TickKind::Trade };
            self.price(event, stream.clone(), closes, identity.clone(), content, quote.line);
        }
        let announced = |kind| CorporateActionAnnounced {
            instrument: id,
            kind,
            effective: quote.moment.day(),
            ratio: None,
            cash: None,
            other: None,
            basis_share: None,
            declared: None,
            record_date: None,
            pays: None,
            external_id: None,
            revision: 0,
        };
        let at = quote.moment.day().start_in(Zone::NEW_YORK);
        if let Some(ratio) = quote.split {
            let event =
                CorporateActionAnnounced { ratio: Some(ratio), ..announced(CorporateActionKind::Split) };
            let content = identity::content([("split", ratio.to_string().as_str())].into_iter());
            self.price(event, stream.clone(), at, format!("{identity}:split"), content, quote.line);
        }
        if let Some(dividend) = dividend {
            let cash = Money::new(dividend, currency);
            let event =
                CorporateActionAnnounced { cash: Some(cash), ..announced(CorporateActionKind::CashDividend) };
            let content = identity::content([("dividend", cash.to_string().as_str())].into_iter());
            self.price(event, stream, at, format!("{identity}:dividend"), content, quote.line);
        }
    }

    fn rate(&mut self, base: Currency, quote: Currency, bar: &Bar<'_>) {
        let (day, occurred_at) = match bar.quote.moment {
            Moment::Day(day) => (Some(day), closes(day, &InstrumentClass::CurrencyPair)),
            Moment::At(time) => (None, time),
        };
        let event = FxRateObserved { base, quote, rate: FxRate::new(bar.close), day, revision: 0 };
        let content = identity::content([("rate", event.rate.to_string().as_str())].into_iter());
        let identity = format!("prices:{}:{base}{quote}:{}", self.feed, bar.quote.moment);
        let stream = stream::pair(self.feed, base, quote);
        self.price(event, stream, occurred_at, identity, content, bar.quote.line);
    }
}

impl Bar<'_> {
    /// Undoes the splits after the row: volume and dividend as traded.
    fn unadjust(
        &mut self,
        factor: Factor,
    ) -> Result<(Option<Decimal>, Option<Decimal>), decimal::ArithmeticError> {
        let quote = self.quote;
        for price in [&mut self.open, &mut self.high, &mut self.low].into_iter().flatten() {
            *price = factor.apply(*price)?;
        }
        self.close = factor.apply(self.close)?;
        let volume = quote.volume.map(|volume| factor.undo(volume)).transpose()?;
        let dividend = quote.dividend.map(|dividend| factor.apply(dividend)).transpose()?;
        Ok((volume, dividend))
    }

    /// What the row says, as traded.
    fn content(&self, volume: Option<Decimal>, unadjusted_by: Option<Ratio>) -> [u8; 32] {
        let number =
            |value: Option<Decimal>| value.map(|value| Price::new(value).to_string()).unwrap_or_default();
        let columns = [
            ("open", number(self.open)),
            ("high", number(self.high)),
            ("low", number(self.low)),
            ("close", number(Some(self.close))),
            ("volume", number(volume)),
            ("currency", self.currency.to_string()),
            ("unadjusted_by", unadjusted_by.map(|ratio| ratio.to_string()).unwrap_or_default()),
        ];
        identity::content(columns.iter().map(|(name, text)| (*name, text.as_str())))
    }
}
