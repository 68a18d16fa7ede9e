//! One activity as Alpaca writes it: its fields by name, numbers exact, and what it is recognised by.

use crate::importers::identity;
use daybook_schemas::events::QuarantineReason;
use daybook_schemas::{Day, Timestamp, decimal};
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// The most characters of a text that names something.
const TEXT_CHARS_MAX: usize = 200;

pub(super) use crate::importers::kept::Aside;

/// An activity of a type lacks a field.
pub(super) fn missing(field: &'static str, activity_type: &str) -> Aside {
    Aside::missing(field, &format!("an activity of the type `{activity_type}`"))
}

fn bad(field: &'static str, detail: impl Into<String>) -> Aside {
    Aside::new(QuarantineReason::BadField, field, detail)
}

/// The fields of an object as they stand. A field that stands twice is none: nobody can say which of them holds.
struct Fields<'r>(BTreeMap<String, &'r RawValue>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an activity, which is a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if fields.contains_key(&name) {
                        let name = decimal::shorten(&name);
                        return Err(A::Error::custom(format!("the field `{name}` stands twice")));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// An activity, read as far as its fields can be told apart.
pub(super) struct Activity<'r> {
    fields: BTreeMap<String, &'r RawValue>,
}

impl<'r> Activity<'r> {
    /// Reads the fields of a row.
    pub(super) fn read(row: &'r str) -> Result<Self, Aside> {
        let fields: Fields<'r> = serde_json::from_str(row).map_err(|error| {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let text = error.to_string();
            Aside::of_row(format!("the row cannot be read: {}", text.strip_suffix(&place).unwrap_or(&text)))
        })?;
        Ok(Self { fields: fields.0 })
    }

    /// A field that is there and not null.
    fn raw(&self, name: &str) -> Option<&'r str> {
        self.fields.get(name).map(|value| value.get()).filter(|text| *text != "null")
    }

    /// A text; an empty one says nothing.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Aside> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let text: String = serde_json::from_str(raw)
            .map_err(|_| bad(name, format!("`{}` is not a text", decimal::shorten(raw))))?;
        let text = text.trim();
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err(bad(name, format!("the text is longer than {TEXT_CHARS_MAX} characters")));
        }
        // A name that was damaged on its way is another name.
        if text.contains(|letter: char| letter.is_control() || letter == char::REPLACEMENT_CHARACTER) {
            let text = decimal::shorten(text);
            return Err(bad(name, format!("`{text}` holds characters that no name has")));
        }
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    /// A number, exactly as it is written, whether as a text or as a JSON number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<Decimal>, Aside> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let text = if raw.starts_with('"') {
            serde_json::from_str(raw)
                .map_err(|_| bad(name, format!("`{}` is not a number", decimal::shorten(raw))))?
        } else {
            raw.to_owned()
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        number(text).map(Some).map_err(|detail| bad(name, detail))
    }

    /// An instant.
    pub(super) fn instant(&self, name: &'static str) -> Result<Option<Timestamp>, Aside> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        Timestamp::parse(&text).map(Some).map_err(|error| bad(name, error.to_string()))
    }

    /// A day, written as one or as an instant on it.
    pub(super) fn day(&self, name: &'static str) -> Result<Option<Day>, Aside> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let day = match text.split_once(['T', ' ']) {
            // The day that is written is meant, whatever the offset.
            Some((day, _)) => Timestamp::parse(&text).and_then(|_| Day::parse(day)),
            None => Day::parse(&text),
        };
        day.map(Some).map_err(|error| bad(name, error.to_string()))
    }

    /// The hash of all that the row says, whatever the order of its fields and the space between them: it recognises
    /// a row that could not be understood.
    pub(super) fn whole(&self) -> [u8; 32] {
        let said: Vec<(&str, String)> = self
            .fields
            .iter()
            .filter(|(_, value)| value.get() != "null")
            .map(|(name, value)| (name.as_str(), normal(value.get())))
            .collect();
        identity::content(said.iter().map(|(name, text)| (*name, text.as_str())))
    }
}

