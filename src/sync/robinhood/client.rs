//! Signed questions to Robinhood's crypto API, on a thread of their own, each with an end.

use super::Fault;
use crate::config::{RobinhoodAccount, Secret};
use crate::sync::pace::WallClock;
use crate::sync::redaction;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_schemas::Timestamp;
use ed25519_dalek::{Signer, SigningKey};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::{DATE, RETRY_AFTER};
use url::Url;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// For how many seconds a signature is good, to either side.
const SIGNATURE_SECONDS: u64 = 30;
/// From how many seconds on a difference of the clocks is told; the header that tells it has whole seconds.
const SKEW_SECONDS: u64 = 5;
const SECOND: i64 = 1_000_000_000;

/// The host, with the keys for it.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    base: Url,
    api_key: Secret,
    key: SigningKey,
    /// What no answer and no error may repeat.
    keys: [Secret; 2],
    clock: Arc<dyn WallClock>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The body.
    pub(super) body: Vec<u8>,
    /// By how many seconds Robinhood's clock is ahead of this machine's, where that is worth telling.
    pub(super) ahead: Option<i64>,
}

impl Client {
    /// A client for an account.
    ///
    /// # Errors
    /// That the private key is none, without its text.
    pub(super) fn new(account: &RobinhoodAccount, clock: Arc<dyn WallClock>) -> Result<Self, String> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A signature is for one host and one path.
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("daybook/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: config.new_agent(),
            base: account.base_url.clone(),
            api_key: account.api_key.clone(),
            key: signing_key(&account.private_key)?,
            keys: [account.private_key.clone(), account.api_key.clone()],
            clock,
        })
    }

    /// Asks for a path with its query.
    pub(super) async fn get(&self, target: &str) -> Result<Answer, Fault> {
        let prefix = self.base.path().trim_end_matches('/');
        let target = format!("{prefix}{target}");
        let Ok(url) = self.base.join(&target) else {
            return Err(Fault::Later(format!("`{target}` is no address that can be asked"), None));
        };
        let asked_at = self.clock.now();
        let second = asked_at.nanos().div_euclid(SECOND).to_string();
        let signature = signature(&self.key, self.api_key.expose(), &second, &target, "GET", "");
        let (agent, api_key) = (self.agent.clone(), self.api_key.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let mut answer = agent
                .get(url.as_str())
                .header("x-api-key", api_key.expose())
                .header("x-timestamp", &second)
                .header("x-signature", &signature)
                .header("content-type", "application/json; charset=utf-8")
                .call()?;
            let header =
                |name| answer.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
            let (date, retry_after) = (header(DATE), header(RETRY_AFTER));
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
            Ok::<_, ureq::Error>((answer.status().as_u16(), date, retry_after, body))
        });
        let (status, date, retry_after, mut body) = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let text = redaction::text(format!("Robinhood does not answer: {error}"), &self.keys);
                return Err(Fault::Later(text, None));
            }
            Err(_) => return Err(Fault::Later("the question was given up".to_owned(), None)),
        };
        redaction::bytes(&mut body, &self.keys);
        let ahead = date.as_deref().and_then(|date| ahead(date, asked_at, self.clock.now()));
        match status {
            200..=299 => Ok(Answer { body, ahead }),
            401 | 403 => {
                match ahead.filter(|seconds| seconds.unsigned_abs() + SKEW_SECONDS >= SIGNATURE_SECONDS) {
                    Some(seconds) => Err(Fault::Later(skewed(seconds), None)),
                    None => Err(Fault::Halt(format!(
                        "Robinhood refuses the keys ({status}: {}): check the API key and the private key, and that this machine's clock is right",
                        excerpt(&body)
                    ))),
                }
            }
            429 => {
                let wait = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                Err(Fault::Later("Robinhood asks for fewer requests".to_owned(), wait))
            }
            status => Err(Fault::Later(format!("Robinhood answers {status}: {}", excerpt(&body)), None)),
        }
    }
}

/// What is told of clocks that differ.
pub(super) fn skewed(ahead: i64) -> String {
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    format!(
        "this machine's clock is {} seconds {way} Robinhood's, which takes no signature that is {SIGNATURE_SECONDS} seconds off: set the clock",
        ahead.unsigned_abs()
    )
}

