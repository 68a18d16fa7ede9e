//! A body of commits in compact form, and the frame that wraps one in a segment.
//!
//! A body holds consecutive records of one or more commits: names and whatever else repeats stand once in
//! dictionaries, times as differences, stream versions not at all (within a body they count up from the
//! version the dictionary gives). Canonical records come back from it byte for byte. The layout is written
//! down in `schemas/formats/segment.md`.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::bytes::{Reader, Short, put_counted, put_delta, put_size, put_varint};
use crate::record::{Content, NewRecord, RecordView};

const BODY_FORMAT: u8 = 1;

const HAS_KEY: u8 = 1;
const HAS_IMPORT: u8 = 2;
const HAS_CORRELATION: u8 = 4;
const HAS_CONTENT: u8 = 8;

/// What is wrong with a body whose checksum was right, or that has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body was written in a format that this build does not read.
    #[error("body format {0} is not known; this build reads format {BODY_FORMAT}")]
    Format(u8),
    /// The bytes end inside a part.
    #[error("the body ends inside its {0}")]
    Short(&'static str),
    /// A part contradicts another or holds what a writer never writes.
    #[error("the body's {part} is not valid: {why}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn short(part: &'static str) -> impl Fn(Short) -> BodyError {
    move |_| BodyError::Short(part)
}

/// The part of a commit that lies in one body. In a segment a commit is whole; in a sealed block it may
/// continue from the block before or into the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPart<'a> {
    /// How many of the commit's records lie in this body; at least 1.
    pub records: u32,
    /// How many lie in bodies before this one.
    pub before: u32,
    /// How many lie in bodies after this one.
    pub after: u32,
    /// When the ledger took the commit, in nanoseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    /// What moves with the commit; only in the part where the commit ends (`after == 0`).
    pub tail: Option<CommitTail<'a>>,
}

/// What a commit carries besides its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitTail<'a> {
    /// Source cursors moved, in the order given.
    pub cursors: Vec<(&'a str, &'a [u8])>,
    /// The commit's own key and the hash of its content.
    pub key: Option<(&'a str, &'a [u8; 32])>,
    /// Records of the append that were in the ledger before: their position among the records given, and
    /// their sequence. Ascending by position.
    pub known: Vec<(u32, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Profile<'a> {
    type_id: u16,
    schema_version: u16,
    codec: u8,
    flags: u8,
    actor: &'a str,
    source: &'a str,
    import: Option<&'a [u8; 16]>,
    correlation: Option<&'a [u8; 16]>,
}

/// A body, its dictionaries read and its rows still packed.
#[derive(Clone, Debug)]
pub struct Body<'a> {
    first_sequence: u64,
    count: u32,
    parts: Vec<CommitPart<'a>>,
    streams: Vec<(&'a str, u64)>,
    profiles: Vec<Profile<'a>>,
    rows: &'a [u8],
}

impl<'a> Body<'a> {
    /// Reads the dictionaries and commits of a body; `bytes` must be exactly the body.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes. Rows are checked as they are visited.
    pub fn parse(bytes: &'a [u8]) -> Result<Body<'a>, BodyError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u8().map_err(short("format"))?;
        if format != BODY_FORMAT {
            return Err(BodyError::Format(format));
        }
        let first_sequence = reader.varint().map_err(short("first sequence"))?;
        let count = small(reader.varint().map_err(short("count"))?, "count")?;
        if first_sequence == 0 || count == 0 || first_sequence.checked_add(u64::from(count)).is_none() {
            return Err(BodyError::Part { part: "count", why: "it holds no record that can be numbered" });
        }
        let parts = parse_parts(&mut reader, count)?;
        let stream_count = counted(&mut reader, 2, "streams")?;
        let mut streams = Vec::with_capacity(stream_count);
        for _ in 0..stream_count {
            let name = text(&mut reader, "stream name")?;
            let version = reader.varint().map_err(short("stream version"))?;
            if version == 0 || version.checked_add(u64::from(count)).is_none() {
                return Err(BodyError::Part { part: "stream version", why: "versions start at 1" });
            }
            streams.push((name, version));
        }
        let profile_count = counted(&mut reader, 8, "profiles")?;
        let mut profiles = Vec::with_capacity(profile_count);
        for _ in 0..profile_count {
            profiles.push(parse_profile(&mut reader)?);
        }
        Ok(Body { first_sequence, count, parts, streams, profiles, rows: reader.rest() })
    }

