//! A sealed segment gives back all that went in, byte for byte, and no flipped bit goes unnoticed.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{BlockCache, Sealed, SealedError, Writer};
use crate::disk::OsDisk;
use crate::frame::{Body, BodyBuilder, CommitTail};
use crate::record::{Content, RecordView};

/// What one record of a test is made of; sequence and version follow from its place.
#[derive(Clone, Debug)]
struct Row {
    stream: u8,
    type_id: u16,
    occurred_at: i64,
    actor: u8,
    key: Option<String>,
    content: Option<[u8; 32]>,
    import: Option<[u8; 16]>,
    correlation: Option<[u8; 16]>,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Commit {
    rows: Vec<Row>,
    recorded_at: i64,
    key: Option<(String, [u8; 32])>,
    cursors: Vec<(String, Vec<u8>)>,
    known: Vec<(u32, u64)>,
}

impl Commit {
    fn tail(&self) -> CommitTail<'_> {
        CommitTail {
            cursors: self.cursors.iter().map(|(source, to)| (source.as_str(), to.as_slice())).collect(),
            key: self.key.as_ref().map(|(key, hash)| (key.as_str(), hash)),
            known: self.known.clone(),
        }
    }
}

fn row() -> impl Strategy<Value = Row> {
    (
        any::<u8>().prop_map(|stream| stream % 7),
        any::<u16>(),
        any::<i64>(),
        any::<u8>().prop_map(|actor| actor % 3),
        prop::option::of("[a-zé]{1,40}"),
        prop::option::of(any::<[u8; 32]>()),
        prop::option::of(any::<u8>().prop_map(|id| [id % 4; 16])),
        prop::option::weighted(0.2, any::<[u8; 16]>()),
        prop::collection::vec(any::<u8>(), 0..120),
    )
        .prop_map(|(stream, type_id, occurred_at, actor, key, content, import, correlation, payload)| {
            Row {
                stream,
                type_id: type_id % 5,
                occurred_at,
                actor,
                key,
                content,
                import,
                correlation,
                payload,
            }
        })
}

