//! The ledger's side of a synchronised account: which account it is, what of it is recorded, and which differences are
//! open.

use super::reconcile::{Difference, FeeLag, Side};
use super::{Bound, Fault, wire};
use crate::importers::accounts::account_id;
pub(crate) use crate::importers::alpaca::BROKER;
use crate::journal::{Author, Draft, FeedBatch, Journal, JournalError, Moment, decode};
use crate::sync::breaks;
pub(crate) use crate::sync::breaks::{OpenBreak, in_words};
use daybook_ledger::Direction;
use daybook_projections::AsOf;
use daybook_schemas::events::{AccountKind, AccountLinked, IdentifierScheme, Side as Way};
use daybook_schemas::{
    AccountId, Currency, Event, ExternalId, ImportId, PortfolioId, Quantity, Sealed, Timestamp, decimal,
    stream,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Days for which a sale's fees may be outstanding.
const FEE_LAG_DAYS: i64 = 4;

/// The journal, as a daemon reaches it: on a thread where it may block.
#[derive(Clone)]
pub(crate) struct Books {
    journal: Arc<Journal>,
    /// Simulated time stands still for whatever is done in place.
    #[cfg(test)]
    in_place: bool,
}

impl Books {
    /// The books in a journal.
    pub(crate) const fn new(journal: Arc<Journal>) -> Self {
        Self {
            journal,
            #[cfg(test)]
            in_place: false,
        }
    }

    /// The books in a journal that is asked in place.
    #[cfg(test)]
    pub(crate) const fn in_place(journal: Arc<Journal>) -> Self {
        Self { journal, in_place: true }
    }

    /// Asks the journal.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Journal) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        #[cfg(test)]
        if self.in_place {
            return question(&self.journal);
        }
        let journal = self.journal.clone();
        tokio::task::spawn_blocking(move || question(&journal))
            .await
            .map_err(|error| JournalError::Internal(error.to_string()))?
    }
}

/// The stream of an account's synchronisation.
pub(crate) fn sync_stream(account: &str) -> String {
    stream::sync(BROKER, account)
}

/// Whether an import may have brought activities into a portfolio, so that rows may be known under other identities.
pub(crate) fn imported(journal: &Journal, portfolio: PortfolioId) -> Result<bool, JournalError> {
    let library = journal.library()?;
    Ok(library.imports.list().any(|import| {
        import.file.as_ref().is_none_or(|file| &*file.format == BROKER && file.portfolio == Some(portfolio))
    }))
}

/// The sequence of the last reversion of an import that brought activities into a portfolio; 0 for none.
pub(crate) fn taken_back(journal: &Journal, portfolio: PortfolioId) -> Result<u64, JournalError> {
    let library = journal.library()?;
    let brought = library.imports.list().filter(|import| {
        let file = import.file.as_ref();
        file.is_some_and(|file| &*file.format == BROKER && file.portfolio == Some(portfolio))
    });
    Ok(brought.filter_map(|import| import.reverted_from).max().unwrap_or(0))
}

