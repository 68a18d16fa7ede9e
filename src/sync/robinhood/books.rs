//! The ledger's side of an account at Robinhood: which account it is, which executions of it are recorded, and where it
//! differs from Robinhood's.

use super::orders::{self, Read};
use super::{Bound, Fault, NAME};
use crate::config::RobinhoodAccount;
use crate::importers::accounts::account_id;
use crate::journal::{
    Author, Draft, FeedBatch, FeedReport, FeedRow, Journal, JournalError, Moment, Statement, decode,
};
use crate::sync::breaks::{self, Difference, On, OpenBreak};
use crate::sync::prices::figure::Figure;
use daybook_ledger::{CursorMove, Direction};
use daybook_projections::{AsOf, Resolution};
use daybook_schemas::events::{AccountKind, AccountLinked, ContentHash, IdentifierScheme};
use daybook_schemas::{
    AccountId, Event, ImportId, InstrumentId, PortfolioId, Sealed, Timestamp, Zone, decimal, stream,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// The cursor of an account: the instant up to which changes of orders were read.
pub(super) fn cursor(account: AccountId) -> String {
    format!("{NAME}:{account}")
}

/// Finds, or makes, the account in the portfolio that stands for Robinhood's.
pub(super) fn bind(
    journal: &Journal,
    author: &Author,
    name: &str,
    portfolio: PortfolioId,
    number: String,
    now: Timestamp,
) -> Result<Bound, Fault> {
    let halt = |error: &dyn std::fmt::Display| Fault::Halt(error.to_string());
    let facts = journal.portfolio_facts(portfolio)?;
    let keys = journal.keys().clone();
    let own = account_id(&keys, facts.key, portfolio, name).map_err(|error| halt(&error))?;
    {
        let library = journal.library()?;
        for entry in library.directory.list() {
            for (id, account) in &entry.accounts {
                if account.unlinked || account.linked.broker.as_deref() != Some(NAME) {
                    continue;
                }
                let Some(known) = &account.linked.number else { continue };
                let same = known.open(&keys).is_ok_and(|known| known == number);
                let ours = entry.id == portfolio && *id == own;
                if same && ours {
                    return Ok(Bound { account: own, label: name.to_owned(), number });
                }
                if same && entry.id != portfolio {
                    return Err(Fault::Halt(format!(
                        "the keys are those of an account that feeds portfolio {} already: one account feeds one portfolio; correct `portfolio`, or the keys",
                        entry.id
                    )));
                }
                if ours {
                    return Err(Fault::Halt(format!(
                        "the keys are those of another account than `{name}` was so far: nothing is recorded; put back its keys, or give the new account another `name`"
                    )));
                }
            }
        }
    }
    let seal = |text: &str| Sealed::seal(&keys, facts.key, &text.to_owned()).map_err(|error| halt(&error));
    let linked = AccountLinked {
        account: own,
        kind: AccountKind::Unstated,
        name: seal(name)?,
        broker: Some(NAME.into()),
        number: Some(seal(&number)?),
        external_id: None,
    };
    let draft = Draft::new(stream::portfolio(portfolio), now, linked);
    record(journal, author, portfolio, vec![draft], now)?;
    Ok(Bound { account: own, label: name.to_owned(), number })
}

/// Records events of the synchronisation itself.
pub(super) fn record(
    journal: &Journal,
    author: &Author,
    portfolio: PortfolioId,
    remarks: Vec<Draft>,
    now: Timestamp,
) -> Result<FeedReport, Fault> {
    let batch = FeedBatch { portfolio: Some(portfolio), at: Some(now), remarks, ..FeedBatch::default() };
    Ok(journal.record_batch(author, &batch)?)
}

/// An execution as the ledger holds it.
#[derive(Clone, Debug)]
struct Recorded {
    order: String,
    identity: String,
    quantity: Decimal,
    import: Option<ImportId>,
}

/// The executions of an account as the ledger holds them, kept current by reading what its stream gained; and how much of
/// each order Robinhood says is filled, of those that were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    version: u64,
    by_sequence: BTreeMap<u64, Recorded>,
    reversed: BTreeSet<u64>,
    theirs: BTreeMap<String, Decimal>,
}

