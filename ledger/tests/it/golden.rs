//! The canonical bytes of a record never change.

use std::path::PathBuf;
use std::sync::Arc;

use daybook_ledger::{Record, RecordError};

/// The golden file: a line each, a name and the bytes in hexadecimal.
fn golden() -> Vec<(String, Vec<u8>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/golden/record-v1.hex");
    let text = std::fs::read_to_string(&path).expect("the golden file is there");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, hex) = line.split_once(' ').expect("a name and bytes");
            let bytes = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
                .collect();
            (name.to_owned(), bytes)
        })
        .collect()
}

fn records() -> Vec<(&'static str, Record)> {
    let least = Record {
        sequence: 1,
        stream: Arc::from("s"),
        version: 1,
        type_id: 0,
        schema_version: 0,
        codec: 0,
        occurred_at: 0,
        recorded_at: 0,
        actor: Arc::from("a"),
        source: Arc::from("o"),
        key: None,
        content_hash: [0; 32],
        import: None,
        correlation: None,
        payload: Box::default(),
    };
    let full = Record {
        sequence: 0x0102_0304_0506_0708,
        stream: Arc::from("portfolio-0190d6a2"),
        version: 0x1112_1314_1516_1718,
        type_id: 0x2122,
        schema_version: 0x3132,
        codec: 0x41,
        occurred_at: 1_700_000_000_123_456_789,
        recorded_at: 1_700_000_001_987_654_321,
        actor: Arc::from("advisor-7"),
        source: Arc::from("import:schwab"),
        key: Some("schwab:2024-01-02:1".into()),
        content_hash: std::array::from_fn(|at| u8::try_from(at).expect("below 32") + 0x80),
        import: Some([0x51; 16]),
        correlation: Some([0x61; 16]),
        payload: Box::from(&b"\x00\x01\xfe\xffpayload"[..]),
    };
    let derived = Record {
        content_hash: daybook_ledger::record::derived_content_hash(3, 1, 1, b"tick"),
        type_id: 3,
        schema_version: 1,
        codec: 1,
        payload: Box::from(&b"tick"[..]),
        ..least.clone()
    };
    let before_1970 = Record { occurred_at: i64::MIN, recorded_at: -1, ..least.clone() };
    let no_ascii = Record { stream: Arc::from("größe-Ω"), key: Some("ключ".into()), ..least.clone() };
    let with_import = Record { import: Some([1; 16]), ..least.clone() };
    let with_correlation = Record { correlation: Some([2; 16]), ..least.clone() };
    vec![
        ("least", least),
        ("full", full),
        ("derived-content-hash", derived),
        ("before-1970", before_1970),
        ("not-ascii", no_ascii),
        ("import", with_import),
        ("correlation", with_correlation),
    ]
}

#[test]
fn canonical_bytes_are_the_golden_ones_and_read_back() {
    let golden = golden();
    let records = records();
    assert_eq!(golden.len(), records.len());
    for ((name, record), (golden_name, bytes)) in records.into_iter().zip(golden) {
        assert_eq!(name, golden_name);
        let mut encoded = Vec::new();
        record.encode_canonical(&mut encoded);
        let hex: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(encoded == bytes, "{name} has changed; it is now {hex}");
        assert_eq!(Record::decode_canonical(&bytes), Ok(record), "{name}");
    }
}

#[test]
fn canonical_bytes_cut_anywhere_or_with_more_behind_are_refused() {
    for (name, bytes) in golden() {
        for cut in 0..bytes.len() {
            assert!(Record::decode_canonical(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Record::decode_canonical(&longer), Err(RecordError::Trailing(1)), "{name}");
    }
}

#[test]
fn every_flipped_bit_of_canonical_bytes_makes_another_record_or_none() {
    for (name, bytes) in golden() {
        let original = Record::decode_canonical(&bytes).expect("golden");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(record) = Record::decode_canonical(&flipped) {
                assert_ne!(record, original, "{name}, bit {bit}");
                let mut again = Vec::new();
                record.encode_canonical(&mut again);
                assert_eq!(again, flipped, "{name}, bit {bit}: one record has one encoding");
            }
        }
    }
}
