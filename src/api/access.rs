//! Who may do what: the token of a request, and the table of operations by role.

use super::problem::Problem;
use crate::journal::{Author, Journal, Principal, now};
use daybook_projections::Reach;
use daybook_schemas::events::Role;
use daybook_schemas::{AdvisorId, CorrelationId, PartyId, PortfolioId};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use std::cell::Cell;
use std::fmt::Display;
use std::sync::Arc;

/// Who may call an operation. Whatever it is about must be within the caller's reach besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Callers {
    /// Whoever reads at all, a public page among them.
    Onlookers,
    /// Whoever reads but a public page.
    Readers,
    /// Those who work for the firm, and those who check on it: administrators, advisors, auditors.
    Firm,
    /// Whoever reads everything: administrators and auditors.
    Watchers,
    /// Whoever records what happened in a portfolio: administrators, advisors, services.
    Appenders,
    /// Persons who act for a portfolio: administrators, advisors, clients.
    Parties,
    /// Whoever may decide on a portfolio's trades: administrators, and clients where their mandate says so.
    Deciders,
    /// Those who advise: administrators and advisors.
    Advisers,
    /// Administrators.
    Administrators,
    /// Whoever sends a secret or a signature instead of a token; the route itself tells who that is.
    Signers,
    /// Whoever asks, without a token: what is answered is meant for outsiders.
    Anyone,
}

/// Every operation of the OpenAPI document and who may call it.
const TABLE: &[(&str, Callers)] = &[
    ("listPortfolios", Callers::Onlookers),
    ("listSummaries", Callers::Onlookers),
    ("openPortfolio", Callers::Advisers),
    ("readPortfolio", Callers::Onlookers),
    ("followPortfolio", Callers::Onlookers),
    ("listPositions", Callers::Onlookers),
    ("listLots", Callers::Readers),
    ("listTransactions", Callers::Readers),
    ("recordTransaction", Callers::Appenders),
    ("listOrders", Callers::Readers),
    ("placeOrder", Callers::Deciders),
    ("listTrades", Callers::Readers),
    ("readTrade", Callers::Readers),
    ("listTradeAnnotations", Callers::Readers),
    ("listAnnotations", Callers::Readers),
    ("annotateTrade", Callers::Parties),
    ("listPlans", Callers::Readers),
    ("planTrade", Callers::Parties),
    ("listEquity", Callers::Onlookers),
    ("importFile", Callers::Appenders),
    ("listPortfolioImports", Callers::Readers),
    ("listImports", Callers::Readers),
    ("readImport", Callers::Readers),
    ("revertImport", Callers::Advisers),
    ("listQuarantine", Callers::Readers),
    ("resolveQuarantined", Callers::Advisers),
    ("listPrices", Callers::Readers),
    ("recordPrices", Callers::Administrators),
    ("importPrices", Callers::Administrators),
    ("listInstruments", Callers::Readers),
    ("listInstrumentChanges", Callers::Readers),
    ("readInstrument", Callers::Readers),
    ("refreshInstruments", Callers::Administrators),
    ("classifyInstrument", Callers::Administrators),
    ("readInstrumentRisk", Callers::Readers),
    ("readSuitability", Callers::Readers),
    ("screenRecommendation", Callers::Advisers),
    ("issueRecommendation", Callers::Advisers),
    ("listRecommendations", Callers::Readers),
    ("readRecommendation", Callers::Readers),
    ("listRecommendationHistory", Callers::Readers),
    ("acceptRecommendation", Callers::Parties),
    ("declineRecommendation", Callers::Parties),
    ("withdrawRecommendation", Callers::Advisers),
    ("executeRecommendation", Callers::Appenders),
    ("requestOverride", Callers::Advisers),
    ("approveOverride", Callers::Administrators),
    ("refuseOverride", Callers::Administrators),
    ("listEvents", Callers::Watchers),
    ("followEvents", Callers::Watchers),
    ("readEvent", Callers::Watchers),
    ("reverseEvent", Callers::Advisers),
    ("readEntries", Callers::Watchers),
    ("readTile", Callers::Watchers),
    ("proveEvent", Callers::Watchers),
    ("readCheckpoint", Callers::Anyone),
    ("readCheckpointKey", Callers::Anyone),
    ("listSources", Callers::Watchers),
    ("readSource", Callers::Watchers),
    ("synchroniseNow", Callers::Administrators),
    ("viewAdvisor", Callers::Firm),
    ("viewFirm", Callers::Watchers),
    ("viewClient", Callers::Readers),
    ("listTokens", Callers::Watchers),
    ("issueToken", Callers::Administrators),
    ("revokeToken", Callers::Administrators),
    ("receiveDelivery", Callers::Signers),
    ("receiveAlert", Callers::Signers),
    ("listWebhooks", Callers::Watchers),
    ("readWebhook", Callers::Watchers),
    ("retryWebhook", Callers::Administrators),
    ("listAdvisors", Callers::Readers),
    ("registerAdvisor", Callers::Administrators),
    ("readAdvisor", Callers::Readers),
    ("amendAdvisor", Callers::Administrators),
    ("departAdvisor", Callers::Administrators),
    ("listAdvisorHistory", Callers::Firm),
    ("listTeams", Callers::Readers),
    ("formTeam", Callers::Administrators),
    ("readTeam", Callers::Readers),
    ("amendTeam", Callers::Administrators),
    ("listTeamHistory", Callers::Watchers),
    ("listParties", Callers::Readers),
    ("onboardParty", Callers::Advisers),
    ("readParty", Callers::Readers),
    ("amendParty", Callers::Advisers),
    ("offboardParty", Callers::Administrators),
    ("listPartyHistory", Callers::Firm),
    ("listClients", Callers::Readers),
    ("readClient", Callers::Readers),
    ("listAssignments", Callers::Readers),
    ("assignClient", Callers::Administrators),
    ("listProfiles", Callers::Readers),
    ("setProfile", Callers::Advisers),
    ("readProfile", Callers::Readers),
    ("listReviews", Callers::Readers),
    ("holdReview", Callers::Advisers),
    ("listHouseholds", Callers::Readers),
    ("formHousehold", Callers::Administrators),
    ("readHousehold", Callers::Readers),
    ("amendHousehold", Callers::Administrators),
    ("listHouseholdHistory", Callers::Watchers),
    ("listModels", Callers::Firm),
    ("publishModel", Callers::Administrators),
    ("readModel", Callers::Firm),
    ("listModelVersions", Callers::Firm),
    ("publishModelVersion", Callers::Administrators),
    ("readTerms", Callers::Readers),
    ("listTermsHistory", Callers::Watchers),
    ("listOwners", Callers::Readers),
    ("setOwners", Callers::Administrators),
    ("setMandate", Callers::Administrators),
    ("chooseBenchmark", Callers::Advisers),
    ("assignModel", Callers::Advisers),
];

