//! Imports, what sources state, what could not be understood, and where the books differ.

use super::{ContentHash, RawRow, Reference, Words};
use crate::codes::codes;
use crate::{
    AccountId, Currency, Day, ImportId, InstrumentId, Money, PortfolioId, Quantity, Sealed, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file was imported; the events that carry its id are visible from here on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileImported {
    /// The import.
    pub import: ImportId,
    /// The format, as the command names it: `csv`, `schwab`, `prices`.
    pub format: Box<str>,
    /// The version of the importer, which grows when it reads a file otherwise.
    pub importer_version: u16,
    /// The file's name.
    pub file_name: Option<Sealed<String>>,
    /// ContentHash of the file's bytes.
    pub file_hash: ContentHash,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// The portfolio it went into; absent for prices.
    pub portfolio: Option<PortfolioId>,
    /// Rows of data that were read.
    pub rows: u64,
    /// Events that it appended, those of reference and quarantine not counted.
    pub events: u64,
    /// Rows that the ledger held already.
    pub known: u64,
    /// Rows kept aside.
    pub quarantined: u64,
    /// What the reader should know.
    pub warnings: Vec<Words>,
    /// How often an import holding the same rows was reverted before.
    pub revision: u32,
}

/// A source stated its balances.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BalancesStated {
    /// The account.
    pub account: AccountId,
    /// As of when.
    pub as_of: Timestamp,
    /// Cash, by currency.
    pub cash: Vec<Money>,
    /// Holdings.
    pub positions: Vec<StatedPosition>,
    /// The equity.
    pub equity: Option<Money>,
}

/// A holding, as a source states it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatedPosition {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Units, signed.
    pub quantity: Quantity,
    /// Total basis.
    pub basis: Option<Money>,
    /// Market value.
    pub market_value: Option<Money>,
}

/// A source delivered nothing that was not recorded before; from here on the delivery's id is taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryAcknowledged {
    /// The source, as its events name it.
    pub source: Box<str>,
    /// ContentHash of what it delivered.
    pub content_hash: ContentHash,
}

codes! {
    /// Why a record was kept aside.
    QuarantineReason {
        /// The source's code is not known.
        UnknownCode = 1, "unknown_code";
        /// A field cannot be read.
        BadField = 2, "bad_field";
        /// A field that is needed is empty.
        MissingField = 3, "missing_field";
        /// Fields contradict each other.
        Contradiction = 4, "contradiction";
        /// The instrument cannot be told.
        AmbiguousInstrument = 5, "ambiguous_instrument";
        /// It is the other half of something whose first half is missing.
        Unpaired = 6, "unpaired";
        /// The same id came with another content.
        ConflictingContent = 7, "conflicting_content";
        /// The row has too few or too many fields.
        BadRow = 8, "bad_row";
    }
    /// How a record that was kept aside was dealt with.
    QuarantineResolution {
        /// It needs no event.
        Dismissed = 1, "dismissed";
        /// It was recorded by hand.
        Recorded = 2, "recorded";
        /// A later import understood it.
        Understood = 3, "understood";
    }
    /// What two books disagree on.
    BreakSubject {
        /// The units of an instrument.
        Position = 1, "position";
        /// The cash of a currency.
        Cash = 2, "cash";
        /// The filled quantity of an order.
        Order = 3, "order";
        /// A fill that one of them lacks.
        Fill = 4, "fill";
        /// A corporate action that one of them lacks.
        CorporateAction = 5, "corporate_action";
    }
}

/// A record could not be understood and was kept aside, with its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecordQuarantined {
    /// The format or source.
    pub format: Box<str>,
    /// The portfolio it was meant for.
    pub portfolio: Option<PortfolioId>,
    /// The account it was meant for.
    pub account: Option<AccountId>,
    /// The line in its file, from 1.
    pub line: Option<u64>,
    /// The column at fault.
    pub column: Option<Box<str>>,
    /// Why.
    pub reason: QuarantineReason,
    /// Why, in words that may quote the row, and so are sealed as it is.
    pub detail: Sealed<String>,
    /// The day it speaks of, where that could be read.
    pub day: Option<Day>,
    /// The row.
    pub raw: Sealed<RawRow>,
}

/// A record that was kept aside was dealt with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineResolved {
    /// The sequence of its `RecordQuarantined`.
    pub target: u64,
    /// How.
    pub resolution: QuarantineResolution,
    /// What was recorded in its place.
    pub replaced_by: Vec<Reference>,
    /// The person's own words.
    pub note: Option<Sealed<String>>,
}

/// The ledger and a source disagree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationBreakFound {
    /// The account.
    pub account: AccountId,
    /// On what.
    pub subject: BreakSubject,
    /// The instrument.
    pub instrument: Option<InstrumentId>,
    /// The currency.
    pub currency: Option<Currency>,
    /// The order or the fill, by the source's id.
    pub external_id: Option<Box<str>>,
    /// What the ledger has.
    pub ours: Option<Quantity>,
    /// What the source has.
    pub theirs: Option<Quantity>,
    /// As of when.
    pub as_of: Timestamp,
}

/// A disagreement is settled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationBreakResolved {
    /// The sequence of its `ReconciliationBreakFound`.
    pub found: u64,
    /// How.
    pub explanation: Option<Box<str>>,
}