    /// The sequence of the first record.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// The sequence of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count) - 1
    }

    /// How many records it holds; at least 1.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The parts of commits it holds, in order; their records add up to [`count`](Self::count).
    #[must_use]
    pub fn parts(&self) -> &[CommitPart<'a>] {
        &self.parts
    }

    /// The streams that its records belong to, each with the version of the first of them. A stream may be
    /// listed without a record.
    #[must_use]
    pub fn streams(&self) -> &[(&'a str, u64)] {
        &self.streams
    }

    /// Shows the records from `from` to `to`, both inclusive, in order, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// What is wrong with a row, at the latest when the last one has been read.
    #[inline]
    pub fn visit(
        &self,
        from: u64,
        to: u64,
        mut visit: impl FnMut(&RecordView<'a>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, BodyError> {
        self.visit_ids(from, to, |_, record| visit(record))
    }

    /// As [`visit`](Self::visit), giving also the place of the record's stream in
    /// [`streams`](Self::streams).
    ///
    /// # Errors
    ///
    /// As [`visit`](Self::visit).
    #[inline]
    pub fn visit_ids(
        &self,
        from: u64,
        to: u64,
        mut visit: impl FnMut(usize, &RecordView<'a>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, BodyError> {
        let mut versions: Vec<u64> = self.streams.iter().map(|(_, version)| *version).collect();
        let mut reader = Reader::new(self.rows);
        let mut sequence = self.first_sequence;
        let mut occurred_at = self.parts.first().map_or(0, |part| part.recorded_at);
        for part in &self.parts {
            for _ in 0..part.records {
                if sequence > to {
                    return Ok(ControlFlow::Continue(()));
                }
                let stream_id = reader.size().map_err(short("row"))?;
                let profile_id = reader.size().map_err(short("row"))?;
                occurred_at = occurred_at.wrapping_add(reader.delta().map_err(short("row"))?);
                let payload_len = reader.size().map_err(short("row"))?;
                let (Some(&(stream, _)), Some(next)) =
                    (self.streams.get(stream_id), versions.get_mut(stream_id))
                else {
                    return Err(BodyError::Part { part: "row", why: "its stream is not listed" });
                };
                let Some(profile) = self.profiles.get(profile_id) else {
                    return Err(BodyError::Part { part: "row", why: "its profile is not listed" });
                };
                let version = *next;
                *next += 1;
                let key = if profile.flags & HAS_KEY == 0 {
                    None
                } else {
                    Some(reader.counted().map_err(short("row"))?)
                };
                let content = if profile.flags & HAS_CONTENT == 0 {
                    Content::Derived
                } else {
                    Content::Stored(reader.array().map_err(short("row"))?)
                };
                let payload = reader.take(payload_len).map_err(short("row"))?;
                if sequence >= from {
                    let key = match key {
                        None => None,
                        Some(key) => Some(
                            std::str::from_utf8(key)
                                .map_err(|_| BodyError::Part { part: "key", why: "it is not UTF-8" })?,
                        ),
                    };
                    let view = RecordView {
                        sequence,
                        stream,
                        version,
                        type_id: profile.type_id,
                        schema_version: profile.schema_version,
                        codec: profile.codec,
                        occurred_at,
                        recorded_at: part.recorded_at,
                        actor: profile.actor,
                        source: profile.source,
                        key,
                        content,
                        import: profile.import,
                        correlation: profile.correlation,
                        payload,
                    };
                    if visit(stream_id, &view).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                sequence += 1;
            }
        }
        if reader.left() != 0 {
            return Err(BodyError::Part { part: "rows", why: "bytes follow the last row" });
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn small(value: u64, part: &'static str) -> Result<u32, BodyError> {
    u32::try_from(value).map_err(|_| BodyError::Part { part, why: "it is larger than a body can be" })
}

/// A number of things that take at least `bytes_min` each, so that a wrong one cannot ask for much memory.
fn counted(reader: &mut Reader<'_>, bytes_min: usize, part: &'static str) -> Result<usize, BodyError> {
    let count = reader.size().map_err(short(part))?;
    if count > reader.left() / bytes_min {
        return Err(BodyError::Short(part));
    }
    Ok(count)
}

fn text<'a>(reader: &mut Reader<'a>, part: &'static str) -> Result<&'a str, BodyError> {
    let bytes = reader.counted().map_err(short(part))?;
    std::str::from_utf8(bytes).map_err(|_| BodyError::Part { part, why: "it is not UTF-8" })
}

fn parse_parts<'a>(reader: &mut Reader<'a>, count: u32) -> Result<Vec<CommitPart<'a>>, BodyError> {
    let wrong = |why| BodyError::Part { part: "commits", why };
    let part_count = counted(reader, 4, "commits")?;
    let mut parts = Vec::with_capacity(part_count);
    let mut records_left = count;
    let mut recorded_at = 0_i64;
    for place in 0..part_count {
        let records = small(reader.varint().map_err(short("commits"))?, "commits")?;
        let before = small(reader.varint().map_err(short("commits"))?, "commits")?;
        let after = small(reader.varint().map_err(short("commits"))?, "commits")?;
        recorded_at = recorded_at.wrapping_add(reader.delta().map_err(short("commits"))?);
        if records == 0 {
            return Err(wrong("a commit has no record"));
        }
        if (before != 0 && place != 0) || (after != 0 && place + 1 != part_count) {
            return Err(wrong("a commit inside the body is not whole"));
        }
        if before.checked_add(records).and_then(|sum| sum.checked_add(after)).is_none() {
            return Err(wrong("a commit is larger than it can be"));
        }
        records_left = records_left.checked_sub(records).ok_or(wrong("they hold more than the count"))?;
        let tail = if after == 0 { Some(parse_tail(reader)?) } else { None };
        parts.push(CommitPart { records, before, after, recorded_at, tail });
    }
    if records_left != 0 {
        return Err(wrong("they hold fewer than the count"));
    }
    Ok(parts)
}

fn parse_tail<'a>(reader: &mut Reader<'a>) -> Result<CommitTail<'a>, BodyError> {
    let keyed = reader.u8().map_err(short("commit key"))?;
    let key = match keyed {
        0 => None,
        1 => {
            let key = text(reader, "commit key")?;
            Some((key, reader.array().map_err(short("commit key"))?))
        }
        _ => return Err(BodyError::Part { part: "commit key", why: "an unknown flag is set" }),
    };
    let cursor_count = counted(reader, 2, "cursors")?;
    let mut cursors = Vec::with_capacity(cursor_count);
    for _ in 0..cursor_count {
        let source = text(reader, "cursor source")?;
        cursors.push((source, reader.counted().map_err(short("cursor"))?));
    }
    let known_count = counted(reader, 2, "known records")?;
    let mut known = Vec::with_capacity(known_count);
    for _ in 0..known_count {
        let position = small(reader.varint().map_err(short("known records"))?, "known records")?;
        known.push((position, reader.varint().map_err(short("known records"))?));
    }
    Ok(CommitTail { cursors, key, known })
}

fn parse_profile<'a>(reader: &mut Reader<'a>) -> Result<Profile<'a>, BodyError> {
    let type_id = reader.u16().map_err(short("profile"))?;
    let schema_version = reader.u16().map_err(short("profile"))?;
    let codec = reader.u8().map_err(short("profile"))?;
    let flags = reader.u8().map_err(short("profile"))?;
    if flags & !(HAS_KEY | HAS_IMPORT | HAS_CORRELATION | HAS_CONTENT) != 0 {
        return Err(BodyError::Part { part: "profile", why: "an unknown flag is set" });
    }
    let actor = text(reader, "actor")?;
    let source = text(reader, "source")?;
    let import = if flags & HAS_IMPORT == 0 { None } else { Some(reader.array().map_err(short("import"))?) };
    let correlation =
        if flags & HAS_CORRELATION == 0 { None } else { Some(reader.array().map_err(short("correlation"))?) };
    Ok(Profile { type_id, schema_version, codec, flags, actor, source, import, correlation })
}

