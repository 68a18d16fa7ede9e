//! Requests, responses, and what a transport may do to them.

use daybook_schemas::{Day, Timestamp, Zone};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::time::Duration;

/// A request as it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, `DELETE`, `PATCH`.
    pub method: String,
    /// Path and query as they came, for signatures that cover them. May be left empty where nothing is signed.
    pub target: String,
    /// Without the query, percent-decoded.
    pub path: String,
    /// Names and values in their order, percent-decoded.
    pub query: Vec<(String, String)>,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a body from a path that may carry a query.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::to("GET", target)
    }

    /// A request by any method from a path that may carry a query.
    #[must_use]
    pub fn to(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name, true), decode(value, true))
            })
            .collect();
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            path: decode(path, false),
            query,
            ..Self::default()
        }
    }

    /// The same with Alpaca's two headers.
    #[must_use]
    pub fn with_keys(mut self, key_id: &str, secret: &str) -> Self {
        self.headers.push(("APCA-API-KEY-ID".to_owned(), key_id.to_owned()));
        self.headers.push(("APCA-API-SECRET-KEY".to_owned(), secret.to_owned()));
        self
    }

    /// The same signed as Robinhood's crypto API wants it: the key, the second, target, method and body under Ed25519. The
    /// body must be there already.
    #[must_use]
    pub fn signed(mut self, api_key: &str, key: &ed25519_dalek::SigningKey, at: Timestamp) -> Self {
        let second = at.nanos().div_euclid(1_000_000_000).to_string();
        let signature = ed25519_dalek::Signer::sign(key, &self.signed_message(api_key, &second));
        let signature =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signature.to_bytes());
        self.headers.extend([
            ("x-api-key".to_owned(), api_key.to_owned()),
            ("x-timestamp".to_owned(), second),
            ("x-signature".to_owned(), signature),
        ]);
        self
    }

    /// What a signature is over.
    pub(crate) fn signed_message(&self, api_key: &str, second: &str) -> Vec<u8> {
        let target = if self.target.is_empty() { &self.path } else { &self.target };
        [api_key.as_bytes(), second.as_bytes(), target.as_bytes(), self.method.as_bytes(), &self.body]
            .concat()
    }

    /// The same with a JSON body.
    #[must_use]
    pub fn with_json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self
    }

    /// A header's value; its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A query parameter's value, none where it is empty.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Beside `Content-Length`, which the transport writes.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// JSON with a status.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string())
    }

    /// JSON that is text already.
    #[must_use]
    pub fn text(status: u16, body: String) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json; charset=UTF-8".to_owned())],
            body: body.into_bytes(),
        }
    }

    /// No body.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Alpaca's shape of an error.
    #[must_use]
    pub fn error(status: u16, code: u64, message: &str) -> Self {
        Self::json(status, &json!({ "code": code, "message": message }))
    }

    /// A header's value; its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// What the transport has to do. A request whose answer is spoiled on the way has been carried out all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send it.
    Whole(Response),
    /// Send it after a while.
    Slow(Response, Duration),
    /// Send status, headers with the whole body's `Content-Length`, so many bytes of the body, and close.
    Truncated(Response, usize),
    /// Send as `Truncated`, and then nothing, with the connection open. `None`: not even the status.
    Hang(Option<(Response, usize)>),
    /// Reset the connection without a word.
    Reset,
}

impl Answer {
    /// The response where one arrives whole, sooner or later.
    #[must_use]
    pub fn response(self) -> Option<Response> {
        match self {
            Self::Whole(response) | Self::Slow(response, _) => Some(response),
            Self::Truncated(..) | Self::Hang(_) | Self::Reset => None,
        }
    }
}

/// An instant as Alpaca writes it.
pub(crate) fn iso(at: Timestamp) -> String {
    at.to_string()
}

/// A decimal without trailing zeros.
pub(crate) fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

/// A decimal as a JSON number. Prices and rates have fewer digits than a double keeps, so their text survives.
pub(crate) fn number(value: Decimal) -> Value {
    plain(value).parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}

/// An instant, or a day that stands for its midnight in a zone.
pub(crate) fn instant_or_day(text: &str, zone: Zone) -> Option<Timestamp> {
    Timestamp::parse(text).ok().or_else(|| Day::parse(text).ok().map(|day| day.start_in(zone)))
}

/// Percent-decoding; what is no escape stays as it is.
fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match escaped {
            Some(byte) => {
                bytes.push(byte);
                &after[2..]
            }
            None => {
                bytes.push(if first == b'+' && plus_is_space { b' ' } else { first });
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_taken_apart_and_decoded() {
        let request = Request::get("/v2/assets/BTC%2FUSD?after=2024-01-01T00%3A00%3A00%2B00%3A00&x=&z=%zz");
        assert_eq!(request.path, "/v2/assets/BTC/USD");
        assert_eq!(request.parameter("after"), Some("2024-01-01T00:00:00+00:00"));
        assert_eq!((request.parameter("x"), request.parameter("z")), (None, Some("%zz")));
    }

    #[test]
    fn a_price_keeps_its_digits_as_a_json_number() {
        assert_eq!(number(Decimal::new(1_734_500, 4)).to_string(), "173.45");
        assert_eq!(number(Decimal::from(85_998_033)).to_string(), "85998033");
    }
}
