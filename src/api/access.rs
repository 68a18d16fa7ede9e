//! Who may do what: the token of a request, and the table of operations by role.

use super::problem::Problem;
use crate::journal::{Author, Principal};
use daybook_schemas::events::Role;
use daybook_schemas::{CorrelationId, PortfolioId};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use std::sync::Arc;

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Callers {
    /// Whoever reads at all; a service's token sees its own portfolios alone.
    Readers,
    /// Whoever reads everything.
    Watchers,
    /// Whoever appends to portfolios; a service's token to its own alone.
    Appenders,
    /// Administrators.
    Administrators,
}

/// Every operation of the OpenAPI document and who may call it.
const TABLE: &[(&str, Callers)] = &[
    ("listPortfolios", Callers::Readers),
    ("openPortfolio", Callers::Administrators),
    ("readPortfolio", Callers::Readers),
    ("listPositions", Callers::Readers),
    ("listLots", Callers::Readers),
    ("listTransactions", Callers::Readers),
    ("recordTransaction", Callers::Appenders),
    ("listOrders", Callers::Readers),
    ("placeOrder", Callers::Administrators),
    ("listTrades", Callers::Readers),
    ("readTrade", Callers::Readers),
    ("listEquity", Callers::Readers),
    ("importFile", Callers::Appenders),
    ("listPortfolioImports", Callers::Readers),
    ("listImports", Callers::Readers),
    ("readImport", Callers::Readers),
    ("revertImport", Callers::Administrators),
    ("listQuarantine", Callers::Readers),
    ("resolveQuarantined", Callers::Administrators),
    ("listPrices", Callers::Readers),
    ("recordPrices", Callers::Administrators),
    ("importPrices", Callers::Administrators),
    ("listInstruments", Callers::Readers),
    ("listInstrumentChanges", Callers::Readers),
    ("readInstrument", Callers::Readers),
    ("refreshInstruments", Callers::Administrators),
    ("listEvents", Callers::Watchers),
    ("readEvent", Callers::Watchers),
    ("reverseEvent", Callers::Administrators),
    ("readEntries", Callers::Watchers),
    ("listSources", Callers::Watchers),
    ("readSource", Callers::Watchers),
    ("synchroniseNow", Callers::Administrators),
    ("listTokens", Callers::Watchers),
    ("issueToken", Callers::Administrators),
    ("revokeToken", Callers::Administrators),
];

/// Who may call an operation; nobody may call one that is not in the table.
pub(super) fn callers(operation: &str) -> Option<Callers> {
    TABLE.iter().find(|(id, _)| *id == operation).map(|(_, callers)| *callers)
}

/// The operations in the table.
#[cfg(test)]
pub(super) fn operations() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(id, _)| *id)
}

/// Whether a role may call an operation at all, whatever portfolio it is about.
pub(super) fn permits(role: &Role, callers: Callers) -> bool {
    match role {
        Role::Administrator => true,
        Role::Auditor => matches!(callers, Callers::Readers | Callers::Watchers),
        Role::Service => matches!(callers, Callers::Readers | Callers::Appenders),
        // No token of these roles is issued yet, and what is not permitted is refused.
        Role::Advisor | Role::Client | Role::Display | Role::Other(_) => false,
    }
}

/// Who calls, in which request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    principal: Arc<Principal>,
    correlation: CorrelationId,
}

impl Caller {
    /// A caller whose token was recognised.
    pub(super) fn new(principal: Principal, correlation: CorrelationId) -> Self {
        Self { principal: Arc::new(principal), correlation }
    }

    /// What the caller's role is.
    pub(super) fn role(&self) -> &Role {
        &self.principal.role
    }

    /// On whose behalf the caller acts.
    pub(super) fn subject(&self) -> &str {
        &self.principal.subject
    }

    /// Whether the caller may know of a portfolio.
    pub(super) fn knows(&self, portfolio: PortfolioId) -> bool {
        match self.principal.role {
            Role::Administrator | Role::Auditor => true,
            _ => self.principal.portfolios.contains(&portfolio),
        }
    }

    /// Whether the caller may know of what belongs to a portfolio, or to none.
    pub(super) fn knows_of(&self, portfolio: Option<PortfolioId>) -> bool {
        match portfolio {
            Some(portfolio) => self.knows(portfolio),
            None => matches!(self.principal.role, Role::Administrator | Role::Auditor),
        }
    }

    /// The author of what the request records.
    pub(super) fn author(&self) -> Author {
        Author {
            actor: Arc::from(&*self.principal.subject),
            source: "api".into(),
            correlation: Some(self.correlation),
            reaches_all: self.principal.role != Role::Service,
        }
    }

    /// What the caller sees depends on this.
    pub(super) fn view(&self) -> String {
        format!("{}:{:?}", self.principal.role, self.principal.portfolios)
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
