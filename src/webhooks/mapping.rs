//! Alerts: from the body of a service that cannot sign to the columns of a transaction or of a price.
//!
//! A column is a constant, a JSON pointer into the body, or a text with pointers in braces. Numbers are taken by the
//! digits with which they are written, never through floating point.

use regex::Regex;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What one column is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    /// What stands in the body at a pointer (RFC 6901).
    At {
        pointer: String,
        /// Whether the body may have nothing there.
        optional: bool,
    },
}

impl Template {
    /// Reads `/pointer`, `?/pointer` (the body may have nothing there), a text with `{/pointer}` or `{?/pointer}` in it, or
    /// a constant.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty: write a constant, or a JSON pointer such as `/ticker`".to_owned());
        }
        if text.starts_with('/') || text.starts_with("?/") {
            return Ok(Self(vec![at(text)?]));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{/").into_iter().chain(rest.find("{?/")).min() {
            let (before, from) = rest.split_at(open);
            let Some(close) = from.find('}') else {
                return Err(format!("`{from}` has no closing brace: write `{{/pointer}}`"));
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(at(&from[1..close])?);
            rest = &from[close + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text that comes of a body; none where every pointer is optional and the body has nothing there.
    ///
    /// # Errors
    /// Which pointer leads to nothing, or to what is no text and no number.
    fn fill(&self, body: &Body<'_>) -> Result<Option<String>, String> {
        let mut text = String::new();
        let mut found = false;
        for piece in &self.0 {
            match piece {
                Piece::Text(constant) => text.push_str(constant),
                Piece::At { pointer, optional } => match body.at(pointer)? {
                    Some(value) => {
                        found = true;
                        text.push_str(&value);
                    }
                    None if *optional => {}
                    None => {
                        return Err(format!(
                            "the body has nothing at `{pointer}`, where the map takes it from: let the alert say it, or write `?{pointer}` if it may be missing"
                        ));
                    }
                },
            }
        }
        let only_pointers = self.0.iter().all(|piece| matches!(piece, Piece::At { .. }));
        Ok(Some(text).filter(|_| found || !only_pointers))
    }

    /// The pointers, for a fault of what they lead to.
    fn sources(&self) -> Option<String> {
        let pointers: Vec<String> = self
            .0
            .iter()
            .filter_map(|piece| match piece {
                Piece::At { pointer, .. } => Some(format!("`{pointer}`")),
                Piece::Text(_) => None,
            })
            .collect();
        (!pointers.is_empty()).then(|| pointers.join(" and "))
    }
}

fn at(text: &str) -> Result<Piece, String> {
    let (pointer, optional) = text.strip_prefix('?').map_or((text, false), |pointer| (pointer, true));
    let mut rest = pointer.split('~').skip(1);
    if !pointer.starts_with('/') || rest.any(|after| !after.starts_with(['0', '1'])) {
        return Err(format!(
            "`{text}` is no JSON pointer: write `/name` or `/name/0`, with ~1 for a slash in a name and ~0 for a tilde"
        ));
    }
    Ok(Piece::At { pointer: pointer.to_owned(), optional })
}

/// What an alert is recorded as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recorded {
    /// A transaction.
    Transaction,
    /// A price.
    Price,
}

/// How the alerts of one source are read.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    /// What they become.
    pub(crate) recorded: Recorded,
    /// By column, what it is made of.
    pub(crate) columns: BTreeMap<String, Template>,
    /// What tells a delivery from all others, where the alert says it.
    pub(crate) delivery: Option<Template>,
    /// How a body that is plain text is taken apart: each named group is found at `/name`.
    pub(crate) pattern: Option<Regex>,
    /// What the source calls a type, in lower case, and what it is called here.
    pub(crate) types: BTreeMap<String, String>,
}

/// What an alert says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Alert {
    /// Its columns.
    pub(crate) cells: BTreeMap<String, String>,
    /// What tells it from all others, where it says so.
    pub(crate) delivery: Option<String>,
}

impl Mapping {
    /// Reads an alert.
    ///
    /// # Errors
    /// Each column that cannot be made, with why; the first is empty for what is wrong with the body as a whole.
    pub(crate) fn read(&self, body: &[u8]) -> Result<Alert, Vec<(String, String)>> {
        let whole = |text: String| vec![(String::new(), text)];
        let text =
            std::str::from_utf8(body).map_err(|_| whole("the body is not UTF-8: send text".to_owned()))?;
        let body = match &self.pattern {
            Some(pattern) => Body::of_text(text, pattern).ok_or_else(|| {
                whole(format!("the body does not read as `{pattern}`, the pattern of this source"))
            })?,
            None => Body::Json(serde_json::from_str(text).map_err(|error| {
                whole(format!(
                    "the body is no JSON ({error}): let the alert be JSON, or say with `pattern` how its text is read"
                ))
            })?),
        };
        let mut alert = Alert::default();
        let mut faults = Vec::new();
        for (column, template) in &self.columns {
            match template.fill(&body) {
                Ok(Some(text)) => {
                    alert.cells.insert(column.clone(), text);
                }
                Ok(None) => {}
                Err(fault) => faults.push((column.clone(), fault)),
            }
        }
        match self.delivery.as_ref().map(|template| template.fill(&body)).transpose() {
            Ok(delivery) => alert.delivery = delivery.flatten(),
            Err(fault) => faults.push(("delivery".to_owned(), fault)),
        }
        if let Some(kind) = alert.cells.get_mut("type")
            && let Some(known) = self.types.get(&kind.trim().to_lowercase())
        {
            kind.clone_from(known);
        }
        if faults.is_empty() { Ok(alert) } else { Err(faults) }
    }

    /// Where a column comes from, in words, for a fault of what it says.
    pub(crate) fn origin(&self, column: &str) -> Option<String> {
        let pointers = self.columns.get(column)?.sources()?;
        Some(format!("it comes from {pointers} of the body"))
    }
}

/// A body as its pointers see it.
enum Body<'b> {
    Json(&'b RawValue),
    Groups(BTreeMap<String, String>),
}

impl<'b> Body<'b> {
    fn of_text(text: &'b str, pattern: &Regex) -> Option<Self> {
        let captured = pattern.captures(text.trim())?;
        let groups = pattern.capture_names().flatten();
        let said = |name: &str| Some((name.to_owned(), captured.name(name)?.as_str().to_owned()));
        Some(Self::Groups(groups.filter_map(said).collect()))
    }

    /// The text or the number at a pointer; none where there is nothing, or null.
    fn at(&self, pointer: &str) -> Result<Option<String>, String> {
        match self {
            Self::Groups(groups) => Ok(groups.get(&unescaped(&pointer[1..])).cloned()),
            Self::Json(value) => {
                let mut value = (*value).to_owned();
                for name in pointer.split('/').skip(1) {
                    let Some(inner) = member(&value, &unescaped(name)) else { return Ok(None) };
                    value = inner;
                }
                scalar(&value, pointer)
            }
        }
    }
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

/// What an object or a list has under a name.
fn member(value: &RawValue, name: &str) -> Option<Box<RawValue>> {
    match value.get().as_bytes().first()? {
        b'{' => {
            let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(value.get()).ok()?;
            members.remove(name)
        }
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(value.get()).ok()?;
            let formed = name == "0" || !name.starts_with(['0', '+']);
            items.into_iter().nth(name.parse().ok().filter(|_| formed)?)
        }
        _ => None,
    }
}

fn scalar(value: &RawValue, pointer: &str) -> Result<Option<String>, String> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map(Some).map_err(|error| error.to_string()),
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') => Err(format!(
            "at `{pointer}`, where the map takes it from, the body has {} and no text and no number: point further into it",
            if text.starts_with('{') { "an object" } else { "a list" }
        )),
        // As it is written, digit by digit.
        _ => Ok(Some(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(columns: &[(&str, &str)]) -> Mapping {
        Mapping {
            recorded: Recorded::Transaction,
            columns: columns
                .iter()
                .map(|(column, text)| ((*column).to_owned(), Template::parse(text).unwrap()))
                .collect(),
            delivery: None,
            pattern: None,
            types: BTreeMap::from([("long".to_owned(), "buy".to_owned())]),
        }
    }

    fn cells(mapping: &Mapping, body: &str) -> BTreeMap<String, String> {
        mapping.read(body.as_bytes()).unwrap().cells
    }

    #[test]
    fn columns_are_constants_pointers_and_texts_with_pointers() {
        let mapping = mapping(&[
            ("currency", "USD"),
            ("symbol", "/ticker"),
            ("type", "/order/0/action"),
            ("note", "{/ticker}: {/a~1b} of {?/missing}{literal}"),
            ("strategy", "?/strategy"),
        ]);
        let body = r#"{"ticker":"AAPL","order":[{"action":"LONG"}],"a/b":"x\"y","strategy":null}"#;
        let cells = cells(&mapping, body);
        let shown: Vec<(&str, &str)> =
            cells.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(
            shown,
            [("currency", "USD"), ("note", "AAPL: x\"y of {literal}"), ("symbol", "AAPL"), ("type", "buy")]
        );
    }

    #[test]
    fn a_number_keeps_every_digit_that_it_is_written_with() {
        let mapping = mapping(&[("price", "/close"), ("quantity", "/size")]);
        let cells = cells(&mapping, r#"{"close": 0.1234567890123456789012, "size": "1.50"}"#);
        assert_eq!(cells["price"], "0.1234567890123456789012");
        assert_eq!(cells["quantity"], "1.50");
    }

    #[test]
    fn plain_text_is_taken_apart_by_the_pattern() {
        let pattern = Regex::new(r"^(?<side>buy|sell) (?<quantity>\S+) (?<symbol>\S+)$").unwrap();
        let mapping = Mapping {
            pattern: Some(pattern),
            ..mapping(&[("type", "/side"), ("symbol", "/symbol"), ("quantity", "/quantity")])
        };
        let cells = cells(&mapping, "sell 1.5 BTCUSD\n");
        assert_eq!((cells["type"].as_str(), cells["quantity"].as_str()), ("sell", "1.5"));
        let faults = mapping.read(b"hello").unwrap_err();
        assert!(faults[0].1.contains("pattern"), "{faults:?}");
    }

    #[test]
    fn a_fault_names_the_column_and_the_pointer() {
        let mapping = mapping(&[("symbol", "/ticker"), ("price", "/bar")]);
        let faults = mapping.read(br#"{"bar":{"close":1}}"#).unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(faults[0].0 == "price" && faults[0].1.contains("`/bar`"), "{faults:?}");
        assert!(faults[1].0 == "symbol" && faults[1].1.contains("`/ticker`"), "{faults:?}");
        assert!(mapping.origin("symbol").unwrap().contains("`/ticker`"));
        for body in ["", "{", "hello", "\u{0}"] {
            assert_eq!(mapping.read(body.as_bytes()).unwrap_err()[0].0, "");
        }
        assert!(mapping.read(&[0xff]).is_err());
    }

    #[test]
    fn a_template_that_cannot_be_meant_is_refused() {
        for text in ["", "/a~2", "?/a~", "{/a", "price {?/a", "{/a~}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