impl Found {
    fn refresh(
        &mut self,
        journal: &Journal,
        portfolio: PortfolioId,
        account: AccountId,
    ) -> Result<(), JournalError> {
        let mut fault = None;
        let name = stream::portfolio(portfolio);
        journal.ledger().scan_stream(
            &name,
            self.version + 1,
            usize::MAX,
            Direction::Forward,
            &mut |record| {
                match decode(record) {
                    Ok(Event::TradeExecuted(trade)) if trade.entry.account == account => {
                        let identity = record.key.and_then(|key| Some(key.rsplit_once('#')?.0.to_owned()));
                        if let (Some(order), Some(identity)) = (&trade.order, identity) {
                            let recorded = Recorded {
                                order: order.as_str().to_owned(),
                                identity,
                                quantity: trade.quantity.get(),
                                import: record.import.copied().map(ImportId::from_bytes),
                            };
                            self.by_sequence.insert(record.sequence, recorded);
                        }
                    }
                    Ok(Event::EventReversed(reversed)) => {
                        self.reversed.insert(reversed.target);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        fault = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                self.version = record.version;
                ControlFlow::Continue(())
            },
        )?;
        fault.map_or(Ok(()), Err)
    }

    /// The executions that count.
    fn standing(&self, journal: &Journal) -> Result<Vec<&Recorded>, JournalError> {
        let library = journal.library()?;
        let counts = |recorded: &Recorded| {
            recorded.import.is_none_or(|import| library.imports.visible(import, library.applied()))
        };
        Ok(self
            .by_sequence
            .iter()
            .filter(|(sequence, recorded)| !self.reversed.contains(*sequence) && counts(recorded))
            .map(|(_, recorded)| recorded)
            .collect())
    }
}

/// Records what is new of orders. An execution that its order does not list any more never happened.
#[expect(clippy::too_many_arguments, reason = "each is a part of the one question")]
pub(super) fn take_in(
    journal: &Journal,
    author: &Author,
    config: &RobinhoodAccount,
    bound: &Bound,
    rows: &[Box<RawValue>],
    found: &mut Found,
    mark: Option<Timestamp>,
    now: Timestamp,
) -> Result<FeedReport, Fault> {
    let facts = journal.portfolio_facts(config.portfolio)?;
    let context = journal.import_context()?;
    let Read { mut batch, orders, latest } = orders::read(rows, bound, &facts, &context, now)?;
    found.refresh(journal, config.portfolio, bound.account)?;
    let prefix = orders::prefix(bound);
    for recorded in found.standing(journal)? {
        // Only an order whose executions come to what is filled of it tells what it does not list.
        if let Some(order) = orders.get(&recorded.order)
            && order.whole
            && recorded.identity.starts_with(&prefix)
            && !order.executions.contains(&recorded.identity)
        {
            batch.rows.push(FeedRow {
                identity: recorded.identity.clone(),
                aliases: Vec::new(),
                content_hash: ContentHash::of(format!("{} is listed no more", recorded.identity).as_bytes())
                    .0,
                statement: Statement::Withdrawn,
            });
        }
    }
    found.theirs.extend(orders.into_iter().map(|(order, filled)| (order, filled.quantity)));
    batch.at = Some(now);
    if let Some(latest) = latest.filter(|latest| mark.is_none_or(|mark| *latest > mark)) {
        let to = latest.to_string().into_bytes().into();
        batch.cursors = vec![CursorMove { source: cursor(bound.account).into(), to }];
    }
    Ok(journal.record_batch(author, &batch)?)
}

/// What Robinhood says is held of an asset.
#[derive(Deserialize)]
pub(super) struct Holding {
    #[serde(default)]
    pub(super) account_number: Option<String>,
    asset_code: String,
    total_quantity: Figure,
}

impl Holding {
    pub(super) fn read(raw: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(raw)
    }
}

/// Where the ledger and Robinhood differ: units of each asset, and units filled of each order that was read or differs
/// openly.
pub(super) fn differences(
    journal: &Journal,
    portfolio: PortfolioId,
    bound: &Bound,
    holdings: &[Holding],
    found: &mut Found,
    open: &[OpenBreak],
    now: Timestamp,
) -> Result<Vec<Difference>, Fault> {
    let halt = |error: decimal::ArithmeticError| Fault::Halt(error.to_string());
    found.refresh(journal, portfolio, bound.account)?;
    let moment = Moment { as_of: Some(AsOf::Day(now.day_in(Zone::UTC).plus_days(1))), ..Moment::default() };
    let mut ours: BTreeMap<InstrumentId, Decimal> = journal.portfolio(portfolio, &moment, |view| {
        let of_account = view.holdings().filter(|(account, ..)| *account == bound.account);
        Ok(of_account.map(|(_, instrument, holding)| (instrument, holding.quantity)).collect())
    })?;
    let mut differences = Vec::new();
    {
        let library = journal.library()?;
        for holding in holdings {
            let named = |symbol: &str| match library.instruments.resolve(
                &IdentifierScheme::Symbol,
                symbol,
                None,
                None,
                None,
            ) {
                Resolution::One(id) => Some(id),
                _ => None,
            };
            let theirs = holding.total_quantity.0;
            let pair = named(&format!("{}/USD", holding.asset_code));
            let coin = || named(&holding.asset_code);
            match pair.or_else(coin) {
                Some(instrument) => {
                    let ours = ours.remove(&instrument).unwrap_or_default();
                    differences.push(Difference { on: On::Position(instrument), ours, theirs });
                }
                None => differences.push(Difference {
                    on: On::Symbol(decimal::shorten(&holding.asset_code)),
                    ours: Decimal::ZERO,
                    theirs,
                }),
            }
        }
    }
    differences.extend(ours.into_iter().map(|(instrument, ours)| Difference {
        on: On::Position(instrument),
        ours,
        theirs: Decimal::ZERO,
    }));
    let mut filled: BTreeMap<&str, Decimal> = BTreeMap::new();
    for recorded in found.standing(journal)? {
        let sum = filled.entry(&recorded.order).or_default();
        *sum = decimal::add(*sum, recorded.quantity).map_err(halt)?;
    }
    let read = found.theirs.iter().map(|(order, theirs)| (order.as_str(), *theirs));
    let theirs: BTreeMap<&str, Decimal> = breaks::said_last(open).chain(read).collect();
    for (order, theirs) in theirs {
        let ours = filled.get(order).copied().unwrap_or_default();
        differences.push(Difference { on: On::Order(order.to_owned()), ours, theirs });
    }
    differences.retain(|difference| difference.ours != difference.theirs);
    differences.sort_unstable();
    Ok(differences)
}
