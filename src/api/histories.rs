//! All that was recorded about somebody or something of the firm, in the order in which it was recorded.

use super::access::Caller;
use super::answer::{Found, Question};
use super::firm::{self, HistoryItem};
use super::page::{Limit, List, Page};
use super::problem::Problem;
use super::scalar::{
    Advisor as AdvisorKey, Household as HouseholdKey, Party as PartyKey, Portfolio as PortfolioKey, Sequence,
    Team as TeamKey, TimeOrDate,
};
use super::service::Service;
use super::tags::Tag;
use super::{advisors, households, parties, seen, teams, terms};
use crate::journal::Subject;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

/// The routes of histories: of each what the document says of it, whose it is, who is asked whether the caller may know of
/// them, and how it is called for.
macro_rules! histories {
    ($(
        $(#[doc = $doc:tt])+
        $name:ident($key:ty, $the:tt, $subject:path) = $path:tt $operation:tt $tag:tt, if $exists:expr;
    )+) => {
        #[OpenApi]
        impl Histories {
            $(
                $(#[doc = $doc])+
                #[oai(path = $path, method = "get", operation_id = $operation, tag = $tag)]
                #[expect(
                    clippy::too_many_arguments,
                    reason = "they are the route's parameters, as the document lists them"
                )]
                async fn $name(
                    &self,
                    caller: Caller,
                    question: Question,
                    #[doc = $the]
                    id: Path<$key>,
                    /// Only what held by then; a date or an instant, whose day in UTC counts; all days if not said
                    as_of: Query<Option<TimeOrDate>>,
                    /// Only what had been recorded by then; a date means the end of that day, UTC
                    known_at: Query<Option<TimeOrDate>>,
                    /// Only what had been recorded up to this event
                    at_sequence: Query<Option<Sequence>>,
                    /// Where the page begins, as `next` gave it
                    cursor: Query<Option<String>>,
                    /// How many items the page has at most
                    limit: Query<Option<Limit>>,
                ) -> Result<Found<List<HistoryItem>>, Problem> {
                    let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
                    let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
                    let id = id.0.0;
                    firm::history(&self.0, question, moment, page, $subject(id), move |seen| {
                        ($exists)(seen, &caller, id)
                    })
                    .await
                }
            )+
        }
    };
}

/// The routes of histories.
pub(super) struct Histories(pub(super) Service);

histories! {
    /// List all that was recorded about an advisor
    ///
    /// Every fact in the order in which it was recorded, those that were taken back among them, and those that hold from
    /// a day to come unless `as_of` bounds them.
    of_advisors(AdvisorKey, "The advisor", Subject::Advisor) = "/advisors/:id/history" "listAdvisorHistory" "Tag::Advisors",
    if |seen, _, id| advisors::exists(seen, id);

    /// List all that was recorded about a team
    ///
    /// Every fact in the order in which it was recorded, those that were taken back among them.
    of_teams(TeamKey, "The team", Subject::Team) = "/teams/:id/history" "listTeamHistory" "Tag::Advisors",
    if teams::exists;

    /// List all that was recorded about a party
    ///
    /// What it is, who serves it, its profiles and its reviews: every fact in the order in which it was recorded, those
    /// that were taken back among them, and those that hold from a day to come unless `as_of` bounds them.
    of_parties(PartyKey, "The party", Subject::Party) = "/parties/:id/history" "listPartyHistory" "Tag::Clients",
    if |seen, _, id| parties::exists(seen, id);

    /// List all that was recorded about a household
    ///
    /// Every fact in the order in which it was recorded, those that were taken back among them.
    of_households(HouseholdKey, "The household", Subject::Household) = "/households/:id/history" "listHouseholdHistory" "Tag::Clients",
    if households::exists;

    /// List all that was recorded about a portfolio's terms
    ///
    /// Owners, mandates, benchmarks and models, in the order in which they were recorded, those that were taken back
    /// among them, and those that hold from a day to come unless `as_of` bounds them.
    of_terms(PortfolioKey, "The portfolio", Subject::Portfolio) = "/portfolios/:id/terms/history" "listTermsHistory" "Tag::Portfolios",
    if |seen, _, id| terms::exists(seen, id);
}
