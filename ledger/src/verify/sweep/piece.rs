//! One piece of a log: which there are, and what checking one finds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::ControlFlow;

use super::Suspicion;
use crate::frame::CommitPart;
use crate::index::KeyHash;
use crate::index::digest::{Digest, Mixer};
use crate::merkle::group::{Hashing, Run};
use crate::record::RecordView;
use crate::sealed::{Sealed, Seeing};
use crate::segments::Segment;
use crate::segments::raw::RawSegment;

/// Records in a piece, or a few more: as many as end with a frame or a stretch.
const PIECE_RECORDS: u64 = 65_536;
/// Something that one thread checks at a time.
pub(super) enum Piece<'s> {
    /// A sealed file's hash.
    Bytes(&'s Sealed),
    /// Records of a sealed segment.
    Stretches(&'s Sealed, u64, u64),
    /// Records of a segment that is not sealed.
    Frames(&'s RawSegment, u64, u64),
}

pub(super) fn pieces(segments: &[Segment]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for segment in segments {
        let (starts, last) = match segment {
            Segment::Sealed(sealed) => {
                pieces.push(Piece::Bytes(sealed));
                (sealed.starts().collect::<Vec<u64>>(), sealed.last())
            }
            Segment::Raw(raw) => (raw.starts(), raw.last()),
        };
        let mut starts = starts.into_iter().peekable();
        while let Some(first) = starts.next() {
            while starts.next_if(|start| *start < first + PIECE_RECORDS).is_some() {}
            let to = starts.peek().map_or(last, |start| start - 1);
            pieces.push(match segment {
                Segment::Sealed(sealed) => Piece::Stretches(sealed, first, to),
                Segment::Raw(raw) => Piece::Frames(raw, first, to),
            });
        }
    }
    pieces
}

/// Hashes names that are many times the same, a word at a time.
#[derive(Clone, Copy, Default)]
pub(super) struct NameHasher(u64);

impl NameHasher {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.word(u64::from(byte));
    }
}

pub(super) type ByName<T> = HashMap<Box<str>, T, BuildHasherDefault<NameHasher>>;

/// What a piece says of a stream.
pub(super) struct Stretch {
    pub(super) first_version: u64,
    pub(super) last_version: u64,
    /// What stands for the stream.
    name: u64,
    /// Whether a record of it lies where the index has come.
    pub(super) applied: bool,
}

/// What is to be joined of a piece.
pub(super) struct Part {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) recorded: Option<(i64, i64)>,
    pub(super) run: Run,
    pub(super) streams: ByName<Stretch>,
    /// Of the commit that goes on in it, what its first part says; and what its last part leaves.
    pub(super) commits: Option<(CommitCounts, (u32, u32))>,
    pub(super) cursors: HashMap<Box<str>, Box<[u8]>>,
    pub(super) digest: Digest,
    pub(super) keys: u64,
    pub(super) commit_keys: Vec<u64>,
}

#[derive(Clone, Copy)]
pub(super) struct CommitCounts {
    records: u32,
    before: u32,
    after: u32,
}

impl CommitCounts {
    /// Whether it goes on from a part after which so many records had come and so many were still to come.
    pub(super) fn follows(self, (came, to_come): (u32, u32)) -> bool {
        let whole = self.before + self.records + self.after;
        if to_come == 0 { self.before == 0 } else { self.before == came && whole == came + to_come }
    }

    fn leaves(self) -> (u32, u32) {
        (self.before + self.records, self.after)
    }
}

/// Checks a piece record by record.
struct Checking<'k> {
    mixer: Mixer,
    /// How far the index has come.
    applied: u64,
    hashing: Hashing,
    part: Part,
    next: u64,
    keys: &'k mut Vec<u64>,
    sound: bool,
}

impl Checking<'_> {
    fn fail(&mut self) {
        self.sound = false;
    }
}

