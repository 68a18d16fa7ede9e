//! Corrections: nothing is edited; a mistake is undone by an event that says so.

use super::{Reference, Words};
use crate::ImportId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An event was declared never to have happened. Who said so, and when, stands in the record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventReversed {
    /// The sequence of the event.
    pub target: u64,
    /// Why.
    pub reason: Words,
    /// What stands in its place.
    pub replaced_by: Option<Reference>,
}

/// All events of an import were declared never to have happened. Who said so, and when, stands in the record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImportReverted {
    /// The import.
    pub import: ImportId,
    /// Why.
    pub reason: Option<Words>,
}
