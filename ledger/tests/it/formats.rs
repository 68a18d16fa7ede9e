//! Whatever records there are, a body gives their canonical bytes back; whatever bytes there are, reading them
//! ends in an answer.

use std::ops::ControlFlow;
use std::sync::Arc;

use daybook_ledger::Record;
use daybook_ledger::frame::{
    Body, BodyBuilder, CommitTail, FRAME_HEADER_BYTES, FrameHeader, close_frame, open_frame,
};
use proptest::prelude::*;

fn record() -> impl Strategy<Value = Record> {
    let names = ("[a-z]{1,3}|.{1,40}", "[ab]|.{1,60}", "[ab]|.{1,60}");
    let numbers = (any::<u16>(), any::<u16>(), any::<u8>(), any::<i64>());
    let rest = (
        prop::option::of(".{1,100}"),
        any::<[u8; 32]>(),
        any::<bool>(),
        prop::option::of(any::<[u8; 16]>()),
        prop::option::of(any::<[u8; 16]>()),
        prop::collection::vec(any::<u8>(), 0..300),
    );
    (names, numbers, rest).prop_map(|(names, numbers, rest)| {
        let (type_id, schema_version, codec, occurred_at) = numbers;
        let (key, own, derived, import, correlation, payload) = rest;
        let hash = daybook_ledger::record::derived_content_hash(type_id, schema_version, codec, &payload);
        Record {
            sequence: 0,
            stream: Arc::from(names.0),
            version: 0,
            type_id,
            schema_version,
            codec,
            occurred_at,
            recorded_at: 0,
            actor: Arc::from(names.1),
            source: Arc::from(names.2),
            key: key.map(Into::into),
            content_hash: if derived { hash } else { own },
            import,
            correlation,
            payload: payload.into(),
        }
    })
}

/// Records of a few commits, numbered as a ledger would.
fn commits() -> impl Strategy<Value = Vec<(i64, Vec<Record>)>> {
    let commit = (any::<i64>(), prop::collection::vec(record(), 1..6));
    (1..u64::from(u32::MAX), prop::collection::vec(commit, 1..5)).prop_map(|(first, mut commits)| {
        let mut versions = std::collections::BTreeMap::<Arc<str>, u64>::new();
        let mut next = first;
        for (recorded_at, records) in &mut commits {
            for record in records {
                record.sequence = next;
                next += 1;
                record.recorded_at = *recorded_at;
                let version = versions.entry(record.stream.clone()).or_insert(first % 7);
                *version += 1;
                record.version = *version;
            }
        }
        commits
    })
}

fn build(commits: &[(i64, Vec<Record>)]) -> BodyBuilder {
    let first = commits[0].1[0].sequence;
    let mut builder = BodyBuilder::new(first);
    for (place, (recorded_at, records)) in commits.iter().enumerate() {
        for record in records {
            builder.push(&record.view()).expect("it follows on");
        }
        let hash = [7; 32];
        let tail = CommitTail {
            cursors: vec![("source", b"to")],
            key: (place % 2 == 0).then_some(("commit key", &hash)),
            known: vec![(3, 4)],
        };
        builder.end_part(0, 0, *recorded_at, &tail);
    }
    builder
}

fn read(bytes: &[u8]) -> Option<Vec<Record>> {
    let body = Body::parse(bytes).ok()?;
    let mut records = Vec::new();
    let _ = body
        .visit(0, u64::MAX, |record| {
            records.push(record.to_owned());
            ControlFlow::Continue(())
        })
        .ok()?;
    Some(records)
}

proptest! {
    #[test]
    fn a_body_gives_canonical_bytes_back(commits in commits()) {
        let mut bytes = Vec::new();
        let builder = build(&commits);
        builder.encode(&mut bytes);
        prop_assert!(bytes.len() <= builder.bytes_max());
        let all: Vec<&Record> = commits.iter().flat_map(|(_, records)| records).collect();
        let found = read(&bytes).expect("it was just written");
        prop_assert_eq!(found.len(), all.len());
        for (found, given) in found.iter().zip(all) {
            let (mut of_found, mut of_given) = (Vec::new(), Vec::new());
            found.encode_canonical(&mut of_found);
            given.encode_canonical(&mut of_given);
            prop_assert_eq!(of_found.len(), given.view().canonical_bytes());
            prop_assert_eq!(of_found, of_given);
        }
        let body = Body::parse(&bytes).expect("it was just written");
        prop_assert_eq!(body.parts().len(), commits.len());
        for (part, (recorded_at, records)) in body.parts().iter().zip(&commits) {
            prop_assert_eq!(part.recorded_at, *recorded_at);
            prop_assert_eq!(part.records as usize, records.len());
            let tail = part.tail.as_ref().expect("whole commits end where they stand");
            prop_assert_eq!(&tail.cursors, &vec![("source", &b"to"[..])]);
            prop_assert_eq!(&tail.known, &vec![(3, 4)]);
        }
    }

    #[test]
    fn canonical_bytes_give_the_record_back(commits in commits()) {
        for record in commits.iter().flat_map(|(_, records)| records) {
            let mut bytes = Vec::new();
            record.encode_canonical(&mut bytes);
            prop_assert_eq!(&Record::decode_canonical(&bytes).expect("it was just written"), record);
        }
    }

    #[test]
    fn a_body_with_any_byte_changed_is_read_or_refused_but_never_a_panic(
        commits in commits(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = Vec::new();
        build(&commits).encode(&mut bytes);
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        drop(read(&bytes));
    }

    #[test]
    fn any_bytes_are_read_or_refused_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(read(&bytes));
        drop(Record::decode_canonical(&bytes));
        if let Some(header) = FrameHeader::parse(&bytes) {
            let _ = header.check(&bytes);
        }
        let mut as_body = bytes;
        if let Some(first) = as_body.first_mut() {
            *first = 1;
        }
        drop(read(&as_body));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_found(commits in commits()) {
        let mut frame = Vec::new();
        open_frame(&mut frame);
        let builder = build(&commits);
        builder.encode(&mut frame);
        let first = commits[0].1[0].sequence;
        close_frame(&mut frame, 99, first, builder.count()).expect("it is small");
        let whole = FrameHeader::parse(&frame).expect("it was just written");
        prop_assert_eq!(whole.first_sequence, first);
        prop_assert!(whole.check(&frame).is_some());
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = FrameHeader::parse(&flipped).is_none_or(|header| {
                flipped.len() < header.frame_bytes() || header.check(&flipped[..header.frame_bytes()]).is_none()
            });
            prop_assert!(found, "bit {} of {} (header {})", bit, frame.len() * 8, FRAME_HEADER_BYTES * 8);
        }
    }
}
