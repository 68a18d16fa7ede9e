//! Webhooks: what others send here, and what is sent to others.
//!
//! Both directions are signed alike ([`signature`]). What comes in is recorded by the API's route as one commit
//! ([`inbound`], [`mapping`]), of whom [`admission`] lets ask; what goes out is read from the log by a task for each receiver ([`outbound`]).

pub(crate) mod admission;
pub(crate) mod inbound;
pub(crate) mod mapping;
pub(crate) mod outbound;
pub(crate) mod signature;

use admission::Admission;
use inbound::Inbound;
use outbound::Outbound;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Every webhook, as the routes find it.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    inbound: RwLock<BTreeMap<String, Arc<Inbound>>>,
    outbound: RwLock<BTreeMap<String, Arc<Outbound>>>,
    /// How often those are heard who have no secret.
    pub(crate) admission: Admission,
}

impl Webhooks {
    /// Lets a source send.
    pub(crate) fn open(&self, inbound: Inbound) {
        let name = inbound.config.name.clone();
        self.inbound.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(inbound));
    }

    /// Shows a receiver.
    pub(crate) fn show(&self, outbound: Arc<Outbound>) {
        let name = outbound.config.name.clone();
        self.outbound.write().unwrap_or_else(PoisonError::into_inner).insert(name, outbound);
    }

    /// A source by its name.
    pub(crate) fn source(&self, name: &str) -> Option<Arc<Inbound>> {
        self.inbound.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A receiver by its name.
    pub(crate) fn receiver(&self, name: &str) -> Option<Arc<Outbound>> {
        self.outbound.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All sources, by name.
    pub(crate) fn sources(&self) -> Vec<Arc<Inbound>> {
        self.inbound.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All receivers, by name.
    pub(crate) fn receivers(&self) -> Vec<Arc<Outbound>> {
        self.outbound.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
