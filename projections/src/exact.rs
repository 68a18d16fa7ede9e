//! How a bare decimal of a projection is written: a string for people, mantissa and scale in canonical bytes.

use daybook_schemas::decimal;
use rust_decimal::Decimal;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Writes a decimal.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(value)
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "a scale is at most 28")]
        (value.mantissa(), value.scale() as u8).serialize(serializer)
    }
}

/// Reads what [`serialize`] wrote.
///
/// # Errors
/// Those of the deserializer, or a sentence that says why the value is no decimal.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Decimal;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a decimal written as a string")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
            decimal::parse(text).map_err(E::custom)
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Text)
    } else {
        let (mantissa, scale) = <(i128, u8)>::deserialize(deserializer)?;
        decimal::from_parts(mantissa, u32::from(scale)).map_err(de::Error::custom)
    }
}

/// The same for a decimal that may be absent.
pub mod option {
    use super::{Decimal, Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Exact(#[serde(with = "super")] Decimal);

    /// Writes a decimal, or nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Exact).serialize(serializer)
    }

    /// Reads what [`serialize`] wrote.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        Ok(Option::<Exact>::deserialize(deserializer)?.map(|exact| exact.0))
    }
}