fn commit() -> impl Strategy<Value = Commit> {
    (
        prop::collection::vec(row(), 1..200),
        any::<i64>(),
        prop::option::of(("[a-z]{1,20}", any::<[u8; 32]>())),
        prop::collection::vec(("[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..30)), 0..3),
        prop::collection::vec(any::<(u32, u64)>(), 0..3),
    )
        .prop_map(|(rows, recorded_at, key, cursors, known)| Commit {
            rows,
            recorded_at,
            key,
            cursors,
            known,
        })
}

/// Shows every record with the place of its commit, and gives the number of records.
fn each(first: u64, commits: &[Commit], mut show: impl FnMut(usize, RecordView<'_>)) -> u64 {
    let mut versions = [41u64; 7];
    let mut sequence = first;
    for (at, commit) in commits.iter().enumerate() {
        for row in &commit.rows {
            let version = &mut versions[usize::from(row.stream)];
            *version += 1;
            let stream = format!("portfolio-{}", row.stream);
            let actor = format!("actor {}", row.actor);
            show(
                at,
                RecordView {
                    sequence,
                    stream: &stream,
                    version: *version,
                    type_id: row.type_id,
                    schema_version: 1,
                    codec: 1,
                    occurred_at: row.occurred_at,
                    recorded_at: commit.recorded_at,
                    actor: &actor,
                    source: "test",
                    key: row.key.as_deref(),
                    content: row.content.as_ref().map_or(Content::Derived, Content::Stored),
                    import: row.import.as_ref(),
                    correlation: row.correlation.as_ref(),
                    payload: &row.payload,
                },
            );
            sequence += 1;
        }
    }
    sequence - first
}

fn canonical(record: &RecordView<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode_canonical(&mut bytes);
    bytes
}

fn all_canonical(first: u64, commits: &[Commit]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    each(first, commits, |_, record| all.push(canonical(&record)));
    all
}

fn seal(path: &Path, first: u64, commits: &[Commit]) {
    let mut writer = Writer::create(&OsDisk, path, first).unwrap();
    let mut begun = None;
    each(first, commits, |at, record| {
        if begun != Some(at) {
            writer.begin_commit(u32::try_from(commits[at].rows.len()).unwrap(), &commits[at].tail()).unwrap();
            begun = Some(at);
        }
        writer.push(&record).unwrap();
    });
    writer.finish().unwrap();
}

fn sealed_file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("00000000000000000001.sealed")
}

fn open(path: &Path) -> Result<Sealed, SealedError> {
    Sealed::open(&OsDisk, path)
}

fn scanned(sealed: &Sealed, from: u64, to: u64) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let _ = sealed
        .scan(from, to, &mut |record| {
            all.push(canonical(record));
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}

fn plain_row(stream: u8, payload: Vec<u8>) -> Row {
    Row {
        stream,
        type_id: 1,
        occurred_at: 1_000,
        actor: 0,
        key: None,
        content: None,
        import: None,
        correlation: None,
        payload,
    }
}

fn plain_commit(rows: Vec<Row>) -> Commit {
    Commit { rows, recorded_at: 5, key: None, cursors: Vec::new(), known: Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_record_and_commit_comes_back(
        first in 1u64..1_000_000,
        commits in prop::collection::vec(commit(), 1..12),
        window in any::<(u16, u16)>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = sealed_file(&dir);
        seal(&path, first, &commits);
        let sealed = open(&path).unwrap();
        let all = all_canonical(first, &commits);
        let count = all.len() as u64;
        prop_assert_eq!((sealed.first(), sealed.last()), (first, first + count - 1));
        prop_assert_eq!(sealed.commit_count(), commits.len() as u64);
        sealed.verify(&mut |_| {}).unwrap();

        prop_assert_eq!(&scanned(&sealed, 0, u64::MAX), &all);
        let (from, to) = (u64::from(window.0) % count, u64::from(window.1) % count);
        if from <= to {
            let part = scanned(&sealed, first + from, first + to);
            prop_assert_eq!(&part[..], &all[usize::try_from(from).unwrap()..=usize::try_from(to).unwrap()]);
        }

        let cache = BlockCache::new(200_000);
        for (sequence, expected) in (first..).zip(&all) {
            let found = sealed.get(sequence, &cache, canonical).unwrap();
            prop_assert_eq!(found.as_ref(), Some(expected));
            prop_assert!(cache.bytes() <= 200_000);
        }
        prop_assert!(sealed.get(first + count, &cache, canonical).unwrap().is_none());
        prop_assert!(sealed.get(first - 1, &cache, canonical).unwrap().is_none());

        // A commit's key, cursors and known records are found by the sequence of its last record.
        let mut end = first;
        for commit in &commits {
            end += commit.rows.len() as u64;
            let seen = sealed.part_of(end - 1, &cache, |begin, part| {
                assert_eq!(begin + u64::from(part.records), end);
                assert_eq!(begin - u64::from(part.before), end - commit.rows.len() as u64);
                assert_eq!(part.recorded_at, commit.recorded_at);
                part.tail.clone() == Some(commit.tail())
            });
            prop_assert_eq!(seen.unwrap(), Some(true));
        }

        // Block by block as bodies, and sealed once more from those of whole commits.
        let (mut records, mut ends) = (Vec::new(), 0);
        let _ = sealed.bodies(0, u64::MAX, &mut |body| {
            let _ = body.visit(0, u64::MAX, |record| {
                records.push(canonical(record));
                ControlFlow::Continue(())
            }).unwrap();
            ends += body.parts().iter().filter(|part| part.tail.is_some()).count();
            ControlFlow::Continue(())
        }).unwrap();
        prop_assert_eq!(&records, &all);
        prop_assert_eq!(ends, commits.len());
    }
}

#[test]
fn frames_are_sealed_with_all_their_commits() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let mut commits = Vec::new();
    for at in 0..40u8 {
        let rows = (0..=at).map(|row| plain_row(row % 5, vec![at, row, 3])).collect();
        let mut commit = plain_commit(rows);
        commit.cursors = vec![("alpaca".to_owned(), vec![at])];
        commits.push(commit);
    }
    let mut writer = Writer::create(&OsDisk, &path, 1).unwrap();
    let mut builder = BodyBuilder::new(1);
    let mut frame = |builder: &mut BodyBuilder| {
        let mut bytes = Vec::new();
        builder.encode(&mut bytes);
        writer.push_body(&Body::parse(&bytes).unwrap()).unwrap();
        builder.reset(builder.next_sequence());
    };
    let mut begun = 0;
    each(1, &commits, |at, record| {
        if at != begun {
            builder.end_part(0, 0, commits[begun].recorded_at, &commits[begun].tail());
            if at % 3 == 0 {
                frame(&mut builder);
            }
            begun = at;
        }
        builder.push(&record).unwrap();
    });
    builder.end_part(0, 0, commits[begun].recorded_at, &commits[begun].tail());
    frame(&mut builder);
    writer.finish().unwrap();

    let sealed = open(&path).unwrap();
    sealed.verify(&mut |_| {}).unwrap();
    assert_eq!(scanned(&sealed, 0, u64::MAX), all_canonical(1, &commits));
    assert_eq!(sealed.commit_count(), 40);
}

#[test]
fn every_flipped_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let mut commit = plain_commit((0..30).map(|at| plain_row(at % 3, vec![at; 9])).collect());
    commit.key = Some(("key".to_owned(), [8; 32]));
    seal(&path, 1, &[commit.clone(), plain_commit(vec![plain_row(1, vec![7; 40])])]);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let found = open(&path).and_then(|sealed| sealed.verify(&mut |_| {}));
        assert!(found.is_err(), "bit {bit} was flipped and nobody noticed");
    }
    fs::write(&path, &whole).unwrap();
    open(&path).unwrap().verify(&mut |_| {}).unwrap();
}

#[test]
fn a_damaged_block_is_named_with_its_sequences_and_the_others_stay_readable() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let rows = (0..9_000u32)
        .map(|at| {
            plain_row(u8::try_from(at % 7).unwrap(), blake3::hash(&at.to_le_bytes()).as_bytes().to_vec())
        })
        .collect();
    seal(&path, 11, &[plain_commit(rows)]);
    let sealed = open(&path).unwrap();
    let (third, block_count) = (sealed.entries[2], sealed.entries.len());
    assert!(block_count > 3, "the test needs several blocks");
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(third.offset).unwrap() + 500] ^= 4;
    fs::write(&path, &bytes).unwrap();

    let sealed = open(&path).unwrap();
    let mut seen = 0;
    let failed = sealed.scan(0, u64::MAX, &mut |record| {
        seen = record.sequence;
        ControlFlow::Continue(())
    });
    assert_eq!(seen, third.first - 1);
    for error in [failed.unwrap_err(), sealed.verify(&mut |_| {}).unwrap_err()] {
        match error {
            SealedError::Damaged { first, last, offset, .. } => {
                assert_eq!((first, last, offset), (third.first, third.last(), third.offset));
            }
            other => panic!("not named as damage: {other}"),
        }
    }
    let cache = BlockCache::new(1 << 20);
    assert!(sealed.get(third.first, &cache, canonical).is_err());
    assert!(sealed.get(third.last() + 1, &cache, canonical).unwrap().is_some());
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    seal(&path, 1, &[plain_commit((0..50).map(|at| plain_row(at % 3, vec![at; 20])).collect())]);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(open(&path), Err(SealedError::Damaged { .. })), "cut to {length} bytes");
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    assert!(matches!(open(&path), Err(SealedError::Damaged { .. })));
}

