//! What the service is told about its edges: where it listens, what it takes, and how long it waits.

use super::faults::Spot;
use super::load::Loading;
use super::provenance::Origin;
use super::section::{Reading, Section};
use super::values;
use crate::serving::TlsFiles;
use daybook_schemas::decimal::shorten;
use serde_json::Value;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The most requests that a rate can name.
const REQUESTS_MAX: u32 = 10_000_000;

/// The edges of the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where its metrics are read without a token: an address of this machine alone.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Where its certificate is, if connections are encrypted.
    pub(crate) tls: Option<TlsFiles>,
    /// Origins whose pages may call it from a browser.
    pub(crate) cors_origins: Vec<String>,
    /// How many requests a token may make, if that is limited.
    pub(crate) rate_limit: Option<Rate>,
    /// Connections at a time.
    pub(crate) connections_max: u32,
    /// How long a connection may take to say the head of a request.
    pub(crate) header_timeout: Duration,
    /// The largest head of a request, in bytes.
    pub(crate) header_bytes_max: u32,
    /// How long a connection may be silent between requests.
    pub(crate) keep_alive: Duration,
    /// How long a request may take, uploads and live streams apart.
    pub(crate) request_timeout: Duration,
    /// How long an upload may take.
    pub(crate) upload_timeout: Duration,
    /// How long a connection may take nothing of an answer that waits for it.
    pub(crate) write_timeout: Duration,
    /// How long a body may pause.
    pub(crate) body_pause: Duration,
    /// For how long a public page may show what it read without asking again.
    pub(crate) display_fresh: Duration,
    /// For how long after that it may show it while it asks again.
    pub(crate) display_stale: Duration,
    /// The largest body of JSON, in bytes.
    pub(crate) json_bytes_max: u32,
    /// The largest upload, in bytes.
    pub(crate) upload_bytes_max: u32,
    /// The memory for all uploads that are under way, in bytes.
    pub(crate) uploads_bytes_max: u32,
}

/// How many requests a token may make in a time; as many at once, if it made none before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate {
    /// How many.
    pub(crate) requests: NonZeroU32,
    /// In how long.
    pub(crate) per: Duration,
}

/// What the command line says of the service.
#[derive(Clone, Default, Debug)]
pub(crate) struct ServiceFlags {
    /// `--listen`
    pub(crate) listen: Option<SocketAddr>,
    /// `--metrics-listen`
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// `--tls-cert`
    pub(crate) tls_cert: Option<PathBuf>,
    /// `--tls-key`
    pub(crate) tls_key: Option<PathBuf>,
    /// `--cors-origin`, each of them
    pub(crate) cors_origins: Vec<String>,
    /// `--rate-limit`
    pub(crate) rate_limit: Option<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_listen: None,
            tls: None,
            cors_origins: Vec::new(),
            rate_limit: None,
            connections_max: 16_384,
            header_timeout: Duration::from_secs(10),
            header_bytes_max: 64 << 10,
            keep_alive: Duration::from_secs(75),
            request_timeout: Duration::from_secs(60),
            upload_timeout: Duration::from_secs(900),
            write_timeout: Duration::from_secs(30),
            body_pause: Duration::from_secs(20),
            display_fresh: Duration::from_secs(15),
            display_stale: Duration::from_secs(60),
            json_bytes_max: 1 << 20,
            upload_bytes_max: 512 << 20,
            uploads_bytes_max: 1 << 30,
        }
    }
}

/// A key of the section, the variable that stands for it, and what a flag says.
struct Key {
    key: &'static str,
    variable: &'static str,
    flag: Option<(&'static str, String)>,
}

impl Key {
    const fn new(key: &'static str, variable: &'static str) -> Self {
        Self { key, variable, flag: None }
    }

    fn flag(self, name: &'static str, said: Option<impl ToString>) -> Self {
        Self { flag: said.map(|said| (name, said.to_string())), ..self }
    }
}

/// The section while it is read.
struct Edges<'l, 's, 'e, 'd, 'i> {
    loading: &'l mut Loading<'e>,
    section: &'s mut Section<'d, 'i>,
}

impl Loading<'_> {
    /// What the `[service]` section, the variables that stand for its keys, and the flags say.
    pub(super) fn service(&mut self, section: Option<Section<'_, '_>>, flags: &ServiceFlags) -> Service {
        let mut section = section.unwrap_or_else(|| Section::absent("[service]", "service"));
        let service = Edges { loading: self, section: &mut section }.read(flags);
        section.finish(&mut self.reading);
        service
    }
}

