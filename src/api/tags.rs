//! The groups under which the OpenAPI document lists the operations.

use poem_openapi::Tags;

/// A group of operations.
#[derive(Tags)]
pub(super) enum Tag {
    /// Portfolios and what they hold, as of any moment
    Portfolios,
    /// What happened in a portfolio
    Transactions,
    /// Orders that are placed through Daybook
    Orders,
    /// Files that were imported, and what was kept aside
    Imports,
    /// Prices and rates of exchange
    Prices,
    /// What can be held, and what it is called
    Instruments,
    /// What advisors recommend, whether it suits, and what became of it
    Recommendations,
    /// The log itself
    Events,
    /// Sources that the ledger is kept current with
    Synchronisation,
    /// What others send here, and what is sent to others
    Webhooks,
    /// What each person of the firm sees, as of any moment
    Views,
    /// The firm's advisors and their teams
    Advisors,
    /// Parties, the clients among them, their profiles, reviews and households
    Clients,
    /// Model portfolios
    Models,
    /// Who may do what
    Tokens,
}
