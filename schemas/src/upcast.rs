//! Bringing payloads of older schema versions up to date while they are read.
//!
//! The stored bytes are never touched: what was hashed stays what was hashed. An older version is kept here as the
//! struct that it was, and a conversion that says what the missing fields mean.

use crate::codec::{self, CodecError};
use crate::events::{Calendar, Event, EventType, LotMethod, PortfolioOpened};
use crate::{Currency, PortfolioId, Sealed, Zone};
use serde::{Deserialize, Serialize};

/// `PortfolioOpened` before portfolios had a calendar.
#[derive(Serialize, Deserialize)]
pub(crate) struct PortfolioOpenedV1 {
    pub(crate) portfolio: PortfolioId,
    pub(crate) name: Sealed<String>,
    pub(crate) base_currency: Currency,
    pub(crate) zone: Zone,
    pub(crate) lot_method: LotMethod,
}

impl From<PortfolioOpenedV1> for PortfolioOpened {
    fn from(old: PortfolioOpenedV1) -> Self {
        Self {
            portfolio: old.portfolio,
            name: old.name,
            base_currency: old.base_currency,
            zone: old.zone,
            lot_method: old.lot_method,
            calendar: Calendar::Weekdays,
        }
    }
}

/// Reads a payload of an older version.
pub(crate) fn decode(event_type: EventType, version: u16, payload: &[u8]) -> Result<Event, CodecError> {
    match (event_type, version) {
        (EventType::PortfolioOpened, 1) => {
            codec::decode::<PortfolioOpenedV1>(payload).map(|old| Event::PortfolioOpened(old.into()))
        }
        _ => Err(CodecError::UnknownVersion { name: event_type.name(), version }),
    }
}
