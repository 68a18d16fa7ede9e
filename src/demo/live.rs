//! The live desk of `serve --demo-live`: a stand-in broker on a port of this machine, where somebody trades on a made-up
//! market, and the accounts that the daemons keep in step with it.

use crate::config::{AlpacaAccount, BarSize, Cadence, Config, FeedKind, PriceFeed, Secret, Ticks};
use crate::journal::{Author, Journal, JournalError, NewPortfolio};
use daybook_schemas::events::{Calendar, LotMethod};
use daybook_schemas::{Currency, PortfolioId, Timestamp, Zone};
use daybook_simulator::{Hours, Keys, Life, Limits, Running, StandIn, SystemClock, World};
use rust_decimal::Decimal;
use std::io;
use std::time::Duration;
use url::Url;

/// What the portfolio is called.
const NAME: &str = "Live desk";
/// The key of the made-up account.
const KEY: &str = "PKDEMOLIVE";
/// Its secret: the account exists on this machine alone.
const SECRET: &str = "made-up";
/// The seed of the market and of whoever trades on it.
const SEED: u64 = 2_025;
/// What is traded.
const SYMBOLS: [&str; 10] = ["AAPL", "AMD", "BRK.B", "F", "KO", "MSFT", "NVDA", "SPY", "T", "TSLA"];
/// Orders an hour: one every quarter of a minute.
const ORDERS: u32 = 240;

/// Why there is no live desk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LiveError {
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The stand-in broker cannot be started.
    #[error("the stand-in broker cannot be started: {0}")]
    StandIn(#[from] io::Error),
    /// Its address is none.
    #[error("the stand-in broker's address: {0}")]
    Address(#[from] url::ParseError),
}

/// Opens the desk's portfolio, unless it is there, starts the broker, and adds both to what is configured. The broker
/// lives as long as what comes back.
pub(crate) fn start(journal: &Journal, config: &mut Config) -> Result<Running, LiveError> {
    let (portfolio, opened) = match find(journal)? {
        Some(found) => found,
        None => {
            let new = NewPortfolio {
                name: NAME.to_owned(),
                currency: Currency::USD,
                lots: LotMethod::Fifo,
                zone: Zone::NEW_YORK,
                calendar: Calendar::Daily,
                client: None,
            };
            let author = Author { actor: "demo".into(), source: "demo".into(), ..Author::operator() };
            let id = journal.open_portfolio(&author, &new, None)?;
            find(journal)?.unwrap_or((id, crate::journal::now()))
        }
    };
    // The market begins when the portfolio was opened, and its seed stays: after a restart the broker has the same books.
    let mut world = World::new(SEED, opened);
    world.set_hours(Hours::Always);
    world.limits = Limits { per_minute: None, ..world.limits };
    world.open(&Keys::new(KEY, SECRET), true, Decimal::from(250_000));
    world.animate(Life::new(SEED, KEY, ORDERS).trading(&SYMBOLS));
    world.advance(crate::journal::now().max(opened));
    let running = StandIn::start("127.0.0.1:0", world, SystemClock)?;
    let base_url = Url::parse(&running.base_url())?;
    let (key_id, secret_key) = (Secret::new(KEY.to_owned()), Secret::new(SECRET.to_owned()));
    config.alpaca.push(AlpacaAccount {
        name: "demo-live".to_owned(),
        portfolio,
        key_id: key_id.clone(),
        secret_key: secret_key.clone(),
        base_url: base_url.clone(),
        stream_url: Url::parse(&running.stream_url())?,
        data_url: base_url.clone(),
        orders: false,
        requests_per_second: 20,
        sweep_fills: Duration::from_secs(60),
        sweep_activities: Duration::from_secs(3_600),
        sweep_deep: Duration::from_secs(86_400),
    });
    config.prices.feeds.push(PriceFeed {
        name: "demo-prices".to_owned(),
        kind: FeedKind::Alpaca,
        base_url: Some(base_url),
        key_id: Some(key_id.clone()),
        secret_key: Some(secret_key.clone()),
        folder: None,
        cadence: Cadence::Every(Duration::from_secs(60)),
        bars: vec![BarSize::Day],
        symbols: Vec::new(),
        requests_per_minute: 180,
        requests_per_day: None,
        backfill_days: 30,
        restated_days: 3,
    });
    if config.prices.ticks.is_none() {
        config.prices.ticks = Some(Ticks {
            url: Url::parse(&running.data_stream_url())?,
            key_id,
            secret_key,
            every: Duration::from_secs(15),
            basis_points: 1,
        });
    }
    Ok(running)
}

/// The desk's portfolio and when it was opened, if it is there.
fn find(journal: &Journal) -> Result<Option<(PortfolioId, Timestamp)>, JournalError> {
    let library = journal.library()?;
    let keys = journal.keys();
    let entry = library.directory.list().find(|entry| entry.name.open(&keys).is_ok_and(|name| name == NAME));
    Ok(entry.map(|entry| (entry.id, entry.opened_at)))
}
