//! Currencies by their code: ISO 4217, and the crypto assets that accounts hold as cash.

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A currency's code, such as `USD`.
///
/// What a person writes goes through [`Currency::parse`], which accepts known codes only. What a record holds is
/// read by its form alone, so that a code that is withdrawn one day leaves old records readable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; Currency::LENGTH_MAX]);

/// Known codes and the digits after the point that their amounts are shown with.
const KNOWN: &[(&str, u32)] = &[
    ("AED", 2),
    ("AFN", 2),
    ("ALL", 2),
    ("AMD", 2),
    ("AOA", 2),
    ("ARS", 2),
    ("AUD", 2),
    ("AWG", 2),
    ("AZN", 2),
    ("BAM", 2),
    ("BBD", 2),
    ("BDT", 2),
    ("BGN", 2),
    ("BHD", 3),
    ("BIF", 0),
    ("BMD", 2),
    ("BND", 2),
    ("BOB", 2),
    ("BRL", 2),
    ("BSD", 2),
    ("BTN", 2),
    ("BWP", 2),
    ("BYN", 2),
    ("BZD", 2),
    ("CAD", 2),
    ("CDF", 2),
    ("CHF", 2),
    ("CLP", 0),
    ("CNH", 2),
    ("CNY", 2),
    ("COP", 2),
    ("CRC", 2),
    ("CUP", 2),
    ("CVE", 2),
    ("CZK", 2),
    ("DJF", 0),
    ("DKK", 2),
    ("DOP", 2),
    ("DZD", 2),
    ("EGP", 2),
    ("ERN", 2),
    ("ETB", 2),
    ("EUR", 2),
    ("FJD", 2),
    ("FKP", 2),
    ("GBP", 2),
    ("GEL", 2),
    ("GHS", 2),
    ("GIP", 2),
    ("GMD", 2),
    ("GNF", 0),
    ("GTQ", 2),
    ("GYD", 2),
    ("HKD", 2),
    ("HNL", 2),
    ("HRK", 2),
    ("HTG", 2),
    ("HUF", 2),
    ("IDR", 2),
    ("ILS", 2),
    ("INR", 2),
    ("IQD", 3),
    ("IRR", 2),
    ("ISK", 0),
    ("JMD", 2),
    ("JOD", 3),
    ("JPY", 0),
    ("KES", 2),
    ("KGS", 2),
    ("KHR", 2),
    ("KMF", 0),
    ("KPW", 2),
    ("KRW", 0),
    ("KWD", 3),
    ("KYD", 2),
    ("KZT", 2),
    ("LAK", 2),
    ("LBP", 2),
    ("LKR", 2),
    ("LRD", 2),
    ("LSL", 2),
    ("LYD", 3),
    ("MAD", 2),
    ("MDL", 2),
    ("MGA", 2),
    ("MKD", 2),
    ("MMK", 2),
    ("MNT", 2),
    ("MOP", 2),
    ("MRU", 2),
    ("MUR", 2),
    ("MVR", 2),
    ("MWK", 2),
    ("MXN", 2),
    ("MYR", 2),
    ("MZN", 2),
    ("NAD", 2),
    ("NGN", 2),
    ("NIO", 2),
    ("NOK", 2),
    ("NPR", 2),
    ("NZD", 2),
    ("OMR", 3),
    ("PAB", 2),
    ("PEN", 2),
    ("PGK", 2),
    ("PHP", 2),
    ("PKR", 2),
    ("PLN", 2),
    ("PYG", 0),
    ("QAR", 2),
    ("RON", 2),
    ("RSD", 2),
    ("RUB", 2),
    ("RWF", 0),
    ("SAR", 2),
    ("SBD", 2),
    ("SCR", 2),
    ("SDG", 2),
    ("SEK", 2),
    ("SGD", 2),
    ("SHP", 2),
    ("SLE", 2),
    ("SOS", 2),
    ("SRD", 2),
    ("SSP", 2),
    ("STN", 2),
    ("SVC", 2),
    ("SYP", 2),
    ("SZL", 2),
    ("THB", 2),
    ("TJS", 2),
    ("TMT", 2),
    ("TND", 3),
    ("TOP", 2),
    ("TRY", 2),
    ("TTD", 2),
    ("TWD", 2),
    ("TZS", 2),
    ("UAH", 2),
    ("UGX", 0),
    ("USD", 2),
    ("UYU", 2),
    ("UZS", 2),
    ("VED", 2),
    ("VES", 2),
    ("VND", 0),
    ("VUV", 0),
    ("WST", 2),
    ("XAF", 0),
    ("XCD", 2),
    ("XCG", 2),
    ("XOF", 0),
    ("XPF", 0),
    ("YER", 2),
    ("ZAR", 2),
    ("ZMW", 2),
    ("ZWG", 2),
    // crypto assets in which accounts are kept and pairs are quoted
    ("BTC", 8),
    ("ETH", 18),
    ("USDC", 6),
    ("USDT", 6),
    ("DAI", 18),
    ("LTC", 8),
    ("BCH", 8),
    ("SOL", 9),
    ("DOGE", 8),
];

impl Currency {
    const LENGTH_MAX: usize = 8;

    /// The United States dollar.
    pub const USD: Self = Self(*b"USD\0\0\0\0\0");

    /// Reads a known code; case does not matter.
    ///
    /// # Errors
    /// A sentence that says the currency does not exist.
    pub fn parse(text: &str) -> Result<Self, String> {
        let code = text.to_ascii_uppercase();
        if KNOWN.iter().any(|(known, _)| *known == code) {
            return Self::from_code(&code).ok_or_else(|| format!("`{code}` is not a currency code"));
        }
        Err(format!(
            "`{}` is not a currency: write its ISO 4217 code, such as USD",
            crate::decimal::shorten(text)
        ))
    }

    /// A code by its form alone: two to eight capital letters or digits.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        let formed = (2..=Self::LENGTH_MAX).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        formed.then(|| {
            let mut bytes = [0; Self::LENGTH_MAX];
            bytes[..code.len()].copy_from_slice(code.as_bytes());
            Self(bytes)
        })
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::LENGTH_MAX);
        std::str::from_utf8(&self.0[..length]).expect("a code is made of ASCII letters and digits")
    }

    /// The codes that [`parse`](Self::parse) takes, in capital letters.
    pub fn known() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(code, _)| *code)
    }

    /// Digits after the point that amounts are shown with: 2 for dollars, 0 for yen.
    #[must_use]
    pub fn places(&self) -> u32 {
        KNOWN.iter().find(|(known, _)| *known == self.as_str()).map_or(2, |(_, places)| *places)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;
        impl Visitor<'_> for Code {
            type Value = Currency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a currency code, such as \"USD\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Currency, E> {
                Currency::from_code(text)
                    .ok_or_else(|| E::custom("a currency code is two to eight capitals or digits"))
            }
        }
        deserializer.deserialize_str(Code)
    }
}

impl schemars::JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z0-9]{2,8}$", "description": "A currency's code" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_that_does_not_exist_is_refused_by_name() {
        assert_eq!(Currency::parse("usd"), Ok(Currency::USD));
        assert!(Currency::parse("USX").unwrap_err().contains("`USX` is not a currency"));
        assert!(Currency::parse("").is_err());
    }

    #[test]
    fn every_known_code_has_the_form_of_a_code_and_stands_once() {
        for (index, (code, _)) in KNOWN.iter().enumerate() {
            assert!(Currency::from_code(code).is_some(), "{code}");
            assert!(!KNOWN[..index].iter().any(|(other, _)| other == code), "{code} stands twice");
        }
    }
}