/// Finds, or makes, the account in the portfolio that stands for the broker's.
pub(crate) fn bind(
    journal: &Journal,
    author: &Author,
    name: &str,
    portfolio: PortfolioId,
    theirs: &wire::Account,
    now: Timestamp,
) -> Result<Bound, Fault> {
    let plain =
        |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if theirs.id.is_empty() || theirs.id.len() > 64 || !plain(&theirs.id) {
        return Err(Fault::nonsense(format!(
            "`{}` is no account's id",
            daybook_schemas::decimal::shorten(&theirs.id)
        )));
    }
    let facts = journal.portfolio_facts(portfolio)?;
    let keys = journal.keys().clone();
    let own =
        account_id(&keys, facts.key, portfolio, name).map_err(|error| Fault::Halt(error.to_string()))?;
    let (mut ours, mut adopted) = (None, None);
    {
        let library = journal.library()?;
        for entry in library.directory.list() {
            for (id, account) in &entry.accounts {
                let at_broker = account.linked.broker.as_deref() == Some(BROKER) && !account.unlinked;
                let external = account.linked.external_id.as_ref().map(ExternalId::as_str);
                if at_broker && external == Some(&*theirs.id) {
                    if entry.id != portfolio {
                        return Err(Fault::Halt(format!(
                            "the keys are those of Alpaca account {}, which feeds portfolio {} already: one account feeds one portfolio; correct `portfolio`, or the keys",
                            theirs.id, entry.id
                        )));
                    }
                    let label = account.linked.name.open(&keys).unwrap_or_else(|_| name.to_owned());
                    return Ok(Bound { alpaca: theirs.id.clone(), account: *id, label });
                }
                if entry.id != portfolio {
                    continue;
                }
                if *id == own && !account.unlinked {
                    if let Some(other) = external {
                        return Err(Fault::Halt(format!(
                            "the keys are those of Alpaca account {}, but `{name}` is account {other}: nothing is recorded; put back its keys, or give the new account (after a paper reset, say) another `name` and it is linked beside the old one",
                            theirs.id
                        )));
                    }
                    ours = Some((*id, account.linked.clone()));
                } else if at_broker && external.is_none() {
                    // What a file brought before anybody knew whose account it was.
                    adopted = adopted.is_none().then(|| (*id, account.linked.clone()));
                }
            }
        }
    }
    let seal = |text: &str| {
        Sealed::seal(&keys, facts.key, &text.to_owned()).map_err(|error| Fault::Halt(error.to_string()))
    };
    let (id, mut linked) = match ours.or(adopted) {
        Some(found) => found,
        None => (
            own,
            AccountLinked {
                account: own,
                kind: AccountKind::Unstated,
                name: seal(name)?,
                broker: None,
                number: None,
                external_id: None,
            },
        ),
    };
    let label = linked.name.open(&keys).unwrap_or_else(|_| name.to_owned());
    linked.broker = Some(BROKER.into());
    linked.external_id = Some(ExternalId::new(theirs.id.as_str()));
    linked.number = theirs.account_number.as_deref().map(seal).transpose()?;
    if theirs.account_number.as_deref().is_some_and(|number| number.starts_with("PA")) {
        linked.kind = AccountKind::Paper;
    }
    let draft = Draft::new(stream::portfolio(portfolio), now, linked);
    let batch = FeedBatch { portfolio: Some(portfolio), remarks: vec![draft], ..FeedBatch::default() };
    journal.record_batch(author, &batch)?;
    Ok(Bound { alpaca: theirs.id.clone(), account: id, label })
}

/// One fill as the ledger holds it.
#[derive(Clone, Debug)]
struct Fill {
    order: String,
    quantity: Decimal,
    cumulative: Decimal,
    sale: Option<(Timestamp, Decimal)>,
    import: Option<ImportId>,
}

/// The fills of an account as the ledger holds them, kept current by reading what its stream gained.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fills {
    version: u64,
    by_sequence: BTreeMap<u64, Fill>,
    reversed: BTreeMap<u64, u64>,
}

