//! The daemon broken on purpose, in the ways in which one like it would be broken by mistake.

use crate::journal::{Author, FeedBatch, Journal};
use crate::sync::alpaca::Fault;
use crate::sync::alpaca::engine::Flaw;
use daybook_schemas::events::ReconciliationBreakResolved;
use serde_json::value::RawValue;

/// Spoils a batch before it is recorded.
pub(in crate::sync::alpaca) fn spoil(
    flaw: Flaw,
    journal: &Journal,
    author: &Author,
    batch: &mut FeedBatch,
) -> Result<(), Fault> {
    match flaw {
        Flaw::KeysForgotten => {
            // Every reading is a new world.
            let nonce = journal.ledger().head();
            for row in &mut batch.rows {
                row.identity = format!("{}:{nonce}", row.identity);
                row.aliases.clear();
            }
        }
        Flaw::CursorFirst => {
            let at = batch.at.unwrap_or_default();
            let resolved = ReconciliationBreakResolved { found: 1, explanation: None };
            let mut first = FeedBatch { cursors: std::mem::take(&mut batch.cursors), ..FeedBatch::default() };
            first.remarks.push(crate::journal::Draft::new("sync-alpaca-flaw".to_owned(), at, resolved));
            journal.record_batch(author, &first)?;
        }
        Flaw::None | Flaw::TokenKept | Flaw::BookedFromSocket => {}
    }
    Ok(())
}

/// A row made up from what the stream says.
pub(in crate::sync::alpaca) fn fill_of(message: &str) -> Option<Box<RawValue>> {
    let value: serde_json::Value = serde_json::from_str(message).ok()?;
    let data = &value["data"];
    let row = serde_json::json!({
        "activity_type": "FILL",
        "id": format!("20200101000000000::{}", data["execution_id"].as_str()?),
        "transaction_time": data["timestamp"],
        "type": data["event"],
        "price": data["price"],
        "qty": data["qty"],
        "side": data["order"]["side"],
        "symbol": data["order"]["symbol"],
        "order_id": data["order"]["id"],
        "cum_qty": data["order"]["filled_qty"],
        "leaves_qty": "0",
    });
    RawValue::from_string(row.to_string()).ok()
}
