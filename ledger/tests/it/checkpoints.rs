//! Checkpoints and the key that signs them: made once, kept, and believed only as they were signed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use daybook_ledger::merkle::SigningKey;
use daybook_ledger::merkle::proof::check_consistency;
use daybook_ledger::{
    Evidence, EvidenceError, IndexKind, Ledger, NotaryError, OpenError, Options, SignedCheckpoint,
    VerifierKey,
};

use crate::common::{append_one, open, options};

const KEY: &str = "signing-key";
const LATEST: &str = "checkpoints/latest";
const PUBLIC: &str = "checkpoints/verifier-key";

fn text(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A ledger closed with so many records after each of some openings.
fn ledger_of(counts: &[u64]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for count in counts {
        let (ledger, _) = open(dir.path(), IndexKind::Sled);
        for number in 0..*count {
            append_one(&ledger, "stream", &number.to_le_bytes());
        }
        ledger.close().expect("the disk works");
    }
    dir
}

fn refused(dir: &Path) -> NotaryError {
    let before = seen(dir);
    for read_only in [true, false] {
        match Ledger::open(dir, Options { read_only, ..options(IndexKind::Sled) }) {
            Err(OpenError::Notary(error)) => {
                assert_eq!(seen(dir), before, "something was touched");
                if !read_only {
                    return error;
                }
            }
            // To read what is public needs no key.
            Ok(_) if read_only => {}
            other => panic!("{:?}", other.map(|_| "it opened")),
        }
    }
    panic!("opening for writing was neither refused nor an opening");
}

fn seen(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut stack = vec![dir.to_owned()];
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(fs::read_dir(&path).expect("reads").map(|entry| entry.expect("reads").path()));
        } else {
            found.push((path.clone(), fs::read(&path).expect("reads")));
        }
    }
    found.sort();
    found
}

#[test]
fn a_new_ledger_has_a_key_of_its_own_that_only_its_owner_reads() {
    let (one, other) = (ledger_of(&[1]), ledger_of(&[1]));
    let mode = fs::metadata(one.path().join(KEY)).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = SigningKey::from_secret_text(text(one.path(), KEY).trim_end()).expect("a key");
    let public: VerifierKey = text(one.path(), PUBLIC).trim_end().parse().expect("a key");
    assert_eq!(secret.verifier(), &public);
    assert_ne!(text(one.path(), KEY), text(other.path(), KEY));
    let (ledger, _) = open(one.path(), IndexKind::Sled);
    assert_eq!(ledger.verifier_key(), Some(&public));
    assert_ne!(text(other.path(), PUBLIC), text(one.path(), PUBLIC));
}

#[test]
fn an_older_ledger_gains_a_key_and_a_tree_when_it_is_first_written_to() {
    let dir = ledger_of(&[700]);
    fs::remove_file(dir.path().join(KEY)).expect("it is there");
    fs::remove_dir_all(dir.path().join("checkpoints")).expect("it is there");
    fs::remove_dir_all(dir.path().join("index")).expect("it is there");
    let read_only = Options { read_only: true, create: false, ..options(IndexKind::Sled) };
    let (ledger, _) = Ledger::open(dir.path(), read_only).expect("it can be read");
    assert_eq!((ledger.verifier_key(), ledger.latest_checkpoint()), (None, None));
    assert!(matches!(ledger.checkpoint(true), Err(NotaryError::NoKey)));
    let root = ledger.root(700).expect("the tree is in the records");
    drop(ledger);
    assert!(!dir.path().join(KEY).exists());
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    let signed = ledger.checkpoint(false).expect("there is a key now");
    assert_eq!((signed.checkpoint.size, signed.checkpoint.root), (700, root));
}

