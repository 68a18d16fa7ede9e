//! How figures of several portfolios spread: quartiles, and what lies far outside of them.

use crate::exact;
use crate::series::RETURN_SCALE;
use daybook_schemas::decimal::{self, ArithmeticError};
use rust_decimal::Decimal;
use serde::Serialize;

/// With fewer portfolios than these the spread of a group is not shown: each could be told from it.
pub const GROUP_MIN: usize = 6;

/// How figures spread.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Spread {
    /// The lowest.
    #[serde(with = "exact")]
    pub lowest: Decimal,
    /// A quarter of them are not above it.
    #[serde(with = "exact")]
    pub lower_quartile: Decimal,
    /// Half of them are not above it.
    #[serde(with = "exact")]
    pub median: Decimal,
    /// Three quarters of them are not above it.
    #[serde(with = "exact")]
    pub upper_quartile: Decimal,
    /// The highest.
    #[serde(with = "exact")]
    pub highest: Decimal,
}

impl Spread {
    /// How figures spread; quartiles by linear interpolation between the two nearest.
    ///
    /// # Errors
    /// Figures with too many digits.
    pub fn of(values: &[Decimal]) -> Result<Option<Self>, ArithmeticError> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let (Some(lowest), Some(highest)) = (sorted.first(), sorted.last()) else { return Ok(None) };
        Ok(Some(Self {
            lowest: *lowest,
            lower_quartile: quantile(&sorted, 1)?,
            median: quantile(&sorted, 2)?,
            upper_quartile: quantile(&sorted, 3)?,
            highest: *highest,
        }))
    }

    /// Below and above which figures a value lies far outside: one and a half times the distance of the quartiles from them.
    ///
    /// # Errors
    /// Figures with too many digits.
    pub fn fences(&self) -> Result<(Decimal, Decimal), ArithmeticError> {
        let reach = decimal::subtract(self.upper_quartile, self.lower_quartile)?;
        let reach = decimal::multiply(reach, Decimal::new(15, 1))?;
        Ok((decimal::subtract(self.lower_quartile, reach)?, decimal::add(self.upper_quartile, reach)?))
    }
}

/// The value below which so many quarters lie; `sorted` ascends and is not empty.
fn quantile(sorted: &[Decimal], quarters: usize) -> Result<Decimal, ArithmeticError> {
    let steps = (sorted.len() - 1) * quarters;
    let (below, rest) = (steps / 4, steps % 4);
    let low = sorted[below];
    let Some(high) = sorted.get(below + 1).filter(|_| rest > 0) else { return Ok(low) };
    let step = decimal::subtract(*high, low)?;
    let part = decimal::multiply_divide(step, Decimal::from(rest), Decimal::from(4), RETURN_SCALE)?;
    decimal::add(low, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        decimal::parse(text).unwrap()
    }

    #[test]
    fn quartiles_are_interpolated_and_fences_lie_one_and_a_half_times_their_distance_outside() {
        // 1, 2, 3, 4: the quartiles are 1.75, 2.5 and 3.25, their distance is 1.5.
        let spread = Spread::of(&[d("4"), d("1"), d("3"), d("2")]).unwrap().unwrap();
        assert_eq!(spread.lower_quartile, d("1.75"));
        assert_eq!(spread.median, d("2.5"));
        assert_eq!(spread.upper_quartile, d("3.25"));
        assert_eq!(spread.fences().unwrap(), (d("-0.5"), d("5.5")));
        assert_eq!(Spread::of(&[]).unwrap(), None);
        let one = Spread::of(&[d("7")]).unwrap().unwrap();
        assert_eq!((one.lower_quartile, one.highest), (d("7"), d("7")));
    }
}
