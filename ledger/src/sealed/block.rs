//! A block of a sealed segment before compression: columns of integers, a dictionary of strings and a heap of
//! keys, hashes and payloads, laid out so that any one record is reached without reading the others.
//!
//! A block does not know the sequences of its records: those stand in the stretch it belongs to.
//!
//! The byte layout is written down in `schemas/formats/sealed.md`.

use std::collections::HashMap;

use super::columns::{self, Column, ENTRY_BYTES, PADDING};
use crate::bytes::{Reader, Short};
use crate::record::{Content, RecordView};

/// Records between two stored heap offsets: at most this many lengths are summed to reach a record.
const RESTART: usize = 32;

/// The most records in a block, so that a position always fits in 16 bits.
pub(super) const RECORDS_MAX: usize = 32_768;

const STREAM: usize = 0;
const SHAPE: usize = 1;
const VERSION: usize = 2;
const OCCURRED_AT: usize = 3;
const RECORDED_AT: usize = 4;
const KEY_LENGTH: usize = 5;
const PAYLOAD_LENGTH: usize = 6;
const CORRELATION: usize = 7;
/// Columns with a value for each record; those after them describe the dictionaries.
const RECORD_COLUMNS: usize = 8;
const STRING_LENGTH: usize = 8;
const STREAM_NAME: usize = 9;
const STREAM_VERSION: usize = 10;
const COLUMNS: usize = 11;

/// Five counts and the lengths of the dictionary's text and of the heap.
const HEAD_BYTES: usize = 7 * 4;
const SHAPE_BYTES: usize = 2 + 2 + 1 + 1 + 4 + 4 + 4;
const ID_BYTES: usize = 16;

/// The content hash is not stored: it is that of the record's own payload.
const HASH_DERIVED: u8 = 1;

/// What a block's bytes break of the layout, though its checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// A number of things in memory. Lengths that do not fit a `usize` become one that lies outside every block.
#[inline]
fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX >> 8)
}

/// An offset into a block.
fn small(offset: usize) -> Result<u32, Malformed> {
    u32::try_from(offset).map_err(|_| Malformed("it is larger than a block can be"))
}

/// What many records of a block have in common, stored once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    type_id: u16,
    schema_version: u16,
    codec: u8,
    flags: u8,
    actor: u32,
    source: u32,
    /// Index of the import's id plus one; 0 for none.
    import: u32,
}

/// Numbers things in the order in which they were first met.
#[derive(Debug)]
struct Numbered<K> {
    numbers: HashMap<K, u32>,
}

impl<K: Eq + std::hash::Hash> Numbered<K> {
    fn new() -> Numbered<K> {
        Numbered { numbers: HashMap::new() }
    }

    fn next(&self) -> u32 {
        u32::try_from(self.numbers.len()).expect("a block holds far fewer than 2^32 of anything")
    }
}

