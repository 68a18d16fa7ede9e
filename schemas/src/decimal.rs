//! Exact arithmetic on decimals: every operation gives the exact result or an error, never a rounded one.
//!
//! `rust_decimal` rounds silently when a product or a sum needs more than 28 digits (`checked_mul` answers
//! `Some` all the same), so sums and products of money go through the functions here.

use ethnum::I256;
use rust_decimal::Decimal;

/// The scale, in decimal places, at which a quotient of money is cut (half-even) before the remainder is kept.
pub const QUOTIENT_SCALE: u32 = 12;

/// Why an exact result cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArithmeticError {
    /// The exact result has more digits than a decimal holds (96 bits, at most 28 places).
    #[error("the exact result needs more digits than a decimal holds")]
    TooManyDigits,
    /// A quotient by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// Two amounts of different currencies met.
    #[error("amounts in different currencies cannot be added")]
    CurrencyMismatch,
}

const MAX_MANTISSA: u128 = (1 << 96) - 1;
const MAX_SCALE: u32 = 28;

const fn power_of_ten(exponent: u32) -> i128 {
    10i128.pow(exponent)
}

/// Builds the normalised decimal `mantissa / 10^scale`.
///
/// # Errors
/// [`ArithmeticError::TooManyDigits`] when it does not fit a decimal without losing a digit.
pub fn from_parts(mut mantissa: i128, mut scale: u32) -> Result<Decimal, ArithmeticError> {
    if mantissa == 0 {
        return Ok(Decimal::ZERO);
    }
    // Nearly all amounts fit 64 bits, where a division by ten costs a tenth.
    if let Ok(mut narrow) = i64::try_from(mantissa) {
        while scale > 0 && narrow % 10 == 0 {
            narrow /= 10;
            scale -= 1;
        }
        return if scale > MAX_SCALE {
            Err(ArithmeticError::TooManyDigits)
        } else {
            Ok(Decimal::new(narrow, scale))
        };
    }
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    if scale > MAX_SCALE || mantissa.unsigned_abs() > MAX_MANTISSA {
        return Err(ArithmeticError::TooManyDigits);
    }
    Ok(Decimal::from_i128_with_scale(mantissa, scale))
}

/// The decimal `mantissa / 10^scale`, if these are the mantissa and the scale of its normal form: no zero at the
/// end of the places, and zero with no places at all.
#[must_use]
pub fn from_normal_parts(mantissa: i128, scale: u8) -> Option<Decimal> {
    let ends_in_zero = match i64::try_from(mantissa) {
        // A division of 128 bits is a call into the runtime; nearly every mantissa needs none.
        Ok(narrow) => narrow % 10 == 0,
        Err(_) => mantissa % 10 == 0,
    };
    let magnitude = mantissa.unsigned_abs();
    if u32::from(scale) > MAX_SCALE || magnitude > MAX_MANTISSA || (scale > 0 && ends_in_zero) {
        return None;
    }
    let [lo, mid, hi] = [magnitude, magnitude >> 32, magnitude >> 64].map(|word| (word & 0xffff_ffff) as u32);
    Some(Decimal::from_parts(lo, mid, hi, mantissa < 0, u32::from(scale)))
}

fn from_wide(mut mantissa: I256, mut scale: u32) -> Result<Decimal, ArithmeticError> {
    let ten = I256::new(10);
    while scale > 0 && mantissa % ten == I256::ZERO {
        mantissa /= ten;
        scale -= 1;
    }
    let narrow = i128::try_from(mantissa).map_err(|_| ArithmeticError::TooManyDigits)?;
    from_parts(narrow, scale)
}

fn wide_power_of_ten(exponent: u32) -> I256 {
    I256::new(10).pow(exponent)
}

/// The sum, exactly.
///
/// # Errors
/// [`ArithmeticError::TooManyDigits`].
pub fn add(a: Decimal, b: Decimal) -> Result<Decimal, ArithmeticError> {
    let (scale_a, scale_b) = (a.scale(), b.scale());
    let scale = scale_a.max(scale_b);
    let shifted = |value: Decimal, from: u32| value.mantissa().checked_mul(power_of_ten(scale - from));
    if let (Some(x), Some(y)) = (shifted(a, scale_a), shifted(b, scale_b))
        && let Some(sum) = x.checked_add(y)
    {
        return from_parts(sum, scale);
    }
    let wide = |value: Decimal, from: u32| I256::new(value.mantissa()) * wide_power_of_ten(scale - from);
    from_wide(wide(a, scale_a) + wide(b, scale_b), scale)
}

/// The difference, exactly.
///
/// # Errors
/// [`ArithmeticError::TooManyDigits`].
pub fn subtract(a: Decimal, b: Decimal) -> Result<Decimal, ArithmeticError> {
    add(a, -b)
}

