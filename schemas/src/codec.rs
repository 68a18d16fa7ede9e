//! The codec of payloads: bincode's layout in one configuration, written by bincode and read by a reader of our own.
//!
//! The layout is written down in `schemas/formats/payload.md`, so that the data outlives the crate that wrote it.

use crate::reader::{Reader, Unreadable};
use serde::{Deserialize, Serialize};

/// The id that a record carries for payloads written by this codec.
pub const CODEC_BINCODE: u8 = 1;

/// The most bytes that one payload may have.
pub const PAYLOAD_BYTES_MAX: usize = 60_000;

/// Why a payload could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload would be longer than a record can hold.
    #[error(
        "the event takes {0} bytes, more than the {PAYLOAD_BYTES_MAX} that a record holds: shorten its texts"
    )]
    TooLong(usize),
    /// The bytes are not a payload of this type and version.
    #[error("the payload cannot be read: {0}")]
    Malformed(String),
    /// Bytes follow the payload's end.
    #[error("{0} bytes follow the end of the payload")]
    Trailing(usize),
    /// A type id that this version does not know.
    #[error("no event has the type id {0}: a newer version of daybook wrote it")]
    UnknownType(u16),
    /// A schema version that this version does not know.
    #[error("{name} has no schema version {version}: a newer version of daybook wrote it")]
    UnknownVersion {
        /// The event's name.
        name: &'static str,
        /// The version that the record states.
        version: u16,
    },
    /// A codec that this version does not know.
    #[error("no codec has the id {0}: a newer version of daybook wrote it")]
    UnknownCodec(u8),
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_little_endian().with_variable_int_encoding()
}

/// Writes a payload.
///
/// # Errors
/// [`CodecError::TooLong`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, configuration())
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(CodecError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// Reads a payload, all of it.
///
/// # Errors
/// [`CodecError::Malformed`] or [`CodecError::Trailing`].
#[inline]
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    let mut reader = Reader::new(bytes);
    let value = T::deserialize(&mut reader).map_err(malformed)?;
    match reader.left() {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}

#[cold]
#[expect(clippy::needless_pass_by_value, reason = "it is handed over by `map_err`")]
fn malformed(error: Unreadable) -> CodecError {
    CodecError::Malformed(error.to_string())
}

/// Writes state of any length, such as a projection's snapshot, in the same layout.
///
/// # Errors
/// [`CodecError::Malformed`] when a value cannot be written.
pub fn encode_unbounded<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, configuration())
        .map_err(|error| CodecError::Malformed(error.to_string()))
}

/// Reads what [`encode_unbounded`] wrote, all of it.
///
/// # Errors
/// [`CodecError::Malformed`] or [`CodecError::Trailing`].
pub fn decode_unbounded<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    decode(bytes)
}