/// A value in a form that is the same however it was written.
fn normal(raw: &str) -> String {
    if let Ok(text) = serde_json::from_str::<String>(raw) {
        return number(text.trim()).map_or(text, |number| number.normalize().to_string());
    }
    number(raw).map_or_else(|_| raw.to_owned(), |number| number.normalize().to_string())
}

/// Reads a number with an optional exponent, exactly.
pub(super) fn number(text: &str) -> Result<Decimal, String> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return decimal::parse(text) };
    let no_number = || format!("`{}` is not a number", decimal::shorten(text));
    let too_long = || {
        format!(
            "`{}` has more digits than a decimal holds (28 significant, 28 after the point)",
            decimal::shorten(text)
        )
    };
    let value = decimal::parse(mantissa)?;
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_number());
    }
    if value.is_zero() {
        return Ok(Decimal::ZERO);
    }
    // No decimal reaches as far as an exponent of more than two digits.
    let digits = digits.trim_start_matches('0');
    if digits.len() > 2 {
        return Err(too_long());
    }
    let places: u32 = digits.parse().unwrap_or(0);
    if exponent.starts_with('-') {
        return decimal::from_parts(value.mantissa(), value.scale() + places).map_err(|_| too_long());
    }
    let scale = value.scale();
    if places <= scale {
        return decimal::from_parts(value.mantissa(), scale - places).map_err(|_| too_long());
    }
    let shifted = 10i128.checked_pow(places - scale).and_then(|shift| value.mantissa().checked_mul(shift));
    shifted.and_then(|shifted| decimal::from_parts(shifted, 0).ok()).ok_or_else(too_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        for (text, value) in [
            ("174.78", "174.78"),
            ("-0.000195", "-0.000195"),
            ("1e2", "100"),
            ("1.50E-3", "0.0015"),
            ("12.5e1", "125"),
            ("1e-28", "0.0000000000000000000000000001"),
            ("1.00e+00", "1"),
            ("0e999999999999999999999", "0"),
            ("1e00000000000", "1"),
            ("1234567890123456789012345678", "1234567890123456789012345678"),
        ] {
            assert_eq!(number(text).unwrap().normalize().to_string(), value, "{text}");
        }
        for bad in [
            "",
            "e1",
            "1e",
            "1e+",
            "1e400",
            "1e4294967296",
            "1e99999999999999999999",
            "1e-29",
            "123456789012345678901234567890",
            "0x1",
            "NaN",
            "1,5",
            "1e1.5",
        ] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_is_the_same_as_text_and_as_number_and_null_is_absent() {
        let row = Activity::read(r#"{"a":"1.50","b":1.5,"c":null,"d":"","e":true,"f":15e-1}"#).unwrap();
        let number = |name| row.number(name).unwrap().map(|number| number.normalize().to_string());
        assert_eq!(number("a"), Some("1.5".to_owned()));
        assert_eq!(number("a"), number("b"));
        assert_eq!(number("a"), number("f"));
        assert_eq!((number("c"), number("d"), number("z")), (None, None, None));
        assert_eq!(row.number("e").unwrap_err().column, Some("e"));
        assert!(row.text("b").is_err());
    }

    #[test]
    fn what_a_row_says_does_not_depend_on_how_it_is_written() {
        let of = |row: &str| Activity::read(row).unwrap().whole();
        let first = of(r#"{"a":"1.50","b":"x"}"#);
        assert_eq!(first, of("{ \"b\" : \"\\u0078\",\n \"a\":1.5, \"c\":null}"));
        assert_ne!(first, of(r#"{"a":"1.51","b":"x"}"#));
        assert_ne!(first, of(r#"{"a":"1.50","b":"x","c":"y"}"#));
    }

    #[test]
    fn a_field_that_stands_twice_or_a_row_that_is_no_object_is_refused() {
        let refused = |row: &str| Activity::read(row).map(|_| ()).unwrap_err().detail;
        assert!(refused(r#"{"qty":"1","qty":"2"}"#).contains("`qty` stands twice"));
        assert!(refused("[1]").contains("JSON object"));
        assert!(refused("{").contains("cannot be read"));
    }
}
