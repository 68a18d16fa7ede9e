//! The daemons: each source of fills or prices has a task that keeps the ledger current with it, and a place on the board
//! where everybody can see how it is doing.

pub(crate) mod alpaca;
pub(crate) mod alpaca_http;
pub(crate) mod board;
pub(crate) mod breaks;
mod client_order;
pub(crate) mod daemons;
pub(crate) mod dropped;
mod expiry;
pub(crate) mod folder;
pub(crate) mod instruments;
pub(crate) mod pace;
pub(crate) mod prices;
mod redaction;
pub(crate) mod robinhood;
