//! Calls to Alpaca: `apca` keeps keys, addresses and connections, and bytes come back as they were sent.
//!
//! Its own types round numbers and fail a page for one row; so nothing of an answer is read here.

use super::redaction;
use crate::config::Secret;
use apca::{ApiInfo, Client, RequestError};
use http::{Method, StatusCode};
use http_endpoint::Endpoint;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::task::JoinHandle;
use url::Url;

/// The most characters of an answer that a message quotes.
const EXCERPT_CHARS_MAX: usize = 200;

/// What Alpaca answered, whatever the status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body as it came, decompressed.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What the body says, short enough for a message: Alpaca's own words where it has some.
    pub(crate) fn excerpt(&self) -> String {
        let stated: Option<String> = serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()));
        let text = stated.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned());
        let text: String = text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
        let text = text.trim();
        match text.char_indices().nth(EXCERPT_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None if text.is_empty() => "(an empty answer)".to_owned(),
            None => text.to_owned(),
        }
    }
}

/// Why there is no answer. Asking again later may bring one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// Nothing came in time.
    #[error("no answer within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// The answer broke off.
    #[error("the answer broke off before its end")]
    Truncated,
    /// There was no connection, or it failed.
    #[error("{0}")]
    Connection(String),
}

/// A host of Alpaca's with the keys for it.
#[derive(Clone)]
pub(crate) struct Http {
    client: Arc<Client>,
    /// What no answer and no error may repeat.
    keys: [Secret; 2],
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base_url", &self.client.api_info().api_base_url.as_str()).finish()
    }
}

impl Http {
    /// A host. A path in its address stands before the path of every call.
    pub(crate) fn new(base_url: &Url, stream_url: &Url, key_id: &Secret, secret: &Secret) -> Self {
        log_panics_of_the_client();
        let mut info = ApiInfo::from_parts("https://localhost", key_id.expose(), secret.expose())
            .expect("a constant address parses");
        info.api_base_url = base_url.clone();
        info.api_stream_url = stream_url.clone();
        info.data_base_url = base_url.clone();
        info.data_stream_base_url = stream_url.clone();
        Self { client: Arc::new(Client::new(info)), keys: [secret.clone(), key_id.clone()] }
    }

    /// Addresses and keys, for a socket.
    pub(crate) fn info(&self) -> &ApiInfo {
        self.client.api_info()
    }

    /// Asks, and waits so long at most. A call that is given up is broken off. Neither the answer nor an error repeats the
    /// keys.
    pub(crate) async fn call(
        &self,
        method: &Method,
        path: &str,
        query: Vec<(String, String)>,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Answer, Unreachable> {
        let prefix = self.info().api_base_url.path().trim_end_matches('/');
        let call = Call { path: format!("{prefix}{path}"), query, body };
        let client = self.client.clone();
        // In a task of its own, for the client panics where an answer breaks off.
        let task = match *method {
            Method::POST => tokio::spawn(issue::<Post>(client, call)),
            Method::PATCH => tokio::spawn(issue::<Patch>(client, call)),
            Method::PUT => tokio::spawn(issue::<Put>(client, call)),
            Method::DELETE => tokio::spawn(issue::<Delete>(client, call)),
            _ => tokio::spawn(issue::<Get>(client, call)),
        };
        let mut task = BrokenOff(task);
        match tokio::time::timeout(timeout, &mut task.0).await {
            Err(_) => Err(Unreachable::Silent(timeout)),
            Ok(Err(_)) => Err(Unreachable::Truncated),
            Ok(Ok(Ok(mut answer))) => {
                redaction::bytes(&mut answer.body, &self.keys);
                Ok(answer)
            }
            Ok(Ok(Err(Unreachable::Connection(text)))) => {
                Err(Unreachable::Connection(redaction::text(text, &self.keys)))
            }
            Ok(Ok(Err(error))) => Err(error),
        }
    }
}

/// A call that ends with whoever waits for it.
struct BrokenOff(JoinHandle<Result<Answer, Unreachable>>);

impl Drop for BrokenOff {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn issue<V: Verb>(client: Arc<Client>, call: Call) -> Result<Answer, Unreachable> {
    client.issue::<Raw<V>>(&call).await.map_err(|error| match error {
        RequestError::Endpoint(error) => Unreachable::Connection(chain(&error)),
        RequestError::Hyper(error) => Unreachable::Connection(chain(&error)),
        RequestError::HyperUtil(error) => Unreachable::Connection(chain(&error)),
        // Reading fails only while decompressing what came.
        RequestError::Io(_) => Unreachable::Truncated,
    })
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

/// One call.
struct Call {
    path: String,
    query: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

trait Verb: Send + 'static {
    const METHOD: Method;
}

macro_rules! verbs {
    ($($name:ident $method:ident,)*) => {$(
        struct $name;
        impl Verb for $name {
            const METHOD: Method = Method::$method;
        }
    )*};
}

verbs! { Get GET, Post POST, Patch PATCH, Put PUT, Delete DELETE, }

/// An endpoint that reads nothing.
struct Raw<V>(PhantomData<V>);

/// What `http` refuses to build.
#[derive(Debug, thiserror::Error)]
enum Unbuildable {
    #[error("the request cannot be built")]
    Http(#[from] http::Error),
    #[error("it is never read here")]
    Never(#[from] std::convert::Infallible),
}

impl<V: Verb> Endpoint for Raw<V> {
    type Input = Call;
    type Output = Answer;
    type Error = Unbuildable;
    type ConversionError = std::convert::Infallible;
    type ApiError = std::convert::Infallible;

    fn method() -> Method {
        V::METHOD
    }

    fn path(call: &Call) -> Cow<'static, str> {
        call.path.clone().into()
    }

    fn query(call: &Call) -> Result<Option<Cow<'static, str>>, Self::ConversionError> {
        if call.query.is_empty() {
            return Ok(None);
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.query).finish();
        Ok(Some(query.into()))
    }

