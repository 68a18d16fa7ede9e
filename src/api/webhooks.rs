//! Webhooks: deliveries of others, recorded as one commit each; and how those are doing that events are sent to.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt;
use super::body::{self, Fields, Form};
use super::page::{Limit, List, Page, Pin};
use super::prices::{PriceRow, as_file, in_list};
use super::problem::{Fault, Kind, Problem};
use super::record::{record, schema};
use super::scalar::{Portfolio, Sequence, Time};
use super::service::Service;
use super::tags::Tag;
use super::transactions::TransactionRequest;
use crate::config::Taken;
use crate::importers::TransactionFields;
use crate::importers::columns::Column;
use crate::journal::{Author, Delivered, Delivery, Journal, JournalError, decode, now};
use crate::webhooks::inbound::{self, Inbound};
use crate::webhooks::mapping::{Mapping, Recorded};
use crate::webhooks::outbound::Outbound;
use crate::webhooks::{Webhooks, signature};
use daybook_ledger::{Appended, CommitKey};
use daybook_schemas::{CorrelationId, Event};
use poem::http::header::RETRY_AFTER;
use poem::{Body, Request, RequestBody};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, OpenApi};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The longest id of a delivery, in bytes.
const DELIVERY_BYTES_MAX: usize = 255;
/// The most deliveries that were given up which a list shows of each receiver.
const DEAD_SHOWN_MAX: usize = 100;

schema! {
    /// What a source delivers: at least one transaction or price. All of it is recorded in one commit, or nothing.
    WebhookDelivery {
        /// What names the delivery for ever: the same id with the same content is recorded once. Here it is under the signature; the header `Daybook-Delivery` says it as well
        id: Option<String>,
        /// Purchases and sales
        fills: Option<Vec<TransactionRequest>>,
        /// Every other transaction: deposits, dividends, fees…
        cash: Option<Vec<TransactionRequest>>,
        /// Prices, by the columns of `POST /prices`
        prices: Option<Vec<PriceRow>>,
    }
}

record! {
    /// What became of a delivery.
    WebhookReceipt {
        /// What names it; absent for an alert that has no id
        delivery: Option<String>,
        /// The events of its transactions and of the prices that are new, in its order
        sequences: Vec<Sequence>,
        /// Whether it was recorded before
        already: bool,
        /// What the sender should know
        warnings: Vec<String>,
    }
}

record! {
    /// A delivery that the receiver does not take so far.
    TriedDelivery {
        /// The event
        sequence: Sequence,
        /// When it was first not taken
        since: Time,
        /// How often it was sent
        attempts: u32,
        /// Why it was not taken last
        error: String,
    }
}

record! {
    /// A delivery that was given up; the log keeps its event, and it can be sent again.
    DeadDelivery {
        /// The event
        sequence: Sequence,
        /// What kind of event it is
        type_name = "type": String,
        /// How often it was sent
        attempts: u32,
        /// When it was given up
        since: Time,
        /// Why it was not taken last
        error: String,
    }
}

record! {
    /// A webhook: a source that sends here, or a receiver that events are sent to.
    WebhookItem {
        /// What it is called in the configuration
        name: String,
        /// `inbound` or `outbound`
        direction: String,
        /// Of a source: `signed` or `alerts`. Of a receiver: `starting`, `current`, `sending`, `retrying` (a delivery was not taken, and is sent again), `disabled` (the receiver answered 410) or `halted` (somebody must act: `last_error` says how)
        state: String,
        /// The portfolio that a source feeds
        portfolio: Option<Portfolio>,
        /// The portfolios whose events a receiver is sent; empty for all
        portfolios: Option<Vec<Portfolio>>,
        /// Where a receiver is, without the path, which may hold a secret
        host: Option<String>,
        /// The types of the events that a receiver is sent
        events: Option<Vec<String>>,
        /// Deliveries of a source that were recorded since the service started
        recorded: Option<u64>,
        /// Deliveries of a source that had been recorded before
        repeated: Option<u64>,
        /// Deliveries of a source that could not be used
        refused: Option<u64>,
        /// Deliveries that a receiver took since the service started
        taken: Option<u64>,
        /// Up to which event everything is settled for a receiver
        cursor: Option<Sequence>,
        /// How many events the ledger is ahead of that, chosen or not
        lag: Option<u64>,
        /// When a delivery was last taken
        last_success: Option<Time>,
        /// What went wrong last, if it did since
        last_error: Option<String>,
        /// When something will be sent again
        next_attempt: Option<Time>,
        /// What a receiver does not take so far
        trying: Option<TriedDelivery>,
        /// How many deliveries to a receiver were given up
        dead_count: Option<u64>,
        /// The first hundred of them
        dead: Option<Vec<DeadDelivery>>,
    }
}

