//! Decimal quantities that cannot be confused: money, prices, quantities, ratios, rates.
//!
//! Each is normalised when it is made (no trailing zeros, no negative zero), so that equal values are equal bytes.
//! In JSON a decimal is a string; in a payload it is its mantissa and its scale.

use crate::decimal::ArithmeticError;
use crate::{Currency, decimal};
use rust_decimal::Decimal;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Writes a decimal: a string for people, mantissa and scale for payloads.
pub(crate) fn serialize_decimal<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(value)
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "a scale is at most 28")]
        (value.mantissa(), value.scale() as u8).serialize(serializer)
    }
}

/// Reads what [`serialize_decimal`] wrote, in normal form; in JSON only strings, because a JSON number may have been a float.
pub(crate) fn deserialize_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Decimal;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a decimal written as a string, such as \"12.50\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
            decimal::parse(text).map_err(E::custom)
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Text)
    } else {
        let (mantissa, scale) = <(i128, u8)>::deserialize(deserializer)?;
        decimal::from_normal_parts(mantissa, scale)
            .ok_or_else(|| de::Error::custom("a decimal that is not in its normal form"))
    }
}

/// A decimal as a JSON Schema: a string.
fn decimal_schema(description: &str) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]+)?$",
        "description": description
    })
}

fn amount_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    decimal_schema("An amount: an exact decimal written as a string")
}

macro_rules! decimal_type {
    ($(#[$doc:meta])* $name:ident, $about:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Decimal);

        impl $name {
            #[doc = concat!("The ", $about, " zero.")]
            pub const ZERO: Self = Self(Decimal::ZERO);

            #[doc = concat!("A ", $about, ", normalised.")]
            #[must_use]
            pub fn new(value: Decimal) -> Self {
                let value = value.normalize();
                Self(if value.is_zero() { Decimal::ZERO } else { value })
            }

            /// The bare decimal.
            #[must_use]
            pub const fn get(self) -> Decimal {
                self.0
            }

            /// Reads plain digits with an optional sign and point.
            ///
            /// # Errors
            /// A sentence that says what is wrong with the text.
            pub fn parse(text: &str) -> Result<Self, String> {
                decimal::parse(text).map(Self::new)
            }

            /// Whether it is zero.
            #[must_use]
            pub const fn is_zero(self) -> bool {
                self.0.is_zero()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_decimal(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_decimal(deserializer).map(Self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                decimal_schema(concat!("A ", $about, ": an exact decimal written as a string"))
            }
        }
    };
}

decimal_type!(
    /// What one unit of an instrument costs, in the currency stated beside it; may be zero, may be negative (spreads, futures).
    Price,
    "price"
);
decimal_type!(
    /// A number of units of an instrument, signed unless the field says otherwise.
    Quantity,
    "quantity"
);
decimal_type!(
    /// Units of the underlying in one unit of the instrument: 1 for shares, 100 for most US options, 0.01 for bonds quoted in percent.
    Multiplier,
    "multiplier"
);
decimal_type!(
    /// A part of one: 0.25 is a quarter.
    Fraction,
    "fraction"
);
decimal_type!(
    /// Units of one currency for one unit of another; the field that holds it says which.
    FxRate,
    "rate of exchange"
);

impl Multiplier {
    /// The multiplier of a share.
    pub const ONE: Self = Self(Decimal::ONE);
}

impl Quantity {
    /// The sum, exactly.
    ///
    /// # Errors
    /// [`ArithmeticError::TooManyDigits`].
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        decimal::add(self.0, other.0).map(Self)
    }
}

impl std::ops::Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self::new(-self.0)
    }
}

/// An amount of one currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The amount, signed as the field that holds it says.
    #[serde(serialize_with = "serialize_decimal", deserialize_with = "deserialize_decimal")]
    #[schemars(schema_with = "amount_schema")]
    amount: Decimal,
    /// The currency's code.
    currency: Currency,
}

impl Money {
    /// An amount, normalised.
    #[must_use]
    pub fn new(amount: Decimal, currency: Currency) -> Self {
        let amount = amount.normalize();
        Self { amount: if amount.is_zero() { Decimal::ZERO } else { amount }, currency }
    }

