//! Records and their canonical bytes: what is hashed, proven and exported.
//!
//! The layout is written down in `schemas/formats/record.md` and frozen by `schemas/golden/record-v1.hex`.

use std::sync::Arc;

use crate::bytes::{Reader, Short};

/// The version byte that opens every canonical record.
pub const RECORD_FORMAT: u8 = 1;
/// The largest canonical record, in bytes: a C2SP log entry carries a 16-bit length.
pub const RECORD_BYTES_MAX: usize = 65_535;
/// The longest stream, actor or source name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest idempotency key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1_024;

/// Bytes of a canonical record that do not depend on its strings, options and payload.
const FIXED_BYTES: usize = 1 + 8 + 8 + 2 + 2 + 1 + 8 + 8 + 1 + 32 + 1 + 1 + 1 + 2;

const HAS_KEY: u8 = 1;
const HAS_IMPORT: u8 = 2;
const HAS_CORRELATION: u8 = 4;

/// What is to be written. Sequence, stream version and `recorded_at` are given by the ledger.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The stream that the record joins, such as `portfolio-…`; 1 to 255 bytes.
    pub stream: Arc<str>,
    /// The stable number of the event type; the ledger does not know what it means.
    pub type_id: u16,
    /// The version of that type's schema.
    pub schema_version: u16,
    /// Which codec wrote the payload.
    pub codec: u8,
    /// When it happened in the world, in nanoseconds since 1970-01-01T00:00:00Z.
    pub occurred_at: i64,
    /// Who caused it; 1 to 255 bytes.
    pub actor: Arc<str>,
    /// What it came from; 1 to 255 bytes.
    pub source: Arc<str>,
    /// An idempotency key, unique in the ledger for ever; 1 to 1,024 bytes.
    pub key: Option<Box<str>>,
    /// The hash of the normalised source, compared when keys meet. Without one the ledger takes
    /// [`derived_content_hash`].
    pub content_hash: Option<[u8; 32]>,
    /// The import that brought it.
    pub import: Option<[u8; 16]>,
    /// What it belongs together with.
    pub correlation: Option<[u8; 16]>,
    /// The event itself, opaque to the ledger and stored verbatim.
    pub payload: Box<[u8]>,
}

impl NewRecord {
    /// The content hash that the record will carry.
    #[must_use]
    pub fn content_hash(&self) -> [u8; 32] {
        self.content_hash.unwrap_or_else(|| {
            derived_content_hash(self.type_id, self.schema_version, self.codec, &self.payload)
        })
    }

    /// The record as it will be stored under the given sequence, version and time.
    #[must_use]
    pub fn view(&self, sequence: u64, version: u64, recorded_at: i64) -> RecordView<'_> {
        RecordView {
            sequence,
            stream: &self.stream,
            version,
            type_id: self.type_id,
            schema_version: self.schema_version,
            codec: self.codec,
            occurred_at: self.occurred_at,
            recorded_at,
            actor: &self.actor,
            source: &self.source,
            key: self.key.as_deref(),
            content: self.content_hash.as_ref().map_or(Content::Derived, Content::Stored),
            import: self.import.as_ref(),
            correlation: self.correlation.as_ref(),
            payload: &self.payload,
        }
    }
}

/// The content hash of a record whose writer gave none: BLAKE3 over type id, schema version (both 16 bits,
/// little-endian), codec and payload.
#[must_use]
pub fn derived_content_hash(type_id: u16, schema_version: u16, codec: u8, payload: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&type_id.to_le_bytes());
    hasher.update(&schema_version.to_le_bytes());
    hasher.update(&[codec]);
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}

/// Where a record's content hash comes from. Ticks carry none of their own: it is computed when asked for, so
/// that a scan does not pay for it.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The writer gave it.
    Stored(&'a [u8; 32]),
    /// It is [`derived_content_hash`] of the record.
    Derived,
}

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the ledger, dense from 1.
    pub sequence: u64,
    /// The stream it belongs to.
    pub stream: Arc<str>,
    /// Its place in the stream, dense from 1.
    pub version: u64,
    /// The stable number of the event type.
    pub type_id: u16,
    /// The version of that type's schema.
    pub schema_version: u16,
    /// Which codec wrote the payload.
    pub codec: u8,
    /// When it happened in the world, in nanoseconds since 1970-01-01T00:00:00Z.
    pub occurred_at: i64,
    /// When the ledger took it, in nanoseconds since 1970-01-01T00:00:00Z; never goes backwards.
    pub recorded_at: i64,
    /// Who caused it.
    pub actor: Arc<str>,
    /// What it came from.
    pub source: Arc<str>,
    /// Its idempotency key.
    pub key: Option<Box<str>>,
    /// The hash of the normalised source.
    pub content_hash: [u8; 32],
    /// The import that brought it.
    pub import: Option<[u8; 16]>,
    /// What it belongs together with.
    pub correlation: Option<[u8; 16]>,
    /// The event itself, opaque to the ledger.
    pub payload: Box<[u8]>,
}

