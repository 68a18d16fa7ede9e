//! What a symbol says by its form: an option's terms, a pair, an identifier of another scheme.

use super::invisible;
use daybook_schemas::events::{ContentHash, OptionRight};
use daybook_schemas::{Currency, Day, InstrumentId, ListingId, Price};
use rust_decimal::Decimal;

/// The most characters of a symbol.
const SYMBOL_CHARS_MAX: usize = 64;

/// Crypto assets that trade in pairs, so that a pair without a slash is recognised.
const CRYPTO: &[&str] = &[
    "AAVE", "ADA", "ALGO", "ATOM", "AVAX", "BAT", "BCH", "BTC", "CRV", "DAI", "DOGE", "DOT", "ETC", "ETH",
    "FIL", "GRT", "LINK", "LTC", "MATIC", "MKR", "NEAR", "PAXG", "PEPE", "SHIB", "SOL", "SUSHI", "TRX",
    "UNI", "USDC", "USDT", "XLM", "XRP", "XTZ", "YFI",
];

/// Crypto assets whose bare code is taken for nothing else.
const CRYPTO_ALONE: &[&str] = &["BTC", "DOGE", "ETH", "USDC", "USDT", "XRP"];

/// Currencies that crypto assets are quoted in.
const CRYPTO_QUOTES: &[&str] = &["USDT", "USDC", "USD", "EUR", "GBP", "BTC", "ETH"];

/// A symbol in the one form that is compared and kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Symbol {
    /// The text: capitals; an option compact, as `AAPL240119C00150000`; a pair with a slash, as `BTC/USD`.
    pub(crate) text: String,
    /// What the form says.
    pub(crate) form: Form,
}

/// What the form of a symbol says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Nothing more.
    Plain,
    /// An option.
    Option(OptionTerms),
    /// A crypto asset in a currency.
    Crypto {
        /// The currency it is quoted in.
        quote: Currency,
    },
    /// A currency in another.
    Pair {
        /// The currency that is priced.
        base: Currency,
        /// The currency it is priced in.
        quote: Currency,
    },
}

/// The terms that an option's symbol states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OptionTerms {
    /// The symbol of the underlying.
    pub(crate) root: String,
    /// The last day of its life.
    pub(crate) expiry: Day,
    /// Call or put.
    pub(crate) right: OptionRight,
    /// The price at which it can be exercised.
    pub(crate) strike: Price,
}

impl OptionTerms {
    /// The symbol without padding; absent for a strike that the form cannot hold.
    #[must_use]
    pub(crate) fn compact(&self) -> Option<String> {
        let thousandths =
            daybook_schemas::decimal::multiply(self.strike.get(), Decimal::ONE_THOUSAND).ok()?;
        if thousandths.scale() != 0 || !(1..=99_999_999).contains(&thousandths.mantissa()) {
            return None;
        }
        let letter = if self.right == OptionRight::Call { 'C' } else { 'P' };
        let date = self.expiry.to_date().format("%y%m%d");
        Some(format!("{}{date}{letter}{:08}", self.root, thousandths.mantissa()))
    }

    /// The OCC's form of 21 characters: the root is padded to six.
    #[must_use]
    pub(crate) fn padded(&self) -> Option<String> {
        let compact = self.compact()?;
        let terms = compact.get(self.root.len()..)?;
        Some(format!("{:<6}{terms}", self.root))
    }
}

/// Reads a symbol.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub(crate) fn read(text: &str) -> Result<Symbol, String> {
    let text = text.trim();
    let shown = |text: &str| daybook_schemas::decimal::shorten(&text.replace(invisible::is, "?"));
    if text.is_empty() || text.chars().count() > SYMBOL_CHARS_MAX {
        return Err(format!(
            "`{}` is not a symbol: a symbol has 1 to {SYMBOL_CHARS_MAX} letters, digits and signs",
            shown(text)
        ));
    }
    // Two symbols that look alike must be one.
    if let Some((hidden, name)) = text.chars().find_map(|hidden| Some((hidden, invisible::name(hidden)?))) {
        return Err(format!(
            "`{}` is not a symbol: it holds U+{:04X} ({name}), which is not seen: type the symbol anew",
            shown(text),
            u32::from(hidden)
        ));
    }
    let text = text.to_uppercase();
    if let Some(terms) = option(&text)?
        && let Some(compact) = terms.compact()
    {
        return Ok(Symbol { text: compact, form: Form::Option(terms) });
    }
    let plain = text.strip_suffix("=X").unwrap_or(&text);
    if let Some((base, quote)) = pair(plain) {
        let text = format!("{base}/{quote}");
        let quote = Currency::parse(quote)?;
        let form = match Currency::parse(base) {
            Ok(base_currency) if !CRYPTO.contains(&base) => Form::Pair { base: base_currency, quote },
            _ => Form::Crypto { quote },
        };
        return Ok(Symbol { text, form });
    }
    Ok(Symbol { text, form: Form::Plain })
}

