//! Sealed segments: full segments repacked into immutable files of compressed blocks, each with its checksum,
//! and a footer that finds any record.
//!
//! Records lie with those of their stream's category: who reads a portfolio does not unpack the ticks recorded
//! between its entries. A stretch of consecutive sequences holds a few blocks of each category, and says which
//! record is in which.
//!
//! The byte layout is written down in `schemas/formats/sealed.md`. A file is written under a temporary name,
//! synced and only then renamed, so that the name itself always stands for a whole segment.

mod block;
mod cache;
mod checking;
mod columns;
mod parts;
mod reader;
mod stretch;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;

pub(crate) use cache::BlockCache;
pub(crate) use checking::Seeing;
pub(crate) use reader::Sealed;
pub(crate) use writer::Writer;

use crate::bytes::{Reader, Short};

/// The layout's version, in the header and in the trailer.
pub(crate) const SEALED_FORMAT: u16 = 1;

const HEADER_MAGIC: [u8; 8] = *b"DAYSEAL\x01";
const TRAILER_MAGIC: [u8; 8] = *b"DAYSEAL\x02";
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"DBLK");
const STRETCH_MAGIC: u32 = u32::from_le_bytes(*b"DSTR");

/// Magic, format, six reserved bytes, first sequence, CRC.
const HEADER_BYTES: usize = 8 + 2 + 6 + 8 + 4;
/// Magic, codec and three reserved bytes, first sequence, records, bytes before and after compression, CRC.
/// In front of every block, and of every stretch's head.
const BLOCK_HEADER_BYTES: usize = 4 + 4 + 8 + 4 + 4 + 4 + 4;
/// One stretch in the footer.
const ENTRY_BYTES: usize = 8 + 4 + 4 + 4 + 8 + 4 + 4 + 4 + 8;
/// Footer offset, length and CRC, format, six reserved bytes, first and last sequence, commits, hash, CRC, magic.
const TRAILER_BYTES: usize = 8 + 4 + 4 + 2 + 6 + 8 + 8 + 8 + 32 + 4 + 8;

/// A block is closed before it would grow beyond this many bytes, unless it holds a single record.
const BLOCK_BYTES: usize = 64 * 1024;

/// Records of at least this many bytes of their own share little that a larger block would store once.
const LARGE_RECORD_BYTES: usize = 96;

/// A block of large records is closed before it would grow beyond this, so that one of them is read sooner.
const LARGE_RECORD_BLOCK_BYTES: usize = 32 * 1024;

/// A stretch is closed once its blocks have this many bytes before compression.
const STRETCH_BYTES: usize = 1024 * 1024;

/// The most records in a stretch.
const STRETCH_RECORDS_MAX: usize = 32 * 1024;

/// So many categories have blocks of their own; the streams of all others share the last.
const LANES_MAX: usize = 16;

/// No block is larger than this before compression: the largest record and a commit's cursors fit with room.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;

const CODEC_NONE: u8 = 0;
const CODEC_LZ4: u8 = 1;

/// Commits that carry a key end in the stretch.
const ENTRY_HAS_KEYS: u32 = 1;
/// Commits that move a cursor end in the stretch.
const ENTRY_HAS_CURSORS: u32 = 2;

/// Why a sealed segment could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealedError {
    /// The operating system refused.
    #[error("{path}: cannot {doing}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, such as "read a block".
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The bytes are not those that were written.
    #[error(
        "{path}: damaged at byte {offset}, sequences {first} to {last}: {what}; restore the file from a backup"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// The first sequence that the damage may touch; 0 when the file does not tell.
        first: u64,
        /// The last sequence that the damage may touch; 0 when the file does not tell.
        last: u64,
        /// What does not hold.
        what: &'static str,
    },
    /// A newer or older build wrote the file.
    #[error("{path}: sealed format {found} is not known; this build reads format {SEALED_FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it states.
        found: u16,
    },
    /// The records handed over cannot form a segment: a mistake of the caller.
    #[error("cannot seal sequence {sequence}: {what}")]
    Refused {
        /// The sequence at which it was noticed.
        sequence: u64,
        /// What does not hold.
        what: &'static str,
    },
}

/// One stretch, as the footer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Where its first block begins in the file.
    offset: u64,
    /// Bytes of all its blocks in the file. Its head lies behind them.
    blocks: u32,
    /// Bytes of its head in the file, header included.
    stored: u32,
    /// Bytes of its head before compression.
    raw: u32,
    first: u64,
    records: u32,
    /// Commits that end in it.
    commits: u32,
    flags: u32,
    /// `recorded_at` of its first record.
    recorded_at: i64,
}