#[test]
fn every_close_and_every_sealed_segment_leaves_a_checkpoint_that_the_next_go_on_from() {
    let dir = ledger_of(&[3, 0, 40]);
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    let key = ledger.verifier_key().expect("there is a key").clone();
    for number in 0..100_u64 {
        append_one(&ledger, "stream", &number.to_le_bytes());
    }
    ledger.seal_now().expect("the disk works");
    let sealed = dir.path().join("checkpoints").join(format!("{:020}", 143));
    let begun = std::time::Instant::now();
    while !sealed.exists() {
        assert!(begun.elapsed().as_secs() < 20, "no checkpoint was kept of what was sealed");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    append_one(&ledger, "stream", b"last");
    let asked = ledger.checkpoint(false).expect("the disk works");
    assert_eq!(asked.checkpoint.size, 144);
    assert_eq!(*asked.note, text(dir.path(), LATEST));
    let kept = [3, 43, 143].map(|size| {
        let note = text(dir.path(), &format!("checkpoints/{size:020}"));
        SignedCheckpoint::open(&note, &key).expect("it is signed").checkpoint
    });
    for stated in kept {
        let path = ledger.consistency_proof(stated.size, 144).expect("it goes that far");
        check_consistency(stated.size, &stated.root, 144, &asked.checkpoint.root, &path)
            .expect("it goes on from it");
    }
    // Given out again as it is while nothing is added.
    assert_eq!(ledger.checkpoint(false).expect("the disk works"), asked);
}

#[test]
fn a_key_that_is_missing_exposed_unreadable_or_anothers_is_refused_and_nothing_touched() {
    let dir = ledger_of(&[3]);
    let key = dir.path().join(KEY);
    let right = text(dir.path(), KEY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("it is ours");
    assert!(matches!(refused(dir.path()), NotaryError::KeyExposed { .. }));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).expect("it is ours");
    assert!(matches!(refused(dir.path()), NotaryError::KeyExposed { .. }));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
    for bad in
        ["", "\n", "PRIVATE+KEY+a+00000000+AAAA\n", &right.replace("daybook/", "daybook/0"), &right[..40]]
    {
        fs::write(&key, bad).expect("it is ours");
        let error = refused(dir.path());
        assert!(matches!(error, NotaryError::KeyUnreadable { .. }), "{error}");
        let secret = right.trim_end().rsplit('+').next().expect("a part");
        assert!(!error.to_string().contains(secret));
    }
    fs::write(&key, text(ledger_of(&[1]).path(), KEY)).expect("it is ours");
    assert!(matches!(refused(dir.path()), NotaryError::KeyForeign { .. }));
    fs::remove_file(&key).expect("it is ours");
    assert!(matches!(refused(dir.path()), NotaryError::KeyMissing { .. }));
    fs::create_dir(&key).expect("the disk works");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o700)).expect("it is ours");
    assert!(matches!(refused(dir.path()), NotaryError::KeyUnreadable { .. }));
    fs::remove_dir(&key).expect("it is ours");
    fs::write(&key, &right).expect("the disk works");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
    open(dir.path(), IndexKind::Sled);
}

#[test]
fn checkpoints_that_were_rolled_back_changed_or_taken_away_are_refused() {
    let dir = ledger_of(&[3, 4]);
    let (latest, earlier) = (text(dir.path(), LATEST), text(dir.path(), "checkpoints/00000000000000000003"));
    let path = dir.path().join(LATEST);
    fs::write(&path, &earlier).expect("the disk works");
    let error = refused(dir.path());
    assert!(matches!(error, NotaryError::RolledBack { latest: 3, kept: 7, .. }), "{error}");
    fs::remove_file(&path).expect("it is there");
    assert!(matches!(refused(dir.path()), NotaryError::RolledBack { latest: 0, kept: 7, .. }));
    for bad in [latest.replace("\n7\n", "\n6\n"), latest[..latest.len() - 9].to_owned(), String::new()] {
        fs::write(&path, bad).expect("the disk works");
        let error = refused(dir.path());
        assert!(matches!(error, NotaryError::Checkpoint { .. }), "{error}");
    }
    fs::write(&path, &latest).expect("the disk works");
    let public = text(dir.path(), PUBLIC);
    for bad in [Some("garbage"), None] {
        match bad {
            Some(bad) => fs::write(dir.path().join(PUBLIC), bad).expect("the disk works"),
            None => fs::remove_file(dir.path().join(PUBLIC)).expect("it is there"),
        }
        assert!(matches!(refused(dir.path()), NotaryError::VerifierKey { .. }));
    }
    fs::write(dir.path().join(PUBLIC), public).expect("the disk works");
    open(dir.path(), IndexKind::Sled);
}

