//! Ids that cannot be confused, and names that others gave.

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Crockford's alphabet in small letters: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LENGTH: usize = 26;

fn encode(bytes: [u8; 16]) -> [u8; TEXT_LENGTH] {
    let mut value = u128::from_be_bytes(bytes);
    let mut text = [b'0'; TEXT_LENGTH];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    text
}

fn decode(text: &str) -> Option<[u8; 16]> {
    if text.len() != TEXT_LENGTH {
        return None;
    }
    let mut value: u128 = 0;
    for (place, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|letter| *letter == byte.to_ascii_lowercase())?;
        if place == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | digit as u128;
    }
    Some(value.to_be_bytes())
}

/// The id that everyone derives from the same parts: the first 16 bytes of a BLAKE3 hash over them.
fn derive(namespace: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"daybook id\0");
    for part in std::iter::once(namespace.as_bytes()).chain(parts.iter().copied()) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes
}

fn with_article(noun: &str) -> String {
    format!("{} {noun}", if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" })
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident, $namespace:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// 128 bits, written as 26 letters and digits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// An id from its bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// A new id: the time in milliseconds since the epoch, so that ids sort by age, then ten random bytes.
            #[must_use]
            pub fn new(milliseconds: u64, random: [u8; 10]) -> Self {
                let mut bytes = [0; 16];
                bytes[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
                bytes[6..].copy_from_slice(&random);
                Self(bytes)
            }

            /// The id that everyone derives from the same parts.
            #[must_use]
            pub fn derive(parts: &[&[u8]]) -> Self {
                Self(derive($namespace, parts))
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(std::str::from_utf8(&encode(self.0)).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                decode(text).map(Self).ok_or_else(|| IdError {
                    text: crate::decimal::shorten(text),
                    what: $namespace,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Id;
                impl Visitor<'_> for Id {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "the id of {}", with_article($namespace))
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        bytes.try_into().map($name).map_err(|_| E::custom("an id has 16 bytes"))
                    }
                }
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Id)
                } else {
                    deserializer.deserialize_bytes(Id)
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": "^[0-9a-hjkmnp-tv-z]{26}$",
                    "description": format!("The id of {}", with_article($namespace))
                })
            }
        }
    )*};
}

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the id of {}: an id is 26 letters and digits", with_article(.what))]
pub struct IdError {
    text: String,
    what: &'static str,
}

id! {
    /// A portfolio.
    PortfolioId, "portfolio";
    /// An account within a portfolio: where cash and holdings lie.
    AccountId, "account";
    /// An instrument: what can be held, whatever its symbol is today.
    InstrumentId, "instrument";
    /// A listing: an instrument on a venue in a currency.
    ListingId, "listing";
    /// A party: a person, a joint holding, a trust or an entity that owns portfolios.
    PartyId, "party";
    /// An advisor.
    AdvisorId, "advisor";
    /// A team of advisors.
    TeamId, "team";
    /// A household of parties.
    HouseholdId, "household";
    /// A model portfolio.
    ModelId, "model";
    /// A review held with a party.
    ReviewId, "review";
    /// A recommendation.
    RecommendationId, "recommendation";
    /// A plan for a trade.
    PlanId, "plan";
    /// An order of ours.
    OrderId, "order";
    /// An import of a file.
    ImportId, "import";
    /// A bearer token; its secret is not derived from it.
    TokenId, "token";
    /// What ties together the records of one request.
    CorrelationId, "correlation";
}

macro_rules! name {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as it was given.
            #[must_use]
            pub fn new(text: impl Into<Box<str>>) -> Self {
                Self(text.into())
            }

            /// The name as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }
    )*};
}

name! {
    /// The name that a source gave to a row or to a record.
    ExternalId;
    /// The broker's id of an order; its fills share it.
    BrokerOrderId;
    /// The broker's id of one execution.
    ExecutionId;
    /// The name under which a source joined the rows of one happening.
    Group;
    /// A trader's name for a way of trading.
    Strategy;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_it_prints_and_nothing_else_reads() {
        let id = PortfolioId::new(1_700_000_000_000, [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for bad in ["", "abc", "zzzzzzzzzzzzzzzzzzzzzzzzzz", "0000000000000000000000000i"] {
            assert!(bad.parse::<PortfolioId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn new_ids_sort_by_age() {
        assert!(ImportId::new(1, [255; 10]).to_string() < ImportId::new(2, [0; 10]).to_string());
    }

    #[test]
    fn derived_ids_depend_on_every_part_and_on_their_borders() {
        let id = InstrumentId::derive(&[b"AB", b"C"]);
        assert_eq!(id, InstrumentId::derive(&[b"AB", b"C"]));
        assert_ne!(id, InstrumentId::derive(&[b"A", b"BC"]));
        assert_ne!(id.as_bytes(), AccountId::derive(&[b"AB", b"C"]).as_bytes());
    }
}