record! {
    /// What is sent again.
    WebhookRetry {
        /// The receiver
        name: String,
        /// How many deliveries had been given up
        dead_count: u64,
    }
}

/// What a source delivers, by its fields.
struct DeliveryForm {
    id: Option<String>,
    fills: Vec<TransactionFields>,
    cash: Vec<TransactionFields>,
    prices: Vec<PriceRow>,
}

impl DeliveryForm {
    fn read(fields: &mut Fields) -> Self {
        let id = fields.text("id");
        let transactions = |fields: &mut Fields, name: &str| {
            fields.objects_if_any(name, |row| TransactionRequest::read(row).0)
        };
        let form = Self {
            id,
            fills: transactions(fields, "fills"),
            cash: transactions(fields, "cash"),
            prices: fields.objects_if_any("prices", |row| PriceRow::of(|name| row.text(name))),
        };
        for (list, rows, fills) in [("fills", &form.fills, true), ("cash", &form.cash, false)] {
            for (at, row) in rows.iter().enumerate() {
                let kind = row.get(Column::Type).unwrap_or_default().trim().to_ascii_lowercase();
                let is_fill = matches!(kind.as_str(), "buy" | "sell");
                if is_fill != fills && !kind.is_empty() {
                    let detail = if fills {
                        "a fill is `buy` or `sell`: put every other transaction into `cash`"
                    } else {
                        "purchases and sales are fills: put them into `fills`"
                    };
                    fields.fault(&format!("{list}[{at}].type"), detail);
                }
            }
        }
        form
    }
}

/// A body as it comes, byte by byte: what is signed is what was sent. It is not read before it is known who may send.
pub(super) struct Signed {
    body: Body,
    media_type: Option<String>,
}

/// A body of whatever form the source has, not read so far.
pub(super) struct AlertBody(Body);

impl<'a> ApiExtractor<'a> for Signed {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        WebhookDelivery::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content =
            vec![MetaMediaType { content_type: "application/json", schema: WebhookDelivery::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let media_type = request.content_type().map(str::to_ascii_lowercase);
        Ok(Self { body: body.take()?, media_type })
    }
}

impl<'a> ApiExtractor<'a> for AlertBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let text = MetaSchema { description: Some("The alert"), ..MetaSchema::new("string") };
        let json = MetaSchema { description: Some("The alert"), ..MetaSchema::ANY };
        let content = [("application/json", json), ("text/plain", text)].map(|(content_type, schema)| {
            MetaMediaType { content_type, schema: MetaSchemaRef::Inline(Box::new(schema)) }
        });
        Some(MetaRequest { description: None, content: content.into(), required: true })
    }

    async fn from_request(
        _request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(body.take()?))
    }
}

/// Who sends, as far as that shows before anything is signed.
pub(super) struct Sender {
    /// Which request it is, by the id that ties together what it records.
    correlation: Option<CorrelationId>,
    /// The address it comes from. Those whose address cannot be told share one.
    address: IpAddr,
}

