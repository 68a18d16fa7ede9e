//! A portfolio's equity, flows, returns and drawdown, day by day.
//!
//! The convention is `in-start/out-end`: what comes in counts at the start of its day, what goes out at the end, so
//! that r = (V1 + out)/(V0 + in) − 1. A flow on a day that the calendar leaves out counts at the start of the next.
//! Returns, the index and drawdowns are cut half-even at 16 places.

use crate::book::Book;
use crate::exact;
use crate::library::{Imports, Instruments, PriceSource};
use crate::state::State;
use crate::valuation::equity;
use crate::view::{AsOf, View};
use daybook_schemas::Day;
use daybook_schemas::calendar::is_trading_day;
use daybook_schemas::decimal::{self, ArithmeticError, add, multiply, subtract};
use daybook_schemas::events::Calendar;
use rust_decimal::Decimal;
use serde::Serialize;

/// Places after the point of returns, index and drawdown.
pub const RETURN_SCALE: u32 = 16;
/// The most days that a series runs over: three centuries.
const DAYS_MAX: i32 = 110_000;

/// A day of a series.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SeriesDay {
    /// The day.
    pub date: Day,
    /// Equity at its end.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub equity: Option<Decimal>,
    /// What crossed the portfolio's edge since the last day of the series, in less out.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub net_flow: Option<Decimal>,
    /// The day's return, as a fraction.
    #[serde(rename = "return", with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub daily_return: Option<Decimal>,
    /// How far the return index stands below its peak, as a fraction; never positive.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub drawdown: Option<Decimal>,
    /// The return index at its end, 1 before the first day; absent once a flow of unknown value broke it.
    #[serde(skip)]
    pub index: Option<Decimal>,
    /// Why a figure of the day is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A series of days.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Series {
    /// The days, ascending.
    pub days: Vec<SeriesDay>,
    /// How flows count within a day.
    pub convention: &'static str,
    /// The days that the series runs over.
    pub calendar: Calendar,
    /// What the reader should know of the calendar.
    pub calendar_note: Option<&'static str>,
}

/// Flows of one currency up to a day.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Flows {
    contributed: Decimal,
    withdrawn: Decimal,
    unknown: u64,
    /// Those of events whose figures cannot be computed, in any currency.
    lost: u64,
    /// Whether another currency than the base crossed the edge.
    foreign: Decimal,
}

impl Flows {
    fn of(state: &State) -> Result<Self, ArithmeticError> {
        let base = state.settings.base_currency;
        let mut flows = Self::default();
        for (currency, totals) in &state.totals {
            flows.lost += totals.flows_lost;
            if *currency == base {
                flows.contributed = totals.contributed;
                flows.withdrawn = totals.withdrawn;
                flows.unknown += totals.flows_unknown;
            } else {
                // Only whether it changes matters, so that gross sums of different currencies may be mixed.
                flows.foreign = add(flows.foreign, add(totals.contributed, totals.withdrawn)?)?;
            }
        }
        Ok(flows)
    }
}

/// What the days so far leave to the next.
struct Run {
    /// Flows up to the end of the last day of the series.
    flows: Flows,
    /// Flows up to the end of the day before the one at hand, days outside the calendar included.
    flows_before: Flows,
    /// Equity at the end of the last day whose equity is known, and the flows since.
    last_known: Option<(Decimal, Flows)>,
    /// Why the last day's equity is not known.
    gap: Option<String>,
    /// The return index; absent once a flow of unknown value broke it.
    index: Option<Decimal>,
    peak: Decimal,
    broken: Option<String>,
}

/// Whether the calendar has the day.
fn has_day(calendar: &Calendar, day: Day) -> bool {
    match calendar {
        Calendar::Daily => true,
        Calendar::NewYork => is_trading_day(day),
        Calendar::Weekdays | Calendar::Other(_) => !day.is_weekend(),
    }
}

/// The series of a portfolio from its first entry to `to` (by default the view's day); `from` leaves out earlier days
/// without changing later ones.
#[must_use]
pub fn equity_series(
    book: &Book,
    source: &dyn PriceSource,
    instruments: &Instruments,
    imports: &Imports,
    view: &View,
    from: Option<Day>,
    to: Option<Day>,
) -> Series {
    let settings = book.settings_at(view, imports);
    let calendar = settings.calendar.clone();
    let calendar_note = match calendar {
        Calendar::Other(_) => Some("the calendar is not known: the series runs over weekdays"),
        Calendar::Weekdays | Calendar::Daily | Calendar::NewYork => None,
    };
    let mut days = Vec::new();
    let series =
        |days| Series { days, convention: "in-start/out-end", calendar: calendar.clone(), calendar_note };
    let Some((first, last_entry)) = book.span(view, imports) else { return series(days) };
    let limit = match view.as_of {
        AsOf::Instant(instant) if instant.nanos() == i64::MAX => last_entry,
        as_of => as_of.day(settings.zone),
    };
    let last = to.map_or(limit, |to| to.min(limit)).min(first.plus_days(DAYS_MAX));

    let mut run = Run {
        flows: Flows::default(),
        flows_before: Flows::default(),
        last_known: Some((Decimal::ZERO, Flows::default())),
        gap: None,
        index: Some(Decimal::ONE),
        peak: Decimal::ONE,
        broken: None,
    };
    let every_day = (first.number()..=last.number()).map(Day::from_number);
    book.visit_days(view, imports, every_day, |day, state| {
        let in_calendar = has_day(&calendar, day);
        let worth = in_calendar.then(|| {
            // On the view's own day only what had occurred by its instant counts.
            let as_of = match view.as_of {
                AsOf::Instant(instant) if instant < day.end_in(settings.zone) => view.as_of,
                _ => AsOf::Day(day),
            };
            equity(state, source, instruments, as_of, view.known)
        });
        match (Flows::of(state), worth) {
            (Ok(flows), Some(worth)) => days.push(run.day(day, flows, worth)),
            (Ok(flows), None) => run.flows_before = flows,
            (Err(error), _) => days.push(run.lose(day, error.to_string())),
        }
    });
    days.retain(|day| from.is_none_or(|from| from <= day.date));
    series(days)
}

