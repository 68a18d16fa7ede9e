//! The payload of every event, byte by byte as it was first written.

use crate::examples::{self, PORTFOLIO, of_portfolio};
use crate::{BLESS, from_hex, kept, to_hex};
use daybook_schemas::events::{Calendar, Event, EventType, LotMethod, PortfolioOpened};
use daybook_schemas::{CODEC_BINCODE, CodecError, Currency, Zone, codec};
use proptest::prelude::*;
use serde_json::{Value, json};

const FILE: &str = "golden/events.json";

/// An event, and the payload that it must have for ever.
struct Golden {
    name: String,
    event: Event,
    version: u16,
    payload: Vec<u8>,
}

impl Golden {
    fn today(how: &str, event: Event) -> Self {
        let event_type = event.event_type();
        let payload = event.encode().unwrap();
        Self {
            name: format!("{}: {how}", event_type.name()),
            event,
            version: event_type.schema_version(),
            payload,
        }
    }

    fn line(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.event.event_type().id(),
            "version": self.version,
            "codec": CODEC_BINCODE,
            "payload": to_hex(&self.payload),
            "json": self.event.to_json().unwrap(),
        })
    }
}

/// The event without anything that may be left out: optional fields absent, lists empty.
fn bare(event: &Event) -> Event {
    fn strip(value: &mut Value, schema: &Value, definitions: &Value) {
        let Value::Object(fields) = value else { return };
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        fields.retain(|name, _| required.iter().any(|required| required == name));
        for (name, field) in fields {
            match field {
                Value::Array(elements) => elements.clear(),
                _ if name == "entry" => strip(field, &definitions["Entry"], definitions),
                _ => {}
            }
        }
    }
    let schema = event.event_type().json_schema().to_value();
    let mut payload = event.to_json().unwrap();
    strip(&mut payload, &schema, &schema["$defs"]);
    Event::from_json(event.event_type(), payload).unwrap()
}

/// What `PortfolioOpened` was before portfolios had a calendar; it is read as one that runs on weekdays.
fn portfolio_opened_v1() -> Golden {
    let (name, zone) = (of_portfolio("Retirement"), Zone::NEW_YORK);
    let payload = codec::encode(&(PORTFOLIO, &name, Currency::USD, zone, LotMethod::Fifo)).unwrap();
    let event = Event::PortfolioOpened(PortfolioOpened {
        portfolio: PORTFOLIO,
        name,
        base_currency: Currency::USD,
        zone,
        lot_method: LotMethod::Fifo,
        calendar: Calendar::Weekdays,
    });
    Golden { name: "PortfolioOpened: version 1".to_owned(), event, version: 1, payload }
}

fn goldens() -> Vec<Golden> {
    let mut all = Vec::new();
    for event in examples::examples() {
        let bare = bare(&event);
        if event.event_type() == EventType::PortfolioOpened {
            all.push(portfolio_opened_v1());
        }
        let differs = bare != event;
        all.push(Golden::today("everything", event));
        if differs {
            all.push(Golden::today("nothing that may be left out", bare));
        }
    }
    all
}

