//! One delivery over HTTP: signed, sent to the address that was checked, and what the answer means.
//!
//! No redirect is followed, no proxy is asked and the name is looked up anew for each connection: the very address that
//! is connected to is checked, so that a name cannot be pointed elsewhere between the check and the connection.

use crate::config::OutboundWebhook;
use crate::sync::alpaca_http::Answer as Excerpted;
use crate::webhooks::signature;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};
use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::RETRY_AFTER;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What a receiver made of a delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It has it.
    Taken,
    /// It wants no more.
    Gone(String),
    /// It does not have it, for this reason; it may want to be left alone for so long.
    NotTaken(String, Option<Duration>),
}

/// A receiver, as it is reached.
#[derive(Clone, Debug)]
pub(super) struct Post {
    agent: Agent,
    config: OutboundWebhook,
}

/// Which addresses may be sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Whether only this machine itself may be reached: what is sent in clear goes nowhere else.
    pub(crate) loopback_only: bool,
    /// Whether link-local and metadata addresses may be sent to.
    pub(crate) allow_link_local: bool,
}

/// What sends to addresses that were checked, follows no redirect and asks no proxy.
pub(crate) fn guarded_agent(reach: Reach, timeout: Duration) -> Agent {
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(timeout))
        .user_agent(concat!("daybook/", env!("CARGO_PKG_VERSION")))
        .build();
    let checked = Checked {
        usual: DefaultResolver::default(),
        loopback_only: reach.loopback_only,
        allow_link_local: reach.allow_link_local,
    };
    Agent::with_parts(agent, DefaultConnector::default(), checked)
}

/// What went wrong with a request, without the address, which may hold a secret.
pub(crate) fn described(error: &ureq::Error, timeout: Duration) -> String {
    match error {
        ureq::Error::Io(error) => format!("the connection failed: {error}"),
        ureq::Error::Timeout(_) => format!("there was no answer within {} ms", timeout.as_millis()),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::ConnectionFailed => "there is no connection".to_owned(),
        ureq::Error::Other(refused) if refused.is::<Refused>() => refused.to_string(),
        other => {
            let text = other.to_string();
            if text.contains("://") { "the connection failed".to_owned() } else { text }
        }
    }
}

impl Post {
    pub(super) fn new(config: &OutboundWebhook) -> Self {
        let reach =
            Reach { loopback_only: config.url.scheme() == "http", allow_link_local: config.allow_link_local };
        Self { agent: guarded_agent(reach, config.timeout), config: config.clone() }
    }

    /// Sends an event. It blocks, for as long as the receiver may take.
    pub(super) fn send(&self, sequence: u64, body: &[u8], now_seconds: i64) -> Answer {
        let timestamp = now_seconds.to_string();
        let asked = self
            .agent
            .post(self.config.url.as_str())
            .header("content-type", "application/json; charset=utf-8")
            .header(signature::TIMESTAMP, &timestamp)
            .header(signature::SIGNATURE, signature::header(&self.config.secrets, &timestamp, body))
            .header(signature::DELIVERY, format!("{}:{sequence}", self.config.name))
            .send(body);
        let mut answer = match asked {
            Ok(answer) => answer,
            Err(error) => return Answer::NotTaken(described(&error, self.config.timeout), None),
        };
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| wait(text, SystemTime::now()));
        // Read to its end where it has one, so that the connection can be used again.
        let read = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let said = || Excerpted { status, body: read.unwrap_or_default() }.excerpt();
        match status {
            200..=299 => Answer::Taken,
            410 => Answer::Gone(format!("it answered 410, which says that it wants no more: {}", said())),
            300..=399 => Answer::NotTaken(
                format!(
                    "it answered {status}, and redirects are not followed: configure the address that it points to"
                ),
                None,
            ),
            status => Answer::NotTaken(format!("it answered {status}: {}", said()), retry_after),
        }
    }
}

/// How long a `Retry-After` asks for: seconds, or until a date.
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(SystemTime::from(until).duration_since(now).unwrap_or_default())
}

/// Looks names up, and refuses addresses that nothing is to be sent to.
#[derive(Debug)]
struct Checked {
    usual: DefaultResolver,
    /// Whether only this machine itself may be reached: what is sent in clear goes nowhere else.
    loopback_only: bool,
    allow_link_local: bool,
}

/// Why an address is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
enum Refused {
    #[error(
        "`{0}` is not this machine's own address, and nothing is sent to another in clear: write https://"
    )]
    InClear(IpAddr),
    #[error("`{0}` is no address that can be sent to")]
    Nobody(IpAddr),
    #[error(
        "`{0}` is a link-local or metadata address, which is not sent to: `allow_link_local = true` permits it"
    )]
    LinkLocal(IpAddr),
}

impl Checked {
    fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let plain = plain(address);
        if self.loopback_only && !plain.is_loopback() {
            return Err(Refused::InClear(plain));
        }
        if plain.is_unspecified() || plain.is_multicast() || plain == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Refused::Nobody(plain));
        }
        if is_link_local(plain) && !self.allow_link_local {
            return Err(Refused::LinkLocal(plain));
        }
        Ok(())
    }
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.usual.resolve(uri, config, timeout)?;
        // One bad address among several is no slip of a name server: nothing is sent at all.
        for address in addresses.iter() {
            self.check(address.ip()).map_err(|refused| ureq::Error::Other(Box::new(refused)))?;
        }
        Ok(addresses)
    }
}

/// An address as the network means it: an IPv4 address in the clothes of an IPv6 one is that IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let translated = v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let embedded = v6.to_ipv4_mapped().or_else(|| {
        let [.., high, low] = v6.segments();
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        translated.then(|| Ipv4Addr::new(a, b, c, d))
    });
    embedded.map_or(address, IpAddr::V4)
}

/// Whether an address is one that machines give themselves, or at which a cloud tells a machine its credentials.
fn is_link_local(address: IpAddr) -> bool {
    /// Where clouds answer their machines outside the link-local range.
    const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(loopback_only: bool, allow_link_local: bool) -> Checked {
        Checked { usual: DefaultResolver::default(), loopback_only, allow_link_local }
    }

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_dress_unless_permitted() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(matches!(checked(false, false).check(address), Err(Refused::LinkLocal(_))), "{text}");
            assert_eq!(checked(false, true).check(address), Ok(()), "{text}");
        }
        for text in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
            let address: IpAddr = text.parse().unwrap();
            assert!(matches!(checked(false, true).check(address), Err(Refused::Nobody(_))), "{text}");
        }
        for text in ["127.0.0.1", "::1", "10.0.0.7", "192.168.1.1", "93.184.216.34", "2606:2800::1"] {
            assert_eq!(checked(false, false).check(text.parse().unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn in_clear_nothing_leaves_this_machine() {
        assert_eq!(checked(true, false).check("127.0.0.1".parse().unwrap()), Ok(()));
        assert_eq!(checked(true, false).check("::ffff:127.0.0.1".parse().unwrap()), Ok(()));
        for text in ["10.0.0.1", "192.168.0.1", "8.8.8.8"] {
            assert!(matches!(checked(true, true).check(text.parse().unwrap()), Err(Refused::InClear(_))));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(wait(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Tue, 14 Nov 2023 22:14:20 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(wait("Tue, 14 Nov 2000 22:14:20 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait("soon", now), None);
    }
}