impl Entry {
    fn last(&self) -> u64 {
        self.first + u64::from(self.records) - 1
    }

    fn head_at(&self) -> u64 {
        self.offset + u64::from(self.blocks)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.stored.to_le_bytes());
        out.extend_from_slice(&self.raw.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&self.commits.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.recorded_at.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Entry, Short> {
        Ok(Entry {
            offset: reader.u64()?,
            blocks: reader.u32()?,
            stored: reader.u32()?,
            raw: reader.u32()?,
            first: reader.u64()?,
            records: reader.u32()?,
            commits: reader.u32()?,
            flags: reader.u32()?,
            recorded_at: reader.i64()?,
        })
    }
}

/// The header in front of every block and head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockHeader {
    magic: u32,
    codec: u8,
    first: u64,
    records: u32,
    raw: u32,
    stored: u32,
}

impl BlockHeader {
    /// Bytes in the file, the header's own included.
    fn bytes(&self) -> u32 {
        self.stored + u32::try_from(BLOCK_HEADER_BYTES).expect("a header is small")
    }

    /// The header's bytes; the CRC covers them and the stored bytes that follow.
    fn write(&self, stored: &[u8]) -> [u8; BLOCK_HEADER_BYTES] {
        let mut out = [0; BLOCK_HEADER_BYTES];
        out[0..4].copy_from_slice(&self.magic.to_le_bytes());
        out[4] = self.codec;
        out[8..16].copy_from_slice(&self.first.to_le_bytes());
        out[16..20].copy_from_slice(&self.records.to_le_bytes());
        out[20..24].copy_from_slice(&self.raw.to_le_bytes());
        out[24..28].copy_from_slice(&self.stored.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[..28]), stored);
        out[28..32].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header of `bytes` and the stored bytes behind it, if length and CRC hold.
    fn read(bytes: &[u8]) -> Result<(BlockHeader, &[u8]), &'static str> {
        let (head, stored) =
            bytes.split_at_checked(BLOCK_HEADER_BYTES).ok_or("the block is shorter than its header")?;
        let mut reader = Reader::new(head);
        let mut read = || -> Result<([u8; 3], BlockHeader, u32), Short> {
            let (magic, codec, reserved) = (reader.u32()?, reader.u8()?, *reader.array::<3>()?);
            let (first, records) = (reader.u64()?, reader.u32()?);
            let (raw, stored) = (reader.u32()?, reader.u32()?);
            Ok((reserved, BlockHeader { magic, codec, first, records, raw, stored }, reader.u32()?))
        };
        let (reserved, header, crc) = read().map_err(|_| "the block's header ends early")?;
        if crc != crc32c::crc32c_append(crc32c::crc32c(&head[..28]), stored) {
            return Err("the block's checksum does not match");
        }
        if reserved != [0; 3] || header.stored as usize != stored.len() {
            return Err("the block's header is none that a writer writes");
        }
        Ok((header, stored))
    }
}

/// Compresses `raw` into `stored`, or copies it where that would save too little; gives the codec.
fn compress(raw: &[u8], stored: &mut Vec<u8>) -> u8 {
    stored.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
    // What shrinks by less than a sixteenth is not worth decompressing at every read.
    match lz4_flex::block::compress_into(raw, stored) {
        Ok(length) if length + raw.len() / 16 < raw.len() => {
            stored.truncate(length);
            CODEC_LZ4
        }
        _ => {
            stored.clear();
            stored.extend_from_slice(raw);
            CODEC_NONE
        }
    }
}

/// Decompresses `stored` into `raw`, which must come out at `length` bytes.
fn decompress(codec: u8, stored: &[u8], length: usize, raw: &mut Vec<u8>) -> Result<(), &'static str> {
    match codec {
        CODEC_NONE => {
            raw.clear();
            raw.extend_from_slice(stored);
        }
        CODEC_LZ4 => {
            raw.resize(length, 0);
            let written =
                lz4_flex::block::decompress_into(stored, raw).map_err(|_| "it does not decompress")?;
            raw.truncate(written);
        }
        _ => return Err("it is compressed in a way this build does not know"),
    }
    if raw.len() == length { Ok(()) } else { Err("it decompresses to another length than its header says") }
}
