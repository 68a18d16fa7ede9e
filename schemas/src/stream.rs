//! The names of streams: `category-id`.

use crate::{AdvisorId, Currency, ImportId, InstrumentId, PartyId, PortfolioId, RecommendationId};

/// Tokens and grants.
pub const ACCESS: &str = "access";
/// Teams, households, models: what belongs to the firm as a whole.
pub const FIRM: &str = "firm";

/// A portfolio, with its orders.
#[must_use]
pub fn portfolio(id: PortfolioId) -> String {
    format!("portfolio-{id}")
}

/// The portfolio of a stream, if it is one's.
#[must_use]
pub fn portfolio_of(stream: &str) -> Option<PortfolioId> {
    stream.strip_prefix("portfolio-")?.parse().ok()
}

/// An instrument with its listings and identifiers.
#[must_use]
pub fn instrument(id: InstrumentId) -> String {
    format!("instrument-{id}")
}

/// What one feed says of one instrument's prices.
#[must_use]
pub fn market(feed: &str, instrument: InstrumentId) -> String {
    format!("market-{feed}-{instrument}")
}

/// What one feed says of one pair of currencies.
#[must_use]
pub fn pair(feed: &str, base: Currency, quote: Currency) -> String {
    format!("market-{feed}-{base}{quote}")
}

/// An import of a file.
#[must_use]
pub fn import(id: ImportId) -> String {
    format!("import-{id}")
}

/// A party.
#[must_use]
pub fn party(id: PartyId) -> String {
    format!("party-{id}")
}

/// An advisor.
#[must_use]
pub fn advisor(id: AdvisorId) -> String {
    format!("advisor-{id}")
}

/// A recommendation and what became of it.
#[must_use]
pub fn advice(id: RecommendationId) -> String {
    format!("advice-{id}")
}

/// A source's synchronisation of one account.
#[must_use]
pub fn sync(source: &str, account: &str) -> String {
    format!("sync-{source}-{account}")
}

/// What stands before the first hyphen: `portfolio`, `market`, `access`…
#[must_use]
pub fn category(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}
