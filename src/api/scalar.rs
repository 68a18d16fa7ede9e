//! How single values are written in JSON and read from parameters: decimals, times, days and ids as strings.

use super::access;
use daybook_projections::Reach;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, ToJSON, Type};
use rust_decimal::Decimal;
use serde_json::Value;
use std::borrow::Cow;

macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal, $description:literal, $schema:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) struct $name(pub(super) $inner);

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                concat!("string_", $format).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                let schema: fn(MetaSchema) -> MetaSchema = $schema;
                MetaSchemaRef::Inline(Box::new(schema(MetaSchema {
                    description: Some($description),
                    ..MetaSchema::new_with_format("string", $format)
                })))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                Some(Value::String(self.0.to_string()))
            }
        }
    };
}

scalar!(
    /// An exact decimal.
    Exact(Decimal),
    "decimal",
    "An exact decimal",
    |schema| MetaSchema { pattern: Some(r"^-?[0-9]+(\.[0-9]+)?$".to_owned()), ..schema }
);
scalar!(
    /// An instant.
    Time(daybook_schemas::Timestamp),
    "date-time",
    "An instant, UTC",
    |schema| schema
);
scalar!(
    /// A day.
    Date(daybook_schemas::Day),
    "date",
    "A day",
    |schema| schema
);
scalar!(
    /// A currency.
    CurrencyCode(daybook_schemas::Currency),
    "currency",
    "A currency's code",
    |schema| MetaSchema { pattern: Some("^[A-Z0-9]{2,8}$".to_owned()), ..schema }
);

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident($inner:ty), $description:literal $(, $noun:literal $reached:expr)?;)*) => {$(
        scalar!(
            $(#[$doc])*
            $name($inner),
            "id",
            $description,
            |schema| MetaSchema { pattern: Some("^[0-7][0-9a-hjkmnp-tv-z]{25}$".to_owned()), ..schema }
        );

        impl ParseFromParameter for $name {
            fn parse_from_parameter(text: &str) -> ParseResult<Self> {
                let id: $inner = text.parse().map_err(ParseError::custom)?;
                // Whoever reads an id from a request is told here, however it was written, that it is not there.
                $(access::admit($noun, id, $reached).map_err(ParseError::custom)?;)?
                Ok(Self(id))
            }
        }
    )*};
}

id! {
    /// A portfolio's id.
    Portfolio(daybook_schemas::PortfolioId), "A portfolio's id", "portfolio" Reach::portfolio;
    /// An account's id.
    Account(daybook_schemas::AccountId), "An account's id";
    /// An instrument's id.
    Instrument(daybook_schemas::InstrumentId), "An instrument's id";
    /// An import's id.
    Import(daybook_schemas::ImportId), "An import's id";
    /// A token's id.
    Token(daybook_schemas::TokenId), "A token's id";
    /// A team's id.
    Team(daybook_schemas::TeamId), "A team's id";
    /// An advisor's id.
    Advisor(daybook_schemas::AdvisorId), "An advisor's id", "advisor" Reach::advisor;
    /// A party's id.
    Party(daybook_schemas::PartyId), "A party's id", "party" Reach::party;
    /// A model's id.
    Model(daybook_schemas::ModelId), "A model's id";
    /// A recommendation's id.
    Recommendation(daybook_schemas::RecommendationId), "A recommendation's id";
    /// A household's id.
    Household(daybook_schemas::HouseholdId), "A household's id";
    /// A review's id.
    Review(daybook_schemas::ReviewId), "A review's id";
}

/// A whole number within bounds.
macro_rules! whole {
    ($(#[$doc:meta])* $name:ident($inner:ident), $format:literal, $most:expr, $most_in_schema:literal, $described:literal, $asked:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) struct $name(pub(super) $inner);

        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                concat!("integer_", stringify!($name)).to_lowercase().into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new(MetaSchema {
                    minimum: Some(0.0),
                    maximum: Some($most_in_schema),
                    description: Some($described),
                    ..MetaSchema::new_with_format("integer", $format)
                }))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                Some(self.0.into())
            }
        }

        impl ParseFromParameter for $name {
            fn parse_from_parameter(text: &str) -> ParseResult<Self> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                match text.parse() {
                    Ok(number) if digits && number <= $most => Ok(Self(number)),
                    _ => Err(ParseError::custom(format_args!(
                        "write {}: a whole number up to {}",
                        $asked, $most
                    ))),
                }
            }
        }
    };
}

whole!(
    /// A place in the ledger, from 1; at most what every reader of JSON holds exactly.
    Sequence(u64),
    "uint64",
    9_000_000_000_000_000_u64,
    9.0e15,
    "A place in the ledger",
    "the sequence of an event"
);
whole!(
    /// A version of what is written anew as a whole, from 1.
    Version(u32),
    "uint32",
    u32::MAX,
    4_294_967_295.0,
    "A version, from 1",
    "the number of a version"
);

/// A moment as a caller writes it: an instant, or a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimeOrDate {
    /// An instant.
    Instant(daybook_schemas::Timestamp),
    /// A day.
    Day(daybook_schemas::Day),
}

impl Type for TimeOrDate {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_time-or-date".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("RFC 3339, or a date; of the years 1900 to 2200"),
            example: Some("2024-03-01T15:30:00Z".into()),
            any_of: ["date-time", "date"]
                .map(|format| MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", format))))
                .into(),
            ..MetaSchema::ANY
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromParameter for TimeOrDate {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        if text.len() == 10 {
            return daybook_schemas::Day::parse(text).map(Self::Day).map_err(ParseError::custom);
        }
        // An offset's plus sign reads as a space in a query that was not encoded.
        daybook_schemas::Timestamp::parse(&text.replace(' ', "+"))
            .map(Self::Instant)
            .map_err(ParseError::custom)
    }
}

impl ParseFromParameter for Date {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        daybook_schemas::Day::parse(text).map(Self).map_err(ParseError::custom)
    }
}