/// The product, exactly.
///
/// # Errors
/// [`ArithmeticError::TooManyDigits`].
pub fn multiply(a: Decimal, b: Decimal) -> Result<Decimal, ArithmeticError> {
    let scale = a.scale() + b.scale();
    match a.mantissa().checked_mul(b.mantissa()) {
        Some(product) => from_parts(product, scale),
        None => from_wide(I256::new(a.mantissa()) * I256::new(b.mantissa()), scale),
    }
}

/// `a · b / c` rounded half-even to `scale` places; the product and the quotient are taken in wide integers.
///
/// # Errors
/// [`ArithmeticError::DivisionByZero`], or [`ArithmeticError::TooManyDigits`] when the rounded result does not fit.
pub fn multiply_divide(a: Decimal, b: Decimal, c: Decimal, scale: u32) -> Result<Decimal, ArithmeticError> {
    if c.is_zero() {
        return Err(ArithmeticError::DivisionByZero);
    }
    // value = numerator / denominator · 10^(c.scale − a.scale − b.scale); we want value · 10^scale
    let exponent = i64::from(c.scale()) + i64::from(scale) - i64::from(a.scale()) - i64::from(b.scale());
    if let Some(quotient) = divide_narrow(a.mantissa(), b.mantissa(), c.mantissa(), exponent) {
        return from_parts(quotient, scale);
    }
    let mut numerator = I256::new(a.mantissa()) * I256::new(b.mantissa());
    let mut denominator = I256::new(c.mantissa());
    let shift =
        wide_power_of_ten(u32::try_from(exponent.unsigned_abs()).expect("scales are at most 28 each"));
    if exponent >= 0 {
        numerator = numerator.checked_mul(shift).ok_or(ArithmeticError::TooManyDigits)?;
    } else {
        denominator = denominator.checked_mul(shift).ok_or(ArithmeticError::TooManyDigits)?;
    }
    from_wide(divide_half_even(numerator, denominator), scale)
}

/// `a / b` rounded half-even to `scale` places.
///
/// # Errors
/// As [`multiply_divide`].
pub fn divide(a: Decimal, b: Decimal, scale: u32) -> Result<Decimal, ArithmeticError> {
    multiply_divide(a, Decimal::ONE, b, scale)
}

/// `value` rounded half-even to `scale` places.
#[must_use]
pub fn round(value: Decimal, scale: u32) -> Decimal {
    value.round_dp_with_strategy(scale, rust_decimal::RoundingStrategy::MidpointNearestEven).normalize()
}

/// `a · b / c · 10^exponent` rounded half-even, where all of it fits 128 bits.
fn divide_narrow(a: i128, b: i128, c: i128, exponent: i64) -> Option<i128> {
    let shift = 10i128.checked_pow(u32::try_from(exponent.unsigned_abs()).ok()?)?;
    let product = a.checked_mul(b)?;
    let (numerator, denominator) =
        if exponent >= 0 { (product.checked_mul(shift)?, c) } else { (product, c.checked_mul(shift)?) };
    let negative = (numerator < 0) != (denominator < 0);
    let (n, d) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    let (mut quotient, remainder) = (n / d, n % d);
    let rest = d - remainder;
    if remainder > rest || (remainder == rest && quotient % 2 == 1) {
        quotient += 1;
    }
    let quotient = i128::try_from(quotient).ok()?;
    Some(if negative { -quotient } else { quotient })
}

fn divide_half_even(numerator: I256, denominator: I256) -> I256 {
    let negative = (numerator < I256::ZERO) != (denominator < I256::ZERO);
    let (n, d) = (numerator.abs(), denominator.abs());
    let (mut quotient, remainder) = (n / d, n % d);
    let rest = d - remainder;
    if remainder > rest || (remainder == rest && quotient % I256::new(2) == I256::ONE) {
        quotient += I256::ONE;
    }
    if negative { -quotient } else { quotient }
}

/// Reads a plain decimal: digits with an optional sign and point. No exponent, no grouping, no currency sign.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse(text: &str) -> Result<Decimal, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && places.is_empty() || !plain(whole) || !plain(places) || digits.ends_with('.') {
        return Err(format!(
            "`{}` is not a number: write digits with an optional sign and point",
            shorten(text)
        ));
    }
    let too_long = || {
        format!(
            "`{}` has more digits than a decimal holds (28 significant, 28 after the point)",
            shorten(text)
        )
    };
    let places = places.trim_end_matches('0');
    let scale = u32::try_from(places.len()).map_err(|_| too_long())?;
    if scale > MAX_SCALE {
        return Err(too_long());
    }
    let mut mantissa: i128 = 0;
    for byte in whole.trim_start_matches('0').bytes().chain(places.bytes()) {
        mantissa = mantissa
            .checked_mul(10)
            .and_then(|shifted| shifted.checked_add(i128::from(byte - b'0')))
            .ok_or_else(too_long)?;
    }
    from_parts(if text.starts_with('-') { -mantissa } else { mantissa }, scale).map_err(|_| too_long())
}