/// A stream's place in a body's dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(pub(crate) u32);

#[derive(Clone, Debug)]
struct StreamSlot {
    name: Arc<str>,
    first_version: u64,
    next_version: u64,
}

/// Builds a body record by record.
///
/// Push the records of a commit (or of the part of one that belongs here), then close it with
/// [`end_part`](Self::end_part); [`encode`](Self::encode) writes what was closed.
#[derive(Debug, Default)]
pub struct BodyBuilder {
    first_sequence: u64,
    count: u32,
    part_records: u32,
    part_count: usize,
    parts: Vec<u8>,
    last_recorded_at: i64,
    streams: Vec<StreamSlot>,
    stream_ids: HashMap<Arc<str>, u32>,
    stream_bytes: usize,
    last_stream: Option<u32>,
    profiles: HashMap<Box<[u8]>, u32>,
    profile_bytes: Vec<u8>,
    last_profile: (Vec<u8>, u32),
    scratch: Vec<u8>,
    rows: Vec<u8>,
    last_occurred_at: i64,
}

impl BodyBuilder {
    /// An empty body whose first record will have `first_sequence`.
    #[must_use]
    pub fn new(first_sequence: u64) -> BodyBuilder {
        BodyBuilder { first_sequence, ..BodyBuilder::default() }
    }