impl Seeing for Checking<'_> {
    #[inline]
    fn record(&mut self, record: &RecordView<'_>) {
        let sequence = record.sequence;
        if sequence != self.next || record.check().is_err() {
            return self.fail();
        }
        self.next += 1;
        let part = &mut self.part;
        match &mut part.recorded {
            Some((_, last)) if *last <= record.recorded_at => *last = record.recorded_at,
            Some(_) => return self.fail(),
            none => *none = Some((record.recorded_at, record.recorded_at)),
        }
        let applied = sequence <= self.applied;
        let stream = match part.streams.get_mut(record.stream) {
            Some(stream) if stream.last_version + 1 == record.version => stream,
            Some(_) => return self.fail(),
            None => part.streams.entry(record.stream.into()).or_insert_with(|| Stretch {
                first_version: record.version,
                last_version: record.version,
                name: self.mixer.name(record.stream),
                applied,
            }),
        };
        stream.last_version = record.version;
        let digest = &mut part.digest;
        if applied {
            let posting = self.mixer.posting(stream.name, record.version, sequence);
            digest.postings = digest.postings.wrapping_add(posting);
        }
        if let Some(key) = record.key {
            let hash = KeyHash::of(key);
            part.keys += 1;
            self.keys.push(half(hash));
            if applied {
                digest.keys = digest.keys.wrapping_add(self.mixer.key(hash, sequence));
            }
        }
        self.hashing.push(record);
    }

    fn part(&mut self, first: u64, part: &CommitPart<'_>) {
        let counts = CommitCounts { records: part.records, before: part.before, after: part.after };
        let last = first + u64::from(part.records) - 1;
        match &mut self.part.commits {
            Some((_, left)) if counts.follows(*left) => *left = counts.leaves(),
            Some(_) => return self.fail(),
            none => *none = Some((counts, counts.leaves())),
        }
        let Some(tail) = &part.tail else { return };
        let applied = last <= self.applied;
        if applied {
            for (source, to) in &tail.cursors {
                self.part.cursors.insert(Box::from(*source), Box::from(*to));
            }
        }
        if let Some((key, _)) = tail.key {
            let hash = KeyHash::of(key);
            self.part.commit_keys.push(half(hash));
            if applied {
                let digest = &mut self.part.digest;
                digest.commit_keys = digest.commit_keys.wrapping_add(self.mixer.key(hash, last));
            }
        }
    }
}

fn half(KeyHash(hash): KeyHash) -> u64 {
    (hash >> 64) as u64
}

pub(super) fn check(
    piece: &Piece<'_>,
    mixer: Mixer,
    applied: u64,
    keys: &mut Vec<u64>,
) -> Result<Option<Part>, Suspicion> {
    let (first, last) = match piece {
        Piece::Bytes(sealed) => return sealed.check_hash().map(|()| None).map_err(|_| Suspicion),
        Piece::Stretches(_, first, last) | Piece::Frames(_, first, last) => (*first, *last),
    };
    let part = Part {
        first,
        last,
        recorded: None,
        run: Run::default(),
        streams: ByName::default(),
        commits: None,
        cursors: HashMap::new(),
        digest: Digest::default(),
        keys: 0,
        commit_keys: Vec::new(),
    };
    let mut checking =
        Checking { mixer, applied, hashing: Hashing::from(first), part, next: first, keys, sound: true };
    match piece {
        Piece::Bytes(_) => {}
        Piece::Stretches(sealed, ..) => {
            sealed.check_stretches(first, last, &mut checking).map_err(|_| Suspicion)?;
        }
        Piece::Frames(raw, ..) => {
            let mut readable = true;
            let flow = raw.scan(first, &mut |body| {
                let shown = body.visit(body.first_sequence(), body.last_sequence(), |record| {
                    checking.record(record);
                    ControlFlow::Continue(())
                });
                let mut begins = body.first_sequence();
                for part in body.parts() {
                    checking.part(begins, part);
                    begins += u64::from(part.records);
                }
                readable &= shown.is_ok();
                if readable && body.last_sequence() < last {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if !readable || flow.is_err() {
                return Err(Suspicion);
            }
        }
    }
    let Checking { hashing, mut part, next, sound, .. } = checking;
    if !sound || next != last + 1 {
        return Err(Suspicion);
    }
    part.run = hashing.finish();
    Ok(Some(part))
}
