//! The log: every event as it was recorded, and reversing one.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page, Pin, gone};
use super::precondition::{Precondition, Standing};
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{Sequence, Time};
use super::service::Service;
use super::tags::Tag;
use crate::journal::{Journal, JournalError, Subject, Terms, decode, to_json};
use daybook_ledger::{Direction, Record};
use daybook_schemas::events::Role;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::types::Any;
use serde_json::Value;

schema! {
    /// An event as it was recorded.
    EventItem {
        /// Its place in the ledger, dense from 1
        sequence: Sequence,
        /// The stream it belongs to
        stream: String,
        /// Its place in the stream, dense from 1
        version: u64,
        /// What kind of event it is
        type_name = "type": String,
        /// The stable number of that kind
        type_id: u16,
        /// The version of the payload's schema
        schema_version: u16,
        /// Which codec wrote the payload
        codec: u8,
        /// When it happened in the world
        occurred_at: Time,
        /// When the ledger took it
        recorded_at: Time,
        /// Who caused it
        actor: String,
        /// What it came through
        source: String,
        /// Its idempotency key; null if it has none
        key: Any<Option<String>>,
        /// The import that brought it; null if none did
        import: Any<Option<String>>,
        /// What ties together the events of one request; null if nothing does
        correlation: Any<Option<String>>,
        /// The hash of its normalised source, BLAKE3, in hexadecimal
        content_hash: String,
        /// What it says; null for an event that this version does not know
        payload: Any<Value>,
        /// The payload's bytes, where `payload` alone does not give them back
        payload_base64: Option<String>,
    }
}

record! {
    /// An event that declares another never to have happened.
    Reversal {
        /// The sequence of the reversal
        sequence: Sequence,
        /// The sequence of the event that never happened
        target: Sequence,
    }
}

record! {
    /// Why an event never happened.
    ReversalRequest {
        /// Why
        reason: String,
    }
}

impl Form for ReversalRequest {
    fn read(fields: &mut Fields) -> Self {
        Self { reason: fields.required_text("reason") }
    }
}

/// The routes of events.
pub(super) struct Events(pub(super) Service);

#[OpenApi(tag = "Tag::Events")]
impl Events {
    /// List events, in the order of the log
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// The sequence at which the list begins; of a stream, the first of its events at or after it
        from: Query<Option<Sequence>>,
        /// Only the events of this stream
        stream: Query<Option<String>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<EventItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let from = from.0.map_or(1, |from| from.0);
        let stream = stream.0;
        self.0
            .blocking(move |journal| {
                let head = journal.ledger().head();
                let pin = page.pinned(head, Pin::known(head))?;
                let last_shown = match page.after.as_deref().map(str::parse::<u64>) {
                    None => 0,
                    Some(Ok(last)) if last <= pin.known => last,
                    Some(_) => return Err(gone("the cursor points past the log")),
                };
                let from = from.max(last_shown + 1);
                let tag = question.tag(&[pin.known]);
                Found::written(tag, || {
                    let records = match &stream {
                        None => within(journal, from, page.limit + 1)?,
                        Some(stream) => of_stream(journal, stream, from, page.limit + 1)?,
                    };
                    Ok(written(&page, pin, &records))
                })
            })
            .await
    }

    /// Read an event
    #[oai(path = "/events/:sequence", method = "get", operation_id = "readEvent")]
    async fn read(
        &self,
        _caller: Caller,
        question: Question,
        /// Its sequence
        sequence: Path<Sequence>,
    ) -> Result<Found<EventItem>, Problem> {
        self.0
            .blocking(move |journal| {
                let record = journal.event(sequence.0.0)?;
                Found::written(question.tag(&[]), || Ok(to_json(&record).to_string().into_bytes()))
            })
            .await
    }

    /// Declare that an event never happened
    #[oai(path = "/events/:sequence/reverse", method = "post", operation_id = "reverseEvent")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn reverse(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// Its sequence
        sequence: Path<Sequence>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the portfolio that the event belongs to: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<ReversalRequest>,
    ) -> Result<Made<Reversal>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let (target, reason) = (sequence.0.0, input.value.reason);
        self.0
            .blocking(move |journal| {
                let about = journal
                    .event(target)
                    .ok()
                    .and_then(|record| daybook_schemas::stream::portfolio_of(&record.stream));
                if !caller.knows_of(about) {
                    return Err(Problem::not_found("event", target));
                }
                if *caller.role() != Role::Administrator && journal.library()?.firm.is_fact(target) {
                    return Err(Problem::forbidden(
                        "a fact about the firm is taken back by an administrator: ask one, or record what holds instead",
                    ));
                }
                let earlier = attempt::earlier(journal, key.as_ref())?;
                let replayed = earlier.is_some();
                let sequence = match earlier {
                    Some(commit) => commit.sequences.last().copied().unwrap_or(commit.head),
                    None => {
                        let written = precondition.guard(
                            || match about {
                                Some(portfolio) => Standing::of_portfolio(journal, portfolio),
                                None => standing_of(journal, target),
                            },
                            |expected| {
                                let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                                journal.reverse(&caller.author(), target, &reason, terms)
                            },
                        );
                        attempt::done(journal, key.as_ref(), written)?
                    }
                };
                let body = Reversal { sequence: Sequence(sequence), target: Sequence(target) };
                Ok(Made::new(&body).at(&format!("/events/{sequence}")).replayed(replayed))
            })
            .await
    }
}

/// The standing of what an event is about that is no portfolio's.
fn standing_of(journal: &Journal, target: u64) -> Result<Standing, Problem> {
    let record = journal.event(target)?;
    match Subject::sharing(&decode(&record.view())?) {
        Some(subject) => Standing::of_subject(journal, subject),
        None => Standing::of_stream(journal, &record.stream),
    }
}

/// Up to `limit` records from a sequence on.
pub(super) fn within(journal: &Journal, from: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
    Ok(journal.ledger().read(from, limit, Direction::Forward)?)
}

/// Up to `limit` records of a stream, from the first at or after a sequence on.
pub(super) fn of_stream(
    journal: &Journal,
    stream: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<Record>, JournalError> {
    let ledger = journal.ledger();
    let Some(last) = ledger.stream_version(stream)? else { return Ok(Vec::new()) };
    // Sequences ascend with versions: the first version at or after `from` is found by halving.
    let (mut low, mut high) = (1, last + 1);
    while low < high && from > 1 {
        let middle = low + (high - low) / 2;
        let record = ledger.read_stream(stream, middle, 1, Direction::Forward)?;
        if record.first().is_some_and(|record| record.sequence < from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low > last {
        return Ok(Vec::new());
    }
    Ok(ledger.read_stream(stream, low, limit, Direction::Forward)?)
}

/// The page as JSON, straight from the records: a whole ledger is exported through here.
fn written(page: &Page, pin: Pin, records: &[Record]) -> Vec<u8> {
    let known = records.partition_point(|record| record.sequence <= pin.known);
    let shown = &records[..known.min(page.limit)];
    let next =
        shown.last().filter(|_| known > page.limit).map(|last| page.cursor(pin, last.sequence.to_string()));
    let mut json = Vec::with_capacity(64 + shown.len() * 768);
    json.extend_from_slice(b"{\"items\":[");
    for (at, record) in shown.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        json.extend_from_slice(to_json(record).to_string().as_bytes());
    }
    json.extend_from_slice(
        format!("],\"next\":{},\"sequence\":{}}}", Value::from(next), pin.known).as_bytes(),
    );
    json
}
