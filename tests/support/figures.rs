//! Reading figures out of what Daybook says, exactly.

use rust_decimal::Decimal;
use serde_json::Value;

/// The figures of the identity, with the sign that each has in it.
pub(crate) const IDENTITY: [(&str, i32); 7] = [
    ("realised", 1),
    ("unrealised", 1),
    ("income", 1),
    ("costs", -1),
    ("fx", 1),
    ("transferred_gain", -1),
    ("unaccounted_cash", 1),
];

/// A figure, which JSON holds as a string.
pub(crate) fn decimal(value: &Value) -> Decimal {
    let text = value.as_str().unwrap_or_else(|| panic!("not a decimal in a string: {value}"));
    Decimal::from_str_exact(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The identity holds to the last decimal.
pub(crate) fn identity_holds(statement: &Value) {
    let left: Decimal =
        IDENTITY.iter().map(|(name, sign)| decimal(&statement[*name]) * Decimal::from(*sign)).sum();
    let right = decimal(&statement["equity"]) - decimal(&statement["net_contributions"]);
    assert_eq!(left, right, "the identity does not hold: {statement:#}");
}

/// The position in a symbol.
pub(crate) fn position<'a>(statement: &'a Value, symbol: &str) -> &'a Value {
    let positions =
        statement["positions"].as_array().unwrap_or_else(|| panic!("no positions: {statement:#}"));
    positions
        .iter()
        .find(|position| position["symbol"] == symbol)
        .unwrap_or_else(|| panic!("no position in {symbol}: {statement:#}"))
}

/// A statement without when it was made, so that two can be compared.
pub(crate) fn figures(statement: Value) -> Value {
    without(statement, &["sequence", "as_of"])
}

/// An object without some of its keys.
pub(crate) fn without(mut object: Value, keys: &[&str]) -> Value {
    let fields = object.as_object_mut().unwrap();
    for key in keys {
        fields.remove(*key);
    }
    object
}

/// An exact decimal.
pub(crate) fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}