impl<'e, 'd, 'i> Edges<'_, '_, 'e, 'd, 'i> {
    fn read(&mut self, flags: &ServiceFlags) -> Service {
        let usual = Service::default();
        let listen = Key::new("listen", "DAYBOOK_LISTEN").flag("--listen", flags.listen);
        let listen = self.text(listen, Some("127.0.0.1:8080"), address);
        let metrics_listen = Key::new("metrics_listen", "DAYBOOK_METRICS_LISTEN")
            .flag("--metrics-listen", flags.metrics_listen);
        let metrics_listen = self.text(metrics_listen, None, loopback);
        let tls = self.tls(flags);
        let cors_origins = self.origins(flags);
        let rate =
            Key::new("rate_limit", "DAYBOOK_RATE_LIMIT").flag("--rate-limit", flags.rate_limit.as_ref());
        let rate_limit = self.text(rate, Some("off"), rate_of).flatten();
        let count = |edges: &mut Self, key, variable, usual, bounds| {
            edges.count(&Key::new(key, variable), usual, &bounds)
        };
        let connections_max =
            count(self, "connections_max", "DAYBOOK_CONNECTIONS_MAX", usual.connections_max, 1..=1_000_000);
        let header_bytes_max = count(
            self,
            "header_bytes_max",
            "DAYBOOK_HEADER_BYTES_MAX",
            usual.header_bytes_max,
            8_192..=1 << 20,
        );
        let json_bytes_max =
            count(self, "json_bytes_max", "DAYBOOK_JSON_BYTES_MAX", usual.json_bytes_max, 1_024..=64 << 20);
        let upload_bytes_max = count(
            self,
            "upload_bytes_max",
            "DAYBOOK_UPLOAD_BYTES_MAX",
            usual.upload_bytes_max,
            1_024..=2 << 30,
        );
        let uploads_bytes_max = count(
            self,
            "uploads_bytes_max",
            "DAYBOOK_UPLOADS_BYTES_MAX",
            usual.uploads_bytes_max,
            1_024..=3 << 30,
        );
        let mut time =
            |key, variable, usual| self.text(Key::new(key, variable), Some(usual), values::duration);
        let header_timeout = time("header_timeout", "DAYBOOK_HEADER_TIMEOUT", "10s");
        let keep_alive = time("keep_alive", "DAYBOOK_KEEP_ALIVE", "75s");
        let request_timeout = time("request_timeout", "DAYBOOK_REQUEST_TIMEOUT", "60s");
        let upload_timeout = time("upload_timeout", "DAYBOOK_UPLOAD_TIMEOUT", "15m");
        let write_timeout = time("write_timeout", "DAYBOOK_WRITE_TIMEOUT", "30s");
        let body_pause = time("body_pause", "DAYBOOK_BODY_PAUSE", "20s");
        let display_fresh = time("display_fresh", "DAYBOOK_DISPLAY_FRESH", "15s");
        let display_stale = time("display_stale", "DAYBOOK_DISPLAY_STALE", "60s");
        Service {
            listen: listen.unwrap_or(usual.listen),
            metrics_listen,
            tls,
            cors_origins,
            rate_limit,
            connections_max,
            header_timeout: header_timeout.unwrap_or(usual.header_timeout),
            header_bytes_max,
            keep_alive: keep_alive.unwrap_or(usual.keep_alive),
            request_timeout: request_timeout.unwrap_or(usual.request_timeout),
            upload_timeout: upload_timeout.unwrap_or(usual.upload_timeout),
            write_timeout: write_timeout.unwrap_or(usual.write_timeout),
            body_pause: body_pause.unwrap_or(usual.body_pause),
            display_fresh: display_fresh.unwrap_or(usual.display_fresh),
            display_stale: display_stale.unwrap_or(usual.display_stale),
            json_bytes_max,
            upload_bytes_max,
            uploads_bytes_max,
        }
    }

    /// What the flag says, else the variable, else the section. The section is read all the same, so that a fault in it
    /// is told.
    fn first<T>(
        &mut self,
        key: &Key,
        read: impl FnOnce(&str) -> Result<(T, Value), String>,
        of_section: impl FnOnce(&mut Section<'d, 'i>, &mut Reading<'e>) -> Option<T>,
    ) -> Option<T> {
        let reading = &mut self.loading.reading;
        let shown = reading.settings.len();
        let in_section = of_section(self.section, reading);
        let (text, spot, origin) = if let Some((name, text)) = &key.flag {
            (text.clone(), Spot::Flag(name), Origin::Flag(name))
        } else if let Some(text) = reading.variable(key.variable) {
            let name = key.variable.to_owned();
            (text, Spot::Variable(name.clone()), Origin::Variable(name))
        } else {
            return in_section;
        };
        reading.settings.truncate(shown);
        match read(&text) {
            Ok((value, written)) => {
                reading.set(self.section.key(key.key), written, origin);
                Some(value)
            }
            Err(why) => {
                reading.fault(spot, None, why);
                None
            }
        }
    }

    /// A value that is written as text; without a default it may be left out.
    #[expect(clippy::needless_pass_by_value, reason = "a key is made for one look")]
    fn text<T>(
        &mut self,
        key: Key,
        usual: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let written = |text: &str| Ok((read(text)?, Value::from(text)));
        self.first(&key, written, |section, reading| match usual {
            Some(usual) => section.text_or(reading, key.key, usual, &read),
            None => section.text(reading, key.key, &read),
        })
    }

    /// A number within bounds.
    fn count(&mut self, key: &Key, usual: u32, bounds: &RangeInclusive<u32>) -> u32 {
        let read = |text: &str| {
            let number: Option<u32> = text.replace('_', "").parse().ok();
            number
                .filter(|number| bounds.contains(number))
                .map(|number| (number, number.into()))
                .ok_or_else(|| format!("it is a whole number from {} to {}", bounds.start(), bounds.end()))
        };
        let of_section = |section: &mut Section<'d, 'i>, reading: &mut Reading<'e>| {
            Some(section.number_or(reading, key.key, usual, bounds.clone()))
        };
        self.first(key, read, of_section).unwrap_or(usual)
    }

