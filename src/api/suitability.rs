//! How a portfolio suits its owner as it is: the rules, its risk, its drift, and what brings it back.

use super::access::Caller;
use super::advice::{self, SuitabilityItem};
use super::answer::{Found, Question};
use super::problem::Problem;
use super::scalar::{Portfolio, Sequence, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use crate::journal::{Moment, now};
use daybook_projections::AsOf;
use daybook_projections::suitability::Mending;
use daybook_schemas::decimal;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use rust_decimal::Decimal;

/// The route of suitability.
pub(super) struct Suitability(pub(super) Service);

#[OpenApi(tag = "Tag::Recommendations")]
impl Suitability {
    /// Read how a portfolio suits its owner
    ///
    /// Every rule of the profile in force, the risk class, and the weights beside their targets, as of a moment. A weight
    /// alerts when it is off by more than its own band, else by more than five points or a quarter of its target. What
    /// would bring it back comes with it: cash that flows first, then trades.
    #[oai(path = "/portfolios/:id/suitability", method = "get", operation_id = "readSuitability")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn read(
        &self,
        _caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// Cash that is about to flow in, in the base currency; negative for what is to flow out
        contribution: Query<Option<String>>,
        /// Only what had occurred by then; a date means the end of that day in the portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<SuitabilityItem>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let contribution = contribution.0.as_deref().map(decimal::parse).transpose();
        let contribution = contribution.map_err(|fault| Problem::parameter("contribution", fault))?;
        let id = id.0.0;
        self.0
            .blocking(move |journal| {
                let known = journal.known(&moment)?;
                let zone = {
                    let library = journal.library()?;
                    let portfolio = library.directory.get(id);
                    portfolio.ok_or_else(|| Problem::not_found("portfolio", id))?.zone
                };
                let as_of = moment.as_of.unwrap_or_else(|| AsOf::Day(now().day_in(zone)));
                let (kind, number) = match as_of {
                    AsOf::Day(day) => (0, i64::from(day.number())),
                    AsOf::Instant(instant) => (1, instant.nanos()),
                };
                // Rules, prices, rates, classes and people all speak here.
                let tag = question.tag(&[known, kind, u64::from_le_bytes(number.to_le_bytes())]);
                Found::new(tag, || {
                    let pinned = Moment { as_of: Some(as_of), known_at: None, at_sequence: Some(known) };
                    let (screened, mending) =
                        journal.suitability(id, contribution.unwrap_or(Decimal::ZERO), &pinned)?;
                    Ok(item(id, &screened, mending.as_ref()))
                })
            })
            .await
    }
}

fn item(
    id: daybook_schemas::PortfolioId,
    screened: &crate::journal::Screened,
    mending: Option<&Mending>,
) -> SuitabilityItem {
    let drift = screened.before.drift.as_ref();
    SuitabilityItem {
        screening: advice::screening(id, screened),
        distance: drift.and_then(|drift| Some(drift.as_ref().ok()?.distance.into())),
        drift: advice::drift(&screened.before),
        drift_missing: drift.and_then(|drift| drift.as_ref().err().cloned()),
        proposals: mending.map(advice::proposals).unwrap_or_default(),
        leaves_alerts: mending.map(|mending| mending.leaves_alerts),
        lacking: mending.map(|mending| mending.lacking.into()),
    }
}
