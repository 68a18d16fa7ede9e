//! Orders: submitted before they are sent, so that none is ever sent that the ledger does not know.

use super::access::id_parts;
use super::{Author, Draft, Journal, JournalError, Terms, decode, meta, now};
use daybook_ledger::Direction;
use daybook_projections::Orders;
use daybook_schemas::events::{OrderSubmitted, OrderUpdated};
use daybook_schemas::{EventType, OrderId, PortfolioId, stream};
use std::ops::ControlFlow;

impl Journal {
    /// The orders of a portfolio, as far as was known at a sequence.
    pub(crate) fn orders(&self, portfolio: PortfolioId, known: u64) -> Result<Orders, JournalError> {
        let (mut orders, mut fault) = (Orders::default(), None);
        let name = stream::portfolio(portfolio);
        let told = [EventType::OrderSubmitted.id(), EventType::OrderUpdated.id()];
        self.ledger.scan_stream(&name, 1, usize::MAX, Direction::Forward, &mut |record| {
            if record.sequence > known {
                return ControlFlow::Break(());
            }
            if told.contains(&record.type_id) {
                match decode(record) {
                    Ok(event) => orders.apply(&meta(record), &event),
                    Err(error) => {
                        fault = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        fault.map_or(Ok(orders), Err)
    }

    /// A new order's id.
    pub(crate) fn new_order_id() -> Result<OrderId, JournalError> {
        let (milliseconds, bytes) = id_parts()?;
        Ok(OrderId::new(milliseconds, bytes))
    }

    /// Records that an order is about to be sent. The same request again finds the order of the first; whether it did,
    /// and the sequence, is what comes back.
    pub(crate) fn submit_order(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        submitted: OrderSubmitted,
        terms: impl Into<Terms>,
    ) -> Result<(u64, bool), JournalError> {
        let terms = terms.into();
        if let Some(sequence) = self.done_before(terms.commit_key.as_ref())? {
            return Ok((sequence, true));
        }
        let draft = Draft::new(stream::portfolio(portfolio), now(), submitted);
        let recorded = self.record(author, vec![draft], terms)?;
        Ok((recorded.sequences.first().copied().unwrap_or(0), recorded.already))
    }

    /// Records what the broker said of an order.
    pub(crate) fn update_order(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        updated: OrderUpdated,
    ) -> Result<(), JournalError> {
        let draft = Draft::new(stream::portfolio(portfolio), updated.at, updated);
        self.record(author, vec![draft], Terms::default())?;
        Ok(())
    }
}