    /// Starts over at `first_sequence`, keeping the memory.
    pub fn reset(&mut self, first_sequence: u64) {
        self.first_sequence = first_sequence;
        self.count = 0;
        self.part_records = 0;
        self.part_count = 0;
        self.parts.clear();
        self.last_recorded_at = 0;
        self.streams.clear();
        self.stream_ids.clear();
        self.stream_bytes = 0;
        self.last_stream = None;
        self.profiles.clear();
        self.profile_bytes.clear();
        self.last_profile = (Vec::new(), 0);
        self.rows.clear();
        self.last_occurred_at = 0;
    }

    /// How many records it holds, those of an unclosed part included.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count + self.part_records
    }

    /// The sequence that the next record pushed must have.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count())
    }

    /// How many bytes [`encode`](Self::encode) would write, at most.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        64 + self.parts.len() + self.stream_bytes + self.profile_bytes.len() + self.rows.len()
    }

    /// The version that the next record of a stream will have, if the body knows the stream.
    #[must_use]
    pub fn next_version(&self, stream: &str) -> Option<u64> {
        self.stream_ids
            .get(stream)
            .and_then(|id| self.streams.get(*id as usize))
            .map(|slot| slot.next_version)
    }

    /// Every stream in the dictionary, in the order of its ids: its name, the version of its first record
    /// here, and that of the next to come.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&Arc<str>, u64, u64)> {
        self.streams.iter().map(|slot| (&slot.name, slot.first_version, slot.next_version))
    }

    /// Finds a stream in the dictionary, or enters it with the version that `next_version` gives for its
    /// next record.
    ///
    /// # Errors
    ///
    /// What `next_version` fails with; the body is then unchanged.
    pub fn stream_id<E>(
        &mut self,
        stream: &Arc<str>,
        next_version: impl FnOnce() -> Result<u64, E>,
    ) -> Result<StreamId, E> {
        if let Some(last) = self.last_stream
            && self.streams.get(last as usize).is_some_and(|slot| Arc::ptr_eq(&slot.name, stream))
        {
            return Ok(StreamId(last));
        }
        if let Some(id) = self.stream_ids.get(&**stream) {
            self.last_stream = Some(*id);
            return Ok(StreamId(*id));
        }
        let version = next_version()?;
        let id = u32::try_from(self.streams.len()).expect("a body has fewer streams than 2^32 records");
        self.streams.push(StreamSlot {
            name: Arc::clone(stream),
            first_version: version,
            next_version: version,
        });
        self.stream_ids.insert(Arc::clone(stream), id);
        self.stream_bytes += stream.len() + 12;
        self.last_stream = Some(id);
        Ok(StreamId(id))
    }

    /// Adds a new record to the stream, giving it the next sequence and the stream's next version, and
    /// returns its sequence. All records of a part must have one `recorded_at`.
    pub fn push_new(&mut self, stream: StreamId, record: &NewRecord, recorded_at: i64) -> u64 {
        let sequence = self.next_sequence();
        let slot = self.streams.get_mut(stream.0 as usize).expect("a stream id comes from this body");
        let version = slot.next_version;
        slot.next_version += 1;
        self.row(stream.0, &record.view(sequence, version, recorded_at));
        sequence
    }

    /// Adds a stored record, which must be the next in sequence and in its stream.
    ///
    /// # Errors
    ///
    /// The record does not follow on; the body is unchanged but for its dictionary.
    pub fn push(&mut self, record: &RecordView<'_>) -> Result<(), BodyError> {
        if record.sequence != self.next_sequence() {
            return Err(BodyError::Part { part: "row", why: "its sequence does not follow on" });
        }
        let known = self
            .last_stream
            .filter(|last| self.streams.get(*last as usize).is_some_and(|slot| &*slot.name == record.stream));
        let id = match known.or_else(|| self.stream_ids.get(record.stream).copied()) {
            Some(id) => id,
            None => {
                let stream = Arc::from(record.stream);
                match self.stream_id(&stream, || Ok::<u64, BodyError>(record.version)) {
                    Ok(StreamId(id)) => id,
                    Err(error) => return Err(error),
                }
            }
        };
        self.last_stream = Some(id);
        let slot = self.streams.get_mut(id as usize).expect("the id was just found");
        if slot.next_version != record.version {
            return Err(BodyError::Part { part: "row", why: "its version does not follow on" });
        }
        slot.next_version += 1;
        self.row(id, record);
        Ok(())
    }

    fn row(&mut self, stream: u32, record: &RecordView<'_>) {
        if self.count() == 0 {
            self.last_occurred_at = record.recorded_at;
        }
        let profile = self.profile(record);
        put_varint(&mut self.rows, u64::from(stream));
        put_varint(&mut self.rows, u64::from(profile));
        put_delta(&mut self.rows, record.occurred_at.wrapping_sub(self.last_occurred_at));
        put_size(&mut self.rows, record.payload.len());
        if let Some(key) = record.key {
            put_counted(&mut self.rows, key.as_bytes());
        }
        if let Content::Stored(hash) = record.content {
            self.rows.extend_from_slice(hash);
        }
        self.rows.extend_from_slice(record.payload);
        self.last_occurred_at = record.occurred_at;
        self.part_records += 1;
    }

    fn profile(&mut self, record: &RecordView<'_>) -> u32 {
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend_from_slice(&record.type_id.to_le_bytes());
        scratch.extend_from_slice(&record.schema_version.to_le_bytes());
        let mut flags = 0;
        if record.key.is_some() {
            flags |= HAS_KEY;
        }
        if record.import.is_some() {
            flags |= HAS_IMPORT;
        }
        if record.correlation.is_some() {
            flags |= HAS_CORRELATION;
        }
        if matches!(record.content, Content::Stored(_)) {
            flags |= HAS_CONTENT;
        }
        scratch.extend_from_slice(&[record.codec, flags]);
        put_counted(scratch, record.actor.as_bytes());
        put_counted(scratch, record.source.as_bytes());
        if let Some(import) = record.import {
            scratch.extend_from_slice(import);
        }
        if let Some(correlation) = record.correlation {
            scratch.extend_from_slice(correlation);
        }
        if *scratch == self.last_profile.0 {
            return self.last_profile.1;
        }
        let id = match self.profiles.get(scratch.as_slice()) {
            Some(id) => *id,
            None => {
                let id = u32::try_from(self.profiles.len()).expect("a body has fewer profiles than records");
                self.profiles.insert(Box::from(scratch.as_slice()), id);
                self.profile_bytes.extend_from_slice(scratch);
                id
            }
        };
        self.last_profile.0.clone_from(scratch);
        self.last_profile.1 = id;
        id
    }

    /// Closes a commit, or the part of one that lies here, over the records pushed since the last call.
    /// `before` and `after` count the commit's records in other bodies; `tail` is kept only where the commit
    /// ends (`after == 0`). With no record pushed since, nothing happens.
    pub fn end_part(&mut self, before: u32, after: u32, recorded_at: i64, tail: &CommitTail<'_>) {
        if self.part_records == 0 {
            return;
        }
        let out = &mut self.parts;
        put_varint(out, u64::from(self.part_records));
        put_varint(out, u64::from(before));
        put_varint(out, u64::from(after));
        put_delta(out, recorded_at.wrapping_sub(self.last_recorded_at));
        self.last_recorded_at = recorded_at;
        if after == 0 {
            match tail.key {
                None => out.push(0),
                Some((key, hash)) => {
                    out.push(1);
                    put_counted(out, key.as_bytes());
                    out.extend_from_slice(hash);
                }
            }
            put_size(out, tail.cursors.len());
            for (source, to) in &tail.cursors {
                put_counted(out, source.as_bytes());
                put_counted(out, to);
            }
            put_size(out, tail.known.len());
            for (position, sequence) in &tail.known {
                put_varint(out, u64::from(*position));
                put_varint(out, *sequence);
            }
        }
        self.part_count += 1;
        self.count += self.part_records;
        self.part_records = 0;
    }

    /// Appends the body's bytes to `out`. Every record must have been closed into a part, and there must be
    /// one.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.part_records == 0 && self.count > 0, "an unclosed or empty body is never written");
        out.reserve(self.bytes_max());
        out.push(BODY_FORMAT);
        put_varint(out, self.first_sequence);
        put_varint(out, u64::from(self.count));
        put_size(out, self.part_count);
        out.extend_from_slice(&self.parts);
        put_size(out, self.streams.len());
        for slot in &self.streams {
            put_counted(out, slot.name.as_bytes());
            put_varint(out, slot.first_version);
        }
        put_size(out, self.profiles.len());
        out.extend_from_slice(&self.profile_bytes);
        out.extend_from_slice(&self.rows);
    }
}

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 40;
/// Frames start at multiples of this, so that a search for one need not look at every byte.
pub const FRAME_ALIGNMENT: usize = 8;