/// One golden a line, so that a difference is read as a line.
fn file() -> String {
    let lines: Vec<String> = goldens().iter().map(|golden| golden.line().to_string()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn stored() -> Vec<Value> {
    serde_json::from_str::<Vec<Value>>(&kept(FILE, &file())).unwrap()
}

fn number(value: &Value) -> u16 {
    u16::try_from(value.as_u64().unwrap()).unwrap()
}

fn decode(golden: &Value, payload: &[u8]) -> Result<Event, CodecError> {
    let codec_id = u8::try_from(number(&golden["codec"])).unwrap();
    Event::decode(number(&golden["type"]), number(&golden["version"]), codec_id, payload)
}

fn payload(golden: &Value) -> Vec<u8> {
    from_hex(golden["payload"].as_str().unwrap())
}

#[test]
fn every_event_is_written_to_the_bytes_that_were_kept() {
    let (stored, fresh) = (stored(), goldens());
    for (golden, stored) in fresh.iter().zip(&stored) {
        assert_eq!(golden.line(), *stored, "{}: {BLESS}", golden.name);
    }
    assert_eq!(fresh.len(), stored.len(), "goldens came or went: {BLESS}");
}

#[test]
fn the_bytes_that_were_kept_are_read_as_the_events_they_were() {
    let (stored, fresh) = (stored(), goldens());
    assert_eq!(fresh.len(), stored.len(), "goldens came or went: {BLESS}");
    for (golden, stored) in fresh.iter().zip(&stored) {
        assert_eq!(decode(stored, &payload(stored)).as_ref(), Ok(&golden.event), "{}", golden.name);
    }
}

#[test]
fn the_json_that_was_kept_is_the_event_in_both_directions() {
    for stored in stored() {
        let event = decode(&stored, &payload(&stored)).unwrap();
        assert_eq!(event.to_json().unwrap(), stored["json"], "{}", stored["name"]);
        let read = Event::from_json(event.event_type(), stored["json"].clone()).unwrap();
        assert_eq!(read, event, "{}", stored["name"]);
    }
}

#[test]
fn every_type_and_every_schema_version_has_a_golden() {
    let stored = stored();
    for event_type in EventType::ALL {
        for version in 1..=event_type.schema_version() {
            let kept = stored.iter().any(|golden| {
                number(&golden["type"]) == event_type.id() && number(&golden["version"]) == version
            });
            assert!(kept, "{} version {version} has no golden", event_type.name());
        }
    }
}

#[test]
fn every_optional_field_is_present_in_an_example() {
    fn absent(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Null => found.push(at.to_owned()),
            Value::Array(elements) if elements.is_empty() => found.push(at.to_owned()),
            Value::Object(fields) => {
                for (name, field) in fields {
                    absent(field, &format!("{at}.{name}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for event in examples::examples() {
        absent(&event.to_json().unwrap(), event.event_type().name(), &mut found);
    }
    assert_eq!(found, Vec::<String>::new(), "the example of an event leaves these out");
}

#[test]
fn a_payload_that_is_cut_short_or_followed_by_more_is_refused() {
    for golden in stored() {
        let whole = payload(&golden);
        for length in 0..whole.len() {
            let cut = decode(&golden, &whole[..length]);
            assert!(
                matches!(cut, Err(CodecError::Malformed(_))),
                "{} cut to {length}: {cut:?}",
                golden["name"]
            );
        }
        for more in [&[0][..], &[1, 2, 3]] {
            let longer = [&whole, more].concat();
            assert_eq!(decode(&golden, &longer), Err(CodecError::Trailing(more.len())), "{}", golden["name"]);
        }
    }
}

#[test]
fn types_versions_and_codecs_that_are_not_known_are_refused_by_name() {
    let id = EventType::PortfolioOpened.id();
    assert_eq!(Event::decode(9_999, 1, CODEC_BINCODE, &[]), Err(CodecError::UnknownType(9_999)));
    assert_eq!(Event::decode(id, 2, 7, &[]), Err(CodecError::UnknownCodec(7)));
    for version in [0, 3] {
        let expected = CodecError::UnknownVersion { name: "PortfolioOpened", version };
        assert_eq!(Event::decode(id, version, CODEC_BINCODE, &[]), Err(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flipped_bits_never_panic_and_what_still_reads_is_what_would_be_written(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4)
    ) {
        for golden in stored() {
            let mut bytes = payload(&golden);
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            let Ok(event) = decode(&golden, &bytes) else { continue };
            // What was read can be shown, whatever it says.
            let _ = (format!("{event:?}"), event.to_json().unwrap().to_string());
            if number(&golden["version"]) == event.event_type().schema_version() {
                prop_assert_eq!(to_hex(&event.encode().unwrap()), to_hex(&bytes), "{}", golden["name"]);
            }
        }
    }
}
