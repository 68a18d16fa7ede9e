//! From Robinhood's orders to what is recorded of them: each execution is a trade.

use super::{Bound, Fault, NAME};
use crate::importers::{
    Context, Draft, Place, PortfolioFacts, Role, TransactionFields, symbols, transaction,
};
use crate::journal::{FeedBatch, FeedRow, Statement};
use crate::sync::client_order;
use crate::sync::prices::figure::Figure;
use daybook_schemas::events::{Event, QuarantineReason, RawRow, RecordQuarantined, Reported};
use daybook_schemas::{
    BrokerOrderId, Day, ExecutionId, ExternalId, Quantity, Sealed, Strategy, Timestamp, decimal, stream,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// The longest id of an order or an execution, in bytes.
const ID_BYTES_MAX: usize = 96;

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    /// The address of the next page.
    pub(super) next: Option<String>,
    /// The rows as they came.
    pub(super) results: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Order<'a> {
    id: String,
    #[serde(default)]
    account_number: Option<String>,
    symbol: String,
    #[serde(default)]
    client_order_id: Option<String>,
    side: String,
    #[serde(borrow, default)]
    executions: Vec<&'a RawValue>,
    #[serde(default)]
    filled_asset_quantity: Option<Figure>,
    #[serde(default)]
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Execution {
    #[serde(default)]
    id: Option<String>,
    effective_price: Figure,
    quantity: Figure,
    timestamp: String,
}

/// What names a row that cannot be read as a whole.
#[derive(Deserialize)]
struct Named {
    id: String,
}

/// What orders come to.
#[derive(Default)]
pub(super) struct Read {
    /// What is recorded of them.
    pub(super) batch: FeedBatch,
    /// Of each order: the identities of its executions, and the units that Robinhood says are filled.
    pub(super) orders: BTreeMap<String, Filled>,
    /// The latest instant at which one of them changed that is not in the future.
    pub(super) latest: Option<Timestamp>,
}

/// What is filled of an order.
#[derive(Default)]
pub(super) struct Filled {
    /// The identities of its executions.
    pub(super) executions: BTreeSet<String>,
    /// The units that are filled.
    pub(super) quantity: Decimal,
    /// Whether its executions could all be read and come to what is filled.
    pub(super) whole: bool,
}

/// Why a row is kept aside.
struct Aside {
    reason: QuarantineReason,
    column: Option<&'static str>,
    detail: String,
}

impl Aside {
    fn new(reason: QuarantineReason, column: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, column: Some(column), detail: detail.into() }
    }
}

/// Where in the order of the batch an execution stands.
type Rank = (Timestamp, String, usize);

struct Reading<'r> {
    bound: &'r Bound,
    facts: &'r PortfolioFacts,
    context: &'r dyn Context,
    now: Timestamp,
    read: Read,
    known: BTreeSet<String>,
    rows: Vec<(Rank, FeedRow)>,
}

/// Reads orders. A row that cannot be understood is kept aside, and the others go on.
///
/// # Errors
/// That an order is of another account, or that nothing can be sealed.
pub(super) fn read(
    rows: &[Box<RawValue>],
    bound: &Bound,
    facts: &PortfolioFacts,
    context: &dyn Context,
    now: Timestamp,
) -> Result<Read, Fault> {
    let mut reading = Reading {
        bound,
        facts,
        context,
        now,
        read: Read::default(),
        known: BTreeSet::new(),
        rows: Vec::new(),
    };
    for row in rows {
        reading.order(row.get())?;
    }
    let Reading { mut read, mut rows, .. } = reading;
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    read.batch.portfolio = Some(facts.id);
    read.batch.rows.extend(rows.into_iter().map(|(_, row)| row));
    Ok(read)
}

