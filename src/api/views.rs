//! What each person of the firm sees: the advisor, the firm itself, the client.

use super::access::Caller;
use super::answer::{Found, Question};
use super::problem::Problem;
use super::scalar::{Advisor, Date, Party, Sequence, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::views_described::{AdvisorView, ClientView, FirmView};
use crate::journal::{Journal, ViewRequest, Viewer};
use daybook_schemas::Currency;
use daybook_schemas::events::Role;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

/// The routes of views.
pub(super) struct Views(pub(super) Service);

/// What the parameters of a view say.
struct Asked {
    as_of: Option<TimeOrDate>,
    known_at: Option<TimeOrDate>,
    at_sequence: Option<Sequence>,
    from: Option<Date>,
    currency: Option<String>,
}

impl Views {
    async fn view<T: 'static>(
        &self,
        caller: &Caller,
        question: Question,
        viewer: Viewer,
        asked: Asked,
    ) -> Result<Found<T>, Problem> {
        let moment = seen::moment(asked.as_of, asked.known_at, asked.at_sequence)?;
        let currency = asked
            .currency
            .map(|text| {
                Currency::parse(&text).map_err(|error| Problem::parameter("currency", error.to_string()))
            })
            .transpose()?;
        let from = asked.from.map(|from| from.0);
        let request = ViewRequest { viewer, moment, from, currency, reach: caller.reach().clone() };
        self.0.blocking(move |journal| found(journal, &question, &request)).await
    }
}

/// The tag is over all that the view says but the head, which moves with entries that do not concern it.
fn found<T>(journal: &Journal, question: &Question, request: &ViewRequest) -> Result<Found<T>, Problem> {
    let mut viewed = journal.firm_view(request)?;
    let text = serde_json::to_vec(&viewed.body).map_err(Problem::internal)?;
    let hash = blake3::hash(&text);
    let (words, _) = hash.as_bytes().as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let tag = question.tag(&words);
    Found::written(tag, || {
        viewed.body.insert("sequence".to_owned(), viewed.sequence.into());
        serde_json::to_vec(&viewed.body).map_err(Problem::internal)
    })
}

#[OpenApi(tag = "Tag::Views")]
impl Views {
    /// Show what an advisor sees
    ///
    /// Assets and net flows of the clients that the advisor answers for, alone or in a team; who is off profile by which
    /// rule since when; drift, drawdowns, reviews; the advisor's own recommendations and how they did against the
    /// benchmark. Clients whom the advisor serves in another role are listed and not counted. An advisor sees this view
    /// of itself alone; whose clients the caller may not know of now is in no figure, also of the past.
    #[oai(path = "/views/advisor/:advisor", method = "get", operation_id = "viewAdvisor")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn advisor(
        &self,
        caller: Caller,
        question: Question,
        /// The advisor
        advisor: Path<Advisor>,
        /// The first day of the period, which ends with `as_of`; that of the quarter if not said
        from: Query<Option<Date>>,
        /// The currency of sums over several currencies; that of most portfolios if not said
        currency: Query<Option<String>>,
        /// Only what had occurred by then; a date means the end of that day in each portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<AdvisorView>, Problem> {
        let asked = Asked {
            as_of: as_of.0,
            known_at: known_at.0,
            at_sequence: at_sequence.0,
            from: from.0,
            currency: currency.0,
        };
        let advisor = advisor.0.0;
        if *caller.role() == Role::Advisor && caller.advisor() != Some(advisor) {
            return Err(Problem::forbidden(
                "an advisor sees the own view alone: ask for that of the token's subject",
            ));
        }
        self.view(&caller, question, Viewer::Advisor(advisor), asked).await
    }

    /// Show what the firm sees
    ///
    /// Every advisor beside the others, how alike what is run alike does (hidden under six portfolios), exceptions by age,
    /// decisions on them, outliers in turnover and costs, and what all assets rest on.
    #[oai(path = "/views/firm", method = "get", operation_id = "viewFirm")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn firm(
        &self,
        caller: Caller,
        question: Question,
        /// The first day of the period, which ends with `as_of`; that of the quarter if not said
        from: Query<Option<Date>>,
        /// The currency of sums over several currencies; that of most portfolios if not said
        currency: Query<Option<String>>,
        /// Only what had occurred by then; a date means the end of that day in each portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<FirmView>, Problem> {
        let asked = Asked {
            as_of: as_of.0,
            known_at: known_at.0,
            at_sequence: at_sequence.0,
            from: from.0,
            currency: currency.0,
        };
        self.view(&caller, question, Viewer::Firm, asked).await
    }

    /// Show what a client sees
    ///
    /// Own portfolios with their figures, the own part of each shown beside the whole; those of joint holders, trusts and
    /// companies that the client stands behind; who serves; the profile in force; recommendations that reached the client
    /// with their reasons, those that can be accepted or declined first. What the rules hold back is not in it.
    #[oai(path = "/views/client/:party", method = "get", operation_id = "viewClient")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn client(
        &self,
        caller: Caller,
        question: Question,
        /// The party
        party: Path<Party>,
        /// The first day of the period, which ends with `as_of`; that of the quarter if not said
        from: Query<Option<Date>>,
        /// The currency of sums over several currencies; that of most portfolios if not said
        currency: Query<Option<String>>,
        /// Only what had occurred by then; a date means the end of that day in each portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<ClientView>, Problem> {
        let asked = Asked {
            as_of: as_of.0,
            known_at: known_at.0,
            at_sequence: at_sequence.0,
            from: from.0,
            currency: currency.0,
        };
        self.view(&caller, question, Viewer::Client(party.0.0), asked).await
    }
}