    /// The bare amount.
    #[must_use]
    pub const fn amount(self) -> Decimal {
        self.amount
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum, exactly.
    ///
    /// # Errors
    /// [`ArithmeticError::CurrencyMismatch`] or [`ArithmeticError::TooManyDigits`].
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        if self.currency != other.currency {
            return Err(ArithmeticError::CurrencyMismatch);
        }
        Ok(Self { amount: decimal::add(self.amount, other.amount)?, currency: self.currency })
    }
}

impl std::ops::Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self::new(-self.amount, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Money({} {})", self.amount, self.currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// A ratio kept as two numbers, because 1:3 has no finite decimal. Both parts are positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, schemars::JsonSchema)]
pub struct Ratio {
    /// New units, or units received.
    numerator: Quantity,
    /// For so many old units, or units given up.
    denominator: Quantity,
}

impl Ratio {
    /// `numerator` new for `denominator` old, in lowest terms where both are whole numbers.
    ///
    /// # Errors
    /// A sentence, when a part is not positive.
    pub fn new(numerator: Decimal, denominator: Decimal) -> Result<Self, String> {
        if numerator <= Decimal::ZERO || denominator <= Decimal::ZERO {
            return Err(format!("a ratio's parts must be positive, not {numerator}:{denominator}"));
        }
        let (mut n, mut d) = (numerator.normalize(), denominator.normalize());
        if n.scale() == 0 && d.scale() == 0 {
            let (mut a, mut b) = (n.mantissa(), d.mantissa());
            while b != 0 {
                (a, b) = (b, a % b);
            }
            n = Decimal::from_i128_with_scale(n.mantissa() / a, 0);
            d = Decimal::from_i128_with_scale(d.mantissa() / a, 0);
        }
        Ok(Self { numerator: Quantity::new(n), denominator: Quantity::new(d) })
    }

    /// Reads `7`, `1.5`, `1/3` or `1:3`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (n, d) = text.split_once([':', '/']).unwrap_or((text, "1"));
        Self::new(decimal::parse(n.trim())?, decimal::parse(d.trim())?)
    }

    /// The first part.
    #[must_use]
    pub const fn numerator(self) -> Decimal {
        self.numerator.get()
    }

    /// The second part.
    #[must_use]
    pub const fn denominator(self) -> Decimal {
        self.denominator.get()
    }

    /// The ratio turned round.
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self { numerator: self.denominator, denominator: self.numerator }
    }

    /// `value · numerator / denominator`, exactly where a decimal holds it, else half-even at `scale` places.
    ///
    /// # Errors
    /// [`ArithmeticError::TooManyDigits`].
    pub fn apply(self, value: Decimal, scale: u32) -> Result<Decimal, ArithmeticError> {
        let cut = decimal::multiply_divide(value, self.numerator(), self.denominator(), scale)?;
        let is_exact = |quotient: Decimal| {
            Ok::<_, ArithmeticError>(
                decimal::multiply(quotient, self.denominator())?
                    == decimal::multiply(value, self.numerator())?,
            )
        };
        if is_exact(cut) == Ok(true) {
            return Ok(cut);
        }
        // More places than asked for may still be a finite number of them.
        let fine = (scale + 1..=28).rev().find_map(|finest| {
            decimal::multiply_divide(value, self.numerator(), self.denominator(), finest).ok()
        });
        Ok(fine.filter(|fine| is_exact(*fine) == Ok(true)).unwrap_or(cut))
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            numerator: Quantity,
            denominator: Quantity,
        }
        let stored = !deserializer.is_human_readable();
        let parts = Parts::deserialize(deserializer)?;
        let ratio = Self::new(parts.numerator.get(), parts.denominator.get()).map_err(de::Error::custom)?;
        if stored && (ratio.numerator != parts.numerator || ratio.denominator != parts.denominator) {
            return Err(de::Error::custom("a ratio that is not in lowest terms"));
        }
        Ok(ratio)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.numerator, self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_applied_exactly_where_a_decimal_holds_the_result() {
        let apply = |ratio: &str, value: &str| {
            Ratio::parse(ratio).unwrap().apply(decimal::parse(value).unwrap(), 12).unwrap().to_string()
        };
        assert_eq!(apply("1/2", "0.123456789012345678"), "0.061728394506172839");
        assert_eq!(apply("1/2", "0.123456789011"), "0.0617283945055");
        assert_eq!(apply("1/3", "100"), "33.333333333333");
        assert_eq!(apply("7", "58.747143"), "411.230001");
    }
}
