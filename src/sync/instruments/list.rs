//! The user's own list of instruments: CSV, every row counts, or none.

use super::RefreshError;
use super::diff::Asset;
use crate::importers::nearest;
use crate::importers::symbols::{self, Form};
use daybook_schemas::Currency;
use daybook_schemas::events::InstrumentClass;
use std::collections::BTreeMap;
use std::path::Path;

/// The columns; only the first must be there.
const COLUMNS: [&str; 7] = ["symbol", "name", "class", "currency", "venue", "isin", "cusip"];
/// The largest list, in bytes.
const BYTES_MAX: u64 = 256 << 20;
/// The most faults that are told at once.
const FAULTS_MAX: usize = 20;

/// Reads the list from a file.
pub(super) fn assets(path: &Path) -> Result<Vec<Asset>, RefreshError> {
    let unreadable = |error: std::io::Error| {
        RefreshError::Unusable(format!("the list of instruments {} cannot be read: {error}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > BYTES_MAX {
        return Err(RefreshError::Unusable(format!("{} has more than {BYTES_MAX} bytes", path.display())));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    read(&name, &bytes)
}

fn read(file: &str, bytes: &[u8]) -> Result<Vec<Asset>, RefreshError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| unusable(file, &error))?.clone();
    let mut columns = [None; COLUMNS.len()];
    let mut faults = Vec::new();
    for (at, name) in header.iter().enumerate() {
        let lower = name.to_ascii_lowercase();
        match COLUMNS.iter().position(|known| *known == lower) {
            Some(column) if columns[column].is_some() => {
                faults.push(format!("{file}:1: `{lower}` is there twice"));
            }
            Some(column) => columns[column] = Some(at),
            None => {
                let meant = nearest::of(&lower, &COLUMNS).map(|known| format!(" (did you mean `{known}`?)"));
                let shown = daybook_schemas::decimal::shorten(name);
                faults.push(format!(
                    "{file}:1: there is no column `{shown}`{}; there are {}",
                    meant.unwrap_or_default(),
                    COLUMNS.join(", ")
                ));
            }
        }
    }
    if columns[0].is_none() {
        faults.push(format!("{file}:1: the column `symbol` is missing"));
    }
    if !faults.is_empty() {
        return Err(told(&faults));
    }
    let (mut assets, mut lines) = (Vec::new(), BTreeMap::new());
    for record in reader.records() {
        let record = record.map_err(|error| unusable(file, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell =
            |column: usize| columns[column].and_then(|at| record.get(at)).filter(|text| !text.is_empty());
        match asset(&cell) {
            Ok(asset) => {
                if let Some(first) = lines.insert(asset.handle.clone(), line) {
                    let symbol = &asset.symbol.text;
                    faults
                        .push(format!("{file}:{line}: `symbol`: `{symbol}` stands on line {first} already"));
                }
                assets.push(asset);
            }
            Err((column, why)) => faults.push(format!("{file}:{line}: `{column}`: {why}")),
        }
        if faults.len() >= FAULTS_MAX {
            break;
        }
    }
    if !faults.is_empty() {
        return Err(told(&faults));
    }
    if assets.is_empty() {
        // Taken at its word, everything would be delisted.
        return Err(RefreshError::Unusable(format!("{file} names no instrument: it is not used")));
    }
    Ok(assets)
}

fn told(faults: &[String]) -> RefreshError {
    RefreshError::Unusable(faults.join("\n"))
}

fn unusable(file: &str, error: &csv::Error) -> RefreshError {
    let line = error.position().map(|position| format!(":{}", position.line())).unwrap_or_default();
    let why = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8: save the file as UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "the row has {len} cells and the header {expected_len}: put a text that holds commas in quotes"
            )
        }
        _ => error.to_string(),
    };
    RefreshError::Unusable(format!("{file}{line}: {why}"))
}

