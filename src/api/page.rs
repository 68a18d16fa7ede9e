//! Lists by the page: a cursor pins what the first page saw, so that pages fit together while the ledger grows.

use super::answer::Question;
use super::problem::{Kind, Problem};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daybook_projections::{AsOf, FOLD_VERSION};
use daybook_schemas::{Day, Timestamp};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, ToJSON, Type};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;

/// The items of a page unless the caller says otherwise.
const LIMIT: usize = 100;
/// The most items of a page.
const LIMIT_MAX: usize = 1_000;

/// How many items a page has at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limit(usize);

impl Type for Limit {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "integer_limit".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(1.0),
            maximum: Some(1_000.0),
            default: Some(LIMIT.into()),
            ..MetaSchema::new("integer")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromParameter for Limit {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(Self(limit)),
            _ => Err(ParseError::custom(format_args!("write a number of items from 1 to {LIMIT_MAX}"))),
        }
    }
}

/// What the first page of a list saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pin {
    /// The highest sequence known.
    pub(super) known: u64,
    /// Up to when things must have occurred.
    pub(super) as_of: AsOf,
}

impl Pin {
    /// All that had been recorded by then, whenever it occurred.
    pub(super) const fn known(known: u64) -> Self {
        Self { known, as_of: AsOf::ALWAYS }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// The version of the fold under which the list was made.
    #[serde(rename = "f")]
    fold: u64,
    /// The list.
    #[serde(rename = "q")]
    list: String,
    #[serde(rename = "k")]
    known: u64,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    instant: Option<i64>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    day: Option<Day>,
    /// The last item that was shown.
    #[serde(rename = "l")]
    last: String,
}

/// Which page of a list is asked for.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// What the first page saw, on all that follow.
    pub(super) pin: Option<Pin>,
    /// The key of the last item that was shown.
    pub(super) after: Option<String>,
    /// How many items it has at most.
    pub(super) limit: usize,
    list: String,
}

impl Page {
    /// Reads the page's parameters.
    pub(super) fn read(
        question: &Question,
        cursor: Option<&str>,
        limit: Option<Limit>,
    ) -> Result<Self, Problem> {
        let limit = limit.map_or(LIMIT, |limit| limit.0);
        let list = question.list();
        let Some(cursor) = cursor else { return Ok(Self { pin: None, after: None, limit, list }) };
        let malformed =
            || Problem::new(Kind::InvalidCursor, "send the cursor as `next` gave it, or none to begin anew");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| malformed())?;
        let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        if cursor.fold != u64::from(FOLD_VERSION) {
            return Err(gone("the figures are computed otherwise since the list was begun"));
        }
        if cursor.list != list {
            return Err(Problem::new(
                Kind::InvalidCursor,
                "the cursor belongs to another list: keep its route and filters, or begin anew without it",
            ));
        }
        let as_of = match (cursor.instant, cursor.day) {
            (Some(instant), None) => AsOf::Instant(Timestamp::from_nanos(instant)),
            (None, Some(day)) => AsOf::Day(day),
            _ => return Err(malformed()),
        };
        Ok(Self { pin: Some(Pin { known: cursor.known, as_of }), after: Some(cursor.last), limit, list })
    }

    /// The pin of the list: that of its first page, or the present one. A pin above the head was made by a ledger
    /// that has since been put back to an earlier state.
    pub(super) fn pinned(&self, head: u64, present: Pin) -> Result<Pin, Problem> {
        match self.pin {
            Some(pin) if pin.known > head => {
                Err(gone("the ledger was put back to an earlier state since then"))
            }
            Some(pin) => Ok(pin),
            None => Ok(present),
        }
    }

    /// Cuts the page out of the whole list. `key` tells one item from all others.
    pub(super) fn cut<I, T>(
        &self,
        pin: Pin,
        items: impl IntoIterator<Item = I>,
        key: impl Fn(&I) -> String,
        mut show: impl FnMut(I) -> Result<T, Problem>,
    ) -> Result<List<T>, Problem> {
        let mut items = items.into_iter();
        if let Some(after) = &self.after
            && !items.by_ref().any(|item| key(&item) == *after)
        {
            return Err(gone("the item after which the page begins is not there any more"));
        }
        let mut shown = Vec::new();
        let mut next = None;
        for item in items {
            if shown.len() == self.limit {
                return Ok(List { items: shown, next, sequence: pin.known });
            }
            if shown.len() + 1 == self.limit {
                next = Some(self.cursor(pin, key(&item)));
            }
            shown.push(show(item)?);
        }
        Ok(List { items: shown, next: None, sequence: pin.known })
    }

    /// The cursor of the page after the item with this key.
    pub(super) fn cursor(&self, pin: Pin, last: String) -> String {
        let (instant, day) = match pin.as_of {
            AsOf::Instant(instant) => (Some(instant.nanos()), None),
            AsOf::Day(day) => (None, Some(day)),
        };
        let cursor = Cursor {
            fold: FOLD_VERSION.into(),
            list: self.list.clone(),
            known: pin.known,
            instant,
            day,
            last,
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
    }
}

/// The cursor was good once.
pub(super) fn gone(why: &str) -> Problem {
    Problem::new(Kind::CursorGone, format!("{why}: begin anew without the cursor"))
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct List<T> {
    /// The items.
    pub(super) items: Vec<T>,
    /// The cursor of the next page; none on the last one.
    pub(super) next: Option<String>,
    /// The ledger's head that the list reflects.
    pub(super) sequence: u64,
}

impl List<Value> {
    /// The page as it is sent.
    pub(super) fn written(self) -> Vec<u8> {
        let mut json = json!({ "next": self.next, "sequence": self.sequence });
        json["items"] = Value::Array(self.items);
        json.to_string().into_bytes()
    }
}

impl List<String> {
    /// The page as it is sent, of items that are JSON already.
    pub(super) fn joined(self) -> Vec<u8> {
        let next = Value::from(self.next);
        let items = self.items.join(",");
        format!("{{\"items\":[{items}],\"next\":{next},\"sequence\":{}}}", self.sequence).into_bytes()
    }
}

impl<T: Type> Type for List<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
        registry.create_schema::<Self, _>(Self::name().into_owned(), |_| {
            let inline = |schema| MetaSchemaRef::Inline(Box::new(schema));
            MetaSchema {
                required: vec!["items", "next", "sequence"],
                properties: vec![
                    (
                        "items",
                        inline(MetaSchema {
                            items: Some(Box::new(T::schema_ref())),
                            ..MetaSchema::new("array")
                        }),
                    ),
                    (
                        "next",
                        inline(MetaSchema {
                            nullable: true,
                            description: Some("The cursor of the next page; null on the last one"),
                            ..MetaSchema::new("string")
                        }),
                    ),
                    (
                        "sequence",
                        inline(MetaSchema {
                            description: Some("The ledger's head that the list reflects"),
                            ..MetaSchema::new_with_format("integer", "uint64")
                        }),
                    ),
                ],
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: ToJSON> ToJSON for List<T> {
    fn to_json(&self) -> Option<Value> {
        let items: Vec<Value> = self.items.iter().filter_map(ToJSON::to_json).collect();
        Some(json!({ "items": items, "next": self.next, "sequence": self.sequence }))
    }
}