/// A record borrowed from the block it is stored in.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its place in the ledger, dense from 1.
    pub sequence: u64,
    /// The stream it belongs to.
    pub stream: &'a str,
    /// Its place in the stream, dense from 1.
    pub version: u64,
    /// The stable number of the event type.
    pub type_id: u16,
    /// The version of that type's schema.
    pub schema_version: u16,
    /// Which codec wrote the payload.
    pub codec: u8,
    /// When it happened in the world, in nanoseconds since 1970-01-01T00:00:00Z.
    pub occurred_at: i64,
    /// When the ledger took it, in nanoseconds since 1970-01-01T00:00:00Z; never goes backwards.
    pub recorded_at: i64,
    /// Who caused it.
    pub actor: &'a str,
    /// What it came from.
    pub source: &'a str,
    /// Its idempotency key.
    pub key: Option<&'a str>,
    /// Where its content hash comes from; [`RecordView::content_hash`] gives the hash.
    pub content: Content<'a>,
    /// The import that brought it.
    pub import: Option<&'a [u8; 16]>,
    /// What it belongs together with.
    pub correlation: Option<&'a [u8; 16]>,
    /// The event itself, opaque to the ledger.
    pub payload: &'a [u8],
}

/// Why bytes are not a canonical record, or a record has no canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The version byte is not one this build reads.
    #[error("record format {0} is not known; this build reads format {RECORD_FORMAT}")]
    Format(u8),
    /// The bytes end inside a field.
    #[error("the record ends inside its {0}")]
    Short(&'static str),
    /// Bytes follow the last field.
    #[error("{0} bytes follow the record's last field")]
    Trailing(usize),
    /// A field holds what a writer never writes.
    #[error("the record's {field} is not valid: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The record would be longer than [`RECORD_BYTES_MAX`].
    #[error("the record takes {0} bytes; at most {RECORD_BYTES_MAX} fit an entry")]
    TooLarge(usize),
}

impl<'a> RecordView<'a> {
    /// The content hash, computed if it is not stored.
    #[must_use]
    pub fn content_hash(&self) -> [u8; 32] {
        match self.content {
            Content::Stored(hash) => *hash,
            Content::Derived => {
                derived_content_hash(self.type_id, self.schema_version, self.codec, self.payload)
            }
        }
    }

    /// How many bytes [`encode_canonical`](Self::encode_canonical) writes.
    #[must_use]
    pub fn canonical_bytes(&self) -> usize {
        FIXED_BYTES
            + self.stream.len()
            + self.actor.len()
            + self.source.len()
            + self.key.map_or(0, |key| 2 + key.len())
            + self.import.map_or(0, |id| id.len())
            + self.correlation.map_or(0, |id| id.len())
            + self.payload.len()
    }