/// The parts of a pair: with a slash or a hyphen a crypto asset or a currency and a currency; without, known ones only.
fn pair(text: &str) -> Option<(&str, &str)> {
    let fiat = |code: &str| code.len() == 3 && Currency::parse(code).is_ok();
    if let Some((base, quote)) = text.split_once(['/', '-']) {
        let known = CRYPTO.contains(&base) && CRYPTO_QUOTES.contains(&quote) || fiat(base) && fiat(quote);
        let slashed = text.contains('/') && base.len() >= 2 && CRYPTO_QUOTES.contains(&quote);
        return ((known || slashed) && base != quote && !base.contains(['/', ' '])).then_some((base, quote));
    }
    if text.len() == 6 && text.is_ascii() {
        let (base, quote) = text.split_at(3);
        if fiat(base) && fiat(quote) && base != quote {
            return Some((base, quote));
        }
    }
    CRYPTO_QUOTES.iter().find_map(|quote| {
        let base = text.strip_suffix(quote)?;
        (CRYPTO.contains(&base) && base != *quote).then_some((base, *quote))
    })
}

/// An option's terms from the OCC's form, padded or not. A text of that form whose date is none is a slip: taken for
/// another symbol, it would be counted one for one.
fn option(text: &str) -> Result<Option<OptionTerms>, String> {
    if !text.is_ascii() || text.len() < 16 || text.len() > 21 {
        return Ok(None);
    }
    let (root, terms) = text.split_at(text.len() - 15);
    let root = root.trim_end();
    let formed = !root.is_empty()
        && root.len() <= 6
        && root.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        && root.as_bytes()[0].is_ascii_alphabetic();
    let (date, rest) = terms.split_at(6);
    let (right, strike) = rest.split_at(1);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !formed || !digits(date) || !digits(strike) {
        return Ok(None);
    }
    let right = match right {
        "C" => OptionRight::Call,
        "P" => OptionRight::Put,
        _ => return Ok(None),
    };
    let written = format!("20{}-{}-{}", &date[..2], &date[2..4], &date[4..]);
    let expiry = Day::parse(&written).map_err(|_| {
        format!("`{text}` has the form of an option's symbol, and {written} is no date: correct the `{date}`")
    })?;
    let terms = strike.parse().ok().and_then(|thousandths| {
        let strike = daybook_schemas::decimal::from_parts(thousandths, 3).ok()?;
        Some(OptionTerms { root: root.to_owned(), expiry, right, strike: Price::new(strike) })
    });
    Ok(terms)
}

/// The id of an instrument that is listed from a symbol alone, so that everyone who lists it derives the same.
/// `ordinal` is the number of instruments that were listed so under the symbol before.
#[must_use]
pub(crate) fn provisional_id(symbol: &str, currency: Currency, ordinal: u32) -> InstrumentId {
    InstrumentId::derive(&[symbol.as_bytes(), currency.as_str().as_bytes(), &ordinal.to_le_bytes()])
}

/// The record key under which an instrument is listed from a symbol, without the revision.
#[must_use]
pub(crate) fn listing_key(symbol: &str, currency: Currency, ordinal: u32) -> String {
    format!("instrument:{}:{currency}:{ordinal}", key_part(symbol))
}

/// The id of a listing, so that everyone who adds it derives the same.
#[must_use]
pub(crate) fn listing_id(
    instrument: InstrumentId,
    venue: Option<&str>,
    symbol: &str,
    currency: Currency,
) -> ListingId {
    ListingId::derive(&[
        instrument.as_bytes(),
        venue.unwrap_or_default().as_bytes(),
        symbol.as_bytes(),
        currency.as_str().as_bytes(),
    ])
}

/// A text as a part of a key: as it is where it is plain and short, else its hash.
pub(crate) fn key_part(text: &str) -> String {
    let plain =
        text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b':');
    if plain { text.to_owned() } else { ContentHash::of(text.as_bytes()).to_string() }
}

/// Whether a bare symbol is that of a crypto asset.
pub(crate) fn is_crypto(text: &str) -> bool {
    CRYPTO_ALONE.contains(&text)
}

/// Whether a text has the form of a CUSIP, its check digit included.
pub(crate) fn is_cusip(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 9 || !bytes[8].is_ascii_digit() || !bytes[..3].iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let mut sum = 0;
    for (at, byte) in bytes[..8].iter().enumerate() {
        let value = match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'Z' => u32::from(byte - b'A') + 10,
            b'*' => 36,
            b'@' => 37,
            b'#' => 38,
            _ => return false,
        };
        let value = if at % 2 == 1 { value * 2 } else { value };
        sum += value / 10 + value % 10;
    }
    (10 - sum % 10) % 10 == u32::from(bytes[8] - b'0')
}