/// Gathers records until a block is full.
#[derive(Debug)]
pub(super) struct Builder {
    count: usize,
    strings: Numbered<Box<str>>,
    text: Vec<u8>,
    /// A stream's place among the streams of this block, by its string.
    streams: Numbered<u32>,
    shapes: Numbered<Shape>,
    shape_rows: Vec<Shape>,
    ids: Numbered<[u8; 16]>,
    id_rows: Vec<[u8; 16]>,
    columns: [Vec<u64>; COLUMNS],
    heap: Vec<u8>,
    restarts: Vec<u32>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            count: 0,
            strings: Numbered::new(),
            text: Vec::new(),
            streams: Numbered::new(),
            shapes: Numbered::new(),
            shape_rows: Vec::new(),
            ids: Numbered::new(),
            id_rows: Vec::new(),
            columns: Default::default(),
            heap: Vec::new(),
            restarts: Vec::new(),
        }
    }

    /// Empties the builder, keeping its memory, for the next block.
    pub(super) fn restart(&mut self) {
        self.count = 0;
        self.strings.numbers.clear();
        self.text.clear();
        self.streams.numbers.clear();
        self.shapes.numbers.clear();
        self.shape_rows.clear();
        self.ids.numbers.clear();
        self.id_rows.clear();
        for column in &mut self.columns {
            column.clear();
        }
        self.heap.clear();
        self.restarts.clear();
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// About how many bytes the block takes as it stands.
    pub(super) fn estimate(&self) -> usize {
        // A record's number of stream and shape, version, times and lengths: near enough to close a block by.
        const RECORD_BYTES: usize = 9;
        // A string's length; a stream's name and version.
        const DICTIONARY_BYTES: usize = 6;
        self.heap.len()
            + self.text.len()
            + self.count * RECORD_BYTES
            + self.strings.numbers.len() * DICTIONARY_BYTES
            + self.shape_rows.len() * SHAPE_BYTES
            + self.id_rows.len() * ID_BYTES
    }

    /// Bytes of what the records do not have in common: their keys, hashes and payloads.
    pub(super) fn heap_bytes(&self) -> usize {
        self.heap.len()
    }

    /// Adds the next record.
    pub(super) fn push(&mut self, record: &RecordView<'_>) {
        if self.count.is_multiple_of(RESTART) {
            self.restarts.push(u32::try_from(self.heap.len()).expect("a block's heap is far below 4 GiB"));
        }
        let stream_string = self.string(record.stream);
        let stream = self.stream(stream_string, record.version);
        let flags = match record.content {
            Content::Derived => HASH_DERIVED,
            Content::Stored(_) => 0,
        };
        let shape = Shape {
            type_id: record.type_id,
            schema_version: record.schema_version,
            codec: record.codec,
            flags,
            actor: self.string(record.actor),
            source: self.string(record.source),
            import: record.import.map_or(0, |id| self.id(*id) + 1),
        };
        let correlation = record.correlation.map_or(0, |id| self.id(*id) + 1);
        let shape = self.shape(shape);
        let values = [
            u64::from(stream),
            u64::from(shape),
            record.version,
            record.occurred_at.cast_unsigned(),
            record.recorded_at.cast_unsigned(),
            record.key.map_or(0, |key| key.len() as u64 + 1),
            record.payload.len() as u64,
            u64::from(correlation),
        ];
        for (column, value) in self.columns[..RECORD_COLUMNS].iter_mut().zip(values) {
            column.push(value);
        }
        if let Some(key) = record.key {
            self.heap.extend_from_slice(key.as_bytes());
        }
        if let Content::Stored(hash) = record.content {
            self.heap.extend_from_slice(hash);
        }
        self.heap.extend_from_slice(record.payload);
        self.count += 1;
    }

    fn string(&mut self, text: &str) -> u32 {
        if let Some(number) = self.strings.numbers.get(text) {
            return *number;
        }
        let number = self.strings.next();
        self.strings.numbers.insert(text.into(), number);
        self.text.extend_from_slice(text.as_bytes());
        self.columns[STRING_LENGTH].push(text.len() as u64);
        number
    }

    fn stream(&mut self, string: u32, version: u64) -> u32 {
        if let Some(number) = self.streams.numbers.get(&string) {
            let least = &mut self.columns[STREAM_VERSION][*number as usize];
            *least = version.min(*least);
            return *number;
        }
        let number = self.streams.next();
        self.streams.numbers.insert(string, number);
        self.columns[STREAM_NAME].push(u64::from(string));
        self.columns[STREAM_VERSION].push(version);
        number
    }

    fn shape(&mut self, shape: Shape) -> u32 {
        if let Some(number) = self.shapes.numbers.get(&shape) {
            return *number;
        }
        let number = self.shapes.next();
        self.shapes.numbers.insert(shape, number);
        self.shape_rows.push(shape);
        number
    }

    fn id(&mut self, id: [u8; 16]) -> u32 {
        if let Some(number) = self.ids.numbers.get(&id) {
            return *number;
        }
        let number = self.ids.next();
        self.ids.numbers.insert(id, number);
        self.id_rows.push(id);
        number
    }

    /// Writes the block's bytes to `out`, which is emptied first.
    pub(super) fn encode(&mut self, out: &mut Vec<u8>) {
        let [streams, _, versions, _, _, _, _, _, _, _, least] = &mut self.columns;
        for (version, stream) in versions.iter_mut().zip(streams) {
            *version -= least[size(*stream)];
        }
        let (mut directory, mut body) = (Vec::new(), Vec::new());
        for (at, column) in self.columns.iter().enumerate() {
            if at == OCCURRED_AT || at == RECORDED_AT {
                columns::write_signed(column, &mut directory, &mut body);
            } else {
                columns::write(column, &mut directory, &mut body);
            }
        }
        out.clear();
        let counts = [
            self.count,
            self.strings.numbers.len(),
            self.streams.numbers.len(),
            self.shape_rows.len(),
            self.id_rows.len(),
            self.text.len(),
            self.heap.len(),
        ];
        for count in counts {
            let count = u32::try_from(count).expect("a block's parts are far below 4 GiB");
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&directory);
        for shape in &self.shape_rows {
            out.extend_from_slice(&shape.type_id.to_le_bytes());
            out.extend_from_slice(&shape.schema_version.to_le_bytes());
            out.push(shape.codec);
            out.push(shape.flags);
            out.extend_from_slice(&shape.actor.to_le_bytes());
            out.extend_from_slice(&shape.source.to_le_bytes());
            out.extend_from_slice(&shape.import.to_le_bytes());
        }
        for id in &self.id_rows {
            out.extend_from_slice(id);
        }
        for restart in &self.restarts {
            out.extend_from_slice(&restart.to_le_bytes());
        }
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&body);
        out.extend_from_slice(&[0; PADDING]);
        out.extend_from_slice(&self.heap);
    }
}