impl Reading<'_> {
    fn order(&mut self, raw: &str) -> Result<(), Fault> {
        let order: Order<'_> = match serde_json::from_str(raw) {
            Ok(order) => order,
            Err(error) => {
                let named = serde_json::from_str::<Named>(raw).ok().map(|named| named.id);
                let aside =
                    Aside { reason: QuarantineReason::BadField, column: None, detail: error.to_string() };
                return self.aside(named.as_deref().unwrap_or_default(), raw, None, &aside);
            }
        };
        if order.account_number.as_ref().is_some_and(|number| *number != self.bound.number) {
            return Err(Fault::Halt(
                "Robinhood lists orders of another account than the one these keys were for: nothing is recorded; check the keys"
                    .to_owned(),
            ));
        }
        if !is_plain(&order.id) {
            let aside = Aside::new(QuarantineReason::BadField, "id", "the order's id is none");
            return self.aside("", raw, None, &aside);
        }
        let updated = order.updated_at.as_deref().and_then(|text| Timestamp::parse(text).ok());
        self.read.latest = self.read.latest.max(updated.filter(|at| *at <= self.now));
        let mut filled = Filled::default();
        let (mut executions, mut all_read) = (Vec::new(), true);
        for execution in &order.executions {
            match read_execution(execution.get()) {
                Ok(read) => executions.push((read, *execution)),
                Err(aside) => {
                    all_read = false;
                    self.aside(&order.id, execution.get(), None, &aside)?;
                }
            }
        }
        executions.sort_by_key(|(execution, _)| execution.at);
        let (mut cumulative, mut ordinals) = (Decimal::ZERO, BTreeMap::<Timestamp, u32>::new());
        for (index, (execution, text)) in executions.iter().enumerate() {
            // Without an id it is told apart by its instant, and among those of one instant by its number.
            let ordinal = ordinals.entry(execution.at).or_default();
            let name = match &execution.id {
                Some(id) => id.clone(),
                None if *ordinal == 0 => execution.at.to_string(),
                None => format!("{}:{ordinal}", execution.at),
            };
            *ordinal += 1;
            let identity = format!("{}{}:{name}", self.prefix(), order.id);
            let sum = decimal::add(cumulative, execution.quantity);
            cumulative = sum.unwrap_or(cumulative);
            filled.executions.insert(identity.clone());
            let row = self.execution(&order, execution, &name, &identity, cumulative, text.get())?;
            self.rows.push(((execution.at, order.id.clone(), index), row));
        }
        let stated = order.filled_asset_quantity.map(|figure| figure.0);
        filled.quantity = stated.unwrap_or(cumulative);
        filled.whole = all_read && stated == Some(cumulative);
        self.read.orders.insert(order.id, filled);
        Ok(())
    }

    /// What stands before the order in an identity. The account's number is its owner's secret: our own id stands for it.
    fn prefix(&self) -> String {
        prefix(self.bound)
    }

    fn execution(
        &mut self,
        order: &Order<'_>,
        execution: &Stated,
        name: &str,
        identity: &str,
        cumulative: Decimal,
        raw: &str,
    ) -> Result<FeedRow, Fault> {
        let said = format!(
            "{}|{}|{}|{}|{}",
            order.symbol,
            order.side,
            execution.price.normalize(),
            execution.quantity.normalize(),
            execution.at
        );
        let content_hash = self.hash(&said)?;
        let statement = match self.trade(order, execution) {
            Ok((references, mut draft)) => {
                for reference in references {
                    if self.known.insert(reference.identity.clone().unwrap_or_default()) {
                        self.read.batch.references.push(reference);
                    }
                }
                let reported =
                    Reported { code: Some("execution".into()), raw: Some(self.seal(&RawRow::keep(raw))?) };
                if let Event::TradeExecuted(trade) = &mut draft.event {
                    trade.order = Some(BrokerOrderId::new(order.id.as_str()));
                    trade.execution = execution.id.as_deref().map(ExecutionId::new);
                    trade.cumulative_quantity = Some(Quantity::new(cumulative));
                    trade.strategy =
                        order.client_order_id.as_deref().and_then(client_order::strategy).map(Strategy::new);
                    trade.entry.external_id = Some(ExternalId::new(format!("{}:{name}", order.id)));
                    trade.entry.reported = Some(reported);
                }
                draft.identity = Some(identity.to_owned());
                draft.content_hash = content_hash;
                Statement::Event(draft)
            }
            Err(aside) => {
                let day = execution.at.day_in(self.facts.zone);
                Statement::Aside(self.kept_aside(identity, content_hash, raw, Some(day), &aside)?)
            }
        };
        Ok(FeedRow { identity: identity.to_owned(), aliases: Vec::new(), content_hash, statement })
    }

    /// The trade, and what it refers to.
    fn trade(&self, order: &Order<'_>, execution: &Stated) -> Result<(Vec<Draft>, Draft), Aside> {
        let bad = |column, detail: String| Aside::new(QuarantineReason::BadField, column, detail);
        if !matches!(order.side.as_str(), "buy" | "sell") {
            let detail = format!("the side `{}` is not known", decimal::shorten(&order.side));
            return Err(Aside::new(QuarantineReason::UnknownCode, "side", detail));
        }
        let symbol = symbols::read(&order.symbol).map_err(|why| bad("symbol", why))?;
        let text = |value: Decimal| Some(value.normalize().to_string());
        let fields = TransactionFields {
            time: Some(execution.at.to_string()),
            kind_of: Some(order.side.clone()),
            symbol: Some(symbol.text),
            quantity: text(execution.quantity),
            price: text(execution.price),
            account: Some(self.bound.label.clone()),
            ..TransactionFields::default()
        };
        let recorded =
            transaction(&fields, self.facts, self.context, Place::default()).map_err(|faults| {
                let fault = faults.into_iter().next();
                let (column, detail) =
                    fault.map_or(("executions", String::new()), |fault| (fault.field, fault.text));
                bad(column, detail)
            })?;
        let (mut references, mut trade) = (Vec::new(), None);
        for draft in recorded.drafts {
            match draft.event {
                Event::TradeExecuted(_) => trade = Some(draft),
                // It is bound already, with its number.
                Event::AccountLinked(_) => {}
                _ => references.push(draft),
            }
        }
        let trade = trade.ok_or_else(|| bad("executions", "it is no trade".to_owned()))?;
        Ok((references, trade))
    }

    /// Keeps a row aside that has no execution's identity.
    fn aside(&mut self, order: &str, raw: &str, day: Option<Day>, aside: &Aside) -> Result<(), Fault> {
        let content_hash = self.hash(raw)?;
        let short = &blake3::Hash::from_bytes(content_hash).to_hex()[..32];
        let order = if is_plain(order) { order } else { "" };
        let identity = format!("{}{order}:row:{short}", self.prefix());
        let draft = self.kept_aside(&identity, content_hash, raw, day, aside)?;
        let row = FeedRow { identity, aliases: Vec::new(), content_hash, statement: Statement::Aside(draft) };
        self.rows.push(((self.now, order.to_owned(), 0), row));
        Ok(())
    }

    fn kept_aside(
        &self,
        identity: &str,
        content_hash: [u8; 32],
        raw: &str,
        day: Option<Day>,
        aside: &Aside,
    ) -> Result<Draft, Fault> {
        let event = RecordQuarantined {
            format: NAME.into(),
            portfolio: Some(self.facts.id),
            account: Some(self.bound.account),
            line: None,
            column: aside.column.map(Into::into),
            reason: aside.reason.clone(),
            detail: self.seal(&aside.detail)?,
            day,
            raw: self.seal(&RawRow::keep(raw))?,
        };
        Ok(Draft {
            event: event.into(),
            stream: stream::sync(NAME, &self.bound.account.to_string()),
            occurred_at: self.now,
            identity: Some(identity.to_owned()),
            content_hash,
            line: 0,
            role: Role::Quarantine,
        })
    }

    fn seal<T: serde::Serialize + serde::de::DeserializeOwned>(&self, value: &T) -> Result<Sealed<T>, Fault> {
        Sealed::seal(self.context.keys(), self.facts.key, value)
            .map_err(|error| Fault::Halt(error.to_string()))
    }

    fn hash(&self, said: &str) -> Result<[u8; 32], Fault> {
        let hashed = self.context.keys().keyed_hash(self.facts.key, &format!("robinhood {said}"));
        hashed.map_err(|error| Fault::Halt(error.to_string()))
    }
}

/// What stands before the order in the identity of an execution.
pub(super) fn prefix(bound: &Bound) -> String {
    format!("robinhood:{}:order:", bound.account)
}

/// An execution that could be read.
struct Stated {
    id: Option<String>,
    price: Decimal,
    quantity: Decimal,
    at: Timestamp,
}

fn read_execution(raw: &str) -> Result<Stated, Aside> {
    let bad = |column, detail: String| Aside::new(QuarantineReason::BadField, column, detail);
    let stated: Execution =
        serde_json::from_str(raw).map_err(|error| bad("executions", error.to_string()))?;
    let at = Timestamp::parse(&stated.timestamp).map_err(|error| bad("timestamp", error.to_string()))?;
    if stated.quantity.0 <= Decimal::ZERO || stated.effective_price.0.is_sign_negative() {
        return Err(bad("executions", "its quantity is not greater than zero, or its price less".to_owned()));
    }
    if stated.id.as_deref().is_some_and(|id| !is_plain(id)) {
        return Err(bad("id", "the execution's id is none".to_owned()));
    }
    Ok(Stated { id: stated.id, price: stated.effective_price.0, quantity: stated.quantity.0, at })
}

/// Whether an id can stand in a key.
fn is_plain(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
