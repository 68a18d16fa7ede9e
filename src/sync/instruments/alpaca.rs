//! Alpaca's assets, as `/v2/assets` lists them.

use super::RefreshError;
use super::diff::Asset;
use crate::importers::symbols::{self, Form};
use crate::sync::alpaca_http::Http;
use daybook_schemas::Currency;
use daybook_schemas::events::InstrumentClass;
use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// How long the list may take: it is some twelve megabytes.
const TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Stated {
    id: String,
    #[serde(default)]
    class: Option<String>,
    #[serde(default)]
    exchange: Option<String>,
    symbol: String,
    #[serde(default)]
    name: Option<String>,
    status: String,
    #[serde(default)]
    cusip: Option<String>,
}

/// Asks for all assets. Rows that cannot be read are counted and left out.
pub(super) async fn assets(http: &Http) -> Result<(Vec<Asset>, u64), RefreshError> {
    let answer = http
        .call(&Method::GET, "/v2/assets", Vec::new(), None, TIMEOUT)
        .await
        .map_err(|error| RefreshError::Unavailable(error.to_string()))?;
    match answer.status {
        200..=299 => read(&answer.body),
        status @ (401 | 403) => {
            let why =
                format!("Alpaca refuses the keys ({status}: {}): check the account's keys", answer.excerpt());
            Err(RefreshError::Refused(why))
        }
        status => Err(RefreshError::Unavailable(format!("Alpaca answered {status}: {}", answer.excerpt()))),
    }
}

/// Reads the list.
fn read(body: &[u8]) -> Result<(Vec<Asset>, u64), RefreshError> {
    let rows: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        RefreshError::Unavailable(format!("Alpaca's assets are no list of objects: {error}"))
    })?;
    let mut unread = 0;
    let assets: Vec<Asset> = rows
        .iter()
        .filter_map(|row| {
            let asset = serde_json::from_str::<Stated>(row.get()).ok().and_then(asset);
            unread += u64::from(asset.is_none());
            asset
        })
        .collect();
    if assets.iter().any(|asset| asset.active) {
        return Ok((assets, unread));
    }
    // Nobody trades nothing: taken at its word, everything would be delisted.
    Err(RefreshError::Unavailable(format!(
        "Alpaca's list of {} assets has none that is traded and can be read: it is not used",
        rows.len()
    )))
}

fn asset(stated: Stated) -> Option<Asset> {
    let symbol = symbols::read(&stated.symbol).ok()?;
    let plain = !stated.id.is_empty()
        && stated.id.len() <= 64
        && stated.id.bytes().all(|byte| byte.is_ascii_graphic());
    let active = match stated.status.as_str() {
        "active" => true,
        "inactive" => false,
        _ => return None,
    };
    let class = match stated.class.as_deref() {
        Some("us_equity") => Some(InstrumentClass::Equity),
        Some("crypto") => Some(InstrumentClass::Crypto),
        Some("us_option") => Some(InstrumentClass::Option),
        _ => None,
    };
    let currency = match symbol.form {
        Form::Crypto { quote } | Form::Pair { quote, .. } => quote,
        _ => Currency::USD,
    };
    plain.then(|| Asset {
        handle: format!("alpaca:{}", stated.id),
        symbol,
        name: stated
            .name
            .map(|name| name.trim().chars().take(200).collect::<String>())
            .filter(|name| !name.is_empty()),
        class,
        currency,
        venue: stated.exchange.as_deref().and_then(venue).map(str::to_owned),
        isin: None,
        cusip: stated.cusip.filter(|cusip| symbols::is_cusip(cusip)),
        active,
    })
}

/// The market identifier code of a venue, by Alpaca's name for it.
fn venue(exchange: &str) -> Option<&'static str> {
    Some(match exchange {
        "NASDAQ" => "XNAS",
        "NYSE" => "XNYS",
        "ARCA" | "NYSEARCA" => "ARCX",
        "AMEX" => "XASE",
        "BATS" => "BATS",
        "OTC" => "OTCM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_read_one_by_one_so_that_a_bad_one_costs_no_other() {
        let body = br#"[
            {"id":"b0b6dd9d-8b9b-48a9-ba46-b9d54906e415","class":"us_equity","exchange":"NASDAQ","symbol":"AAPL",
             "name":"Apple Inc. Common Stock","status":"active","tradable":true,"maintenance_margin_requirement":30},
            {"id":"276e2673-764b-4ab6-a611-caf665ca6340","class":"crypto","exchange":"CRYPTO","symbol":"BTC/USD",
             "name":"Bitcoin","status":"active"},
            {"id":"1","symbol":"A\u200bB","status":"active"},
            {"id":"2","symbol":"X","status":"resting"},
            {"symbol":"NOID","status":"active"},
            {"id":"4","symbol":"OLD","status":"inactive","exchange":"MOON","class":"us_equity"}
        ]"#;
        let (assets, unread) = read(body).unwrap();
        let symbols: Vec<&str> = assets.iter().map(|asset| asset.symbol.text.as_str()).collect();
        assert_eq!((symbols.as_slice(), unread), (&["AAPL", "BTC/USD", "OLD"][..], 3));
        assert_eq!(assets[0].venue.as_deref(), Some("XNAS"));
        assert_eq!(assets[1].class, Some(InstrumentClass::Crypto));
        assert!(!assets[2].active && assets[2].venue.is_none());
    }

    #[test]
    fn a_list_that_names_nothing_delists_nothing() {
        for body in [
            "[]",
            "{}",
            "[{\"message\":\"no\"}]",
            "<html>",
            "[{\"id\":\"4\",\"symbol\":\"A\",\"status\":\"inactive\"}]",
        ] {
            assert!(matches!(read(body.as_bytes()), Err(RefreshError::Unavailable(_))), "{body}");
        }
    }
}