const FRAME_MAGIC: [u8; 4] = *b"DBFR";

/// The header of a frame: one write to a segment, holding one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The random number of the segment that the frame belongs to.
    pub generation: u64,
    /// The sequence of its first record.
    pub first_sequence: u64,
    /// How many records it holds; at least 1.
    pub count: u32,
    /// Bytes of the body, without header and padding.
    pub body_bytes: u32,
    /// CRC-32C over all that follows it, padding included.
    pub crc: u32,
}

impl FrameHeader {
    /// Reads a header; `None` if the bytes do not look like one. Nothing is proven before
    /// [`check`](Self::check).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<FrameHeader> {
        let mut reader = Reader::new(bytes);
        if *reader.array::<4>().ok()? != FRAME_MAGIC {
            return None;
        }
        let crc = reader.u32().ok()?;
        let generation = reader.u64().ok()?;
        let first_sequence = reader.u64().ok()?;
        let count = reader.u32().ok()?;
        let body_bytes = reader.u32().ok()?;
        let reserved = reader.u64().ok()?;
        if reserved != 0 || count == 0 || body_bytes == 0 || first_sequence == 0 {
            return None;
        }
        first_sequence.checked_add(u64::from(count))?;
        Some(FrameHeader { generation, first_sequence, count, body_bytes, crc })
    }

    /// Bytes that the whole frame takes in its segment.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        (FRAME_HEADER_BYTES + self.body_bytes as usize).next_multiple_of(FRAME_ALIGNMENT)
    }

    /// Whether `frame`, of exactly [`frame_bytes`](Self::frame_bytes), has the checksum that the header
    /// says; then its body.
    #[must_use]
    pub fn check<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let crc = if cfg!(seeded_bug = "skip_crc") { self.crc } else { crc32c::crc32c(frame.get(8..)?) };
        if frame.len() != self.frame_bytes() || crc != self.crc {
            return None;
        }
        frame.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + self.body_bytes as usize)
    }

    /// The sequence of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count) - 1
    }
}

