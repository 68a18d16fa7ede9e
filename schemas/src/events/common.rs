//! What events of several families share.

use crate::codes::codes;
use crate::{AccountId, Day, ExternalId, Group, KeyRing, Money, Sealed, When};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What every event on an account carries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The account whose cash or holdings it touches.
    pub account: AccountId,
    /// When it happened in the world.
    pub when: When,
    /// The day on which it counts: the broker's trade date where one is stated, else its day in the portfolio's zone.
    pub trade_date: Day,
    /// The day on which money and securities change hands, where stated.
    pub settles_on: Option<Day>,
    /// What the rows of one happening have in common.
    pub group: Option<Group>,
    /// An earlier entry that this one follows from: the deposit that was returned, the fill that a fee belongs to.
    pub relates_to: Option<Reference>,
    /// The source's own id of the row.
    pub external_id: Option<ExternalId>,
    /// What the source said, as it said it.
    pub reported: Option<Reported>,
    /// The person's own words.
    pub note: Option<Sealed<String>>,
}

impl Entry {
    /// An entry with its account and time, and nothing optional.
    #[must_use]
    pub const fn new(account: AccountId, when: When, trade_date: Day) -> Self {
        Self {
            account,
            when,
            trade_date,
            settles_on: None,
            group: None,
            relates_to: None,
            external_id: None,
            reported: None,
            note: None,
        }
    }
}

/// Another event, by what is known of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// By its sequence in the ledger.
    Sequence(u64),
    /// By its source's id.
    External(ExternalId),
    /// By its record's key.
    Key(Box<str>),
}

/// What a source said, as it said it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reported {
    /// The source's code for what happened, such as `Qual Div Reinvest`.
    pub code: Option<Box<str>>,
    /// The raw row.
    pub raw: Option<Sealed<RawRow>>,
}

/// Words in an entry: a reason, a warning. What is about somebody is sealed; what a program says of nobody is plain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Words {
    /// In clear.
    Plain(Box<str>),
    /// Under the key of whom it is about.
    Sealed(Sealed<String>),
}

impl Words {
    /// The words, if they are plain or their key is at hand.
    #[must_use]
    pub fn read(&self, ring: &KeyRing) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.to_string()),
            Self::Sealed(sealed) => sealed.open(ring).ok(),
        }
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        Self::Plain(text.into())
    }
}

/// A row as the source wrote it; of a very long one, its beginning and its hash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RawRow {
    /// The row, or its beginning.
    pub text: String,
    /// Length and hash of the whole, where `text` is only its beginning.
    pub whole: Option<Whole>,
}

impl RawRow {
    /// The most bytes of a row that are kept in full.
    pub const BYTES_MAX: usize = 16_384;

    /// Keeps a row, or the beginning of a very long one and its hash.
    #[must_use]
    pub fn keep(row: &str) -> Self {
        if row.len() <= Self::BYTES_MAX {
            return Self { text: row.to_owned(), whole: None };
        }
        let end = (0..=Self::BYTES_MAX).rev().find(|at| row.is_char_boundary(*at)).unwrap_or(0);
        let whole = Whole { bytes: row.len() as u64, hash: ContentHash::of(row.as_bytes()) };
        Self { text: row[..end].to_owned(), whole: Some(whole) }
    }
}

/// Length and hash of something that is not kept in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Whole {
    /// Bytes of the whole.
    pub bytes: u64,
    /// Its hash.
    pub hash: ContentHash,
}

/// A BLAKE3 hash of 32 bytes, in JSON as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The hash of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
            blake3::Hash::from_hex(&*text)
                .map(|hash| Self(*hash.as_bytes()))
                .map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

impl JsonSchema for ContentHash {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ContentHash".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "A BLAKE3 hash" })
    }
}

/// A charge on a trade or on another entry, by its kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Charge {
    /// What it is charged for.
    pub kind: ChargeKind,
    /// How much; positive is a charge, negative a rebate.
    pub amount: Money,
}

codes! {
    /// What is charged on a trade.
    ChargeKind {
        /// A charge whose kind the source does not state.
        Unstated = 1, "unstated";
        /// The broker's commission.
        Commission = 2, "commission";
        /// An exchange's fee.
        Exchange = 3, "exchange";
        /// A regulator's fee: SEC, TAF.
        Regulatory = 4, "regulatory";
        /// The clearing house's fee.
        Clearing = 5, "clearing";
        /// A tax on the transaction: stamp duty, transaction tax.
        TransactionTax = 6, "transaction_tax";
        /// The fee of a crypto network or venue.
        Network = 7, "network";
        /// The cost of changing a currency.
        Conversion = 8, "conversion";
    }
    /// Whether something crosses the portfolio's edge.
    Scope {
        /// It comes from outside, or goes there: a contribution.
        External = 1, "external";
        /// It moves between accounts of one portfolio.
        Internal = 2, "internal";
    }
    /// Which way a trade goes.
    Side {
        /// Units come in.
        Buy = 1, "buy";
        /// Units go out.
        Sell = 2, "sell";
    }
    /// Whether a trade opens or closes a position.
    Effect {
        /// The source does not say.
        Unstated = 1, "unstated";
        /// It opens or adds to a position on its own side.
        Open = 2, "open";
        /// It closes a position of the other side, and never opens one.
        Close = 3, "close";
    }
}
