//! Between events and records: what is to be recorded, by whom, and what was read back.

use super::JournalError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_ledger::{NewRecord, Record, RecordView};
use daybook_projections::Meta;
use daybook_schemas::events::ContentHash;
use daybook_schemas::{CODEC_BINCODE, CorrelationId, Event, EventType, ImportId, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// Who records, and through what.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    /// Who caused it: a token's subject, or `operator` for the command line.
    pub(crate) actor: Arc<str>,
    /// What it came through: `cli`, `api`, `csv`, `schwab`, `prices`, `demo`.
    pub(crate) source: Arc<str>,
    /// What ties together the records of one request.
    pub(crate) correlation: Option<CorrelationId>,
    /// Whether what is recorded may change what others see, such as what an instrument is called.
    pub(crate) reaches_all: bool,
}

impl Author {
    /// Who works on the command line, at the data directory itself.
    pub(crate) fn operator() -> Self {
        Self { actor: "operator".into(), source: "cli".into(), correlation: None, reaches_all: true }
    }

    /// The same person through another source.
    pub(crate) fn through(&self, source: &str) -> Self {
        Self { source: source.into(), ..self.clone() }
    }
}

/// An event that is to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The stream it joins.
    pub(crate) stream: String,
    /// When it happened in the world.
    pub(crate) occurred_at: Timestamp,
    /// The event.
    pub(crate) event: Event,
    /// Its idempotency key, revision included.
    pub(crate) key: Option<String>,
    /// The hash of the normalised source.
    pub(crate) content_hash: Option<[u8; 32]>,
    /// The import that brings it.
    pub(crate) import: Option<ImportId>,
}

impl Draft {
    /// An event without a key.
    pub(crate) fn new(stream: String, occurred_at: Timestamp, event: impl Into<Event>) -> Self {
        Self { stream, occurred_at, event: event.into(), key: None, content_hash: None, import: None }
    }

    /// The record of it.
    pub(crate) fn into_record(self, author: &Author) -> Result<NewRecord, JournalError> {
        let event_type = self.event.event_type();
        let payload = self.event.encode().map_err(|error| {
            JournalError::field("note", format!("{} cannot be recorded: {error}", event_type.name()))
        })?;
        Ok(NewRecord {
            stream: self.stream.into(),
            type_id: event_type.id(),
            schema_version: event_type.schema_version(),
            codec: CODEC_BINCODE,
            occurred_at: self.occurred_at.nanos(),
            actor: author.actor.clone(),
            source: author.source.clone(),
            key: self.key.map(Into::into),
            content_hash: self.content_hash,
            import: self.import.map(|id| *id.as_bytes()),
            correlation: author.correlation.map(|id| *id.as_bytes()),
            payload: payload.into(),
        })
    }
}

/// Where a source stands among the sources of one portfolio when nothing else tells their entries apart.
///
/// What a broker's feed reports comes before what a file says, and that before what a person typed.
pub(crate) fn source_rank(source: &str) -> u8 {
    match source {
        "alpaca" => 0,
        "csv" => 20,
        "api" | "cli" => 30,
        "demo" => 40,
        _ => 10,
    }
}

/// What a record says of its event.
pub(crate) fn meta(record: &RecordView<'_>) -> Meta {
    Meta {
        sequence: record.sequence,
        occurred_at: Timestamp::from_nanos(record.occurred_at),
        recorded_at: Timestamp::from_nanos(record.recorded_at),
        import: record.import.copied().map(ImportId::from_bytes),
        source_rank: source_rank(record.source),
    }
}

/// The event of a record.
pub(crate) fn decode(record: &RecordView<'_>) -> Result<Event, JournalError> {
    Event::decode(record.type_id, record.schema_version, record.codec, record.payload)
        .map_err(|error| JournalError::Event { sequence: record.sequence, detail: error.to_string() })
}

/// The name of a record's event type, also of one that this version does not know.
pub(crate) fn type_name(record: &Record) -> String {
    EventType::from_id(record.type_id)
        .map_or_else(|| format!("#{}", record.type_id), |known| known.name().to_owned())
}

/// A record as programs read it. Where today's schema does not give the stored bytes back, they stand beside it.
pub(crate) fn to_json(record: &Record) -> Value {
    let view = record.view();
    let decoded = decode(&view).ok();
    let faithful = decoded.as_ref().and_then(|event| event.encode().ok()).is_some_and(|bytes| {
        *bytes == *record.payload && record.schema_version == current_version(record.type_id)
    });
    let mut json = json!({
        "sequence": record.sequence,
        "stream": &*record.stream,
        "version": record.version,
        "type": type_name(record),
        "type_id": record.type_id,
        "schema_version": record.schema_version,
        "codec": record.codec,
        "occurred_at": Timestamp::from_nanos(record.occurred_at).to_string(),
        "recorded_at": Timestamp::from_nanos(record.recorded_at).to_string(),
        "actor": &*record.actor,
        "source": &*record.source,
        "key": record.key.as_deref(),
        "content_hash": ContentHash(record.content_hash).to_string(),
        "import": record.import.map(|id| ImportId::from_bytes(id).to_string()),
        "correlation": record.correlation.map(|id| CorrelationId::from_bytes(id).to_string()),
        "payload": decoded.and_then(|event| event.to_json().ok()),
    });
    if !faithful && let Some(object) = json.as_object_mut() {
        object.insert("payload_base64".to_owned(), STANDARD.encode(&record.payload).into());
    }
    json
}

fn current_version(type_id: u16) -> u16 {
    EventType::from_id(type_id).map_or(0, EventType::schema_version)
}
