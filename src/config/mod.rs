//! What service and daemons are told: where the service listens and what it takes; which accounts, feeds and folders there
//! are, and how often each is looked at.
//!
//! A value comes from a flag, else from the environment, else from the configuration file, else it is the default.

mod faults;
mod load;
mod provenance;
mod secrets;
mod section;
mod service;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use faults::ConfigFaults;
pub(crate) use load::{EXAMPLE, Flags, Loaded};
pub(crate) use service::{Rate, Service, ServiceFlags};

use crate::webhooks::mapping::Mapping;
use daybook_schemas::{EventType, PortfolioId};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// All that can be configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// The edges of the service.
    pub(crate) service: Service,
    /// Accounts at Alpaca, each bound to a portfolio.
    pub(crate) alpaca: Vec<AlpacaAccount>,
    /// Accounts for crypto assets at Robinhood.
    pub(crate) robinhood: Vec<RobinhoodAccount>,
    /// Feeds of prices.
    pub(crate) prices: Prices,
    /// Folders whose files are imported as they appear.
    pub(crate) folders: Vec<Folder>,
    /// Where instruments are listed from.
    pub(crate) instruments: InstrumentSource,
    /// Whether orders may be placed through the service at all.
    pub(crate) orders: bool,
    /// Whether clients may place them for their own portfolios, where the mandate leaves the decision to them.
    pub(crate) client_orders: bool,
    /// Who may send, and who is sent to.
    pub(crate) webhooks: Webhooks,
    /// Where checkpoints are sent, if anywhere.
    pub(crate) checkpoints: Option<Checkpoints>,
}

/// Where checkpoints are sent, so that they leave this machine.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    /// A directory that they are put into.
    pub(crate) directory: Option<PathBuf>,
    /// An address that they are posted to.
    pub(crate) url: Option<Url>,
    /// How often.
    pub(crate) every: Duration,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// Whether addresses that machines give themselves and each other may be sent to.
    pub(crate) allow_link_local: bool,
}

/// A secret: it is used, never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Keeps a secret.
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the request that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// An account at Alpaca. It is bound to a portfolio, except while nobody has said yet to which: the account of the
/// environment may mean the ledger's only one.
#[derive(Clone, Debug)]
pub(crate) struct AlpacaAccount<P = PortfolioId> {
    /// What the account is called here and in its portfolio, unique among all sources.
    pub(crate) name: String,
    /// The portfolio that its activities go into.
    pub(crate) portfolio: P,
    /// The key's id.
    pub(crate) key_id: Secret,
    /// The key's secret.
    pub(crate) secret_key: Secret,
    /// Where trading is asked.
    pub(crate) base_url: Url,
    /// Where order updates are streamed from.
    pub(crate) stream_url: Url,
    /// Where market data is asked.
    pub(crate) data_url: Url,
    /// Whether orders may be placed in this account.
    pub(crate) orders: bool,
    /// Requests that may be made in a second, at most.
    pub(crate) requests_per_second: u32,
    /// How often fills are asked for while nothing is heard.
    pub(crate) sweep_fills: Duration,
    /// How often everything else is asked for.
    pub(crate) sweep_activities: Duration,
    /// How often the last ninety days are read anew.
    pub(crate) sweep_deep: Duration,
}

/// An account for crypto assets at Robinhood.
#[derive(Clone, Debug)]
pub(crate) struct RobinhoodAccount {
    /// What the account is called here and in its portfolio, unique among all sources.
    pub(crate) name: String,
    /// The portfolio that its fills go into.
    pub(crate) portfolio: PortfolioId,
    /// The API key.
    pub(crate) api_key: Secret,
    /// The Ed25519 private key, in base64.
    pub(crate) private_key: Secret,
    /// Where the API is.
    pub(crate) base_url: Url,
    /// How often orders are asked for.
    pub(crate) sweep: Duration,
}

/// Feeds of prices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prices {
    /// Symbols that are followed whether they are held or not.
    pub(crate) symbols: Vec<String>,
    /// The feeds, the most trusted first.
    pub(crate) feeds: Vec<PriceFeed>,
    /// The live ticks.
    pub(crate) ticks: Option<Ticks>,
}

/// What a feed of prices is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FeedKind {
    /// Alpaca's market data.
    Alpaca,
    /// Alpha Vantage.
    AlphaVantage,
    /// Yahoo's chart.
    Yahoo,
    /// A folder into which price files are dropped.
    Folder,
}

/// How often a feed is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cadence {
    /// Once a trading day, after the close.
    Daily,
    /// Once an hour.
    Hourly,
    /// So often while the market is open, and once after the close.
    MarketHours(Duration),
    /// So often, always.
    Every(Duration),
}

/// The length of a bar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum BarSize {
    /// A trading day.
    Day,
    /// An hour.
    Hour,
    /// A minute.
    Minute,
}