/// Gives a ledger the checkpoints and the key of another.
fn vouched_for_by(dir: &Path, other: &Path) {
    fs::copy(other.join(KEY), dir.join(KEY)).expect("both are there");
    for entry in fs::read_dir(dir.join("checkpoints")).expect("reads") {
        fs::remove_file(entry.expect("reads").path()).expect("it is ours");
    }
    for entry in fs::read_dir(other.join("checkpoints")).expect("reads") {
        let path = entry.expect("reads").path();
        fs::copy(&path, dir.join("checkpoints").join(path.file_name().expect("a name")))
            .expect("the disk works");
    }
}

#[test]
fn a_log_that_ends_before_the_last_checkpoint_is_damaged() {
    let (short, long) = (ledger_of(&[300]), ledger_of(&[300, 20]));
    vouched_for_by(short.path(), long.path());
    for read_only in [true, false] {
        let options = Options { read_only, ..options(IndexKind::Sled) };
        let error = Ledger::open(short.path(), options).expect_err("320 records were signed for");
        let OpenError::Damaged(fault) = error else { panic!("{error}") };
        assert_eq!(fault.sequence, 301, "{fault}");
        assert!(fault.to_string().contains("checkpoint of 320"), "{fault}");
    }
}

#[test]
fn a_log_without_the_root_that_was_signed_is_damaged_and_where_is_narrowed_down() {
    // The two differ in when their records were taken, from the first on; and the last kept ones are replaced.
    let (one, other) = (ledger_of(&[300, 20]), ledger_of(&[300, 20]));
    vouched_for_by(one.path(), other.path());
    let error = Ledger::open(one.path(), options(IndexKind::Sled)).expect_err("another log was signed");
    let OpenError::Damaged(fault) = error else { panic!("{error}") };
    assert_eq!(fault.sequence, 1, "{fault}");
    assert!(fault.to_string().contains("another was signed"), "{fault}");
    // Signed again from the right key over the first 300: the change is among the last.
    let key = SigningKey::from_secret_text(text(other.path(), KEY).trim_end()).expect("a key");
    let read_only = Options { read_only: true, create: false, ..options(IndexKind::Sled) };
    let (ledger, _) = Ledger::open(one.path(), read_only).expect("it can be read");
    let right = SignedCheckpoint::sign(&key, 300, ledger.root(300).expect("it goes that far"));
    drop(ledger);
    fs::write(one.path().join("checkpoints/00000000000000000300"), &*right.note).expect("the disk works");
    let error = Ledger::open(one.path(), options(IndexKind::Sled)).expect_err("another log was signed");
    let OpenError::Damaged(fault) = error else { panic!("{error}") };
    assert_eq!(fault.sequence, 301, "{fault}");
}

#[test]
fn tiles_that_contradict_the_log_are_made_anew() {
    let dir = ledger_of(&[600]);
    let elsewhere = ledger_of(&[600]);
    // The tiles of another log, under this ledger's own identity.
    for name in ["index", "FORMAT"] {
        let (from, to) = (elsewhere.path().join(name), dir.path().join(name));
        if to.is_dir() {
            fs::remove_dir_all(&to).expect("it is there");
        }
        fs::rename(from, to).expect("the disk works");
    }
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    let latest = ledger.latest_checkpoint().expect("it was closed").checkpoint;
    assert_eq!(ledger.root(600).expect("it goes that far"), latest.root);
}

