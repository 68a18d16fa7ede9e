//! Plain questions over HTTP, on a thread of their own, each with an end.

use super::feed::FeedError;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::RETRY_AFTER;
use url::Url;

/// How long one answer may take, from the first byte sent to the last received.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A host that is asked without keys in headers.
#[derive(Clone, Debug)]
pub(super) struct Web {
    agent: Agent,
    base: Url,
    /// What it is called in messages.
    who: &'static str,
}

/// What a host answered.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// How long it wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The body.
    pub(super) body: Vec<u8>,
}

impl Web {
    pub(super) fn new(who: &'static str, base: Url) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The query of some feeds holds a key, which is nothing for another host.
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("daybook/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), base, who }
    }

    /// Asks. Path segments and parameters are escaped as they need. No message holds the address, which may hold a key.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, FeedError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.query_pairs_mut().clear().extend_pairs(query);
        let (agent, who) = (self.agent.clone(), self.who);
        let asked = tokio::task::spawn_blocking(move || {
            let mut answer = agent.get(url.as_str()).call()?;
            let retry_after = answer.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
            Ok(Answer {
                status: answer.status().as_u16(),
                retry_after: retry_after.map(Duration::from_secs),
                body,
            })
        });
        let unavailable = |detail: &str| FeedError::Unavailable(format!("{who} does not answer: {detail}"));
        match asked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unavailable(&describe(&error))),
            Err(_) => Err(unavailable("the question was given up")),
        }
    }
}

/// What went wrong, without the address.
fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => format!("nothing within {} seconds", TIMEOUT.as_secs()),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::BodyExceedsLimit(bytes) => format!("the answer has more than {bytes} bytes"),
        ureq::Error::BadUri(_) => "its base_url is not one that can be asked".to_owned(),
        ureq::Error::TooManyRedirects => "it redirects in circles".to_owned(),
        other => {
            let text = other.to_string();
            if text.contains("://") { "the connection failed".to_owned() } else { text }
        }
    }
}

/// What a status other than 200 means of a host without keys in headers.
pub(super) fn refusal(who: &str, answer: &Answer, said: String) -> FeedError {
    match answer.status {
        401 | 403 => FeedError::Refused(format!("{who} refuses ({said}): check the key of the feed")),
        429 => FeedError::RateLimited { retry_after: answer.retry_after, said },
        500.. => FeedError::Unavailable(format!("{who} answers {}: {said}", answer.status)),
        status => FeedError::Nonsense(format!("{who} answers {status}: {said}")),
    }
}

/// The beginning of a body, for a message.
pub(super) fn excerpt(body: &[u8]) -> String {
    let answer = crate::sync::alpaca_http::Answer { status: 200, body: body.to_vec() };
    answer.excerpt()
}
