//! Numbers of an answer, taken from their digits: no float ever stands between.

use daybook_schemas::decimal;
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// The largest exponent of ten that a number may state, up or down.
const EXPONENT_MAX: i32 = 40;

/// A number, written as a JSON number or as a text that holds one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sync) struct Figure(pub(in crate::sync) Decimal);

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        read(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

/// Reads the JSON of a number, or of a text with a number in it.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(in crate::sync) fn read(json: &str) -> Result<Decimal, String> {
    let text = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
    let Some((digits, exponent)) = text.split_once(['e', 'E']) else { return decimal::parse(text) };
    let refused = || format!("`{}` is not a number that can be kept", decimal::shorten(text));
    let exponent: i32 = exponent.parse().map_err(|_| refused())?;
    if exponent.abs() > EXPONENT_MAX {
        return Err(refused());
    }
    let value = decimal::parse(digits)?;
    let scale = i32::try_from(value.scale()).map_err(|_| refused())? - exponent;
    let (mantissa, scale) = match u32::try_from(scale) {
        Ok(scale) => (Some(value.mantissa()), scale),
        Err(_) => {
            let shift = 10i128.checked_pow(scale.unsigned_abs());
            (shift.and_then(|shift| value.mantissa().checked_mul(shift)), 0)
        }
    };
    mantissa.and_then(|mantissa| decimal::from_parts(mantissa, scale).ok()).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_keeps_its_digits_however_it_is_written() {
        for (json, value) in [
            ("411.230011", "411.230011"),
            ("\"209.7500\"", "209.75"),
            ("1.5e-7", "0.00000015"),
            ("12E3", "12000"),
            ("-1.25e1", "-12.5"),
            ("23.119285583496094", "23.119285583496094"),
            ("85998033", "85998033"),
            ("0e9", "0"),
        ] {
            assert_eq!(read(json).unwrap().to_string(), value, "{json}");
        }
        let row: (Figure, Option<Figure>) = serde_json::from_str("[0.1, null]").unwrap();
        assert_eq!(row, (Figure(Decimal::new(1, 1)), None));
    }

    #[test]
    fn what_no_decimal_holds_is_refused_and_never_rounded() {
        for json in [
            "1e41",
            "1e-29",
            "1.2345678901234567890123456789012",
            "79228162514264337593543950336",
            "1e29",
            "NaN",
            "null",
            "\"\"",
            "\"1,5\"",
            "true",
            "1e",
            "e5",
            "\"",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_a_refusal(text in "[\"0-9eE+.-]{0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn an_exponent_is_but_another_way_to_write_the_number(mantissa in -1_000_000_000i64..1_000_000_000, exponent in -10i32..10) {
            let plain = decimal::multiply_divide(
                mantissa.into(),
                Decimal::from(10i64.pow(u32::try_from(exponent.max(0)).unwrap())),
                Decimal::from(10i64.pow(u32::try_from((-exponent).max(0)).unwrap())),
                28 - 9,
            ).unwrap();
            prop_assert_eq!(read(&format!("{mantissa}e{exponent}")).unwrap(), plain);
        }
    }
}