#[test]
fn what_an_interrupted_sealing_left_is_replaced_and_never_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let commits = [plain_commit((0..50).map(|at| plain_row(at % 3, vec![at; 20])).collect())];
    let mut writer = Writer::create(&OsDisk, &path, 1).unwrap();
    writer.begin_commit(2, &CommitTail::default()).unwrap();
    drop(writer);
    assert!(!path.exists(), "the name stands for a whole segment only");
    seal(&path, 1, &commits);
    assert_eq!(scanned(&open(&path).unwrap(), 0, u64::MAX), all_canonical(1, &commits));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing temporary is left");
}

#[test]
fn what_cannot_be_a_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let commits = [plain_commit(vec![plain_row(0, vec![1]), plain_row(0, vec![2])])];
    let refused = |result: Result<(), SealedError>| matches!(result, Err(SealedError::Refused { .. }));

    let mut writer = Writer::create(&OsDisk, &path, 1).unwrap();
    assert!(refused(writer.begin_commit(0, &CommitTail::default())), "an empty commit");
    each(1, &commits, |_, record| assert!(refused(writer.push(&record)), "a record of no commit"));
    writer.begin_commit(2, &CommitTail::default()).unwrap();
    each(2, &commits, |_, record| assert!(refused(writer.push(&record)), "a gap"));
    assert!(refused(writer.begin_commit(1, &CommitTail::default())), "the commit before is not whole");
    assert!(refused(writer.finish()), "the last commit is not whole");
    assert!(refused(Writer::create(&OsDisk, &path, 1).unwrap().finish()), "no commit at all");
    assert!(!path.exists());
}

#[test]
fn a_commit_longer_than_many_blocks_is_whole_at_its_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let rows = (0..5_000u32)
        .map(|at| plain_row(0, blake3::hash(&at.to_le_bytes()).as_bytes().repeat(2)))
        .collect::<Vec<_>>();
    let mut commit = plain_commit(rows);
    commit.key = Some(("import".to_owned(), [1; 32]));
    seal(&path, 1, &[commit.clone()]);
    let sealed = open(&path).unwrap();
    sealed.verify(&mut |_| {}).unwrap();
    assert!(sealed.entries.len() > 5);
    let cache = BlockCache::new(1 << 20);
    let seen = sealed.part_of(5_000, &cache, |first, part| {
        (first - u64::from(part.before), part.after, part.tail.as_ref().and_then(|tail| tail.key).is_some())
    });
    assert_eq!(seen.unwrap(), Some((1, 0, true)));
    let seen = sealed.part_of(1, &cache, |first, part| (first, part.before, part.tail.is_none()));
    assert_eq!(seen.unwrap(), Some((1, 0, true)));
}

#[test]
fn the_largest_record_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let large: Vec<u8> =
        (0..2_050u32).flat_map(|at| *blake3::hash(&at.to_le_bytes()).as_bytes()).take(65_300).collect();
    let commits =
        [plain_commit(vec![plain_row(0, vec![1]), plain_row(1, large.clone()), plain_row(2, large)])];
    seal(&path, 1, &commits);
    let sealed = open(&path).unwrap();
    sealed.verify(&mut |_| {}).unwrap();
    assert_eq!(scanned(&sealed, 0, u64::MAX), all_canonical(1, &commits));
}