/// The operations that answer in percentages alone to a token that is kept to them.
const IN_PERCENTAGES: &[&str] =
    &["listPortfolios", "readPortfolio", "followPortfolio", "listSummaries", "listPositions", "listEquity"];

/// Whether an operation answers in percentages alone to a token that is kept to them.
pub(super) fn answers_in_percentages(operation: &str) -> bool {
    IN_PERCENTAGES.contains(&operation)
}

/// Who may call an operation; nobody may call one that is not in the table.
pub(super) fn callers(operation: &str) -> Option<Callers> {
    TABLE.iter().find(|(id, _)| *id == operation).map(|(_, callers)| *callers)
}

/// Whether an operation asks for no token: it is for those who sign what they send, or for anyone.
pub(super) fn needs_no_token(operation: &str) -> bool {
    matches!(callers(operation), Some(Callers::Signers | Callers::Anyone))
}

/// The operations in the table.
#[cfg(test)]
pub(super) fn operations() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(id, _)| *id)
}

/// Whether a role may call an operation at all, whatever it is about.
pub(super) fn permits(role: &Role, callers: Callers) -> bool {
    use Callers::{Advisers, Appenders, Deciders, Firm, Onlookers, Parties, Readers, Watchers};
    if callers == Callers::Anyone {
        return true;
    }
    match role {
        Role::Administrator => callers != Callers::Signers,
        Role::Auditor => matches!(callers, Onlookers | Readers | Firm | Watchers),
        Role::Advisor => matches!(callers, Onlookers | Readers | Firm | Appenders | Parties | Advisers),
        Role::Client => matches!(callers, Onlookers | Readers | Parties | Deciders),
        Role::Service => matches!(callers, Onlookers | Readers | Appenders),
        Role::Display => matches!(callers, Onlookers),
        Role::Other(_) => false,
    }
}

/// Refuses who may not watch the service itself: what it does, not what it holds.
pub(super) fn may_watch(caller: &Caller) -> Result<(), Problem> {
    if permits(caller.role(), Callers::Watchers) {
        return Ok(());
    }
    Err(Problem::forbidden("metrics are for administrators and auditors: ask for a token of an auditor"))
}

tokio::task_local! {
    /// What the caller of the request that this task serves may know of.
    static REACH: Reached;
}

/// What a caller may know of, and what the request named beyond it.
struct Reached {
    reach: Arc<Reach>,
    beyond: Cell<Option<Problem>>,
}

/// Serves a request within the reach of its caller; the problem is that it named something beyond.
pub(super) async fn within<T>(caller: &Caller, serve: impl Future<Output = T>) -> Result<T, Problem> {
    let reached = Reached { reach: Arc::clone(&caller.principal.reach), beyond: Cell::default() };
    let served = async {
        let served = serve.await;
        REACH.with(|reached| reached.beyond.take()).map_or(Ok(served), Err)
    };
    REACH.scope(reached, served).await
}

/// The reach of the caller whose request this task serves; none outside of a caller's request.
pub(super) fn current_reach() -> Option<Arc<Reach>> {
    REACH.try_with(|reached| Arc::clone(&reached.reach)).ok()
}