/// A feed of prices.
#[derive(Clone, Debug)]
pub(crate) struct PriceFeed {
    /// What the feed is called here and in the streams of prices, unique among all sources.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: FeedKind,
    /// Where it is asked; absent for a folder.
    pub(crate) base_url: Option<Url>,
    /// The key's id, or the API key.
    pub(crate) key_id: Option<Secret>,
    /// The key's secret.
    pub(crate) secret_key: Option<Secret>,
    /// The folder.
    pub(crate) folder: Option<PathBuf>,
    /// How often it is asked.
    pub(crate) cadence: Cadence,
    /// What it is asked for.
    pub(crate) bars: Vec<BarSize>,
    /// The symbols it is asked for; none means those that are held and those that are followed.
    pub(crate) symbols: Vec<String>,
    /// Requests that may be made in a minute, at most.
    pub(crate) requests_per_minute: u32,
    /// Requests that may be made in a day, at most.
    pub(crate) requests_per_day: Option<u32>,
    /// How far back a symbol that has no bars yet is filled.
    pub(crate) backfill_days: u32,
    /// How many days back bars are read again, to see what was restated.
    pub(crate) restated_days: u32,
}

/// Live ticks from Alpaca's data socket.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    /// Where the socket is.
    pub(crate) url: Url,
    /// The key's id.
    pub(crate) key_id: Secret,
    /// The key's secret.
    pub(crate) secret_key: Secret,
    /// At most one tick of an instrument in so long is appended.
    pub(crate) every: Duration,
    /// Besides, a tick is appended only if the price moved by so many basis points.
    pub(crate) basis_points: u32,
}

/// A folder whose files are imported as they appear.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// What the folder is called here, unique among all sources.
    pub(crate) name: String,
    /// The folder.
    pub(crate) path: PathBuf,
    /// The format of its files, as `import` names it.
    pub(crate) format: String,
    /// The portfolio they go into.
    pub(crate) portfolio: PortfolioId,
    /// How often it is looked into.
    pub(crate) every: Duration,
}

/// Webhooks, in and out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Webhooks {
    /// Sources whose deliveries are recorded.
    pub(crate) inbound: Vec<InboundWebhook>,
    /// Receivers that events are sent to.
    pub(crate) outbound: Vec<OutboundWebhook>,
}

/// What a delivery may bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// Purchases and sales.
    Fills,
    /// Every other transaction.
    Cash,
    /// Prices, which everybody sees.
    Prices,
}

/// A source whose deliveries are recorded.
#[derive(Clone, Debug)]
pub(crate) struct InboundWebhook {
    /// What it is called in its address, unique among all sources.
    pub(crate) name: String,
    /// The portfolio that its transactions go into.
    pub(crate) portfolio: PortfolioId,
    /// The label of the account that its transactions belong to; what they say themselves, if not said.
    pub(crate) account: Option<String>,
    /// What it signs with, the present secret first; for alerts, what their address ends in.
    pub(crate) secrets: Vec<Secret>,
    /// How old, or how far ahead, a timestamp may be; for alerts, how long equal ones are one.
    pub(crate) window: Duration,
    /// What its deliveries may bring.
    pub(crate) takes: Vec<Taken>,
    /// How its alerts are read; absent for a source that signs.
    pub(crate) map: Option<Mapping>,
}

/// A receiver that events are sent to.
#[derive(Clone, Debug)]
pub(crate) struct OutboundWebhook {
    /// What it is called here, unique among all sources.
    pub(crate) name: String,
    /// Where events are sent.
    pub(crate) url: Url,
    /// What deliveries are signed with, the present secret first.
    pub(crate) secrets: Vec<Secret>,
    /// The types of the events that are sent.
    pub(crate) events: Vec<EventType>,
    /// The portfolios whose events are sent; none means every event.
    pub(crate) portfolios: Vec<PortfolioId>,
    /// Whether a receiver that is new is sent what was recorded before it.
    pub(crate) from_start: bool,
    /// Whether addresses that machines give themselves and each other, such as a cloud's metadata service, may be sent to.
    pub(crate) allow_link_local: bool,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// How long after the first failure a delivery is sent again; twice as long after each further one.
    pub(crate) retry_first: Duration,
    /// The longest wait between two attempts.
    pub(crate) retry_most: Duration,
    /// How long a delivery is tried before it is given up.
    pub(crate) give_up: Duration,
}

/// Where instruments are listed from.
#[derive(Clone, Debug, Default)]
pub(crate) enum InstrumentSource {
    /// From imports and fills alone.
    #[default]
    None,
    /// From the assets of the first Alpaca account.
    Alpaca {
        /// How often.
        every: Duration,
    },
    /// From a list of the user's own.
    List {
        /// The file: CSV with `symbol`, and optionally `name`, `class`, `currency`, `venue`, `isin`, `cusip`.
        path: PathBuf,
        /// How often it is looked at.
        every: Duration,
    },
}
