//! The steps that are taken with a recommendation: answered by the client, taken back, allowed by a second person, carried
//! out.

use super::requests::id;
use super::{shown, visible};
use crate::api::advice::RecommendationItem;
use crate::api::answer::Made;
use crate::api::attempt;
use crate::api::body::{Fields, Form};
use crate::api::changes::{Asked, changes};
use crate::api::precondition::Standing;
use crate::api::problem::Problem;
use crate::api::record::record;
use crate::api::scalar::Recommendation as RecommendationKey;
use crate::api::service::Service;
use crate::api::tags::Tag;
use crate::journal::{Author, Journal, JournalError, Terms, now};
use daybook_projections::Recommendation;
use daybook_schemas::events::DeclineReason;
use daybook_schemas::{AdvisorId, RecommendationId, stream};

record! {
    /// The client's word, or that it was given.
    AcceptanceRequest {
        /// The client's words
        note: Option<String>,
    }
}

record! {
    /// The client's word against it.
    DeclineRequest {
        /// Why: `unstated` (if not said), `too_risky`, `too_costly`, `liquidity`, `disagrees` or `timing`
        reason: Option<String>,
        /// The client's words
        note: Option<String>,
    }
}

record! {
    /// Why it is taken back.
    WithdrawalRequest {
        /// Why
        reason: Option<String>,
    }
}

record! {
    /// Why it should be allowed all the same.
    OverrideRequest {
        /// Why
        reason: String,
        /// The advisor who asks, where an administrator records it; the one who issued it, if not said
        advisor: Option<String>,
    }
}

record! {
    /// A second person's decision.
    DecisionRequest {
        /// The approver's or refuser's words
        note: Option<String>,
    }
}

record! {
    /// By what it was carried out.
    ExecutionRequest {
        /// The events of the fills; if not said, the fills since it was accepted that match its trades
        fills: Option<Vec<u64>>,
    }
}

impl Form for AcceptanceRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { note: fields.text("note") }
    }
}

impl Form for DeclineRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        let reason = fields.text("reason");
        if reason.as_deref().is_some_and(|reason| DeclineReason::from_name(reason).is_none()) {
            fields.fault(
                "reason",
                "write unstated, too_risky, too_costly, liquidity, disagrees, timing, or other: and a word",
            );
        }
        Self { reason, note: fields.text("note") }
    }
}

impl Form for WithdrawalRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { reason: fields.text("reason") }
    }
}

impl Form for OverrideRequest {
    fn read(fields: &mut Fields) -> Self {
        let reason = fields.required_text("reason");
        let advisor: Option<AdvisorId> = id(fields, "advisor");
        Self { reason, advisor: advisor.map(|id| id.to_string()) }
    }
}

impl Form for DecisionRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { note: fields.text("note") }
    }
}

impl Form for ExecutionRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { fills: Some(fields.wholes("fills")) }
    }
}

changes! {
    /// The routes of the steps.
    Steps, "Tag::Recommendations", id: RecommendationKey, "The recommendation",
    "The ETag of a read of the recommendation: the write is refused if it changed since";

    /// Accept a recommendation
    ///
    /// By the client, or by the firm that records the client's word: the history says who. Only while it is `issued`, to
    /// somebody who owns the portfolio, and, where another profile came into force since, while that one does not hold it
    /// back.
    accept(AcceptanceRequest) -> RecommendationItem = "post" "/recommendations/:id/accept" "acceptRecommendation";

    /// Decline a recommendation
    ///
    /// By the client, or by the firm that records the client's word: the history says who. Only while it is `issued`.
    decline(DeclineRequest) -> RecommendationItem = "post" "/recommendations/:id/decline" "declineRecommendation";

    /// Withdraw a recommendation
    ///
    /// As long as it was neither declined nor carried out.
    withdraw(WithdrawalRequest) -> RecommendationItem = "post" "/recommendations/:id/withdraw" "withdrawRecommendation";

    /// Record that a recommendation was carried out
    ///
    /// By the fills that are named; without names, by the fills since it was accepted that match its trades in instrument
    /// and side, of which each trade must have one. A fill carries out one recommendation; the answer says how much of each
    /// trade was carried out. Only once it is `accepted`, and again after such a fill was reversed.
    execute(ExecutionRequest) -> RecommendationItem = "post" "/recommendations/:id/execute" "executeRecommendation";

    /// Ask that a blocked recommendation be allowed
    ///
    /// A second person decides: an administrator who neither issued it nor asks.
    request_override(OverrideRequest) -> RecommendationItem = "post" "/recommendations/:id/override" "requestOverride";

    /// Allow a blocked recommendation
    ///
    /// It is `issued` from then on, and the client sees it. Whoever issued it or asked does not decide.
    approve(DecisionRequest) -> RecommendationItem = "post" "/recommendations/:id/override/approve" "approveOverride";

    /// Refuse to allow a blocked recommendation
    ///
    /// It stays `blocked`. Whoever issued it or asked does not decide.
    refuse(DecisionRequest) -> RecommendationItem = "post" "/recommendations/:id/override/refuse" "refuseOverride";
}

