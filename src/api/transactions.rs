//! What happened in a portfolio: recorded by the columns of the generic CSV, and listed by the same.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page};
use super::precondition::{Precondition, Standing};
use super::problem::Problem;
use super::record::record;
use super::scalar::{Portfolio, Sequence, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use crate::importers::TransactionFields;
use crate::importers::columns::Column;
use crate::journal::Terms;
use daybook_ledger::Appended;
use daybook_projections::EntryRow;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use std::borrow::Cow;

/// A transaction to be recorded: the columns of the generic CSV, all of them strings.
pub(super) struct TransactionRequest(pub(super) TransactionFields);

impl Form for TransactionRequest {
    fn read(fields: &mut Fields) -> Self {
        let mut read = TransactionFields::default();
        for column in Column::ALL {
            let text = fields.text(column.name());
            read.set(*column, text);
        }
        Self(read)
    }
}

/// A transaction as it is listed: the columns of the generic CSV, and where it stands in the ledger.
pub(super) struct TransactionItem;

fn text(description: &'static str) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema {
        description: Some(description),
        ..MetaSchema::new("string")
    }))
}

const fn about(column: Column) -> &'static str {
    match column {
        Column::Time => "When: RFC 3339, or a date",
        Column::Type => "What happened: `buy`, `sell`, `deposit`…",
        Column::Symbol => "The instrument's symbol",
        Column::Quantity => "Units, positive; of a split the ratio, new for old",
        Column::Price => "The price of one unit; of an exchange the units received for one given up",
        Column::Amount => "The signed effect on cash, net of the fee",
        Column::Fee => "What was charged: positive is a charge, negative a rebate",
        Column::Currency => "The currency of price and amount",
        Column::Multiplier => "Units of the underlying in one unit",
        Column::Id => "Its id at its source: the same id is recorded once",
        Column::Strategy => "The trader's way of trading",
        Column::Note => "The person's own words",
        Column::Account => "The account's label",
        Column::Effect => "Whether a trade opens or closes a position: `open`, `close`",
        Column::Settle => "The day on which money and securities change hands",
        Column::FeeCurrency => "The fee's currency",
        Column::FxRate => "Units of the base currency for one unit of the transaction's",
        Column::Isin => "The instrument's ISIN",
        Column::Mic => "The venue, by market identifier code",
        Column::Basis => "The total basis; of a spin-off the share of the parent's basis",
        Column::Acquired => "The day of acquisition",
        Column::Kind => "What kind of its type it is",
        Column::Group => "What the transactions of one happening have in common",
        Column::ToSymbol => "The instrument that takes the place of `symbol`, or comes from it",
    }
}

fn columns() -> Vec<(&'static str, MetaSchemaRef)> {
    Column::ALL.iter().map(|column| (column.name(), text(about(*column)))).collect()
}

macro_rules! described {
    ($name:ident, $schema:expr) => {
        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Reference(stringify!($name).to_owned())
            }

            fn register(registry: &mut Registry) {
                registry.create_schema::<Self, _>(stringify!($name).to_owned(), |_| $schema);
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
}

described!(
    TransactionRequest,
    MetaSchema {
        description: Some("A transaction, by the columns of the generic CSV; numbers are strings"),
        required: vec!["time", "type"],
        properties: columns(),
        ..MetaSchema::new("object")
    }
);
described!(TransactionItem, {
    let mut properties = columns();
    properties.extend([
        ("sequence", <Sequence as Type>::schema_ref()),
        ("event", text("What kind of event it is in the log")),
        ("trade_date", text("The day on which it counts")),
        ("occurred_at", text("When it counts as having happened")),
        ("recorded_at", text("When it was recorded")),
        ("source", text("What it came through")),
        ("import", text("The import that brought it")),
    ]);
    MetaSchema {
        description: Some(
            "A transaction, by the columns of the generic CSV, and where it stands in the ledger",
        ),
        required: vec!["sequence", "event", "time", "trade_date", "occurred_at", "recorded_at", "source"],
        properties,
        ..MetaSchema::new("object")
    }
});

record! {
    /// What became of a transaction.
    RecordedTransaction {
        /// Its event
        sequence: Sequence,
        /// Whether it was recorded before, by another request
        already: bool,
        /// What the writer should know
        warnings: Vec<String>,
    }
}

/// The routes of transactions.
pub(super) struct Transactions(pub(super) Service);

#[OpenApi(tag = "Tag::Transactions")]
impl Transactions {
    /// List transactions
    ///
    /// Those that count, in the order in which they are accounted for; reversed ones and those of reverted imports
    /// are in the log alone.
    #[oai(path = "/portfolios/:id/transactions", method = "get", operation_id = "listTransactions")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// Only what had occurred by then; a date means the end of that day in the portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<TransactionItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        seen::list(&self.0, question, id.0.0, moment, page, |journal, view, pin, page| {
            let key = |row: &EntryRow| row.meta.sequence.to_string();
            let rows = page.cut(pin, view.entries(), key, Ok)?;
            let records = seen::records(journal, rows.items.iter().map(|row| row.meta.sequence).collect())?;
            let items = rows
                .items
                .iter()
                .filter_map(|row| records.get(&row.meta.sequence))
                .map(|record| seen::transaction(view, record))
                .collect::<Result<_, _>>()?;
            Ok(List { items, next: rows.next, sequence: rows.sequence }.written())
        })
        .await
    }

    /// Record a transaction
    ///
    /// By the rules of a row of the generic CSV. Without an `id`, equal transactions are two, and the
    /// `Idempotency-Key` tells a repetition.
    #[oai(path = "/portfolios/:id/transactions", method = "post", operation_id = "recordTransaction")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn record(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The portfolio
        id: Path<Portfolio>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the portfolio: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<TransactionRequest>,
    ) -> Result<Made<RecordedTransaction>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let (id, fields) = (id.0.0, input.value.0);
        self.0
            .blocking(move |journal| {
                if let Some(commit) = attempt::earlier(journal, key.as_ref())? {
                    return Ok(made(&before(&commit)).replayed(true));
                }
                let transacted = precondition.guard(
                    || Standing::of_portfolio(journal, id),
                    |expected| {
                        let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                        journal.transact(&caller.author(), id, &fields, terms)
                    },
                );
                let transacted = attempt::done(journal, key.as_ref(), transacted)?;
                // Of two attempts at once, the one that came second finds what the first recorded.
                if transacted.already
                    && let Some(commit) = attempt::earlier(journal, key.as_ref())?
                {
                    return Ok(made(&before(&commit)).replayed(true));
                }
                let body = RecordedTransaction {
                    sequence: Sequence(transacted.sequence),
                    already: transacted.already,
                    warnings: transacted.warnings,
                };
                Ok(if transacted.already { made(&body).unchanged() } else { made(&body) })
            })
            .await
    }
}

/// What the first attempt was answered. What it was warned of is not in the ledger.
fn before(commit: &Appended) -> RecordedTransaction {
    // The instrument and the account that a transaction needs come before its own event.
    let sequence = Sequence(commit.sequences.last().copied().unwrap_or(commit.head));
    RecordedTransaction { sequence, already: false, warnings: Vec::new() }
}

fn made(body: &RecordedTransaction) -> Made<RecordedTransaction> {
    Made::new(body).at(&format!("/events/{}", body.sequence.0))
}