/// Refuses an id that the caller of the request that this task serves may not know of.
///
/// # Errors
/// The problem, which the request is then answered with whatever its route makes of it: the words for what never was.
pub(super) fn admit<I: Copy + Display>(
    noun: &'static str,
    id: I,
    known: impl FnOnce(&Reach, I) -> bool,
) -> Result<(), Problem> {
    if current_reach().is_none_or(|reach| known(&reach, id)) {
        return Ok(());
    }
    let problem = Problem::not_found(noun, id);
    let _ = REACH.try_with(|reached| reached.beyond.set(Some(problem.clone())));
    Err(problem)
}

/// Who calls, in which request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    principal: Arc<Principal>,
    correlation: CorrelationId,
}

impl Caller {
    /// A caller whose token was recognised.
    pub(super) fn new(principal: Arc<Principal>, correlation: CorrelationId) -> Self {
        Self { principal, correlation }
    }

    /// What the caller's role is.
    pub(super) fn role(&self) -> &Role {
        &self.principal.role
    }

    /// On whose behalf the caller acts: an advisor's or a party's id, or a name.
    pub(super) fn subject(&self) -> &str {
        &self.principal.subject
    }

    /// The advisor that the caller is.
    pub(super) fn advisor(&self) -> Option<AdvisorId> {
        if self.principal.role == Role::Advisor { self.principal.subject.parse().ok() } else { None }
    }

    /// The party that the caller is.
    pub(super) fn party(&self) -> Option<PartyId> {
        if self.principal.role == Role::Client { self.principal.subject.parse().ok() } else { None }
    }

    /// Whether the caller sees percentages alone, never amounts.
    pub(super) fn percentages_only(&self) -> bool {
        self.principal.percentages_only
    }

    /// What the caller may know of.
    pub(super) fn reach(&self) -> &Reach {
        &self.principal.reach
    }

    /// Whether the caller may know of a portfolio.
    pub(super) fn knows(&self, portfolio: PortfolioId) -> bool {
        self.principal.reach.portfolio(portfolio)
    }

    /// Whether the caller may know of a party.
    pub(super) fn knows_party(&self, party: PartyId) -> bool {
        self.principal.reach.party(party)
    }

    /// Whether the caller may know of an advisor.
    pub(super) fn knows_advisor(&self, advisor: AdvisorId) -> bool {
        self.principal.reach.advisor(advisor)
    }

    /// Whether the caller may know of what belongs to a portfolio, or to none.
    pub(super) fn knows_of(&self, portfolio: Option<PortfolioId>) -> bool {
        match portfolio {
            Some(portfolio) => self.knows(portfolio),
            None => *self.principal.reach == Reach::Everything,
        }
    }

    /// Refuses an id that the caller may not know of, in the words for one that never was.
    ///
    /// `name` is what a parameter or a field is called: whatever names a portfolio, a party or an advisor is checked
    /// here, wherever in a request it stands. What is no id is left to whoever reads it.
    pub(super) fn check(&self, name: &str, value: &str) -> Result<(), Problem> {
        let unknown = match name {
            "portfolio" | "portfolios" => {
                value.parse().ok().filter(|id| !self.knows(*id)).map(|id| Problem::not_found("portfolio", id))
            }
            "party" | "parties" | "client" | "clients" => value
                .parse()
                .ok()
                .filter(|id| !self.knows_party(*id))
                .map(|id| Problem::not_found("party", id)),
            "advisor" | "advisors" => value
                .parse()
                .ok()
                .filter(|id| !self.knows_advisor(*id))
                .map(|id| Problem::not_found("advisor", id)),
            _ => None,
        };
        unknown.map_or(Ok(()), Err)
    }

    /// Whether the caller's token has ended by now.
    pub(super) fn has_ended(&self) -> bool {
        self.principal.expires.is_some_and(|expires| expires <= now())
    }

    /// Whether the caller's token still opens what it did, and still reaches a portfolio.
    pub(super) fn still_reaches(
        &self,
        journal: &Journal,
        portfolio: Option<PortfolioId>,
    ) -> Result<bool, Problem> {
        let Some(principal) = journal.bearer(self.principal.token)? else { return Ok(false) };
        let now = Self::new(Arc::new(principal), self.correlation);
        Ok(portfolio.is_none_or(|portfolio| now.knows(portfolio)))
    }

    /// The author of what the request records.
    pub(super) fn author(&self) -> Author {
        Author {
            actor: Arc::from(&*self.principal.subject),
            source: "api".into(),
            correlation: Some(self.correlation),
            reaches_all: self.principal.role == Role::Administrator,
        }
    }

    /// What the caller sees depends on this.
    pub(super) fn view(&self) -> String {
        let principal = &self.principal;
        format!("{}:{}:{}", principal.role, principal.percentages_only, principal.reach_digest)
    }
}

const SCHEME: &str = "token";

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("A token as `daybook token issue` prints it"),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| Problem::unauthorized(false).into())
    }
}
