//! What all routes stand on: the journal behind blocking threads, and the limits of the service.

use super::access;
use super::problem::Problem;
use super::published::Published;
use super::stream::Hub;
use crate::config::{self, Rate};
use crate::journal::{Journal, within};
use crate::sync::daemons::Shared;
use daybook_schemas::TokenId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which the memory for uploads is given out.
const ROOM_BYTES: u64 = 1 << 20;

/// The limits of the service.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The largest JSON body, in bytes.
    pub(crate) json_bytes_max: u64,
    /// The largest upload, in bytes.
    pub(crate) upload_bytes_max: u64,
    /// The memory for all uploads that are under way, in bytes; at least one of the largest.
    pub(crate) uploads_bytes_max: u64,
    /// How long a body may pause before it is given up.
    pub(crate) body_pause_max: Duration,
    /// How long an upload waits for memory before it is refused.
    pub(crate) room_wait_max: Duration,
    /// How long an answer may take, an upload's apart.
    pub(crate) request_max: Duration,
    /// How long the answer to an upload may take.
    pub(crate) upload_max: Duration,
    /// How long a reader waits for figures that reflect all that was recorded when it asked, if there are earlier ones.
    pub(crate) patience: Duration,
    /// How many requests a token may make, if that is limited.
    pub(crate) rate: Option<Rate>,
    /// The origins whose pages may call from a browser.
    pub(crate) origins: Vec<String>,
    /// Whether connections are encrypted.
    pub(crate) encrypted: bool,
    /// For how long a public page may show what it read without asking again.
    pub(crate) display_fresh: Duration,
    /// For how long after that it may show it while it asks again.
    pub(crate) display_stale: Duration,
}

impl From<&config::Service> for Config {
    fn from(service: &config::Service) -> Self {
        Self {
            json_bytes_max: service.json_bytes_max.into(),
            upload_bytes_max: service.upload_bytes_max.into(),
            uploads_bytes_max: service.uploads_bytes_max.into(),
            body_pause_max: service.body_pause,
            room_wait_max: Duration::from_secs(20),
            request_max: service.request_timeout,
            upload_max: service.upload_timeout,
            patience: Duration::from_millis(250),
            rate: service.rate_limit,
            origins: service.cors_origins.clone(),
            encrypted: service.tls.is_some(),
            display_fresh: service.display_fresh,
            display_stale: service.display_stale,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from(&config::Service::default())
    }
}

impl Config {
    /// How long an answer may take.
    pub(super) const fn time_for(&self, uploads: bool) -> Duration {
        if uploads { self.upload_max } else { self.request_max }
    }
}

/// The journal and the limits, shared by all routes.
#[derive(Clone)]
pub(super) struct Service {
    journal: Arc<Journal>,
    /// What the daemons share with the routes.
    pub(super) shared: Arc<Shared>,
    room: Arc<Semaphore>,
    /// What live streams share.
    pub(super) hub: Arc<Hub>,
    /// Summaries as they were answered last.
    pub(super) published: Arc<Published>,
    /// The limits.
    pub(super) config: Arc<Config>,
}

impl Service {
    /// A service over a journal.
    pub(super) fn new(journal: Arc<Journal>, shared: Arc<Shared>, config: Config) -> Self {
        let permits = units(config.uploads_bytes_max.max(config.upload_bytes_max));
        let room = Arc::new(Semaphore::new(permits as usize));
        let config = Arc::new(config);
        Self { journal, shared, room, hub: Arc::default(), published: Arc::default(), config }
    }

    /// The journal, for what waits for nobody; for anything else there is [`Service::blocking`].
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Does blocking work with the journal, away from the threads that answer.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Journal) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let journal = Arc::clone(&self.journal);
        let span = tracing::Span::current();
        let reach = access::current_reach();
        tokio::task::spawn_blocking(move || span.in_scope(|| within(reach, || work(&journal))))
            .await
            .unwrap_or_else(|error| Err(Problem::internal(error)))
    }

    /// Notes that a token was used; what was noted is recorded later.
    pub(super) fn note_use(&self, token: TokenId) {
        self.journal.note_use(token);
    }

    /// Sets memory aside for an upload of so many bytes.
    pub(super) async fn room_for(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
        let wanted = Arc::clone(&self.room).acquire_many_owned(units(bytes));
        match tokio::time::timeout(self.config.room_wait_max, wanted).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Problem::unavailable(
                "other uploads take all the memory there is for them: send it again later",
            )),
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(ROOM_BYTES)).unwrap_or(u32::MAX >> 4)
}