impl<'a> poem::FromRequest<'a> for Sender {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let address = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        Ok(Self {
            correlation: request.extensions().get::<CorrelationId>().copied(),
            address: address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        })
    }
}

/// The routes of webhooks.
pub(super) struct Hooks(pub(super) Service);

#[OpenApi(tag = "Tag::Webhooks")]
impl Hooks {
    /// List the webhooks and how they are doing
    #[oai(path = "/webhooks", method = "get", operation_id = "listWebhooks")]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<WebhookItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let service = self.0.clone();
        self.0
            .blocking(move |journal| {
                let head = journal.ledger().head();
                let pin = page.pinned(head, Pin::known(head))?;
                let webhooks = &service.shared.webhooks;
                let inbound = webhooks.sources().into_iter().map(|source| of_source(&source));
                let outbound = webhooks.receivers().into_iter().map(|receiver| of_receiver(&receiver, head));
                let mut items: Vec<WebhookItem> = inbound.chain(outbound).collect();
                items.sort_by(|a, b| a.name.cmp(&b.name));
                // It changes without the ledger: every answer is new.
                Found::new(question.tag(&[moment()]), || page.cut(pin, items, |item| item.name.clone(), Ok))
            })
            .await
    }

    /// Read how a webhook is doing
    #[oai(path = "/webhooks/:source", method = "get", operation_id = "readWebhook")]
    async fn read(
        &self,
        _caller: Caller,
        question: Question,
        /// What it is called in the configuration
        source: Path<String>,
    ) -> Result<Found<WebhookItem>, Problem> {
        let webhooks = self.0.shared.clone();
        self.0
            .blocking(move |journal| {
                let head = journal.ledger().head();
                let (name, webhooks) = (source.0.as_str(), &webhooks.webhooks);
                let inbound = webhooks.source(name).map(|source| of_source(&source));
                let item = inbound
                    .or_else(|| webhooks.receiver(name).map(|receiver| of_receiver(&receiver, head)))
                    .ok_or_else(|| unknown(name))?;
                Found::new(question.tag(&[moment()]), || Ok(item))
            })
            .await
    }

    /// Send again what was given up
    ///
    /// Each delivery that was given up is sent once more, the oldest first; what is not taken stays given up. A receiver
    /// that is disabled is sent to again, and one that is being waited for is tried at once.
    #[oai(path = "/webhooks/:source/retry", method = "post", operation_id = "retryWebhook")]
    async fn retry(
        &self,
        _caller: Caller,
        /// What the receiver is called in the configuration
        source: Path<String>,
    ) -> Result<Made<WebhookRetry>, Problem> {
        let webhooks = &self.0.shared.webhooks;
        let receiver = webhooks.receiver(&source.0).ok_or_else(|| {
            let name: String = source.0.chars().take(100).collect();
            Problem::not_found("receiver", name)
        })?;
        let dead_count = receiver.sent().state.dead.len() as u64;
        receiver.retry();
        let name = receiver.config.name.clone();
        let place = format!("/webhooks/{name}");
        Ok(Made::new(&WebhookRetry { name, dead_count }).at(&place))
    }

    /// Deliver fills, cash and prices, signed
    ///
    /// No token is needed: the source is one of the configuration, and signs with its secret. `Daybook-Signature` is
    /// `v1=` and the HMAC-SHA256, in hexadecimal, of the timestamp, a point and the body's bytes; several, with commas
    /// between, are good while a secret is being changed. A timestamp further from the present than the source's window
    /// (5 minutes unless configured) is refused. Each delivery has an id, best in the body, where it is signed: the same
    /// delivery again is answered 200 and recorded once, the same id with another content 409. Where only a header says
    /// the id, deliveries of one body with one timestamp are one. All rows go the way of the generic CSV: all of them are
    /// recorded, in one commit, or none. An id in the body is taken for ever, also by a delivery that brought nothing new;
    /// one that only a header says is then free, as nobody signed it.
    ///
    /// Deliveries that are not signed rightly are refused with 429 before they are read, beyond 60 at once and 1 a second
    /// from one address, or 300 at once and 5 a second for one source. An address that signed rightly for the source is
    /// not asked to wait for what others send.
    #[oai(path = "/webhooks/:source", method = "post", operation_id = "receiveDelivery")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn deliver(
        &self,
        sender: Sender,
        /// The source's name in the configuration
        source: Path<String>,
        /// When it was signed: seconds since 1970-01-01T00:00:00Z
        #[oai(name = "Daybook-Timestamp")]
        timestamp: Header<Option<String>>,
        /// `v1=` and 64 hexadecimal digits; several with commas between
        #[oai(name = "Daybook-Signature")]
        signatures: Header<Option<String>>,
        /// What names the delivery, unless its body has an `id`
        #[oai(name = "Daybook-Delivery")]
        delivery: Header<Option<String>>,
        /// The same as `Daybook-Delivery`, for senders that know this name
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        body: Signed,
    ) -> Result<Made<WebhookReceipt>, Problem> {
        let timestamp = timestamp.0.unwrap_or_default();
        let signatures = signatures.0.unwrap_or_default();
        let (webhooks, name) = (&self.0.shared.webhooks, source.0);
        admit(webhooks, &name, &sender)?;
        let (bytes, media_type) =
            (body.body.into_vec().await.map_err(|error| unread(&error))?, body.media_type);
        let source = webhooks.source(&name);
        let Some(source) = source.filter(|source| source.is_signed(&timestamp, &bytes, &signatures)) else {
            inbound::check_nobody(&timestamp, &bytes, &signatures);
            webhooks.admission.refused(&name, sender.address);
            return Err(Problem::signature(
                "no source of this name signs like this: check the name, that `Daybook-Timestamp` is in seconds, and that `Daybook-Signature` is `v1=` and the HMAC-SHA256, by the source's secret, of the timestamp, a point and the body as it is sent",
            ));
        };
        let in_time = signature::seconds_off(&timestamp, seconds())
            .is_some_and(|off| signature::is_within(off, source.config.window));
        if !in_time {
            return Err(Problem::signature(format!(
                "the signature is right and `Daybook-Timestamp` is more than {} s from this machine's clock: sign anew with the present time, and check both clocks",
                source.config.window.as_secs()
            )));
        }
        webhooks.admission.signed(&name, sender.address);
        let named = delivery.0.or(key.0);
        self.counted(source, move |journal, source| {
            let media_type = media_type.as_deref().unwrap_or("nothing");
            if !body::is_json(media_type) {
                return Err(body::not_json(media_type));
            }
            let (form, canonical) = body::read(&bytes, None, DeliveryForm::read)?;
            let id = delivery_id(form.id.as_deref(), named.as_deref())?;
            let commit_key = CommitKey {
                key: format!(" webhook {} {id}", source.config.name).into(),
                content_hash: *blake3::hash(&canonical).as_bytes(),
            };
            let signed = [timestamp.as_bytes(), b".", &bytes].concat();
            let fingerprint = format!("{}:{}", source.source(), &blake3::hash(&signed).to_hex()[..32]);
            let takes_id = form.id.is_some();
            let delivery = Delivery { takes_id, ..rows(source, form, fingerprint)? };
            record(journal, source, sender.correlation, Some(id), &delivery, &commit_key)
        })
        .await
    }

    /// Deliver an alert, by the secret in the path
    ///
    /// For services that cannot sign. The configuration says how the body, JSON or plain text, becomes the columns of one
    /// transaction or of one price. An alert with an id is recorded once for ever; of alerts without one, those with
    /// the same body within the source's window (5 minutes unless configured) are one. Without a time of its own, it
    /// happened when it came.
    #[oai(path = "/webhooks/:source/:secret", method = "post", operation_id = "receiveAlert")]
    async fn alert(
        &self,
        sender: Sender,
        /// The source's name in the configuration
        source: Path<String>,
        /// The source's secret
        secret: Path<String>,
        /// What names the delivery, unless the alert says it
        #[oai(name = "Daybook-Delivery")]
        delivery: Header<Option<String>>,
        /// The same as `Daybook-Delivery`, for senders that know this name
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        body: AlertBody,
    ) -> Result<Made<WebhookReceipt>, Problem> {
        let (webhooks, name) = (&self.0.shared.webhooks, source.0);
        admit(webhooks, &name, &sender)?;
        let found = webhooks.source(&name);
        let Some(source) = found.filter(|source| source.is_opened_by(&secret.0)) else {
            webhooks.admission.refused(&name, sender.address);
            return Err(Problem::signature(
                "no source of this name has this secret: check the address, which ends in the source's name and its secret",
            ));
        };
        webhooks.admission.signed(&name, sender.address);
        let bytes = body.0.into_vec().await.map_err(|error| unread(&error))?;
        let named = delivery.0.or(key.0);
        self.counted(source, move |journal, source| {
            let Some(mapping) = &source.config.map else {
                return Err(Problem::internal("a source of alerts without a map"));
            };
            let read = mapping.read(&bytes).map_err(|faults| {
                let fault = |(column, text): (String, String)| Fault {
                    field: Some(column).filter(|column| !column.is_empty()),
                    line: None,
                    detail: text,
                };
                Problem::from(faults.into_iter().map(fault).collect::<Vec<_>>())
            })?;
            let id = match (read.delivery.as_deref(), named.as_deref()) {
                (None, None) => None,
                (said, named) => Some(delivery_id(said, named)?),
            };
            let content_hash = *blake3::hash(&bytes).as_bytes();
            let commit_key = match &id {
                Some(id) => {
                    let key = format!(" webhook {} {id}", source.config.name);
                    CommitKey { key: key.into(), content_hash }
                }
                None => anonymous(journal, source, content_hash)?,
            };
            let delivery = Delivery { takes_id: id.is_some(), ..of_alert(source, mapping, read.cells)? };
            record(journal, source, sender.correlation, id, &delivery, &commit_key)
                .map_err(|problem| problem.rename(|fault| in_alert(mapping, fault)))
        })
        .await
    }
}

