//! The events: what can happen, in the past tense and in the trade's own words.
//!
//! Each type has a number that is never given to another, and a schema version that grows when its fields change;
//! older versions are brought up to date while reading. `amount` is the signed effect on the account's cash (in is
//! positive). Quantities are signed, except in trades, where the side says it. The import that brought an event and
//! the sequence it got stand in its record, not here.

pub mod advice;
pub mod cash;
pub mod common;
pub mod corporate;
pub mod correction;
pub mod firm;
pub mod journal;
pub mod market;
pub mod orders;
pub mod portfolio;
pub mod reference;
pub mod securities;
pub mod synchronisation;

pub use advice::*;
pub use cash::*;
pub use common::*;
pub use corporate::*;
pub use correction::*;
pub use firm::*;
pub use journal::*;
pub use market::*;
pub use orders::*;
pub use portfolio::*;
pub use reference::*;
pub use securities::*;
pub use synchronisation::*;

use crate::codec::{self, CODEC_BINCODE, CodecError};
use crate::upcast;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $id:literal, v $version:literal;)*) => {
        /// The type of an event.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum EventType {
            $($(#[$doc])* $name = $id,)*
        }

        impl EventType {
            /// Every type, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable number.
            #[must_use]
            pub const fn id(self) -> u16 {
                self as u16
            }

            /// The type of a number.
            #[must_use]
            pub const fn from_id(id: u16) -> Option<Self> {
                match id {
                    $($id => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name, as JSON has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The schema version that is written today.
            #[must_use]
            pub const fn schema_version(self) -> u16 {
                match self {
                    $(Self::$name => $version,)*
                }
            }

            /// The JSON Schema of the payload.
            #[must_use]
            pub fn json_schema(self) -> schemars::Schema {
                match self {
                    $(Self::$name => schemars::schema_for!($name),)*
                }
            }
        }

        /// An event of any type.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Event {
            $($(#[$doc])* $name($name),)*
        }

        impl Event {
            /// The type.
            #[must_use]
            pub const fn event_type(&self) -> EventType {
                match self {
                    $(Self::$name(_) => EventType::$name,)*
                }
            }

            /// The payload's bytes, in today's schema version and codec.
            ///
            /// # Errors
            /// [`CodecError::TooLong`] when its texts are too long for a record.
            pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
                match self {
                    $(Self::$name(event) => codec::encode(event),)*
                }
            }

            /// Reads a payload, bringing an older schema version up to date.
            ///
            /// # Errors
            /// [`CodecError`], for a type, version or codec that is not known here, or for malformed bytes.
            pub fn decode(type_id: u16, schema_version: u16, codec_id: u8, payload: &[u8]) -> Result<Self, CodecError> {
                if codec_id != CODEC_BINCODE {
                    return Err(CodecError::UnknownCodec(codec_id));
                }
                let event_type = EventType::from_id(type_id).ok_or(CodecError::UnknownType(type_id))?;
                if schema_version != event_type.schema_version() {
                    return upcast::decode(event_type, schema_version, payload);
                }
                match event_type {
                    $(EventType::$name => codec::decode(payload).map(Self::$name),)*
                }
            }

            /// The payload as JSON.
            ///
            /// # Errors
            /// Never for events that were decoded; the signature is serde's.
            pub fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
                match self {
                    $(Self::$name(event) => serde_json::to_value(event),)*
                }
            }

            /// Reads the payload of a type from JSON.
            ///
            /// # Errors
            /// serde's, naming the field.
            pub fn from_json(event_type: EventType, payload: serde_json::Value) -> Result<Self, serde_json::Error> {
                match event_type {
                    $(EventType::$name => serde_json::from_value(payload).map(Self::$name),)*
                }
            }
        }

        $(impl From<$name> for Event {
            fn from(event: $name) -> Self {
                Self::$name(event)
            }
        })*
    };
}

events! {
    /// An instrument became known.
    InstrumentListed = 101, v 1;
    /// An instrument is traded on a venue under a symbol.
    ListingAdded = 102, v 1;
    /// An identifier belongs to an instrument, from a day and perhaps to a day.
    IdentifierAssigned = 103, v 1;
    /// Two instruments turned out to be one.
    InstrumentsMerged = 104, v 1;
    /// An instrument is traded no more.
    InstrumentDelisted = 105, v 1;
    /// An issuer or a feed announced a corporate action; it adjusts prices and never moves a position.
    CorporateActionAnnounced = 106, v 1;
    /// What an instrument counts as was stated: class, sector, issuer, country.
    InstrumentClassified = 107, v 1;

    /// A price was seen.
    PriceTick = 201, v 1;
    /// A bar of prices was closed, or restated.
    BarClosed = 202, v 1;
    /// A rate of exchange was seen.
    FxRateObserved = 203, v 1;

    /// A portfolio was opened.
    PortfolioOpened = 301, v 2;
    /// An account belongs to the portfolio.
    AccountLinked = 302, v 1;
    /// An account belongs to the portfolio no more.
    AccountUnlinked = 303, v 1;
    /// The portfolio has another name.
    PortfolioRenamed = 304, v 1;
    /// The portfolio was closed.
    PortfolioClosed = 305, v 1;
    /// Disposals relieve lots by another method from a day on.
    LotMethodChosen = 306, v 1;
    /// The portfolio is measured against a benchmark.
    BenchmarkChosen = 307, v 1;
    /// The portfolio belongs to these parties.
    PortfolioOwnersSet = 308, v 1;
    /// The firm manages the portfolio under a mandate.
    MandateSet = 309, v 1;

    /// Cash came in or went out.
    CashTransferred = 401, v 1;
    /// A dividend was posted.
    DividendPosted = 402, v 1;
    /// Interest was posted.
    InterestPosted = 403, v 1;
    /// A reward was posted, in cash or in kind.
    RewardPosted = 404, v 1;
    /// A fee was posted, in cash or in kind.
    FeePosted = 405, v 1;
    /// A tax was posted.
    TaxPosted = 406, v 1;
    /// Cash was adjusted, for a reason that no other event has.
    CashAdjusted = 407, v 1;
    /// One currency was changed for another.
    CurrencyConverted = 408, v 1;

    /// An order was filled, in whole or in part.
    TradeExecuted = 501, v 1;
    /// Securities came in or went out without a trade.
    SecuritiesTransferred = 502, v 1;
    /// The basis of securities that came without one became known.
    BasisSupplied = 503, v 1;
    /// A disposal relieves these lots.
    LotsSelected = 504, v 1;
    /// An option expired, or was exercised, assigned or settled in cash.
    OptionSettled = 505, v 1;

    /// A split or a reverse split was applied to a holding.
    SplitApplied = 601, v 1;
    /// A holding brought units of another: a stock dividend, a spin-off, rights.
    HoldingDistributed = 602, v 1;
    /// A holding was exchanged: a merger, a conversion, a redemption, worthlessness.
    PositionExchanged = 603, v 1;
    /// A fraction was paid out in cash.
    CashInLieuPaid = 604, v 1;
    /// Capital was returned.
    CapitalReturned = 605, v 1;

    /// A trade was planned.
    TradePlanned = 701, v 1;
    /// A trade was annotated.
    TradeAnnotated = 702, v 1;
    /// A way of trading was given a baseline to be measured against.
    StrategyBaselineSet = 703, v 1;

    /// An advisor joined the firm.
    AdvisorRegistered = 801, v 1;
    /// An advisor left the firm.
    AdvisorDeparted = 802, v 1;
    /// A party became a client.
    PartyOnboarded = 803, v 1;
    /// A party is a client no more.
    PartyOffboarded = 804, v 1;
    /// A person's key was erased.
    PersonForgotten = 805, v 1;
    /// A client is served by an advisor or a team.
    ClientAssigned = 806, v 1;
    /// A team was formed, or its members changed.
    TeamFormed = 807, v 1;
    /// A household was formed, or its members changed.
    HouseholdFormed = 808, v 1;
    /// A party's investment profile was set.
    InvestmentProfileSet = 809, v 1;
    /// A model portfolio was published.
    ModelPublished = 810, v 1;
    /// A portfolio follows a model.
    ModelAssigned = 811, v 1;
    /// A review was held with a party.
    ReviewHeld = 812, v 1;
    /// A token was issued.
    AccessGranted = 813, v 1;
    /// A token was revoked.
    AccessRevoked = 814, v 1;
    /// A token was used on a day.
    AccessUsed = 815, v 1;
    /// What is known of a party changed.
    PartyAmended = 816, v 1;
    /// What is known of an advisor changed.
    AdvisorAmended = 817, v 1;

    /// A recommendation was issued.
    RecommendationIssued = 901, v 1;
    /// A recommendation was accepted.
    RecommendationAccepted = 902, v 1;
    /// A recommendation was declined.
    RecommendationDeclined = 903, v 1;
    /// A recommendation ran out unanswered.
    RecommendationExpired = 904, v 1;
    /// A recommendation was withdrawn.
    RecommendationWithdrawn = 905, v 1;
    /// A recommendation was carried out.
    RecommendationExecuted = 906, v 1;
    /// An exception from a rule was asked for.
    OverrideRequested = 907, v 1;
    /// An exception was approved.
    OverrideApproved = 908, v 1;
    /// An exception was refused.
    OverrideRefused = 909, v 1;

    /// An order was sent to the broker.
    OrderSubmitted = 1001, v 1;
    /// The broker said something new of an order.
    OrderUpdated = 1002, v 1;

    /// An event was declared never to have happened.
    EventReversed = 1101, v 1;
    /// All events of an import were declared never to have happened.
    ImportReverted = 1102, v 1;

    /// A file was imported; its events are visible from here on.
    FileImported = 1201, v 1;
    /// A source stated its balances.
    BalancesStated = 1202, v 1;
    /// A record could not be understood and was kept aside.
    RecordQuarantined = 1203, v 1;
    /// A record that was kept aside was dealt with.
    QuarantineResolved = 1204, v 1;
    /// The ledger and a source disagree.
    ReconciliationBreakFound = 1205, v 1;
    /// A disagreement is settled.
    ReconciliationBreakResolved = 1206, v 1;
    /// A source delivered nothing that was new.
    DeliveryAcknowledged = 1207, v 1;
}

impl EventType {
    /// The type of a name, as JSON has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event_type| event_type.name() == name)
    }
}

impl Event {
    /// What the event says of an account, if it belongs to one.
    #[must_use]
    pub const fn entry(&self) -> Option<&Entry> {
        Some(match self {
            Self::CashTransferred(event) => &event.entry,
            Self::DividendPosted(event) => &event.entry,
            Self::InterestPosted(event) => &event.entry,
            Self::RewardPosted(event) => &event.entry,
            Self::FeePosted(event) => &event.entry,
            Self::TaxPosted(event) => &event.entry,
            Self::CashAdjusted(event) => &event.entry,
            Self::CurrencyConverted(event) => &event.entry,
            Self::TradeExecuted(event) => &event.entry,
            Self::SecuritiesTransferred(event) => &event.entry,
            Self::BasisSupplied(event) => &event.entry,
            Self::LotsSelected(event) => &event.entry,
            Self::OptionSettled(event) => &event.entry,
            Self::SplitApplied(event) => &event.entry,
            Self::HoldingDistributed(event) => &event.entry,
            Self::PositionExchanged(event) => &event.entry,
            Self::CashInLieuPaid(event) => &event.entry,
            Self::CapitalReturned(event) => &event.entry,
            _ => return None,
        })
    }
}