impl Fills {
    /// Reads what the portfolio's stream gained.
    pub(crate) fn refresh(
        &mut self,
        journal: &Journal,
        portfolio: PortfolioId,
        account: AccountId,
    ) -> Result<(), JournalError> {
        let mut fault = None;
        let name = stream::portfolio(portfolio);
        let read = journal.ledger().scan_stream(
            &name,
            self.version + 1,
            usize::MAX,
            Direction::Forward,
            &mut |record| {
                match decode(record) {
                    Ok(Event::TradeExecuted(trade)) if trade.entry.account == account => {
                        if let Some(order) = &trade.order {
                            let at = Timestamp::from_nanos(record.occurred_at);
                            let value = trade
                                .price
                                .and_then(|price| decimal::multiply(trade.quantity.get(), price.get()).ok());
                            let fill = Fill {
                                order: order.as_str().to_owned(),
                                quantity: trade.quantity.get(),
                                cumulative: trade
                                    .cumulative_quantity
                                    .map_or(trade.quantity.get(), Quantity::get),
                                sale: value.filter(|_| trade.side == Way::Sell).map(|value| (at, value)),
                                import: record.import.copied().map(ImportId::from_bytes),
                            };
                            self.by_sequence.insert(record.sequence, fill);
                        }
                    }
                    Ok(Event::EventReversed(reversed)) => {
                        self.reversed.insert(reversed.target, record.sequence);
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
        );
        read?;
        fault.map_or(Ok(()), Err)
    }

    fn standing<'a>(&'a self, journal: &'a Journal) -> Result<Vec<&'a Fill>, JournalError> {
        let library = journal.library()?;
        let known = library.applied();
        Ok(self
            .by_sequence
            .iter()
            .filter(|(sequence, fill)| {
                !self.reversed.contains_key(*sequence)
                    && fill.import.is_none_or(|import| library.imports.visible(import, known))
            })
            .map(|(_, fill)| fill)
            .collect())
    }

    /// Whether the ledger holds a fill of the order that reaches this far.
    pub(crate) fn reaches(&self, order: &str, cumulative: Decimal) -> bool {
        self.by_sequence.values().rev().any(|fill| fill.order == order && fill.cumulative >= cumulative)
    }
}

/// The ledger's books of an account, and the most that fees of its last sales can come to.
pub(crate) fn ours(
    journal: &Journal,
    portfolio: PortfolioId,
    account: AccountId,
    fills: &mut Fills,
    now: Timestamp,
) -> Result<(Side, Decimal, Vec<String>), Fault> {
    fills.refresh(journal, portfolio, account)?;
    // What is dated ahead, such as a settlement, counts: the broker has booked it.
    let ahead = now.day_in(daybook_schemas::Zone::NEW_YORK).plus_days(7);
    let moment = Moment { as_of: Some(AsOf::Day(ahead)), ..Moment::default() };
    let (mut side, unclear) = journal.portfolio(portfolio, &moment, |view| {
        let mut side = Side::default();
        let mut unclear = Vec::new();
        for ((of, instrument), lost) in &view.state.lost {
            if *of == account {
                let symbol = view.symbol(*instrument).map_or_else(|| instrument.to_string(), str::to_owned);
                unclear.push(format!("units of {symbol} cannot be told here: {}", lost.unknown.sentence()));
            }
        }
        for (currency, cash) in view.state.cash_by_currency() {
            if let Err(why) = cash {
                unclear.push(format!("cash in {currency} cannot be told here: {why}"));
            }
        }
        if let Some(why) = view.summary().missing.get("cash") {
            unclear.push(format!("cash cannot be told here: {why}"));
        }
        for (of, instrument, holding) in view.holdings() {
            if of == account {
                side.positions.insert(instrument, holding.quantity);
            }
        }
        for ((of, currency), amount) in &view.state.cash {
            if *of == account {
                side.cash.insert(*currency, amount.0);
            }
        }
        Ok((side, unclear))
    })?;
    let since = now.plus_nanos(-FEE_LAG_DAYS * 86_400 * 1_000_000_000);
    let mut most = Decimal::ZERO;
    for fill in fills.standing(journal)? {
        let sum = side.orders.entry(fill.order.clone()).or_default();
        *sum = decimal::add(*sum, fill.quantity).map_err(|error| Fault::Halt(error.to_string()))?;
        if let Some((at, value)) = fill.sale
            && at >= since
        {
            // The regulators' fees on a sale: well under a hundredth of a percent of its value and a fifth of a cent a
            // share, each rounded up to a cent.
            let bound = value
                .saturating_mul(Decimal::new(1, 4))
                .saturating_add(fill.quantity.saturating_mul(Decimal::new(2, 3)))
                .saturating_add(Decimal::new(2, 2));
            most = most.saturating_add(bound);
        }
    }
    Ok((side, most, unclear))
}

/// The broker's books, as it states them, and as it stated them of orders that differ openly and that it lists no more.
pub(crate) fn theirs(
    journal: &Journal,
    account: &wire::Account,
    positions: &[wire::Position],
    orders: &[wire::Order],
    open: &[OpenBreak],
    now: Timestamp,
) -> Result<(Side, FeeLag), Fault> {
    let said_last = breaks::said_last(open).map(|(order, filled)| (order.to_owned(), filled));
    let mut side = Side { orders: said_last.collect(), ..Side::default() };
    let library = journal.library()?;
    let day = now.day_in(daybook_schemas::Zone::NEW_YORK);
    for position in positions {
        let symbol = crate::importers::symbols::read(&position.symbol)
            .map_or_else(|_| position.symbol.clone(), |symbol| symbol.text);
        let scheme = IdentifierScheme::Symbol;
        let found = library.instruments.resolve(&scheme, &symbol, Some(day), None, None);
        match found {
            daybook_projections::Resolution::One(id) => {
                let units = side.positions.entry(id).or_default();
                *units = units.saturating_add(position.quantity());
            }
            _ => {
                side.unknown.insert(position.symbol.clone(), position.quantity());
            }
        }
    }
    let currency = account.currency.as_deref().unwrap_or("USD");
    let currency = Currency::parse(currency).map_err(Fault::nonsense)?;
    side.cash.insert(currency, account.cash.0);
    let mut queue: Vec<&wire::Order> = orders.iter().collect();
    while let Some(order) = queue.pop() {
        side.orders.remove(&order.id);
        if let Some(filled) = order.filled_qty
            && !filled.0.is_zero()
            && order.legs.as_ref().is_none_or(Vec::is_empty)
        {
            side.orders.insert(order.id.clone(), filled.0);
        }
        queue.extend(order.legs.iter().flatten());
    }
    let accrued = account.accrued_fees.unwrap_or_default().0;
    Ok((side, FeeLag { accrued, most: Decimal::ZERO }))
}

/// The differences that are open, as the ledger tells.
pub(crate) fn open_breaks(journal: &Journal, account: &str) -> Result<Vec<OpenBreak>, Fault> {
    Ok(breaks::open_breaks(journal, &sync_stream(account))?)
}

/// What is to be recorded so that exactly these differences are open.
pub(crate) fn settle(
    account: &Bound,
    open: &[OpenBreak],
    now_open: &[Difference],
    now: Timestamp,
) -> Vec<Draft> {
    breaks::settle(&sync_stream(&account.alpaca), account.account, open, now_open, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::breaks::On;
    use daybook_ledger::{Ledger, Options};
    use daybook_schemas::KeyRing;

    #[test]
    fn an_order_that_is_listed_no_more_is_filled_as_the_broker_said_last_while_it_differs_openly() {
        let journal = Journal::over(Ledger::in_memory(Options::default()), KeyRing::default()).unwrap();
        let differs = |order: &str, theirs: i64| Difference {
            on: On::Order(order.to_owned()),
            ours: Decimal::ZERO,
            theirs: theirs.into(),
        };
        let (account, now) = (AccountId::from_bytes([1; 16]), Timestamp::from_nanos(1));
        let found = [differs("gone", 3), differs("listed", 4), differs("busted", 5)];
        let remarks = breaks::settle(&sync_stream("a"), account, &[], &found, now);
        let batch = FeedBatch { remarks, ..FeedBatch::default() };
        journal.record_batch(&Author::operator(), &batch).unwrap();
        let open = open_breaks(&journal, "a").unwrap();
        let stated: wire::Account = serde_json::from_str(r#"{ "id": "a", "cash": "1" }"#).unwrap();
        let orders = r#"[{ "id": "listed", "status": "filled", "filled_qty": "6" }, { "id": "busted", "status": "canceled", "filled_qty": "0" }]"#;
        let orders: Vec<wire::Order> = serde_json::from_str(orders).unwrap();
        let (side, _) = theirs(&journal, &stated, &[], &orders, &open, now).unwrap();
        let filled = [("gone", 3), ("listed", 6)].map(|(order, filled)| (order.to_owned(), filled.into()));
        assert_eq!(side.orders, BTreeMap::from(filled));
    }
}