impl Hooks {
    /// Does the work of one delivery, none other of its source beside it, and counts what became of it.
    async fn counted(
        &self,
        source: Arc<Inbound>,
        work: impl FnOnce(&Journal, &Inbound) -> Result<(WebhookReceipt, bool), Problem> + Send + 'static,
    ) -> Result<Made<WebhookReceipt>, Problem> {
        self.0
            .blocking(move |journal| {
                let _alone = source.alone();
                let done = work(journal, &source);
                let mut count = source.count();
                match &done {
                    Ok((_, repeated)) => {
                        count.recorded += u64::from(!repeated);
                        count.repeated += u64::from(*repeated);
                        count.last_success = Some(now());
                        count.last_error = None;
                    }
                    Err(problem) => {
                        count.refused += 1;
                        count.last_error = Some(problem.to_string());
                    }
                }
                drop(count);
                let (receipt, repeated) = done?;
                let made = Made::new(&receipt).replayed(repeated);
                Ok(if repeated { made.unchanged() } else { made })
            })
            .await
    }
}

/// Lets a delivery be looked at, unless too much came of its source or its sender that nobody signed rightly.
fn admit(webhooks: &Webhooks, name: &str, sender: &Sender) -> Result<(), Problem> {
    webhooks.admission.admit(name, sender.address).map_err(|wait| {
        let seconds = wait.as_secs() + 1;
        let detail = format!(
            "too many deliveries that are not signed rightly came for this source, or from this address: check the signature, and send again in {seconds} s"
        );
        Problem::new(Kind::RateLimited, detail).with(RETRY_AFTER, &seconds.to_string())
    })
}

