//! A sealed segment gives back all that went in, byte for byte, and no flipped bit goes unnoticed.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
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
            let stream = match row.stream {
                0 => "firm".to_owned(),
                stream if stream % 2 == 0 => format!("portfolio-{stream}"),
                stream => format!("market-{stream}"),
            };
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

fn picked(sealed: &Sealed, cache: &BlockCache, sequences: &[u64]) -> Result<Vec<Vec<u8>>, SealedError> {
    let mut all = Vec::new();
    let _ = sealed.pick(sequences, cache, &mut |record| {
        all.push(canonical(record));
        ControlFlow::Continue(())
    })?;
    Ok(all)
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
        sealed.verify(&mut |_| {}).unwrap();

        prop_assert_eq!(&scanned(&sealed, 0, u64::MAX), &all);
        let (from, to) = (u64::from(window.0) % count, u64::from(window.1) % count);
        if from <= to {
            let part = scanned(&sealed, first + from, first + to);
            prop_assert_eq!(&part[..], &all[usize::try_from(from).unwrap()..=usize::try_from(to).unwrap()]);
        }

        let cache = BlockCache::new(200_000);
        for (sequence, expected) in (first..).zip(&all) {
            prop_assert_eq!(&picked(&sealed, &cache, &[sequence]).unwrap(), std::slice::from_ref(expected));
            prop_assert!(cache.bytes() <= 200_000);
        }
        prop_assert!(picked(&sealed, &cache, &[first - 1, first + count]).unwrap().is_empty());
        let some: Vec<u64> = (first..first + count).step_by(1 + usize::from(window.0) % 9).collect();
        let expected: Vec<_> = all.iter().step_by(1 + usize::from(window.0) % 9).cloned().collect();
        prop_assert_eq!(picked(&sealed, &cache, &some).unwrap(), expected);
        prop_assert_eq!(picked(&sealed, &cache, &[first, first, first]).unwrap().len(), 1);

        // As bodies: a commit's key, cursors and known records come with its last record.
        let (mut records, mut ends) = (Vec::new(), Vec::new());
        let _ = sealed.bodies(0, u64::MAX, &mut |body| {
            let _ = body.visit(0, u64::MAX, |record| {
                records.push(canonical(record));
                ControlFlow::Continue(())
            }).unwrap();
            let mut end = body.first_sequence();
            for part in body.parts() {
                end += u64::from(part.records);
                if let Some(tail) = &part.tail {
                    let commit = &commits[ends.len()];
                    assert_eq!(tail, &commit.tail());
                    assert_eq!(part.recorded_at, commit.recorded_at);
                    assert_eq!((part.before + part.records) as usize, commit.rows.len());
                    ends.push(end);
                }
            }
            ControlFlow::Continue(())
        }).unwrap();
        let mut end = first;
        let expected: Vec<u64> = commits.iter().map(|commit| { end += commit.rows.len() as u64; end }).collect();
        prop_assert_eq!(ends, expected);
        prop_assert_eq!(&records, &all);
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
    let mut cursors = Vec::new();
    let _ = sealed.bodies(0, u64::MAX, &mut |body| {
        let tails = body.parts().iter().filter_map(|part| part.tail.as_ref());
        cursors.extend(tails.flat_map(|tail| tail.cursors.iter().map(|(_, to)| to[0])));
        ControlFlow::Continue(())
    });
    assert!(cursors.into_iter().eq(0..40));
}

#[test]
fn every_flipped_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let mut commit = plain_commit((0..30).map(|at| plain_row(at % 3, vec![at; 9])).collect());
    commit.key = Some(("key".to_owned(), [8; 32]));
    seal(&path, 1, &[commit.clone(), plain_commit(vec![plain_row(1, vec![7; 40])])]);
    let whole = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let (at, byte) = (bit as u64 / 8, whole[bit / 8]);
        file.write_all_at(&[byte ^ 1 << (bit % 8)], at).unwrap();
        let found = open(&path).and_then(|sealed| sealed.verify(&mut |_| {}));
        assert!(found.is_err(), "bit {bit} was flipped and nobody noticed");
        file.write_all_at(&[byte], at).unwrap();
    }
    open(&path).unwrap().verify(&mut |_| {}).unwrap();
}

/// Damages the file at `offset`, and expects a scan to end after `before` and to name the damage as `named`.
fn damage(path: &Path, offset: u64, before: u64, named: (u64, u64)) -> Sealed {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(offset).unwrap() + 40] ^= 4;
    fs::write(path, &bytes).unwrap();
    let sealed = open(path).unwrap();
    let mut seen = 0;
    let failed = sealed.scan(0, u64::MAX, &mut |record| {
        seen = record.sequence;
        ControlFlow::Continue(())
    });
    assert_eq!(seen, before);
    for error in [failed.unwrap_err(), sealed.verify(&mut |_| {}).unwrap_err()] {
        match error {
            SealedError::Damaged { first, last, offset: at, .. } => {
                assert_eq!((first, last, at), (named.0, named.1, offset));
            }
            other => panic!("not named as damage: {other}"),
        }
    }
    sealed
}

