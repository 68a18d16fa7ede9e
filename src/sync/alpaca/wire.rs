//! What Alpaca's answers say, as far as the daemon needs it: numbers are read from their text, exactly.

use daybook_schemas::decimal;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A number that is written as a JSON string or as a JSON number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Exact(pub(crate) Decimal);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let text = match text.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').unwrap_or(rest),
            None => text,
        };
        decimal::parse(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The account that a key belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Account {
    /// Its technical id.
    pub(crate) id: String,
    /// The number by which people know it.
    #[serde(default)]
    pub(crate) account_number: Option<String>,
    /// Whether it is active.
    #[serde(default)]
    pub(crate) status: Option<String>,
    /// The currency of its cash.
    #[serde(default)]
    pub(crate) currency: Option<String>,
    /// Its cash.
    pub(crate) cash: Exact,
    /// Fees that are owed and not booked yet.
    #[serde(default)]
    pub(crate) accrued_fees: Option<Exact>,
}

/// A position.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Position {
    /// The symbol.
    pub(crate) symbol: String,
    /// Units; negative in a short position.
    pub(crate) qty: Exact,
    /// `long` or `short`.
    #[serde(default)]
    pub(crate) side: Option<String>,
}

impl Position {
    /// Units, negative in a short position, whether the broker signs them or says it in words.
    pub(crate) fn quantity(&self) -> Decimal {
        match self.side.as_deref() {
            Some("short") if self.qty.0.is_sign_positive() => -self.qty.0,
            _ => self.qty.0,
        }
    }
}

/// An order.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Order {
    /// The broker's id.
    pub(crate) id: String,
    /// Ours, or whoever's placed it.
    #[serde(default)]
    pub(crate) client_order_id: Option<String>,
    /// What became of it.
    pub(crate) status: String,
    /// Units filled so far.
    #[serde(default)]
    pub(crate) filled_qty: Option<Exact>,
    /// The average price of what is filled.
    #[serde(default)]
    pub(crate) filled_avg_price: Option<Exact>,
    /// When it was submitted.
    #[serde(default)]
    pub(crate) submitted_at: Option<String>,
    /// When it changed last.
    #[serde(default)]
    pub(crate) updated_at: Option<String>,
    /// Its parts, for an order of several.
    #[serde(default)]
    pub(crate) legs: Option<Vec<Order>>,
}

/// What identifies a row of activities.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub(crate) struct Identified {
    /// The type.
    #[serde(default)]
    pub(crate) activity_type: Option<String>,
    /// The id, which is unique among those of its type.
    #[serde(default)]
    pub(crate) id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_their_text() {
        let account: Account =
            serde_json::from_str(r#"{"id":"a","cash":"-23140.2000000000000001","accrued_fees":0.1}"#)
                .unwrap();
        assert_eq!(account.cash.0.to_string(), "-23140.2000000000000001");
        assert_eq!(account.accrued_fees.unwrap().0.to_string(), "0.1");
        assert!(serde_json::from_str::<Exact>("\"12x\"").is_err());
        assert!(serde_json::from_str::<Exact>("[1]").is_err());
        assert!(serde_json::from_str::<Exact>(&format!("\"{}\"", "9".repeat(40))).is_err());
    }

    #[test]
    fn a_short_position_is_negative_however_it_is_said() {
        for text in [
            r#"{"symbol":"X","qty":"-3","side":"short"}"#,
            r#"{"symbol":"X","qty":"3","side":"short"}"#,
            r#"{"symbol":"X","qty":"-3"}"#,
        ] {
            let position: Position = serde_json::from_str(text).unwrap();
            assert_eq!(position.quantity(), Decimal::from(-3), "{text}");
        }
    }
}