/// Whose word a step is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The client's, or that of whoever records it.
    Client,
    /// The firm's.
    Firm,
}

/// A step, or why it is not taken.
type Stepped = Result<Made<RecommendationItem>, Problem>;

async fn accept(service: &Service, asked: Asked<RecommendationId>, said: AcceptanceRequest) -> Stepped {
    step(service, asked, Who::Client, move |journal, author, advice, terms| {
        journal.accept_recommendation(author, advice.id, said.note.as_deref(), terms)
    })
    .await
}

async fn decline(service: &Service, asked: Asked<RecommendationId>, said: DeclineRequest) -> Stepped {
    step(service, asked, Who::Client, move |journal, author, advice, terms| {
        let reason = said.reason.as_deref().and_then(DeclineReason::from_name);
        let reason = reason.unwrap_or(DeclineReason::Unstated);
        journal.decline_recommendation(author, advice.id, reason, said.note.as_deref(), terms)
    })
    .await
}

async fn withdraw(service: &Service, asked: Asked<RecommendationId>, said: WithdrawalRequest) -> Stepped {
    step(service, asked, Who::Firm, move |journal, author, advice, terms| {
        journal.withdraw_recommendation(author, advice.id, said.reason.as_deref(), terms)
    })
    .await
}

async fn execute(service: &Service, asked: Asked<RecommendationId>, said: ExecutionRequest) -> Stepped {
    step(service, asked, Who::Firm, move |journal, author, advice, terms| {
        let fills = said.fills.as_deref().unwrap_or_default();
        journal.execute_recommendation(author, advice.id, fills, terms)
    })
    .await
}

async fn request_override(
    service: &Service,
    asked: Asked<RecommendationId>,
    said: OverrideRequest,
) -> Stepped {
    let named: Option<AdvisorId> = said.advisor.as_deref().and_then(|id| id.parse().ok());
    let own = asked.caller.advisor();
    if own.is_some() && named.is_some() && own != named {
        return Err(Problem::forbidden("an advisor asks in their own name"));
    }
    step(service, asked, Who::Firm, move |journal, author, advice, terms| {
        let by = own.or(named).unwrap_or(advice.advisor);
        journal.request_override(author, advice.id, &said.reason, by, terms)
    })
    .await
}

async fn approve(service: &Service, asked: Asked<RecommendationId>, said: DecisionRequest) -> Stepped {
    decide(service, asked, true, said).await
}

async fn refuse(service: &Service, asked: Asked<RecommendationId>, said: DecisionRequest) -> Stepped {
    decide(service, asked, false, said).await
}

async fn decide(
    service: &Service,
    asked: Asked<RecommendationId>,
    allow: bool,
    said: DecisionRequest,
) -> Stepped {
    step(service, asked, Who::Firm, move |journal, author, advice, terms| {
        journal.decide_override(author, advice.id, allow, said.note.as_deref(), terms)
    })
    .await
}

/// Takes a step with a recommendation, and shows what it is then.
async fn step(
    service: &Service,
    asked: Asked<RecommendationId>,
    who: Who,
    take: impl Fn(&Journal, &Author, &Recommendation, Terms) -> Result<bool, JournalError> + Send + 'static,
) -> Stepped {
    let Asked { caller, id, key, precondition } = asked;
    service
        .blocking(move |journal| {
            let advice = visible(journal, &caller, id, now(), u64::MAX)?;
            if who == Who::Client && caller.party().is_some() && !caller.knows_party(advice.party) {
                return Err(Problem::forbidden(
                    "it was recommended to another owner of the portfolio, who answers it",
                ));
            }
            if attempt::earlier(journal, key.as_ref())?.is_some() {
                return shown(journal, &caller, id, true);
            }
            let taken = precondition.guard(
                || Standing::of_stream(journal, &stream::advice(id)),
                |expected| {
                    let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                    take(journal, &caller.author(), &advice, terms)
                },
            );
            let replayed = attempt::done(journal, key.as_ref(), taken)?;
            shown(journal, &caller, id, replayed)
        })
        .await
}