    /// The files of certificate and key: both or neither.
    fn tls(&mut self, flags: &ServiceFlags) -> Option<TlsFiles> {
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut file = |key: Key| {
            let read = |text: &str| Ok((PathBuf::from(text), Value::from(text)));
            self.first(&key, read, |section, reading| section.path(reading, key.key))
        };
        let certificate =
            file(Key::new("tls_cert", "DAYBOOK_TLS_CERT").flag("--tls-cert", shown(&flags.tls_cert)));
        let key = file(Key::new("tls_key", "DAYBOOK_TLS_KEY").flag("--tls-key", shown(&flags.tls_key)));
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (certificate, _) => {
                let cert = ("tls_cert", "--tls-cert", "DAYBOOK_TLS_CERT", flags.tls_cert.is_some());
                let key = ("tls_key", "--tls-key", "DAYBOOK_TLS_KEY", flags.tls_key.is_some());
                let (said, missing) = if certificate.is_some() { (cert, key) } else { (key, cert) };
                // What was said and is a fault itself has been told already.
                if self.loading.reading.faults.is_empty() {
                    let spot = if said.3 {
                        Spot::Flag(said.1)
                    } else if self.loading.reading.variable(said.2).is_some() {
                        Spot::Variable(said.2.to_owned())
                    } else {
                        self.section.spot()
                    };
                    let why = format!(
                        "`{}` is said and this is not: a certificate needs its key, say {}, {} or `{}`",
                        said.0, missing.1, missing.2, missing.0
                    );
                    self.loading.reading.fault(spot, Some(missing.0), why);
                }
                None
            }
        }
    }

    /// The origins whose pages may call.
    fn origins(&mut self, flags: &ServiceFlags) -> Vec<String> {
        let said = (!flags.cors_origins.is_empty()).then(|| flags.cors_origins.join(","));
        let key = Key::new("cors_origins", "DAYBOOK_CORS_ORIGINS").flag("--cors-origin", said);
        let read = |text: &str| {
            let origins: Vec<String> = text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(origin)
                .collect::<Result<_, _>>()?;
            let written = origins.iter().map(|origin| Value::from(origin.as_str())).collect::<Vec<_>>();
            Ok((origins, written.into()))
        };
        let of_section = |section: &mut Section<'d, 'i>, reading: &mut Reading<'e>| {
            Some(section.texts(reading, key.key, &[], origin))
        };
        self.first(&key, read, of_section).unwrap_or_default()
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{}` is not an address and a port: write it like 127.0.0.1:8080 or [::]:8080", shorten(text))
    })
}

/// An address that nobody reaches from another machine.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{address} is reached from other machines, and metrics are read there without a token: write 127.0.0.1:{}, or \
         read /metrics of the service with a token of an auditor",
        address.port()
    ))
}

/// `off`, or so many requests in a time: `600/1m`.
fn rate_of(text: &str) -> Result<Option<Rate>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || {
        format!(
            "`{}` is not a rate: write `off`, or how many requests in how long, like 600/1m",
            shorten(text)
        )
    };
    let (requests, per) = text.split_once('/').ok_or_else(wrong)?;
    let requests: NonZeroU32 = requests.trim().parse().map_err(|_| wrong())?;
    let per = values::duration(per.trim())?;
    if requests.get() > REQUESTS_MAX || per > Duration::from_secs(86_400) {
        return Err(format!(
            "`{}` is out of bounds: at most {REQUESTS_MAX} requests, in at most 1d",
            shorten(text)
        ));
    }
    Ok(Some(Rate { requests, per }))
}

/// An origin as a browser says it: scheme, host and port, nothing behind; or `*` for any.
fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match url.map(|url| url.origin().ascii_serialization()) {
        Some(written) if written == text => Ok(written),
        Some(written) => Err(format!("`{}` is not how a browser says it: write `{written}`", shorten(text))),
        None => Err(format!("`{}` is not an origin: write it like https://example.org", shorten(text))),
    }
}