/// The problem of a body that broke off. One that is too large or too slow is told of by the gate.
fn unread(error: &poem::error::ReadBodyError) -> Problem {
    Problem::new(Kind::InvalidRequest, format!("the body cannot be read: {error}; send it again"))
}

fn unknown(name: &str) -> Problem {
    let name: String = name.chars().take(100).collect();
    Problem::not_found("webhook", name)
}

fn seconds() -> i64 {
    now().nanos().div_euclid(1_000_000_000)
}

/// A number that no other answer has.
fn moment() -> u64 {
    u64::try_from(now().nanos()).unwrap_or(0)
}

/// What names a delivery: what it says itself, else what a header says.
fn delivery_id(said: Option<&str>, named: Option<&str>) -> Result<String, Problem> {
    let (field, id) = match (said, named) {
        (Some(id), _) => ("id", id),
        (None, Some(id)) => ("Daybook-Delivery", id),
        (None, None) => {
            let detail = "every delivery has an id of its own, which stays the same when it is sent again: write it here, or into the header `Daybook-Delivery`";
            return Err(Problem::from(vec![Fault::new("id", detail)]));
        }
    };
    if !(1..=DELIVERY_BYTES_MAX).contains(&id.len()) || id.chars().any(char::is_control) {
        let detail = format!("write 1 to {DELIVERY_BYTES_MAX} bytes without control characters");
        return Err(Problem::from(vec![Fault::new(field, detail)]));
    }
    if let (Some(said), Some(named)) = (said, named)
        && said != named
    {
        let detail =
            "the body and the header name the delivery differently: say the same in both, or leave one out";
        return Err(Problem::from(vec![Fault::new("id", detail)]));
    }
    Ok(id.to_owned())
}

