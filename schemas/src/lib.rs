//! Daybook's vocabulary: ids, times, money, the events and the codec of their payloads.
//!
//! This crate defines what can be said in a daybook and how it is written down. It knows nothing of storage, of
//! HTTP or of the time of day, and it draws no conclusions: what an event *does* to a portfolio is decided by the
//! projections.

pub mod calendar;
pub mod codec;
pub mod codes;
pub mod currency;
pub mod decimal;
pub mod events;
pub mod ids;
pub mod money;
mod reader;
pub mod sealed;
pub mod stream;
pub mod time;
mod upcast;

pub use codec::{CODEC_BINCODE, CodecError};
pub use currency::Currency;
pub use decimal::ArithmeticError;
pub use events::{Event, EventType};
pub use ids::{
    AccountId, AdvisorId, BrokerOrderId, CorrelationId, ExecutionId, ExternalId, Group, HouseholdId,
    ImportId, InstrumentId, ListingId, ModelId, OrderId, PartyId, PlanId, PortfolioId, RecommendationId,
    ReviewId, Strategy, TeamId, TokenId,
};
pub use money::{Fraction, FxRate, Money, Multiplier, Price, Quantity, Ratio};
pub use sealed::{KeyId, KeyRing, Sealed, SealedError};
pub use time::{Day, Phase, TimeError, Timestamp, When, Zone};