    /// Appends the canonical bytes to `out`.
    ///
    /// Total for every record that a ledger accepted: names up to [`NAME_BYTES_MAX`], keys up to
    /// [`KEY_BYTES_MAX`], all together up to [`RECORD_BYTES_MAX`].
    pub fn encode_canonical(&self, out: &mut Vec<u8>) {
        out.reserve(self.canonical_bytes());
        out.push(RECORD_FORMAT);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.type_id.to_le_bytes());
        out.extend_from_slice(&self.schema_version.to_le_bytes());
        out.push(self.codec);
        out.extend_from_slice(&self.occurred_at.to_le_bytes());
        out.extend_from_slice(&self.recorded_at.to_le_bytes());
        let mut flags = 0;
        if self.key.is_some() {
            flags |= HAS_KEY;
        }
        if self.import.is_some() {
            flags |= HAS_IMPORT;
        }
        if self.correlation.is_some() {
            flags |= HAS_CORRELATION;
        }
        out.push(flags);
        out.extend_from_slice(&self.content_hash());
        for name in [self.stream, self.actor, self.source] {
            out.push(u8::try_from(name.len()).expect("an accepted name is at most 255 bytes"));
            out.extend_from_slice(name.as_bytes());
        }
        if let Some(key) = self.key {
            let len = u16::try_from(key.len()).expect("an accepted key is at most 1,024 bytes");
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(key.as_bytes());
        }
        if let Some(import) = self.import {
            out.extend_from_slice(import);
        }
        if let Some(correlation) = self.correlation {
            out.extend_from_slice(correlation);
        }
        let len = u16::try_from(self.payload.len()).expect("an accepted record is at most 65,535 bytes");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(self.payload);
    }

    /// Whether a ledger may store the record: its names and key are within their lengths, and its canonical
    /// bytes within [`RECORD_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// The first field that is empty or too long, or the size of the whole.
    pub fn check(&self) -> Result<(), RecordError> {
        for (field, text, max, long) in [
            ("stream", Some(self.stream), NAME_BYTES_MAX, "it is longer than 255 bytes"),
            ("actor", Some(self.actor), NAME_BYTES_MAX, "it is longer than 255 bytes"),
            ("source", Some(self.source), NAME_BYTES_MAX, "it is longer than 255 bytes"),
            ("key", self.key, KEY_BYTES_MAX, "it is longer than 1,024 bytes"),
        ] {
            let Some(text) = text else { continue };
            if text.is_empty() {
                return Err(RecordError::Field { field, why: "it is empty" });
            }
            if text.len() > max {
                return Err(RecordError::Field { field, why: long });
            }
        }
        let bytes = self.canonical_bytes();
        if bytes > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge(bytes));
        }
        Ok(())
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_owned(&self) -> Record {
        Record {
            sequence: self.sequence,
            stream: Arc::from(self.stream),
            version: self.version,
            type_id: self.type_id,
            schema_version: self.schema_version,
            codec: self.codec,
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
            actor: Arc::from(self.actor),
            source: Arc::from(self.source),
            key: self.key.map(Box::from),
            content_hash: self.content_hash(),
            import: self.import.copied(),
            correlation: self.correlation.copied(),
            payload: Box::from(self.payload),
        }
    }

    /// Reads canonical bytes without copying; all of `bytes` must be the record.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub fn decode_canonical(bytes: &'a [u8]) -> Result<RecordView<'a>, RecordError> {
        let size = bytes.len();
        if size > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge(size));
        }
        let mut reader = Reader::new(bytes);
        let format = reader.u8().map_err(short("format"))?;
        if format != RECORD_FORMAT {
            return Err(RecordError::Format(format));
        }
        let sequence = reader.u64().map_err(short("sequence"))?;
        let version = reader.u64().map_err(short("version"))?;
        let type_id = reader.u16().map_err(short("type id"))?;
        let schema_version = reader.u16().map_err(short("schema version"))?;
        let codec = reader.u8().map_err(short("codec"))?;
        let occurred_at = reader.i64().map_err(short("occurred_at"))?;
        let recorded_at = reader.i64().map_err(short("recorded_at"))?;
        let flags = reader.u8().map_err(short("flags"))?;
        if flags & !(HAS_KEY | HAS_IMPORT | HAS_CORRELATION) != 0 {
            return Err(RecordError::Field { field: "flags", why: "an unknown flag is set" });
        }
        let content = reader.array::<32>().map_err(short("content hash"))?;
        let mut name = |field| -> Result<&'a str, RecordError> {
            let len = reader.u8().map_err(short(field))?;
            text(reader.take(usize::from(len)).map_err(short(field))?, field)
        };
        let stream = name("stream")?;
        let actor = name("actor")?;
        let source = name("source")?;
        let key = if flags & HAS_KEY != 0 {
            let len = reader.u16().map_err(short("key"))?;
            let key = text(reader.take(usize::from(len)).map_err(short("key"))?, "key")?;
            if key.len() > KEY_BYTES_MAX {
                return Err(RecordError::Field { field: "key", why: "it is longer than 1,024 bytes" });
            }
            Some(key)
        } else {
            None
        };
        let import =
            if flags & HAS_IMPORT != 0 { Some(reader.array::<16>().map_err(short("import"))?) } else { None };
        let correlation = if flags & HAS_CORRELATION != 0 {
            Some(reader.array::<16>().map_err(short("correlation"))?)
        } else {
            None
        };
        let len = reader.u16().map_err(short("payload"))?;
        let payload = reader.take(usize::from(len)).map_err(short("payload"))?;
        if reader.left() != 0 {
            return Err(RecordError::Trailing(reader.left()));
        }
        if sequence == 0 {
            return Err(RecordError::Field { field: "sequence", why: "sequences start at 1" });
        }
        if version == 0 {
            return Err(RecordError::Field { field: "version", why: "versions start at 1" });
        }
        Ok(RecordView {
            sequence,
            stream,
            version,
            type_id,
            schema_version,
            codec,
            occurred_at,
            recorded_at,
            actor,
            source,
            key,
            content: Content::Stored(content),
            import,
            correlation,
            payload,
        })
    }
}

fn short(field: &'static str) -> impl Fn(Short) -> RecordError {
    move |_| RecordError::Short(field)
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, RecordError> {
    if bytes.is_empty() {
        return Err(RecordError::Field { field, why: "it is empty" });
    }
    std::str::from_utf8(bytes).map_err(|_| RecordError::Field { field, why: "it is not UTF-8" })
}

impl Record {
    /// The record, borrowed.
    #[must_use]
    pub fn view(&self) -> RecordView<'_> {
        RecordView {
            sequence: self.sequence,
            stream: &self.stream,
            version: self.version,
            type_id: self.type_id,
            schema_version: self.schema_version,
            codec: self.codec,
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
            actor: &self.actor,
            source: &self.source,
            key: self.key.as_deref(),
            content: Content::Stored(&self.content_hash),
            import: self.import.as_ref(),
            correlation: self.correlation.as_ref(),
            payload: &self.payload,
        }
    }

    /// Reads canonical bytes; all of `bytes` must be the record.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub fn decode_canonical(bytes: &[u8]) -> Result<Record, RecordError> {
        RecordView::decode_canonical(bytes).map(|view| view.to_owned())
    }

    /// Appends the canonical bytes to `out`.
    pub fn encode_canonical(&self, out: &mut Vec<u8>) {
        self.view().encode_canonical(out);
    }
}
