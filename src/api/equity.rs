//! A portfolio's equity, flows, returns and drawdown, day by day.

use super::access::Caller;
use super::answer::{Question, Shown};
use super::page::{Limit, Page};
use super::problem::Problem;
use super::proportions::ReturnSeries;
use super::record::schema;
use super::scalar::{Date, Exact, Portfolio, Sequence, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use daybook_projections::SeriesDay;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::types::Any;
use serde_json::json;

schema! {
    /// A day of the series. A figure that cannot be known is absent, and `missing` says why.
    EquityDay {
        /// The day
        date: Date,
        /// Equity at its end
        equity: Option<Exact>,
        /// What crossed the portfolio's edge since the last day of the series, in less out
        net_flow: Option<Exact>,
        /// The day's return, as a fraction
        daily_return = "return": Option<Exact>,
        /// How far the return index stands below its peak, as a fraction; never positive
        drawdown: Option<Exact>,
        /// Why a figure of the day is absent
        missing: Option<String>,
    }
}

schema! {
    /// A page of the series.
    EquitySeries {
        /// The days, ascending
        items: Vec<EquityDay>,
        /// The cursor of the next page; null on the last one
        next: Any<Option<String>>,
        /// The ledger's head that the series reflects
        sequence: Sequence,
        /// How flows count within a day: what comes in at its start, what goes out at its end
        convention: String,
        /// The days that the series runs over
        calendar: String,
        /// What the reader should know of the calendar
        calendar_note: Option<String>,
    }
}

/// The routes of series.
pub(super) struct Equity(pub(super) Service);

#[OpenApi(tag = "Tag::Portfolios")]
impl Equity {
    /// List equity, flows, returns and drawdown, day by day
    #[oai(path = "/portfolios/:id/equity", method = "get", operation_id = "listEquity")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// The step of the series: `day`
        interval: Query<Option<String>>,
        /// The first day; that of the first entry if not said
        from: Query<Option<Date>>,
        /// The last day; that of the view if not said
        to: Query<Option<Date>>,
        /// Only what had occurred by then; a date means the end of that day in the portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Shown<EquitySeries, ReturnSeries>, Problem> {
        if interval.0.as_deref().is_some_and(|interval| interval != "day") {
            return Err(Problem::parameter("interval", "write day: the series has no other step"));
        }
        let (from, to) = seen::span(from.0, to.0)?;
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let in_proportions = caller.percentages_only();
        let found = seen::list(&self.0, question, id.0.0, moment, page, move |_, view, pin, page| {
            let series = view.equity(from, to);
            let list = if in_proportions {
                let key = |day: &daybook_projections::ReturnDay| day.date.to_string();
                let days = daybook_projections::proportions::returns(&series);
                page.cut(pin, days, key, |day| Ok(serde_json::to_value(day).unwrap_or_default()))?
            } else {
                let key = |day: &SeriesDay| day.date.to_string();
                page.cut(pin, series.days, key, |day| Ok(serde_json::to_value(day).unwrap_or_default()))?
            };
            let mut json = json!({
                "items": list.items,
                "next": list.next,
                "sequence": list.sequence,
                "convention": series.convention,
                "calendar": series.calendar,
            });
            if let Some(note) = series.calendar_note {
                json["calendar_note"] = note.into();
            }
            Ok(json.to_string().into_bytes())
        })
        .await?;
        Ok(Shown::to(&caller, found))
    }
}
