//! What is too large, too long, empty or too much is refused by name, and nothing of it is written.

use daybook_ledger::record::{KEY_BYTES_MAX, NAME_BYTES_MAX, RECORD_BYTES_MAX};
use daybook_ledger::{
    Append, AppendError, CommitKey, CursorMove, Direction, IndexKind, Ledger, NewRecord, Options,
};

use crate::common::{keyed, open, record};

fn refused(ledger: &Ledger, append: Append) -> AppendError {
    let head = ledger.head();
    let error = ledger.append(append).expect_err("it must be refused");
    assert!(error.is_definite(), "{error}");
    assert_eq!(ledger.head(), head);
    error
}

#[test]
fn a_record_of_exactly_the_largest_size_is_taken_and_one_byte_more_is_not() {
    let ledger = Ledger::in_memory(Options::default());
    let bare = record("stream", b"").view(1, 1, 0).canonical_bytes();
    let largest = record("stream", &vec![1; RECORD_BYTES_MAX - bare]);
    ledger.append(Append::of(vec![largest.clone()])).expect("it just fits");
    let stored = ledger.get(1).expect("reads").expect("it is there");
    let mut canonical = Vec::new();
    stored.encode_canonical(&mut canonical);
    assert_eq!(canonical.len(), RECORD_BYTES_MAX);
    let larger = NewRecord { key: Some("k".into()), ..largest };
    let error = refused(&ledger, Append::of(vec![record("a", b"fine"), larger]));
    assert!(
        matches!(&error, AppendError::Invalid { record: Some(1), why } if why.contains("65535")),
        "{error}"
    );
}

#[test]
fn names_and_keys_have_their_lengths() {
    let ledger = Ledger::in_memory(Options::default());
    let long = "n".repeat(NAME_BYTES_MAX);
    let longest_key = "k".repeat(KEY_BYTES_MAX);
    let longest = NewRecord {
        actor: long.as_str().into(),
        source: long.as_str().into(),
        ..keyed(&long, &longest_key, b"payload")
    };
    ledger.append(Append::of(vec![longest])).expect("all of them just fit");
    assert_eq!(ledger.find_key(&longest_key).expect("reads"), Some(1));
    let over = "n".repeat(NAME_BYTES_MAX + 1);
    let wrong = [
        record("", b""),
        record(&over, b""),
        NewRecord { actor: over.as_str().into(), ..record("s", b"") },
        NewRecord { actor: "".into(), ..record("s", b"") },
        NewRecord { source: over.as_str().into(), ..record("s", b"") },
        NewRecord { source: "".into(), ..record("s", b"") },
        keyed("s", "", b""),
        keyed("s", &"k".repeat(KEY_BYTES_MAX + 1), b""),
    ];
    for wrong in wrong {
        let error = refused(&ledger, Append::of(vec![wrong]));
        assert!(matches!(error, AppendError::Invalid { record: Some(0), .. }), "{error}");
    }
    let one = || vec![record("s", b"")];
    let cursor = |source: &str, to: usize| CursorMove { source: source.into(), to: vec![0; to].into() };
    for cursors in [vec![cursor("", 1)], vec![cursor(&over, 1)], vec![cursor("s", 4_097)]] {
        let error = refused(&ledger, Append { cursors, ..Append::of(one()) });
        assert!(matches!(error, AppendError::Invalid { record: None, .. }), "{error}");
    }
    for key in ["", &"k".repeat(KEY_BYTES_MAX + 1)] {
        let commit_key = Some(CommitKey { key: key.into(), content_hash: [0; 32] });
        let error = refused(&ledger, Append { commit_key, ..Append::of(one()) });
        assert!(matches!(error, AppendError::Invalid { record: None, .. }), "{error}");
    }
}

#[test]
fn an_append_of_nothing_is_refused_even_if_it_moves_a_cursor() {
    let ledger = Ledger::in_memory(Options::default());
    let cursors = vec![CursorMove { source: "feed".into(), to: b"1".as_slice().into() }];
    let error = refused(&ledger, Append { cursors, ..Append::of(Vec::new()) });
    assert!(matches!(error, AppendError::Empty), "{error}");
    assert_eq!(ledger.cursor("feed").expect("reads"), None);
}

#[test]
fn an_append_larger_than_a_commit_is_refused_with_the_limits() {
    let options = Options { commit_records_max: 10, commit_bytes_max: 8_000, ..Options::default() };
    let ledger = Ledger::in_memory(options);
    let many = (0..11).map(|_| record("s", b"")).collect();
    let error = refused(&ledger, Append::of(many));
    assert!(matches!(error, AppendError::TooLarge { records: 11, records_max: 10, .. }), "{error}");
    let error = refused(&ledger, Append::of(vec![record("s", &[0; 8_000])]));
    assert!(matches!(error, AppendError::TooLarge { bytes_max: 8_000, .. }), "{error}");
    let fits = (0..10).map(|_| record("s", b"")).collect();
    ledger.append(Append::of(fits)).expect("it fits");
}

#[test]
fn the_largest_append_that_is_taken_fits_a_segment() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Plain);
    // Every record brings as much as it can to the dictionaries.
    let costly = |number: usize| NewRecord {
        actor: format!("actor-{number}").into(),
        source: format!("source-{number}").into(),
        correlation: Some([1; 16]),
        import: Some([2; 16]),
        content_hash: Some([3; 32]),
        occurred_at: if number.is_multiple_of(2) { i64::MIN } else { i64::MAX },
        ..keyed(&format!("stream-{number}"), &format!("key-{number}"), b"")
    };
    let mut largest = 0;
    for count in 1.. {
        match ledger.append(Append::of((0..count).map(|number| costly(number + 1_000 * count)).collect())) {
            Ok(appended) => largest = appended.new,
            Err(AppendError::TooLarge { .. }) => break,
            Err(error) => panic!("{count} records: {error}"),
        }
    }
    assert!(largest > 50, "{largest}");
    let read = ledger.read(ledger.head(), 1, Direction::Forward).expect("reads");
    assert_eq!(read[0].key.as_deref(), Some(&*format!("key-{}", largest - 1 + 1_000 * largest)));
}

#[test]
fn picked_records_are_those_that_there_are_each_once_and_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let (ledger, _) = open(directory.path(), IndexKind::Plain);
    for commit in 0..40u32 {
        let records = (commit * 50..commit * 50 + 50)
            .map(|number| record(if number % 3 == 0 { "a-1" } else { "b-1" }, &number.to_le_bytes()));
        ledger.append(Append::of(records.collect())).expect("nothing is in the way");
    }
    let head = ledger.head();
    let wanted = [0, 1, 2, 2, 700, 1_999, head, head + 1, u64::MAX];
    let mut seen = Vec::new();
    let mut see = |record: &daybook_ledger::RecordView<'_>| {
        assert_eq!(record.payload, &u32::try_from(record.sequence - 1).expect("few").to_le_bytes());
        seen.push(record.sequence);
        std::ops::ControlFlow::Continue(())
    };
    ledger.pick(&wanted, &mut see).expect("reads");
    ledger.pick(&[], &mut see).expect("reads");
    assert_eq!(seen, [1, 2, 700, 1_999, 2_000]);
}
