//! How single values are written: durations, addresses, cadences, sizes of bars.

use super::{BarSize, Cadence, FeedKind};
use crate::importers::nearest;
use std::time::Duration;
use url::{Host, Url};

/// The longest duration that means anything here: a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// The shortest: anything faster is a slip.
const SHORTEST: Duration = Duration::from_millis(50);

/// A duration: digits and a unit, such as `60s`, `5m`, `12h`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration: write digits and a unit, such as 500ms, 60s, 5m, 12h, 1d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let duration = number.checked_mul(milliseconds).map(Duration::from_millis);
    duration.filter(|duration| (SHORTEST..=LONGEST).contains(duration)).ok_or_else(|| {
        format!("`{text}` is out of bounds: a duration here is at least 50ms and at most 366d")
    })
}

/// The address of a service.
pub(super) fn http(text: &str) -> Result<Url, String> {
    address(text, ["https", "http"])
}

/// The address of a socket.
pub(super) fn socket(text: &str) -> Result<Url, String> {
    address(text, ["wss", "ws"])
}

fn address(text: &str, schemes: [&str; 2]) -> Result<Url, String> {
    let [secure, plain] = schemes;
    let url = Url::parse(text)
        .map_err(|error| format!("it is not an address ({error}): write it like {secure}://host/path"))?;
    // What such an address says beside is not repeated: it may be a password.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "an address holds no name and no password: keys are said by `…_env` or `…_file`".to_owned()
        );
    }
    if !schemes.contains(&url.scheme()) {
        return Err(format!("`{text}` does not begin with {secure}:// or {plain}://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` holds a `?` or a `#`: end the address before it"));
    }
    Ok(url)
}

/// Whether an address sends what it is given, keys included, in clear over a network.
pub(super) fn is_in_clear(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    matches!(url.scheme(), "http" | "ws") && !here
}

/// Where something is sent to: over TLS, except to this machine itself.
pub(super) fn receiver(text: &str) -> Result<Url, String> {
    let url = http(text)?;
    if is_in_clear(&url) {
        return Err("it would be sent in clear: write https://, or an address of this machine".to_owned());
    }
    Ok(url)
}

/// Whether an address is one of Alpaca's own.
pub(super) fn is_alpacas(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "alpaca.markets" || host.ends_with(".alpaca.markets"))
}

/// The socket beside an address: the same host, another scheme, this path.
pub(super) fn socket_beside(url: &Url, path: &str) -> Option<Url> {
    let mut socket = url.clone();
    socket.set_scheme(if url.scheme() == "http" { "ws" } else { "wss" }).ok()?;
    socket.set_path(path);
    Some(socket)
}

/// How often a feed is asked: `daily`, `hourly`, `every 5m`, `every 5m in market hours`.
pub(super) fn cadence(text: &str) -> Result<Cadence, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["daily"] => Ok(Cadence::Daily),
        ["hourly"] => Ok(Cadence::Hourly),
        ["every", every] => Ok(Cadence::Every(duration(every)?)),
        ["every", every, "in", "market", "hours"] => Ok(Cadence::MarketHours(duration(every)?)),
        _ => Err(format!(
            "`{text}` is not a cadence: write `daily`, `hourly`, `every 5m` or `every 5m in market hours`"
        )),
    }
}

/// The length of a bar.
pub(super) fn bar_size(text: &str) -> Result<BarSize, String> {
    one_of(text, &[("day", BarSize::Day), ("hour", BarSize::Hour), ("minute", BarSize::Minute)])
}

/// What a feed is.
pub(super) fn feed_kind(text: &str) -> Result<FeedKind, String> {
    one_of(
        text,
        &[
            ("alpaca", FeedKind::Alpaca),
            ("alpha_vantage", FeedKind::AlphaVantage),
            ("yahoo", FeedKind::Yahoo),
            ("folder", FeedKind::Folder),
        ],
    )
}

/// What a word stands for.
pub(super) fn one_of<T: Copy>(text: &str, meanings: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, meaning)) = meanings.iter().find(|(name, _)| *name == text) {
        return Ok(*meaning);
    }
    let names: Vec<&str> = meanings.iter().map(|(name, _)| *name).collect();
    let meant =
        nearest::of(text, &names).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    Err(format!("`{text}` is not one of {}{meant}", names.join(", ")))
}

/// What a source is called: it becomes part of streams and keys.
pub(super) fn name(text: &str) -> Result<String, String> {
    let formed = !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && text.as_bytes()[0].is_ascii_lowercase();
    if !formed {
        return Err(format!(
            "`{}` is not a name: a lower-case letter, then up to 39 lower-case letters, digits or `-`",
            daybook_schemas::decimal::shorten(text)
        ));
    }
    if RESERVED.contains(&text) {
        return Err(format!("`{text}` is what Daybook itself calls a source: choose another name"));
    }
    Ok(text.to_owned())
}

/// Names that sources have which are configured without one.
const RESERVED: [&str; 3] = ["instruments", "ticks", "corporate-actions"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_digits_and_a_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("60s", 60_000), ("5m", 300_000), ("12h", 43_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "5", "s", "5 m", "-5m", "1.5h", "5w", "５m", "99999999999999999999s", "0s", "367d", "1ms"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_that_could_give_a_secret_away_is_refused_and_not_repeated() {
        let fault = http("https://me:hunter2@example.org").unwrap_err();
        assert!(!fault.contains("hunter2"), "{fault}");
        assert!(http("ftp://example.org").is_err() && http("example.org").is_err());
        assert!(http("https://example.org?key=1").is_err());
        assert!(is_in_clear(&http("http://example.org").unwrap()));
        assert!(!is_in_clear(&http("http://127.0.0.1:8080").unwrap()));
        assert!(!is_in_clear(&http("https://example.org").unwrap()));
        assert!(!is_alpacas(&http("https://notalpaca.markets").unwrap()));
    }

    #[test]
    fn a_cadence_reads_as_it_is_said() {
        assert_eq!(cadence("daily"), Ok(Cadence::Daily));
        assert_eq!(cadence("every 5m"), Ok(Cadence::Every(Duration::from_secs(300))));
        assert_eq!(cadence("every 1m in market hours"), Ok(Cadence::MarketHours(Duration::from_secs(60))));
        assert!(cadence("every").is_err() && cadence("weekly").is_err());
        assert!(feed_kind("yahooo").unwrap_err().contains("did you mean `yahoo`"));
    }
}
