//! From the broker's rows to what is recorded of them.

use super::{Bound, Fault};
use crate::importers::alpaca::{self, Binding, Extras, Row, What, identity_of};
use crate::importers::{Context, PortfolioFacts};
use crate::journal::{FeedBatch, FeedRow, Statement};
use daybook_schemas::{PortfolioId, Strategy, Timestamp, Zone};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What rows come to (under other identities too, if an import may have brought them), and the latest instant among them that is not in the future.
pub(super) fn batch(
    rows: &[Box<RawValue>],
    bound: &Bound,
    facts: &PortfolioFacts,
    context: &dyn Context,
    strategies: &BTreeMap<String, String>,
    imported: bool,
    now: Timestamp,
) -> Result<(FeedBatch, Option<Timestamp>), Fault> {
    let rows: Vec<Row<'_>> = rows.iter().map(|row| Row { text: row.get(), line: 0 }).collect();
    let binding = Binding {
        account: Some(bound.alpaca.clone()),
        label: bound.label.clone(),
        today: now.day_in(Zone::NEW_YORK),
    };
    let strategy_of = |order: &str| strategies.get(order).map(|name| Strategy::new(name.as_str()));
    let extras = Extras { strategy_of: &strategy_of };
    let translated = alpaca::activities(&rows, &binding, facts, context, &extras)
        .map_err(|error| Fault::Halt(error.to_string()))?;
    let latest = translated.rows.iter().filter_map(|row| row.time).filter(|time| *time <= now).max();
    let rows = translated
        .rows
        .into_iter()
        .map(|row| FeedRow {
            identity: row.identity,
            aliases: if imported { row.aliases } else { Vec::new() },
            content_hash: row.content_hash,
            statement: match row.what {
                What::Event(draft) => Statement::Event(draft),
                What::Cancel => Statement::Withdrawn,
                What::CancelOf(identity) => {
                    let mut identities = alpaca::aliases(&identity, facts.id, &[]);
                    identities.insert(0, identity);
                    Statement::Withdraws(identities)
                }
                What::Quarantine(draft) => Statement::Aside(draft),
            },
        })
        .collect();
    let batch = FeedBatch {
        portfolio: Some(facts.id),
        at: Some(now),
        references: translated.references,
        rows,
        ..FeedBatch::default()
    };
    Ok((batch, latest))
}

/// What names a row.
#[derive(Deserialize)]
struct Named {
    activity_type: String,
    id: String,
    #[serde(default)]
    order_id: Option<String>,
}

fn named(row: &RawValue) -> Option<Named> {
    serde_json::from_str(row.get()).ok()
}

/// What a row is recognised by, without the revision.
pub(super) fn identity(portfolio: PortfolioId, account: &str, row: &RawValue) -> Option<String> {
    let named = named(row)?;
    Some(identity_of(portfolio, Some(account), &named.activity_type, &named.id))
}

/// The order that a row filled.
pub(super) fn order_of(row: &RawValue) -> Option<String> {
    named(row)?.order_id
}