#[test]
fn damage_is_named_with_its_sequences_and_the_rest_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let rows: Vec<Row> = (0..80_000u32)
        .map(|at| {
            plain_row(u8::try_from(at % 7).unwrap(), blake3::hash(&at.to_le_bytes()).as_bytes().to_vec())
        })
        .collect();
    seal(&path, 11, &[plain_commit(rows)]);
    let sealed = open(&path).unwrap();
    let cache = BlockCache::new(1 << 20);
    assert!(sealed.entries.len() > 2, "the test needs several stretches");
    let second = sealed.entries[1];
    let stretch = sealed.stretch(&second, &cache).unwrap();
    let lanes = stretch.blocks.iter().map(|block| block.lane).max().unwrap();
    assert!(lanes > 1 && stretch.blocks.len() > 6, "and several blocks of several lanes");
    let span = stretch.span(0).unwrap();
    let offset = stretch.blocks[0].offset;
    drop(sealed);

    let whole = fs::read(&path).unwrap();
    let sealed = damage(&path, offset, span.0 - 1, span);
    let cache = BlockCache::new(1 << 20);
    assert!(picked(&sealed, &cache, &[span.0]).is_err());
    let others = [11, 12, second.last(), second.last() + 1];
    assert_eq!(picked(&sealed, &cache, &others).unwrap().len(), 4, "other blocks are not touched");

    fs::write(&path, &whole).unwrap();
    let sealed = damage(&path, second.head_at(), second.first - 1, (second.first, second.last()));
    let cache = BlockCache::new(1 << 20);
    assert!(picked(&sealed, &cache, &[second.first]).is_err());
    assert_eq!(picked(&sealed, &cache, &[11, second.last() + 1]).unwrap().len(), 2);
}

#[test]
fn a_stream_is_read_without_the_records_of_other_categories() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let rows: Vec<Row> = (0..20_000u32)
        .map(|at| {
            let stream = if at % 100 == 0 { 2 } else { 1 };
            plain_row(stream, blake3::hash(&at.to_le_bytes()).as_bytes().to_vec())
        })
        .collect();
    seal(&path, 1, &[plain_commit(rows)]);
    let sealed = open(&path).unwrap();
    let cache = BlockCache::new(16 << 20);
    let portfolio: Vec<u64> = (1..=20_000).step_by(100).collect();
    assert_eq!(picked(&sealed, &cache, &portfolio).unwrap().len(), 200);
    // 200 records of 32 bytes, and the heads that say where the 20,000 lie.
    assert!(cache.bytes() < 100_000, "{} bytes were unpacked for them", cache.bytes());
}

#[test]
fn more_categories_than_lanes_are_kept_apart_as_far_as_lanes_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let mut writer = Writer::create(&OsDisk, &path, 1).unwrap();
    let mut all = Vec::new();
    writer.begin_commit(2_000, &CommitTail::default()).unwrap();
    for sequence in 1..=2_000u64 {
        let stream = format!("category{}-{}", sequence % 40, sequence % 3);
        let view = RecordView {
            sequence,
            stream: &stream,
            version: sequence,
            type_id: 1,
            schema_version: 1,
            codec: 1,
            occurred_at: 0,
            recorded_at: 0,
            actor: "actor",
            source: "source",
            key: None,
            content: Content::Derived,
            import: None,
            correlation: None,
            payload: b"payload",
        };
        writer.push(&view).unwrap();
        all.push(canonical(&view));
    }
    writer.finish().unwrap();
    let sealed = open(&path).unwrap();
    sealed.verify(&mut |_| {}).unwrap();
    assert_eq!(scanned(&sealed, 0, u64::MAX), all);
    let cache = BlockCache::new(16 << 20);
    assert_eq!(picked(&sealed, &cache, &(1..=2_000).collect::<Vec<u64>>()).unwrap(), all);
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
fn a_commit_longer_than_a_stretch_is_whole_at_its_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = sealed_file(&dir);
    let rows = (0..50_000u32)
        .map(|at| plain_row(0, blake3::hash(&at.to_le_bytes()).as_bytes().repeat(2)))
        .collect::<Vec<_>>();
    let mut commit = plain_commit(rows);
    commit.key = Some(("import".to_owned(), [1; 32]));
    seal(&path, 1, &[commit.clone()]);
    let sealed = open(&path).unwrap();
    sealed.verify(&mut |_| {}).unwrap();
    assert!(sealed.entries.len() > 2);
    let mut parts = Vec::new();
    let _ = sealed.bodies(0, u64::MAX, &mut |body| {
        parts.extend(body.parts().iter().map(|part| {
            let key = part.tail.as_ref().and_then(|tail| tail.key).is_some();
            (part.before, part.records, part.after, key)
        }));
        ControlFlow::Continue(())
    });
    let mut before = 0;
    for (had, records, after, key) in &parts {
        assert_eq!((*had, before + records + after), (before, 50_000));
        assert_eq!(*key, *after == 0, "the key stands where the commit ends");
        before += records;
    }
    assert_eq!(before, 50_000);
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