impl Run {
    fn lose(&mut self, date: Day, reason: String) -> SeriesDay {
        self.gap = Some(reason.clone());
        SeriesDay {
            date,
            equity: None,
            net_flow: None,
            daily_return: None,
            drawdown: None,
            index: None,
            missing: Some(reason),
        }
    }

    /// One day of the series: `flows` are those up to its end, `worth` is its equity.
    fn day(&mut self, date: Day, flows: Flows, worth: Result<Decimal, String>) -> SeriesDay {
        let mut day = SeriesDay {
            date,
            equity: None,
            net_flow: None,
            daily_return: None,
            drawdown: None,
            index: None,
            missing: None,
        };
        if let Err(error) = self.compute(&mut day, flows, worth) {
            day.missing = Some(error.to_string());
            self.gap = Some(error.to_string());
        }
        self.flows = flows;
        self.flows_before = flows;
        day
    }

    fn compute(
        &mut self,
        day: &mut SeriesDay,
        flows: Flows,
        worth: Result<Decimal, String>,
    ) -> Result<(), ArithmeticError> {
        let flow_unknown = if flows.unknown > self.flows.unknown {
            Some("securities crossed the portfolio's edge with no value and no price".to_owned())
        } else if flows.lost > self.flows.lost {
            Some("an event that may have crossed the portfolio's edge cannot be computed".to_owned())
        } else if flows.foreign != self.flows.foreign {
            Some("cash of another currency crossed the portfolio's edge, and rates of exchange are not applied yet".to_owned())
        } else {
            None
        };
        if flow_unknown.is_none() {
            day.net_flow = Some(subtract(
                subtract(flows.contributed, self.flows.contributed)?,
                subtract(flows.withdrawn, self.flows.withdrawn)?,
            )?);
        }
        if let Some(reason) = &flow_unknown {
            self.broken = Some(format!("the flow of {} is not known: {reason}", day.date));
            self.index = None;
        }
        let worth = match worth {
            Ok(worth) => worth,
            Err(reason) => {
                day.missing = Some(format!("equity: {reason}"));
                self.gap = Some(format!("the equity of {} is not known", day.date));
                return Ok(());
            }
        };
        day.equity = Some(worth);
        let step = self.step(flows, worth)?;
        day.daily_return = match (&flow_unknown, &self.gap, &step) {
            (Some(reason), ..) => {
                day.missing = Some(format!("return: {reason}"));
                None
            }
            (None, Some(gap), _) => {
                day.missing = Some(format!("return: {gap}"));
                None
            }
            (None, None, Err(reason)) => {
                day.missing = Some(format!("return: {reason}"));
                None
            }
            (None, None, Ok(step)) => Some(*step),
        };
        // The index is linked across days whose equity is not known; where nothing was invested it stands still.
        if let (Some(index), Ok(step), None) = (self.index, &step, &flow_unknown) {
            let grown = decimal::round(multiply_wide(index, add(Decimal::ONE, *step)?)?, RETURN_SCALE);
            self.index = Some(grown);
            self.peak = self.peak.max(grown);
        }
        day.index = self.index;
        match self.index {
            Some(index) => {
                let below = subtract(decimal::divide(index, self.peak, RETURN_SCALE)?, Decimal::ONE)?;
                day.drawdown = Some(below);
            }
            None => {
                let reason = self.broken.clone().unwrap_or_default();
                day.missing.get_or_insert(format!("drawdown: {reason}"));
            }
        }
        self.last_known = Some((worth, flows));
        self.gap = None;
        Ok(())
    }

    /// The return since the last day whose equity is known, or why there is none.
    fn step(&self, flows: Flows, worth: Decimal) -> Result<Result<Decimal, String>, ArithmeticError> {
        let Some((before, then)) = self.last_known else {
            return Ok(Err("no earlier equity is known".to_owned()));
        };
        // Flows on days outside the calendar count at the start, whichever way they go.
        let between = self.flows_before;
        let start = add(
            before,
            subtract(
                subtract(between.contributed, then.contributed)?,
                subtract(between.withdrawn, then.withdrawn)?,
            )?,
        )?;
        let start = add(start, subtract(flows.contributed, between.contributed)?)?;
        let end = add(worth, subtract(flows.withdrawn, between.withdrawn)?)?;
        if start.is_zero() {
            return Ok(Err("nothing was invested at the start of the day".to_owned()));
        }
        if start.is_sign_negative() {
            return Ok(Err("equity was negative at the start of the day".to_owned()));
        }
        let quotient = decimal::divide(end, start, RETURN_SCALE)?;
        Ok(Ok(subtract(quotient, Decimal::ONE)?))
    }
}

/// The product of an index and a growth factor, which together may have more places than a decimal holds.
fn multiply_wide(index: Decimal, growth: Decimal) -> Result<Decimal, ArithmeticError> {
    multiply(index, growth).or_else(|_| decimal::multiply_divide(index, growth, Decimal::ONE, RETURN_SCALE))
}