#[test]
fn evidence_is_believed_only_whole_and_under_its_own_key() {
    let dir = ledger_of(&[300, 41]);
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    let key = ledger.verifier_key().expect("there is a key").clone();
    let checkpoint = ledger.latest_checkpoint().expect("it was closed");
    let refused = |evidence: &Evidence| evidence.check(&key).expect_err("it was changed");
    for sequence in [1, 17, 256, 257, 340, 341] {
        let evidence = ledger.evidence(sequence, &checkpoint).expect("it is covered");
        let text = evidence.to_text();
        assert_eq!(Evidence::parse(&text).as_ref(), Ok(&evidence));
        let proven = evidence.check(&key).expect("nothing was changed");
        assert_eq!(Some(proven.record), ledger.get(sequence).expect("reads"));
        assert_eq!(proven.checkpoint, checkpoint);

        let changed = Evidence { record: [&evidence.record[..], b"!"].concat(), ..evidence.clone() };
        assert!(matches!(refused(&changed), EvidenceError::Proof(_)));
        let mut changed = evidence.clone();
        changed.path[0].0[9] ^= 1;
        assert!(matches!(refused(&changed), EvidenceError::Proof(_)));
        let changed = Evidence { index: 341, ..evidence.clone() };
        assert!(matches!(refused(&changed), EvidenceError::Proof(_)));
        let changed = Evidence { index: (evidence.index + 1) % 341, ..evidence.clone() };
        assert!(matches!(refused(&changed), EvidenceError::Proof(_)));
        let changed =
            Evidence { checkpoint: checkpoint.note.replace("\n341\n", "\n342\n").into(), ..evidence.clone() };
        assert!(matches!(refused(&changed), EvidenceError::Checkpoint(_)));
        for cut in [1, text.len() / 2, text.len() - 1] {
            let cut = Evidence::parse(&text[..cut]);
            assert!(cut.is_err() || cut.is_ok_and(|cut| cut.check(&key).is_err()));
        }
        let longer = Evidence::parse(&format!("{text}\n")).expect("what follows belongs to the note");
        assert!(matches!(refused(&longer), EvidenceError::Checkpoint(_)));
    }
    assert!(ledger.evidence(0, &checkpoint).is_err() && ledger.evidence(342, &checkpoint).is_err());
    let other: VerifierKey = text(ledger_of(&[1]).path(), PUBLIC).trim_end().parse().expect("a key");
    let evidence = ledger.evidence(5, &checkpoint).expect("it is covered");
    assert!(matches!(evidence.check(&other), Err(EvidenceError::Checkpoint(_))));
}

#[test]
fn evidence_for_a_record_that_says_it_is_another_is_refused() {
    // A log can be signed that was never a ledger's: the leaf at place 0 says that it is record 2.
    let dir = ledger_of(&[2]);
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    let mut record = Vec::new();
    ledger.get(2).expect("reads").expect("it is there").encode_canonical(&mut record);
    let key = SigningKey::from_secret("example.com/log", &[3; 32]).expect("a key");
    let signed = SignedCheckpoint::sign(&key, 1, daybook_ledger::merkle::Hash::leaf(&record));
    let evidence = Evidence { record, index: 0, path: Vec::new(), checkpoint: signed.note };
    let error = evidence.check(key.verifier()).expect_err("it is record 2");
    assert_eq!(error, EvidenceError::Sequence { sequence: 2, proven: 1 });
    let noise = SignedCheckpoint::sign(&key, 1, daybook_ledger::merkle::Hash::leaf(b"noise"));
    let evidence = Evidence { record: b"noise".to_vec(), index: 0, path: Vec::new(), checkpoint: noise.note };
    assert!(matches!(evidence.check(key.verifier()), Err(EvidenceError::Record(_))));
}

#[test]
fn checkpoints_and_keys_are_read_by_another_implementation_and_its_are_read_here() {
    let dir = ledger_of(&[30]);
    let (public, note) = (text(dir.path(), PUBLIC), text(dir.path(), LATEST));
    let verifier = signed_note::StandardVerifier::new(public.trim_end()).expect("they read the key");
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let theirs = signed_note::Note::from_bytes(note.as_bytes()).expect("they read the note");
    let (verified, unknown) = theirs.verify(&known).expect("they believe it");
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let stated = tlog_tiles::Checkpoint::from_bytes(theirs.text()).expect("they read the checkpoint");
    let key: VerifierKey = public.trim_end().parse().expect("a key");
    let ours = SignedCheckpoint::open(&note, &key).expect("it is ours").checkpoint;
    assert_eq!((stated.origin(), stated.size()), (&*ours.origin, ours.size));
    assert_eq!(stated.hash().0, ours.root.0);

    let secret = text(dir.path(), KEY);
    let signer = signed_note::StandardSigner::new(secret.trim_end()).expect("they read the signing key");
    let mut theirs = signed_note::Note::new(theirs.text(), &[]).expect("a text");
    theirs.add_sigs(&[&signer]).expect("they sign");
    let note = String::from_utf8(theirs.to_bytes()).expect("text");
    assert_eq!(SignedCheckpoint::open(&note, &key).expect("their signature is believed").checkpoint, ours);
}