/// By how many seconds the clock that wrote a `Date` is ahead, where no delay between question and answer explains it.
fn ahead(date: &str, asked: Timestamp, answered: Timestamp) -> Option<i64> {
    let theirs = chrono::DateTime::parse_from_rfc2822(date).ok()?.timestamp();
    let (asked, answered) = (asked.nanos().div_euclid(SECOND), answered.nanos().div_euclid(SECOND));
    let ahead = if theirs > answered {
        theirs - answered
    } else if theirs < asked {
        theirs - asked
    } else {
        0
    };
    (ahead.unsigned_abs() >= SKEW_SECONDS).then_some(ahead)
}

/// The private key that a text in base64 is: its seed, or the seed and the public key.
fn signing_key(secret: &Secret) -> Result<SigningKey, String> {
    let wrong = || {
        "the private key is not one of Ed25519 in base64: copy the one that was made together with the API key".to_owned()
    };
    let bytes = STANDARD.decode(secret.expose()).map_err(|_| wrong())?;
    match <[u8; 64]>::try_from(bytes.as_slice()) {
        Ok(pair) => SigningKey::from_keypair_bytes(&pair).map_err(|_| wrong()),
        Err(_) => <[u8; 32]>::try_from(bytes.as_slice())
            .map(|seed| SigningKey::from_bytes(&seed))
            .map_err(|_| wrong()),
    }
}

/// The signature of a request, in base64.
fn signature(
    key: &SigningKey,
    api_key: &str,
    second: &str,
    target: &str,
    method: &str,
    body: &str,
) -> String {
    let message = [api_key, second, target, method, body].concat();
    STANDARD.encode(key.sign(message.as_bytes()).to_bytes())
}

/// The beginning of a body, for a message.
fn excerpt(body: &[u8]) -> String {
    crate::sync::alpaca_http::Answer { status: 200, body: body.to_vec() }.excerpt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_request_is_signed_as_robinhood_publishes_it() {
        // The worked example of the API's documentation; its body is written as Python writes a dictionary.
        let key = signing_key(&secret("xQnTJVeQLmw1/Mg2YimEViSpw/SdJcgNXZ5kQkAXNPU=")).unwrap();
        assert_eq!(
            STANDARD.encode(key.verifying_key().to_bytes()),
            "jPItx4TLjcnSUnmnXQQyAKL4eJj3+oWNNMmmm2vATqk="
        );
        let signature = signature(
            &key,
            "rh-api-6148effc-c0b1-486c-8940-a1d099456be6",
            "1698708981",
            "/api/v1/crypto/trading/orders/",
            "POST",
            "{'client_order_id': '131de903-5a9c-4260-abc1-28d562a5dcf0', 'side': 'buy', 'symbol': 'BTC-USD', \
             'type': 'market', 'market_order_config': {'asset_quantity': '0.1'}}",
        );
        assert_eq!(
            signature,
            "q/nEtxp/P2Or3hph3KejBqnw5o9qeuQ+hYRnB56FaHbjDsNUY9KhB1asMxohDnzdVFSD7StaTqjSd9U9HvaRAw=="
        );
    }

    #[test]
    fn a_private_key_is_a_seed_or_a_pair_and_nothing_else() {
        let seed = SigningKey::from_bytes(&[7; 32]);
        for bytes in [seed.to_bytes().to_vec(), seed.to_keypair_bytes().to_vec()] {
            let key = signing_key(&secret(&STANDARD.encode(bytes))).unwrap();
            assert_eq!(key.verifying_key(), seed.verifying_key());
        }
        for text in ["", "hunter2", "AAAA", &STANDARD.encode([1; 64]), &STANDARD.encode([1; 33])] {
            let fault = signing_key(&secret(text)).unwrap_err();
            assert!(fault.contains("Ed25519") && (text.is_empty() || !fault.contains(text)), "{fault}");
        }
    }

    #[test]
    fn only_a_difference_that_no_delay_explains_is_one_of_the_clocks() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let (asked, answered) = (at("2024-06-03T14:00:00Z"), at("2024-06-03T14:00:20Z"));
        assert_eq!(ahead("Mon, 03 Jun 2024 14:00:10 GMT", asked, answered), None);
        assert_eq!(ahead("Mon, 03 Jun 2024 14:00:22 GMT", asked, answered), None);
        assert_eq!(ahead("Mon, 03 Jun 2024 14:01:20 GMT", asked, answered), Some(60));
        assert_eq!(ahead("Mon, 03 Jun 2024 13:59:00 GMT", asked, answered), Some(-60));
        assert_eq!(ahead("yesterday", asked, answered), None);
        assert!(skewed(60).contains("60 seconds behind") && skewed(-60).contains("60 seconds ahead of"));
    }
}