/// At most 40 characters of the text, for an error message.
#[must_use]
pub fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(39).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        parse(text).unwrap()
    }

    #[test]
    fn a_product_that_would_lose_digits_is_an_error_and_not_a_rounded_number() {
        let long = d("1.2345678901234567890123456789");
        assert_eq!(multiply(long, long), Err(ArithmeticError::TooManyDigits));
        assert!(long.checked_mul(long).is_some(), "the library rounds here, which is why this module exists");
    }

    #[test]
    fn a_sum_that_would_lose_digits_is_an_error() {
        assert_eq!(add(d("79228162514264337593543950335"), d("0.1")), Err(ArithmeticError::TooManyDigits));
        assert_eq!(
            add(d("7922816251426433759354395033.5"), d("-0.5")),
            Ok(d("7922816251426433759354395033"))
        );
    }

    #[test]
    fn quotients_are_cut_half_even() {
        assert_eq!(divide(d("1"), d("3"), 12), Ok(d("0.333333333333")));
        assert_eq!(divide(d("2"), d("3"), 12), Ok(d("0.666666666667")));
        assert_eq!(divide(d("0.5"), d("1"), 0), Ok(d("0")));
        assert_eq!(divide(d("1.5"), d("1"), 0), Ok(d("2")));
        assert_eq!(divide(d("-2.5"), d("1"), 0), Ok(d("-2")));
        assert_eq!(divide(d("1"), d("0"), 2), Err(ArithmeticError::DivisionByZero));
    }

    #[test]
    fn only_plain_numbers_are_read() {
        for bad in ["", "-", ".", "1.", "1e5", "1,000", "$1", " 1", "0x1", "NaN", "1.2.3", "--1", "١"] {
            assert!(parse(bad).is_err(), "{bad:?} was read");
        }
        assert_eq!(parse("+01.500").unwrap().to_string(), "1.5");
        assert_eq!(parse(".5").unwrap().to_string(), "0.5");
        assert!(parse("123456789012345678901234567890").unwrap_err().contains("more digits"));
    }

    proptest! {
        #[test]
        fn sums_and_products_agree_with_integers(a in -1_000_000_000_000i64.., b in any::<i64>(), sa in 0u32..9, sb in 0u32..9) {
            let (x, y) = (from_parts(a.into(), sa).unwrap(), from_parts(b.into(), sb).unwrap());
            prop_assert_eq!(subtract(add(x, y).unwrap(), y).unwrap(), x);
            let product = multiply(x, y);
            if let Ok(product) = product {
                let exact = from_parts(i128::from(a) * i128::from(b), sa + sb).unwrap();
                prop_assert_eq!(product, exact);
            }
        }

        #[test]
        fn what_is_divided_by_remainder_sums_to_the_whole(total in any::<i64>(), k in 1i64..1_000_000, q in 1i64..1_000_000) {
            // A part of the whole: more than the whole, at twelve places, may need more digits than there are.
            let (k, q) = (k.min(q), k.max(q));
            let total = from_parts(total.into(), 4).unwrap();
            let part = multiply_divide(total, k.into(), q.into(), QUOTIENT_SCALE).unwrap();
            let rest = subtract(total, part).unwrap();
            prop_assert_eq!(add(part, rest).unwrap(), total);
        }

        #[test]
        fn narrow_and_wide_quotients_are_the_same(a in any::<i64>(), b in any::<i64>(), c in any::<i64>(), exponent in -9i64..9) {
            prop_assume!(c != 0);
            if let Some(narrow) = divide_narrow(a.into(), b.into(), c.into(), exponent) {
                let shift = wide_power_of_ten(u32::try_from(exponent.unsigned_abs()).unwrap());
                let (mut numerator, mut denominator) =
                    (I256::new(i128::from(a)) * I256::new(i128::from(b)), I256::new(i128::from(c)));
                if exponent >= 0 { numerator *= shift } else { denominator *= shift }
                prop_assert_eq!(I256::new(narrow), divide_half_even(numerator, denominator));
            }
        }

        #[test]
        fn narrow_and_wide_mantissas_normalise_alike(mantissa in any::<i64>(), zeros in 0u32..12, scale in 0u32..40) {
            let wide = i128::from(mantissa % 1_000_000) * power_of_ten(zeros);
            let expected = {
                let (mut m, mut s) = (wide, scale);
                while m != 0 && s > 0 && m % 10 == 0 { m /= 10; s -= 1; }
                if m == 0 { Ok(Decimal::ZERO) } else if s > MAX_SCALE { Err(ArithmeticError::TooManyDigits) } else { Ok(Decimal::from_i128_with_scale(m, s)) }
            };
            prop_assert_eq!(from_parts(wide, scale), expected);
        }

        #[test]
        fn printing_and_reading_a_decimal_is_the_identity(mantissa in any::<i64>(), scale in 0u32..20) {
            let value = from_parts(mantissa.into(), scale).unwrap();
            prop_assert_eq!(parse(&value.to_string()).unwrap(), value);
        }
    }
}
