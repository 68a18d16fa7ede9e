//! Recording what a source delivers at one time: transactions and prices, all of them in one commit, or none.

use super::imports::{Placement, Said, check_reach, restate};
use super::portfolios::TYPED_RANK;
use super::{Author, Draft, Invalid, Journal, JournalError, Terms, now};
use crate::importers::{self, FieldFault, Place, PriceOptions, Role, TransactionFields};
use daybook_ledger::CommitKey;
use daybook_schemas::events::{ContentHash, DeliveryAcknowledged};
use daybook_schemas::{PortfolioId, stream};
use std::collections::BTreeMap;

/// What a source delivers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    /// Transactions, each with what it is called in faults, such as `fills[0]`.
    pub(crate) transactions: Vec<(String, TransactionFields)>,
    /// Prices, in the form of a file of prices; empty if there are none. A fault names the line.
    pub(crate) prices: Vec<u8>,
    /// Whose prices they are.
    pub(crate) feed: String,
    /// What tells this delivery from every other, where that is certain: what has no id of its own is then known when the
    /// same comes again.
    pub(crate) fingerprint: Option<String>,
    /// Whether its id is taken also where it brings nothing new: whoever sent it vouches for the id.
    pub(crate) takes_id: bool,
}

/// What became of a delivery.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivered {
    /// The event of each transaction, then of each price that is new.
    pub(crate) sequences: Vec<u64>,
    /// Whether all of it was recorded before.
    pub(crate) already: bool,
    /// What the sender should know.
    pub(crate) warnings: Vec<String>,
}

/// The drafts of a delivery while they are put together.
#[derive(Default)]
struct Collected {
    drafts: Vec<Draft>,
    /// Where each transaction's own event and each price stands among the drafts.
    places: Vec<usize>,
    /// By key, the place of a draft and the hash of its content: a key stands once in a commit.
    keys: BTreeMap<String, (usize, [u8; 32])>,
    /// Whether a price was known: it is recorded no second time.
    known: bool,
    warnings: Vec<String>,
    faults: Vec<Invalid>,
}

impl Collected {
    fn fault(&mut self, field: String, detail: String) {
        self.faults.push(Invalid { file: None, line: None, field: Some(field), detail });
    }
}

impl Journal {
    /// Records a delivery. The same again, under the same commit key, is recorded once.
    pub(crate) fn deliver(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        delivery: &Delivery,
        commit_key: &CommitKey,
    ) -> Result<Delivered, JournalError> {
        let mut collected = Collected::default();
        self.collect_transactions(author, portfolio, delivery, &mut collected)?;
        self.collect_prices(delivery, &mut collected)?;
        if !collected.faults.is_empty() {
            return Err(JournalError::Invalid(collected.faults));
        }
        let Collected { mut drafts, places, known, warnings, .. } = collected;
        let terms = || Terms { commit_key: Some(commit_key.clone()), ..Terms::default() };
        let mut recorded = None;
        if !(drafts.is_empty() && known) {
            recorded = Some(self.record(author, drafts.clone(), terms())?);
        }
        let already = recorded.as_ref().is_none_or(|recorded| recorded.already);
        if already && delivery.takes_id {
            // What is known makes no commit, by whose key the delivery could be found again.
            let acknowledged = DeliveryAcknowledged {
                source: delivery.feed.as_str().into(),
                content_hash: ContentHash(commit_key.content_hash),
            };
            drafts.push(Draft::new(stream::sync("webhook", &delivery.feed), now(), acknowledged));
            recorded = Some(self.record(author, drafts, terms())?);
        }
        let recorded = recorded.map_or_else(Vec::new, |recorded| recorded.sequences);
        let sequences = places.iter().filter_map(|place| recorded.get(*place).copied()).collect();
        Ok(Delivered { sequences, already, warnings })
    }

