//! The sweep finds a sound log sound, and suspects whatever is not.

use super::*;
use crate::append::{Append, CommitKey, CursorMove};
use crate::disk::{Disk, OsDisk};
use crate::index::KeyHash;
use crate::index::plain::PlainIndex;
use crate::index::{IndexBatch, Postings};
use crate::ledger::{IndexKind, Ledger};
use crate::record::NewRecord;
use crate::segments::{self, SegmentStore};
use crate::store::CommitStore;
use std::ops::ControlFlow;
use std::sync::Arc;

fn record(stream: &str, key: Option<String>) -> NewRecord {
    NewRecord {
        stream: stream.into(),
        type_id: 1,
        schema_version: 1,
        codec: 1,
        occurred_at: 0,
        actor: "tester".into(),
        source: "test".into(),
        key: key.map(Into::into),
        content_hash: None,
        import: None,
        correlation: None,
        payload: Box::from(*b"a payload of some bytes"),
    }
}

/// Sealed segments and one that is not, with keys of records and of commits, and a cursor.
fn store(dir: &std::path::Path) -> Arc<SegmentStore> {
    let options = Options {
        segment_bytes: 64 << 10,
        create: true,
        index: IndexKind::Plain,
        reserve_bytes: 0,
        ..Options::default()
    };
    let (ledger, _) = Ledger::open(dir, options.clone()).unwrap();
    for number in 0_u64..900 {
        let stream = format!("{}-{}", ["a", "b", "c"][usize::try_from(number % 3).unwrap()], number % 7);
        let records = vec![record(&stream, Some(format!("key {number}"))), record("d-1", None)];
        let commit_key = CommitKey { key: format!("commit {number}").into(), content_hash: [7; 32] };
        let cursors = vec![CursorMove { source: "source".into(), to: number.to_le_bytes().into() }];
        let append = Append { commit_key: Some(commit_key), cursors, ..Append::of(records) };
        ledger.append(append).unwrap();
        if number == 700 {
            ledger.seal_now().unwrap();
        }
    }
    ledger.close().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    Arc::new(segments::find(&disk, dir, false).unwrap().read_only(options.layout(), 0))
}

fn batch(store: &SegmentStore) -> IndexBatch {
    let mut batch = IndexBatch::default();
    store
        .scan(1, &mut |body| {
            batch.absorb(body, 0).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    batch
}

fn swept(store: &Arc<SegmentStore>, index: Option<&dyn Index>) -> Result<Swept, Suspicion> {
    let tree = Tree::open(Arc::clone(store) as _, Arc::new(PlainIndex::new())).unwrap();
    let swept = sweep(&store.files.segments(), store.head(), index, &tree, &Options::default());
    if swept.is_ok() {
        let grown = Tree::open(Arc::clone(store) as _, Arc::new(PlainIndex::new())).unwrap();
        let root = |tree: &Tree| tree.view(store.head()).unwrap().root(store.head()).unwrap();
        assert_eq!(tree.size(), store.head());
        assert_eq!(root(&tree), root(&grown));
    }
    swept
}

#[test]
fn a_sound_log_and_its_index_are_found_sound_and_the_tree_grows_over_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let sealed =
        store.files.segments().iter().filter(|segment| matches!(segment, Segment::Sealed(_))).count();
    assert!(sealed >= 2 && store.files.segments().len() > sealed);
    let index = PlainIndex::new();
    assert!(swept(&store, None).is_ok());
    // An index that has come to some part is held against that part alone.
    assert!(swept(&store, Some(&index)).is_ok());
    index.apply(&batch(&store)).unwrap();
    let swept = swept(&store, Some(&index)).unwrap_or_else(|Suspicion| panic!("nothing is wrong"));
    assert_eq!((swept.streams, swept.keys, swept.keys_unseen), (22, 900, false));
}

#[test]
fn an_index_that_says_anything_else_is_suspected() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let right = batch(&store);
    let mut others: Vec<IndexBatch> = Vec::new();
    let mut change = |with: &dyn Fn(&mut IndexBatch)| {
        let mut other = right.clone();
        with(&mut other);
        others.push(other);
    };
    let key = KeyHash::of("key 77");
    change(&|batch| {
        batch.keys.remove(&key);
    });
    change(&|batch| {
        batch.keys.insert(key, 1);
    });
    change(&|batch| {
        batch.keys.insert(KeyHash::of("another"), 1);
    });
    change(&|batch| {
        batch.commit_keys.remove(&KeyHash::of("commit 5"));
    });
    change(&|batch| drop(batch.cursors.insert("source".into(), Box::from([1]))));
    change(&|batch| drop(batch.cursors.insert("another".into(), Box::from([1]))));
    change(&|batch| drop(batch.streams.remove("a-0")));
    change(&|batch| {
        let more = Postings { first_version: 1, sequences: vec![1] };
        batch.streams.insert("another".into(), more);
    });
    change(&|batch| {
        let postings = batch.streams.get_mut("a-0").unwrap();
        postings.sequences[3] += 1;
    });
    change(&|batch| {
        // The same sequences of two streams, exchanged.
        let (one, other) = (batch.streams.remove("a-0").unwrap(), batch.streams.remove("b-1").unwrap());
        batch.streams.insert("a-0".into(), other);
        batch.streams.insert("b-1".into(), one);
    });
    for (number, other) in others.iter().enumerate() {
        let index = PlainIndex::new();
        index.apply(other).unwrap();
        assert!(swept(&store, Some(&index)).is_err(), "change {number} was not noticed");
    }
}

#[test]
fn whatever_comes_twice_is_found_in_whichever_lists_it_lies() {
    assert!(!repeated(&[]));
    assert!(!repeated(&[vec![], vec![1, 3, 9], vec![2, 4]]));
    assert!(repeated(&[vec![1, 3, 9], vec![2, 9]]));
    assert!(repeated(&[vec![1, 1], vec![2]]));
    assert!(repeated(&[vec![5], vec![6], vec![4, 5]]));
}