/// A stream of a block: where its name lies in the text, and the version its column counts from.
#[derive(Clone, Copy, Debug)]
struct StreamRow {
    name: (u32, u32),
    version: u64,
}

/// A shape with its strings and import resolved.
#[derive(Clone, Copy, Debug)]
struct ShapeRow {
    type_id: u16,
    schema_version: u16,
    codec: u8,
    hash_stored: bool,
    actor: (u32, u32),
    source: (u32, u32),
    import: u32,
}

/// A decompressed block whose layout has been checked: reads records by their position.
#[derive(Debug, Default)]
pub(super) struct Block {
    count: usize,
    bytes: Vec<u8>,
    text: String,
    streams: Vec<StreamRow>,
    shapes: Vec<ShapeRow>,
    ids: Vec<[u8; 16]>,
    columns: [Column; COLUMNS],
    restarts_at: usize,
    heap_at: usize,
}

impl Block {
    /// The buffer into which the next block is to be decompressed before [`Block::parse`].
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Number of records.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes held in memory.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.text.capacity()
            + self.streams.capacity() * size_of::<StreamRow>()
            + self.shapes.capacity() * size_of::<ShapeRow>()
            + self.ids.capacity() * size_of::<[u8; 16]>()
            + size_of::<Block>()
    }

    /// Checks the layout of the bytes in the buffer and makes their records reachable.
    pub(super) fn parse(&mut self, expected: usize) -> Result<(), Malformed> {
        let whole = self.bytes.len();
        let mut reader = Reader::new(&self.bytes);
        let mut counts = [0usize; HEAD_BYTES / 4];
        for count in &mut counts {
            *count = reader.u32()? as usize;
        }
        let [count, strings, streams, shapes, ids, text, heap] = counts;
        if count != expected || count > RECORDS_MAX {
            return Err(Malformed("the number of records in the block is not the one in its header"));
        }
        if strings > whole || streams > whole || shapes > whole || ids > whole {
            return Err(Malformed("a dictionary is larger than the block"));
        }
        self.count = count;
        let mut entries = Reader::new(reader.take(COLUMNS * ENTRY_BYTES)?);
        let shape_bytes = reader.take(shapes * SHAPE_BYTES)?;
        let id_bytes = reader.take(ids * ID_BYTES)?;
        self.restarts_at = whole - reader.left();
        reader.take(count.div_ceil(RESTART) * 4)?;
        let text_bytes = reader.take(text)?;
        for (number, column) in self.columns.iter_mut().enumerate() {
            let (width, base) = (entries.u8()?, entries.u64()?);
            let at = whole - reader.left();
            *column =
                Column::new(at, width, base).ok_or(Malformed("a column has a width no writer chooses"))?;
            let values = match number {
                STRING_LENGTH => strings,
                STREAM_NAME | STREAM_VERSION => streams,
                _ => count,
            };
            reader.take(column.bytes(values))?;
        }
        reader.take(PADDING)?;
        self.heap_at = whole - reader.left();
        if reader.left() != heap {
            return Err(Malformed("the heap's length is not what is left of the block"));
        }

        self.text.clear();
        self.text.push_str(std::str::from_utf8(text_bytes).map_err(|_| Malformed("a string is not UTF-8"))?);
        let mut spans = Vec::with_capacity(strings);
        let mut end = 0;
        for string in 0..strings {
            let start = end;
            end += size(self.value(STRING_LENGTH, string)?);
            if self.text.get(start..end).is_none() {
                return Err(Malformed("a string's length"));
            }
            spans.push((small(start)?, small(end)?));
        }
        if end != text {
            return Err(Malformed("the strings' lengths do not add up"));
        }
        let span = |number: u64| spans.get(size(number)).copied().ok_or(Malformed("a string's number"));

        self.streams.clear();
        for stream in 0..streams {
            let name = span(self.value(STREAM_NAME, stream)?)?;
            self.streams.push(StreamRow { name, version: self.value(STREAM_VERSION, stream)? });
        }
        self.ids.clear();
        self.ids.extend_from_slice(id_bytes.as_chunks().0);
        self.shapes.clear();
        for row in shape_bytes.as_chunks::<SHAPE_BYTES>().0 {
            let mut row = Reader::new(row);
            let (type_id, schema_version) = (row.u16()?, row.u16()?);
            let (codec, flags) = (row.u8()?, row.u8()?);
            let (actor, source) = (span(row.u32()?.into())?, span(row.u32()?.into())?);
            let import = row.u32()?;
            if flags & !HASH_DERIVED != 0 {
                return Err(Malformed("a flag that no writer sets"));
            }
            if import as usize > ids {
                return Err(Malformed("an import's number"));
            }
            let hash_stored = flags & HASH_DERIVED == 0;
            self.shapes.push(ShapeRow { type_id, schema_version, codec, hash_stored, actor, source, import });
        }
        Ok(())
    }

    /// Bytes of all the records' keys, hashes and payloads.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.len() - self.heap_at
    }

    /// Offset in the heap at which the record at `position` begins.
    pub(super) fn heap_offset(&self, position: usize) -> Result<usize, Malformed> {
        let restart = position / RESTART;
        let mut at =
            self.bytes.get(self.restarts_at + restart * 4..).map(Reader::new).ok_or(Short)?.u32()? as usize;
        for before in restart * RESTART..position {
            at += self.heap_length(before)?;
        }
        Ok(at)
    }

    fn heap_length(&self, position: usize) -> Result<usize, Malformed> {
        let key = self.value(KEY_LENGTH, position)?.saturating_sub(1);
        let payload = self.value(PAYLOAD_LENGTH, position)?;
        let shape = self.shape(position)?;
        let hash = if shape.hash_stored { 32 } else { 0 };
        Ok(size(key) + hash + size(payload))
    }

    #[inline]
    fn value(&self, column: usize, position: usize) -> Result<u64, Malformed> {
        self.columns[column].get(&self.bytes, position).ok_or(Malformed("a column ends early"))
    }

    #[inline]
    fn shape(&self, position: usize) -> Result<&ShapeRow, Malformed> {
        let number = self.value(SHAPE, position)?;
        self.shapes.get(size(number)).ok_or(Malformed("a shape's number"))
    }

    #[inline]
    fn text(&self, span: (u32, u32)) -> &str {
        self.text.get(span.0 as usize..span.1 as usize).unwrap_or_default()
    }

    /// The record at `position`, which is `sequence` of the ledger and whose heap bytes begin at `heap`, and where
    /// those of the next one begin.
    #[inline]
    pub(super) fn view(
        &self,
        sequence: u64,
        position: usize,
        heap: usize,
    ) -> Result<(RecordView<'_>, usize), Malformed> {
        let stream =
            self.streams.get(size(self.value(STREAM, position)?)).ok_or(Malformed("a stream's number"))?;
        let shape = self.shape(position)?;
        let mut at = self.heap_at + heap;
        let key_length = size(self.value(KEY_LENGTH, position)?);
        let key = match key_length {
            0 => None,
            length => {
                let bytes = self.bytes.get(at..at + length - 1).ok_or(Malformed("a key ends early"))?;
                at += length - 1;
                Some(std::str::from_utf8(bytes).map_err(|_| Malformed("a key is not UTF-8"))?)
            }
        };
        let content = if shape.hash_stored {
            let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<32>());
            at += 32;
            Content::Stored(bytes.ok_or(Malformed("a content hash ends early"))?)
        } else {
            Content::Derived
        };
        let length = size(self.value(PAYLOAD_LENGTH, position)?);
        let payload = self.bytes.get(at..at + length).ok_or(Malformed("a payload ends early"))?;
        at += length;
        let correlation = match self.value(CORRELATION, position)? {
            0 => None,
            number => Some(self.ids.get(size(number) - 1).ok_or(Malformed("a correlation's number"))?),
        };
        let view = RecordView {
            sequence,
            stream: self.text(stream.name),
            version: stream.version.wrapping_add(self.value(VERSION, position)?),
            type_id: shape.type_id,
            schema_version: shape.schema_version,
            codec: shape.codec,
            occurred_at: self.value(OCCURRED_AT, position)?.cast_signed(),
            recorded_at: self.value(RECORDED_AT, position)?.cast_signed(),
            actor: self.text(shape.actor),
            source: self.text(shape.source),
            key,
            content,
            import: (shape.import as usize).checked_sub(1).and_then(|number| self.ids.get(number)),
            correlation,
            payload,
        };
        Ok((view, at - self.heap_at))
    }
}