    fn collect_transactions(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        delivery: &Delivery,
        collected: &mut Collected,
    ) -> Result<(), JournalError> {
        if delivery.transactions.is_empty() {
            return Ok(());
        }
        let facts = self.portfolio_facts(portfolio)?;
        let context = self.import_context()?;
        let rows = delivery.transactions.iter().map(|(_, fields)| fields);
        let place = Place { rank: TYPED_RANK, ..Place::default() };
        let read = importers::transactions(rows, &facts, &context, place);
        for ((place, _), read) in delivery.transactions.iter().zip(read) {
            let parsed = match read {
                Ok(parsed) => parsed,
                Err(faults) => {
                    for FieldFault { field, text } in faults {
                        collected.fault(format!("{place}.{field}"), text);
                    }
                    continue;
                }
            };
            let warned = parsed.warnings.iter().map(|warning| format!("{place}: {warning}"));
            collected.warnings.extend(warned);
            let fingerprint = delivery.fingerprint.as_ref();
            let mut own = None;
            for (number, mut draft) in parsed.drafts.into_iter().enumerate() {
                if let Err(JournalError::Invalid(faults)) = check_reach(author, &draft) {
                    for fault in faults {
                        collected.fault(format!("{place}.{}", fault.field.unwrap_or_default()), fault.detail);
                    }
                    continue;
                }
                if draft.role == Role::Entry && draft.identity.is_none() {
                    draft.identity = fingerprint.map(|print| format!("{print}:{place}:{number}"));
                }
                own = self.collect(draft, place, collected)?.or(own);
            }
            collected.places.extend(own);
        }
        Ok(())
    }

    /// Puts a draft to the others, unless it is known there; its place, unless it is a reference that stands.
    fn collect(
        &self,
        draft: importers::Draft,
        place: &str,
        collected: &mut Collected,
    ) -> Result<Option<usize>, JournalError> {
        let Some(identity) = &draft.identity else {
            collected.drafts.push(keyed(draft, None));
            return Ok(Some(collected.drafts.len() - 1));
        };
        let said = match draft.role {
            Role::Price => Said::Price,
            _ => Said::Typed,
        };
        let placement = self.placement(identity, &draft.content_hash, None, said)?;
        let known = !matches!(placement, Placement::New(_));
        if known && draft.role != Role::Entry {
            collected.known |= draft.role == Role::Price;
            return Ok(None);
        }
        let key = placement.key(identity);
        if let Some((before, content)) = collected.keys.get(&key).copied() {
            if draft.role == Role::Entry && content != draft.content_hash {
                collected.fault(
                    format!("{place}.id"),
                    "another transaction of this delivery has this id and says something else: an id names one transaction"
                        .to_owned(),
                );
            }
            return Ok((draft.role == Role::Entry).then_some(before));
        }
        let mut draft = draft;
        if let Placement::New(revision) = placement {
            restate(&mut draft.event, revision);
        }
        collected.keys.insert(key.clone(), (collected.drafts.len(), draft.content_hash));
        collected.drafts.push(keyed(draft, Some(key)));
        Ok(Some(collected.drafts.len() - 1))
    }

    fn collect_prices(&self, delivery: &Delivery, collected: &mut Collected) -> Result<(), JournalError> {
        if delivery.prices.is_empty() {
            return Ok(());
        }
        let context = self.import_context()?;
        let options = PriceOptions::default();
        let bytes = delivery.prices.as_slice();
        let parsed =
            importers::read_prices_of(&delivery.feed, "prices", bytes, &options, &context, &mut |_| {});
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(faults) => {
                collected.faults.extend(faults.into_iter().map(|fault| Invalid {
                    file: None,
                    line: fault.line,
                    field: fault.column,
                    detail: fault.text,
                }));
                return Ok(());
            }
        };
        collected.warnings.extend(parsed.warnings.iter().map(ToString::to_string));
        for draft in parsed.drafts {
            let is_price = draft.role == Role::Price;
            let place = self.collect(draft, "prices", collected)?;
            collected.places.extend(place.filter(|_| is_price));
        }
        Ok(())
    }
}

fn keyed(draft: importers::Draft, key: Option<String>) -> Draft {
    Draft {
        stream: draft.stream,
        occurred_at: draft.occurred_at,
        event: draft.event,
        content_hash: key.as_ref().map(|_| draft.content_hash),
        key,
        import: None,
    }
}