/// Reads an ISIN.
pub(crate) fn isin(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_uppercase();
    let bytes = text.as_bytes();
    let formed = bytes.len() == 12
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..].iter().all(u8::is_ascii_alphanumeric)
        && bytes[11].is_ascii_digit();
    if !formed {
        let text = daybook_schemas::decimal::shorten(&text);
        return Err(format!(
            "`{text}` is not an ISIN: two letters, nine letters or digits, and a check digit"
        ));
    }
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|letter| letter.to_digit(36))
        .flat_map(|value| if value >= 10 { vec![value / 10, value % 10] } else { vec![value] })
        .collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 1 { digit * 2 } else { *digit })
        .map(|digit| digit / 10 + digit % 10)
        .sum();
    if sum.is_multiple_of(10) {
        Ok(text)
    } else {
        Err(format!("`{text}` is not an ISIN: its check digit is wrong"))
    }
}

/// Reads a market identifier code.
pub(crate) fn mic(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_uppercase();
    if text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(text);
    }
    let text = daybook_schemas::decimal::shorten(&text);
    Err(format!("`{text}` is not a market identifier code: four letters or digits, such as XNAS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_one_whether_its_symbol_is_padded_or_not() {
        let padded = read("AAPL  240119C00150000").unwrap();
        assert_eq!(padded, read("aapl240119c00150000").unwrap());
        assert_eq!(padded.text, "AAPL240119C00150000");
        let Form::Option(terms) = padded.form else { panic!("not read as an option") };
        assert_eq!((terms.root.as_str(), terms.strike.to_string().as_str()), ("AAPL", "150"));
        assert_eq!(
            (terms.expiry.to_string().as_str(), terms.right.clone()),
            ("2024-01-19", OptionRight::Call)
        );
        assert_eq!(terms.padded().unwrap(), "AAPL  240119C00150000");
    }

    #[test]
    fn an_option_whose_date_is_none_is_refused_and_not_taken_for_a_share() {
        for text in ["AAPL240230C00150000", "AAPL  241319p00150000", "X240100C00000500"] {
            let fault = read(text).unwrap_err();
            assert!(
                fault.contains("has the form of an option's symbol") && fault.contains("no date"),
                "{fault}"
            );
        }
        assert!(matches!(read("AAPL240229C00150000").unwrap().form, Form::Option(_)), "2024 is a leap year");
        assert_eq!(read("AAPL240230X00150000").unwrap().form, Form::Plain, "an option is a call or a put");
    }

    #[test]
    fn two_symbols_that_look_alike_are_not_two() {
        for (text, named) in [
            ("\u{200b}AAPL", "U+200B (zero width space)"),
            ("\u{202e}LPAA", "U+202E (right-to-left override)"),
            ("AA\u{ad}PL", "U+00AD (soft hyphen)"),
            ("AAPL\u{fe0f}", "U+FE0F (variation selector)"),
            ("BRK\u{a0}B", "U+00A0 (no-break space)"),
            ("A\u{3164}", "U+3164 (Hangul filler)"),
            ("A\u{7}B", "U+0007 (control character)"),
            ("\u{feff}AAPL", "U+FEFF (zero width no-break space)"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.contains(named), "{fault}");
            assert!(!fault.chars().any(invisible::is), "{fault:?}");
        }
        assert_eq!(read(" AAPL\u{a0}").unwrap().text, "AAPL", "space around it is no part of it");
        assert_eq!(read("BRK B").unwrap().text, "BRK B");
    }

    #[test]
    fn a_pair_is_one_with_or_without_its_slash() {
        for text in ["BTC/USD", "btcusd", "BTC-USD"] {
            let symbol = read(text).unwrap();
            assert_eq!(
                (symbol.text.as_str(), symbol.form),
                ("BTC/USD", Form::Crypto { quote: Currency::USD })
            );
        }
        for text in ["EURUSD", "EUR/USD", "EURUSD=X"] {
            let symbol = read(text).unwrap();
            assert_eq!(symbol.text, "EUR/USD");
            assert!(matches!(symbol.form, Form::Pair { quote: Currency::USD, .. }));
        }
        for text in ["BRK/B", "BRK-B", "AAPL", "USDUSD", "USD", "BTC"] {
            assert_eq!(read(text).unwrap().form, Form::Plain, "{text}");
        }
    }

    #[test]
    fn what_is_no_symbol_is_refused() {
        assert!(read(" ").is_err());
        assert!(read("A\nB").is_err());
        assert!(read(&"A".repeat(65)).is_err());
    }

    #[test]
    fn check_digits_tell_identifiers_from_slips() {
        assert_eq!(isin("us0378331005"), Ok("US0378331005".to_owned()));
        assert!(isin("US0378331006").unwrap_err().contains("check digit"));
        assert!(isin("0378331005").is_err());
        assert!(is_cusip("037833100") && !is_cusip("037833101") && !is_cusip("AAPL"));
        assert!(mic("xnas").is_ok() && mic("NASDAQ").is_err());
    }
}