/// What a signed delivery brings, where its source may bring it.
fn rows(source: &Inbound, form: DeliveryForm, fingerprint: String) -> Result<Delivery, Problem> {
    let mut faults = Vec::new();
    let lists = [
        ("fills", Taken::Fills, form.fills.len()),
        ("cash", Taken::Cash, form.cash.len()),
        ("prices", Taken::Prices, form.prices.len()),
    ];
    if lists.iter().all(|(_, _, rows)| *rows == 0) {
        let detail = "the delivery is empty: bring at least one row in `fills`, `cash` or `prices`";
        return Err(Problem::new(Kind::InvalidInput, detail));
    }
    for (list, taken, rows) in lists {
        if rows > 0 && !source.config.takes.contains(&taken) {
            let detail = "this source may not bring these: the operator permits them with `takes`";
            faults.push(Fault::new(list, detail));
        }
    }
    let mut transactions = Vec::new();
    for (list, rows) in [("fills", form.fills), ("cash", form.cash)] {
        for (at, row) in rows.into_iter().enumerate() {
            let place = format!("{list}[{at}]");
            match of_account(source, row) {
                Ok(row) => transactions.push((place, row)),
                Err(detail) => faults.push(Fault::new(format!("{place}.account"), detail)),
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let prices = if form.prices.is_empty() { Vec::new() } else { as_file(&form.prices)? };
    let feed = source.source();
    Ok(Delivery { transactions, prices, feed, fingerprint: Some(fingerprint), takes_id: false })
}

/// A transaction in the account of its source, where it is bound to one.
fn of_account(source: &Inbound, mut row: TransactionFields) -> Result<TransactionFields, String> {
    if let Some(account) = &source.config.account {
        if row.get(Column::Account).is_some_and(|said| said != account) {
            return Err(format!("this source is bound to the account `{account}`: leave the column out"));
        }
        row.set(Column::Account, Some(account.clone()));
    }
    Ok(row)
}

/// What an alert brings.
fn of_alert(
    source: &Inbound,
    mapping: &Mapping,
    mut cells: std::collections::BTreeMap<String, String>,
) -> Result<Delivery, Problem> {
    if !cells.contains_key("time") && !cells.contains_key("date") {
        cells.insert("time".to_owned(), now().to_string());
    }
    let feed = source.source();
    match mapping.recorded {
        Recorded::Price => {
            permitted(source, Taken::Prices)?;
            let row = PriceRow::of(|name| cells.remove(name));
            Ok(Delivery { prices: as_file(&[row])?, feed, ..Delivery::default() })
        }
        Recorded::Transaction => {
            let mut row = TransactionFields::default();
            for column in Column::ALL {
                row.set(*column, cells.remove(column.name()));
            }
            let kind = row.get(Column::Type).unwrap_or_default().trim().to_ascii_lowercase();
            permitted(
                source,
                if matches!(kind.as_str(), "buy" | "sell") { Taken::Fills } else { Taken::Cash },
            )?;
            let row = of_account(source, row)
                .map_err(|detail| Problem::from(vec![Fault::new("account", detail)]))?;
            Ok(Delivery { transactions: vec![(ALERT.to_owned(), row)], feed, ..Delivery::default() })
        }
    }
}

/// What an alert's transaction is called in faults, until they are named by its columns alone.
const ALERT: &str = "alert";

fn permitted(source: &Inbound, taken: Taken) -> Result<(), Problem> {
    if source.config.takes.contains(&taken) {
        return Ok(());
    }
    let detail = "this source may not bring what the alert says: the operator permits it with `takes`";
    Err(Problem::from(vec![Fault::new("type", detail)]))
}

/// A fault of a column, with where the alert says it.
fn in_alert(mapping: &Mapping, fault: &mut Fault) {
    let Some(field) = &mut fault.field else { return };
    if let Some((_, column)) = field.rsplit_once('.') {
        *field = column.to_owned();
    }
    if let Some(origin) = mapping.origin(field) {
        fault.detail = format!("{} ({origin})", fault.detail);
    }
}

/// The commit key of an alert without an id: its content and a stretch of time as long as the window. An equal alert that
/// was recorded in the stretch before, less than a window ago, is the same one.
fn anonymous(journal: &Journal, source: &Inbound, content_hash: [u8; 32]) -> Result<CommitKey, Problem> {
    let window = i64::try_from(source.config.window.as_nanos()).unwrap_or(i64::MAX).max(1);
    let now = now().nanos();
    let stretch = now.div_euclid(window);
    let of = |stretch: i64| {
        let hash = blake3::Hash::from_bytes(content_hash).to_hex();
        CommitKey { key: format!(" alert {} {hash} {stretch}", source.config.name).into(), content_hash }
    };
    let earlier = of(stretch - 1);
    let found = journal.ledger().find_commit(&earlier.key).map_err(JournalError::from)?;
    let is_same = found.is_some_and(|(appended, _)| now.saturating_sub(appended.recorded_at) < window);
    Ok(if is_same { earlier } else { of(stretch) })
}

/// Records a delivery, once; and whether it was recorded before.
fn record(
    journal: &Journal,
    source: &Inbound,
    correlation: Option<CorrelationId>,
    id: Option<String>,
    delivery: &Delivery,
    commit_key: &CommitKey,
) -> Result<(WebhookReceipt, bool), Problem> {
    match attempt::earlier(journal, Some(commit_key)) {
        Ok(None) => {}
        Ok(Some(commit)) => {
            let sequences = of_commit(journal, &commit)?;
            return Ok((receipt(id, Delivered { sequences, already: true, warnings: Vec::new() }), true));
        }
        Err(problem) if problem.kind() == Kind::KeyReused => return Err(reused(id, problem)),
        Err(problem) => return Err(problem),
    }
    let author = Author {
        actor: source.source().into(),
        source: source.source().into(),
        correlation,
        reaches_all: false,
    };
    let delivered = journal
        .deliver(&author, source.config.portfolio, delivery, commit_key)
        .map_err(|error| Problem::from(error).rename(|fault| in_list("prices", fault)))?;
    let already = delivered.already;
    Ok((receipt(id, delivered), already))
}

/// The problem of an id that names another delivery.
fn reused(id: Option<String>, problem: Problem) -> Problem {
    let id = id.unwrap_or_default();
    problem.saying(format!(
        "the delivery `{id}` was recorded with another content: an id names one delivery for ever, so give this one its own"
    ))
}

fn receipt(delivery: Option<String>, delivered: Delivered) -> WebhookReceipt {
    WebhookReceipt {
        delivery,
        sequences: delivered.sequences.into_iter().map(Sequence).collect(),
        already: delivered.already,
        warnings: delivered.warnings,
    }
}

/// The events of a commit that a delivery brought itself, without the instruments and accounts that they needed.
fn of_commit(journal: &Journal, commit: &Appended) -> Result<Vec<u64>, Problem> {
    let mut own = Vec::new();
    for sequence in &commit.sequences {
        let event = decode(&journal.event(*sequence)?.view())?;
        let price = matches!(
            event,
            Event::BarClosed(_)
                | Event::PriceTick(_)
                | Event::FxRateObserved(_)
                | Event::CorporateActionAnnounced(_)
        );
        if price || event.entry().is_some() {
            own.push(*sequence);
        }
    }
    Ok(own)
}

fn of_source(source: &Inbound) -> WebhookItem {
    let received = source.received();
    WebhookItem {
        state: if source.config.map.is_some() { "alerts" } else { "signed" }.to_owned(),
        portfolio: Some(Portfolio(source.config.portfolio)),
        recorded: Some(received.recorded),
        repeated: Some(received.repeated),
        refused: Some(received.refused),
        last_success: received.last_success.map(Time),
        last_error: received.last_error,
        ..blank(&source.config.name, "inbound")
    }
}

fn of_receiver(receiver: &Outbound, head: u64) -> WebhookItem {
    let sent = receiver.sent();
    let config = &receiver.config;
    let dead = sent.state.dead.iter().take(DEAD_SHOWN_MAX).map(|dead| DeadDelivery {
        sequence: Sequence(dead.sequence),
        type_name: dead.kind.clone(),
        attempts: dead.attempts,
        since: Time(dead.since),
        error: dead.error.clone(),
    });
    WebhookItem {
        state: sent.doing.name().to_owned(),
        portfolios: Some(config.portfolios.iter().copied().map(Portfolio).collect()),
        host: Some(config.url.origin().ascii_serialization()),
        events: Some(config.events.iter().map(|event_type| event_type.name().to_owned()).collect()),
        taken: Some(sent.taken),
        cursor: Some(Sequence(sent.state.position.cursor)),
        lag: Some(head.saturating_sub(sent.state.position.cursor)),
        last_success: sent.last_success.map(Time),
        last_error: sent.last_error.or_else(|| sent.state.disabled.as_ref().map(|gone| gone.reason.clone())),
        next_attempt: sent.next_attempt.map(Time),
        trying: sent.state.trying.as_ref().map(|trying| TriedDelivery {
            sequence: Sequence(trying.sequence),
            since: Time(trying.since),
            attempts: trying.attempts,
            error: trying.error.clone(),
        }),
        dead_count: Some(sent.state.dead.len() as u64),
        dead: Some(dead.collect()),
        ..blank(&config.name, "outbound")
    }
}

fn blank(name: &str, direction: &str) -> WebhookItem {
    WebhookItem {
        name: name.to_owned(),
        direction: direction.to_owned(),
        state: String::new(),
        portfolio: None,
        portfolios: None,
        host: None,
        events: None,
        recorded: None,
        repeated: None,
        refused: None,
        taken: None,
        cursor: None,
        lag: None,
        last_success: None,
        last_error: None,
        next_attempt: None,
        trying: None,
        dead_count: None,
        dead: None,
    }
}
