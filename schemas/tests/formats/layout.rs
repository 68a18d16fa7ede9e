//! The examples in the written layouts, held against the code.

use crate::{from_hex, path};
use daybook_schemas::events::{Event, PriceTick, TickKind};
use daybook_schemas::{
    AdvisorId, CODEC_BINCODE, Currency, InstrumentId, KeyId, KeyRing, PartyId, Price, Quantity,
};

/// The bytes in the first column of the worked example's table, in order.
fn worked_example() -> Vec<u8> {
    let text = std::fs::read_to_string(path("formats/payload.md")).unwrap();
    let (_, example) = text.split_once("## A worked example").unwrap();
    let rows = example.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.flat_map(|(bytes, _)| from_hex(&bytes.replace(' ', ""))).collect()
}

#[test]
fn the_worked_example_is_what_the_codec_writes_and_reads() {
    let event = Event::PriceTick(PriceTick {
        instrument: InstrumentId::from_bytes([0x33; 16]),
        price: Price::parse("187.235").unwrap(),
        currency: Currency::USD,
        size: Some(Quantity::parse("-100").unwrap()),
        kind: TickKind::Other("last look".into()),
    });
    assert_eq!(event.encode().unwrap(), worked_example());
    assert_eq!(Event::decode(201, 1, CODEC_BINCODE, &worked_example()), Ok(event));
}

#[test]
fn the_id_in_the_worked_example_is_written_as_its_text() {
    let text = std::fs::read_to_string(path("formats/payload.md")).unwrap();
    assert!(text.contains(&format!("the id, `{}` as text", InstrumentId::from_bytes([0x33; 16]))));
}

#[test]
fn the_key_file_in_the_written_format_is_read_and_written_so() {
    let text = std::fs::read_to_string(path("formats/keys.md")).unwrap();
    let file: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let keys = [
        (KeyId::Advisor(AdvisorId::from_bytes([0x55; 16])), [3; 64]),
        (KeyId::Party(PartyId::from_bytes([0x44; 16])), [2; 64]),
    ];
    let mut ring = KeyRing::default();
    let mut lines = vec![KeyRing::HEADER.to_owned()];
    for (id, key) in keys {
        ring.insert(id, key);
        lines.push(KeyRing::line(id, &key));
    }
    assert_eq!(file, lines);
    assert_eq!(KeyRing::parse(&file.join("\n")), Ok(ring));
}