    fn body(call: &Call) -> Result<Option<Cow<'static, [u8]>>, Self::ConversionError> {
        Ok(call.body.clone().map(Cow::Owned))
    }

    fn parse(body: &[u8]) -> Result<Answer, Self::ConversionError> {
        Ok(Answer { status: StatusCode::OK.as_u16(), body: body.to_vec() })
    }

    fn parse_err(body: &[u8]) -> Result<Self::ApiError, Vec<u8>> {
        Err(body.to_vec())
    }

    fn evaluate(status: StatusCode, body: &[u8]) -> Result<Answer, Unbuildable> {
        Ok(Answer { status: status.as_u16(), body: body.to_vec() })
    }
}

/// The panics that `apca` answers a broken connection with are caught and told as [`Unreachable::Truncated`]: what the
/// standard hook would print of them would read as a fault of this program.
fn log_panics_of_the_client() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let of_the_client = panic.location().is_some_and(|place| place.file().contains("apca-"));
            if of_the_client {
                tracing::debug!("the client of Alpaca gave up: {panic}");
            } else {
                usual(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server that answers each connection with the next of these bytes, and then hangs up; with none, it is silent.
    fn server(answers: Vec<Option<&'static str>>) -> (Url, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().unwrap();
                let mut request = vec![0; 4096];
                let read = socket.read(&mut request).unwrap();
                let _ = said.send(String::from_utf8_lossy(&request[..read]).into_owned());
                match answer {
                    Some(answer) => socket.write_all(answer.as_bytes()).unwrap(),
                    None => kept.push(socket),
                }
            }
            std::thread::sleep(Duration::from_secs(5));
            drop(kept);
        });
        (url, heard)
    }

    fn http(url: &Url) -> Http {
        let secret = |text: &str| Secret::new(text.to_owned());
        Http::new(url, url, &secret("the-key"), &secret("the-secret"))
    }

    const TIMEOUT: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn an_answer_comes_back_as_it_was_sent_whatever_its_status() {
        let (url, heard) = server(vec![
            Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n[1.50000]"),
            Some(
                "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 23\r\nConnection: close\r\n\r\n{\"message\":\"too many.\"}",
            ),
        ]);
        let http = http(&url.join("/proxy/").unwrap());
        let query = vec![("symbols".to_owned(), "BRK.B,ETH/USD".to_owned())];
        let answer = http.call(&Method::GET, "/v2/bars", query, None, TIMEOUT).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"[1.50000]".as_slice()));
        let request = heard.recv().unwrap();
        assert!(request.starts_with("GET /proxy/v2/bars?symbols=BRK.B%2CETH%2FUSD HTTP/1.1"), "{request}");
        assert!(request.to_ascii_lowercase().contains("apca-api-key-id: the-key"), "{request}");
        let answer =
            http.call(&Method::POST, "/v2/orders", Vec::new(), Some(b"{}".to_vec()), TIMEOUT).await.unwrap();
        assert_eq!((answer.status, answer.excerpt().as_str()), (429, "too many."));
        let request = heard.recv().unwrap();
        assert!(request.starts_with("POST /proxy/v2/orders HTTP/1.1"), "{request}");
    }

    #[tokio::test]
    async fn an_answer_that_repeats_the_keys_comes_back_without_them() {
        let (url, _heard) = server(vec![Some(
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 44\r\nConnection: close\r\n\r\n{\"message\":\"the-key and the-secret differ\"}\n\n",
        )]);
        let answer = http(&url).call(&Method::GET, "/v2/assets", Vec::new(), None, TIMEOUT).await.unwrap();
        assert_eq!(answer.excerpt(), "… and … differ");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_and_one_that_never_comes_are_errors() {
        let (url, _heard) =
            server(vec![Some("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[{\"o\":1"), None]);
        let http = http(&url);
        let call = || http.call(&Method::GET, "/v2/bars", Vec::new(), None, TIMEOUT);
        assert!(matches!(call().await, Err(Unreachable::Truncated)));
        assert!(matches!(call().await, Err(Unreachable::Silent(TIMEOUT))));
    }

    #[tokio::test]
    async fn nobody_listening_is_told_in_words_and_no_secret_is_shown() {
        let url = Url::parse("http://127.0.0.1:9").unwrap();
        let http = http(&url);
        let error = http.call(&Method::GET, "/v2/bars", Vec::new(), None, TIMEOUT).await.unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
        let shown = format!("{http:?} {error:?}");
        assert!(!shown.contains("the-key") && !shown.contains("the-secret"), "{shown}");
    }
}