fn asset<'a>(cell: &dyn Fn(usize) -> Option<&'a str>) -> Result<Asset, (&'static str, String)> {
    let at = |column: usize| move |why: String| (COLUMNS[column], why);
    let text = cell(0).ok_or_else(|| at(0)("it is empty: write the symbol".to_owned()))?;
    let symbol = symbols::read(text).map_err(at(0))?;
    let class = cell(2).map(class).transpose().map_err(at(2))?;
    let stated =
        cell(3).map(|text| Currency::parse(&text.to_ascii_uppercase())).transpose().map_err(at(3))?;
    let venue = cell(4).map(symbols::mic).transpose().map_err(at(4))?;
    let isin = cell(5).map(symbols::isin).transpose().map_err(at(5))?;
    let cusip = cell(6).map(cusip).transpose().map_err(at(6))?;
    let currency = match symbol.form {
        Form::Crypto { quote } | Form::Pair { quote, .. } => {
            if let Some(stated) = stated.filter(|stated| *stated != quote) {
                return Err(at(3)(format!("`{}` is quoted in {quote}, not in {stated}", symbol.text)));
            }
            quote
        }
        _ => stated.unwrap_or(Currency::USD),
    };
    let class = class.or(match symbol.form {
        Form::Crypto { .. } => Some(InstrumentClass::Crypto),
        Form::Option(_) => Some(InstrumentClass::Option),
        _ => None,
    });
    // An ISIN stays where a symbol changes.
    let handle = match &isin {
        Some(isin) => format!("{isin}:{currency}"),
        None => format!("{}:{currency}", symbol.text),
    };
    let name = cell(1).map(|name| name.chars().take(200).collect());
    Ok(Asset { handle, symbol, name, class, currency, venue, isin, cusip, active: true })
}

fn class(text: &str) -> Result<InstrumentClass, String> {
    let text = text.to_ascii_lowercase();
    match InstrumentClass::from_name(&text) {
        Some(InstrumentClass::Other(_)) | None => {
            let names = [
                "equity",
                "etf",
                "fund",
                "money_market",
                "bond",
                "option",
                "future",
                "crypto",
                "currency_pair",
                "index",
                "warrant",
                "depositary_receipt",
                "commodity",
            ];
            let meant = nearest::of(&text, &names).map(|name| format!(" (did you mean `{name}`?)"));
            Err(format!(
                "`{}` is not one of {}{}",
                daybook_schemas::decimal::shorten(&text),
                names.join(", "),
                meant.unwrap_or_default()
            ))
        }
        Some(class) => Ok(class),
    }
}

fn cusip(text: &str) -> Result<String, String> {
    let text = text.to_ascii_uppercase();
    if symbols::is_cusip(&text) {
        return Ok(text);
    }
    Err(format!(
        "`{}` is not a CUSIP: nine letters or digits, the last a check digit",
        daybook_schemas::decimal::shorten(&text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match read("list.csv", text.as_bytes()) {
            Err(RefreshError::Unusable(why)) => why,
            other => panic!("it is not refused: {other:?}"),
        }
    }

    #[test]
    fn a_list_needs_symbols_and_may_say_more() {
        let assets = read(
            "list.csv",
            b"\xef\xbb\xbfSymbol,name,isin\nacme,\"Acme, Inc.\",\nbtc-usd,,\nSAP,,DE0007164600\n",
        )
        .unwrap();
        assert_eq!(assets[0].handle, "ACME:USD");
        assert_eq!(assets[0].name.as_deref(), Some("Acme, Inc."));
        assert_eq!(
            (assets[1].symbol.text.as_str(), &assets[1].class),
            ("BTC/USD", &Some(InstrumentClass::Crypto))
        );
        assert_eq!(assets[2].handle, "DE0007164600:USD");
    }

    #[test]
    fn a_bad_list_is_refused_whole_by_line_and_column() {
        assert!(
            refused("symbl\nA\n").contains("list.csv:1: there is no column `symbl` (did you mean `symbol`?)")
        );
        assert!(refused("name\nA\n").contains("`symbol` is missing"));
        assert!(refused("symbol,symbol\nA,B\n").contains("twice"));
        assert!(refused("symbol,currency\nA,USD\nB,XXY\n").contains("list.csv:3: `currency`"));
        assert!(refused("symbol,isin\nA,US0378331006\n").contains("list.csv:2: `isin`"));
        assert!(refused("symbol,cusip\nA,037833101\n").contains("list.csv:2: `cusip`"));
        assert!(refused("symbol,class\nA,equty\n").contains("did you mean `equity`"));
        assert!(refused("symbol,venue\nA,NASDAQ\n").contains("list.csv:2: `venue`"));
        assert!(refused("symbol,currency\nBTC/USD,EUR\n").contains("quoted in USD"));
        assert!(refused("symbol\nA\na\n").contains("list.csv:3: `symbol`: `A` stands on line 2"));
        assert!(refused("symbol,name\nA\n").contains("list.csv:2: the row has 1 cells"));
        assert!(refused("symbol\nA\u{200b}B\n").contains("U+200B"));
        assert!(refused("symbol\n").contains("names no instrument"));
        assert!(refused("").contains("`symbol` is missing"));
        let Err(RefreshError::Unusable(why)) = read("list.csv", b"symbol\n\xff\n") else {
            panic!("it is refused")
        };
        assert!(why.contains("UTF-8"), "{why}");
    }
}