/// Makes room for a header in `out`; the body is appended after it and [`close_frame`] fills it in.
pub fn open_frame(out: &mut Vec<u8>) {
    out.clear();
    out.resize(FRAME_HEADER_BYTES, 0);
}

/// Pads a frame begun with [`open_frame`] and writes its header.
///
/// # Errors
///
/// The body is empty or longer than 32 bits can say.
pub fn close_frame(
    out: &mut Vec<u8>,
    generation: u64,
    first_sequence: u64,
    count: u32,
) -> Result<(), BodyError> {
    let body_bytes = small((out.len().saturating_sub(FRAME_HEADER_BYTES)) as u64, "length")?;
    if body_bytes == 0 {
        return Err(BodyError::Short("frame"));
    }
    out.resize(out.len().next_multiple_of(FRAME_ALIGNMENT), 0);
    let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
    header.extend_from_slice(&FRAME_MAGIC);
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&generation.to_le_bytes());
    header.extend_from_slice(&first_sequence.to_le_bytes());
    header.extend_from_slice(&count.to_le_bytes());
    header.extend_from_slice(&body_bytes.to_le_bytes());
    header.extend_from_slice(&[0; 8]);
    out[..FRAME_HEADER_BYTES].copy_from_slice(&header);
    let crc = crc32c::crc32c(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}
