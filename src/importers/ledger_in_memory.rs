//! A ledger for tests: it answers importers from the drafts that it was given.

use super::{
    Context, Draft, InstrumentFacts, LinkedAccount, Names, Parsed, PortfolioFacts, Resolution, symbols,
};
use daybook_schemas::events::{CorporateActionKind, Event, IdentifierScheme, InstrumentListed};
use daybook_schemas::{AccountId, Currency, Day, InstrumentId, KeyId, KeyRing, PortfolioId, Ratio, Zone};
use std::collections::BTreeMap;

pub(crate) struct Ledger {
    keys: KeyRing,
    pub(crate) portfolio: PortfolioFacts,
    listed: BTreeMap<InstrumentId, InstrumentListed>,
    names: Vec<(IdentifierScheme, String, Option<Day>, InstrumentId)>,
    isins: BTreeMap<InstrumentId, Box<str>>,
    accounts: BTreeMap<String, AccountId>,
    labels: BTreeMap<AccountId, String>,
    linked: BTreeMap<AccountId, LinkedAccount>,
    provisional: BTreeMap<String, u32>,
    merged: BTreeMap<InstrumentId, InstrumentId>,
    splits: BTreeMap<InstrumentId, Vec<(Day, Ratio)>>,
    pub(crate) recorded: BTreeMap<String, [u8; 32]>,
    pub(crate) entries: Vec<Draft>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let id = PortfolioId::from_bytes([7; 16]);
        let key = KeyId::Portfolio(id);
        let mut keys = KeyRing::default();
        keys.insert(key, [9; 64]);
        Self {
            keys,
            portfolio: PortfolioFacts { id, base_currency: Currency::USD, zone: Zone::NEW_YORK, key },
            listed: BTreeMap::new(),
            names: Vec::new(),
            isins: BTreeMap::new(),
            accounts: BTreeMap::new(),
            labels: BTreeMap::new(),
            linked: BTreeMap::new(),
            provisional: BTreeMap::new(),
            merged: BTreeMap::new(),
            splits: BTreeMap::new(),
            recorded: BTreeMap::new(),
            entries: Vec::new(),
        }
    }

    fn canonical(&self, id: InstrumentId) -> InstrumentId {
        self.merged.get(&id).copied().unwrap_or(id)
    }

    /// Records what it does not hold yet; the number of new entries, or the first identity with another content.
    pub(crate) fn apply(&mut self, parsed: &Parsed) -> Result<usize, String> {
        let mut new = 0;
        for draft in &parsed.drafts {
            if let Some(identity) = &draft.identity {
                match self.recorded.insert(identity.clone(), draft.content_hash) {
                    Some(before) if before == draft.content_hash => continue,
                    Some(_) => return Err(format!("{identity} with another content")),
                    None => {}
                }
            }
            match &draft.event {
                Event::InstrumentListed(event) => {
                    self.listed.insert(event.instrument, event.clone());
                }
                Event::ListingAdded(event) => {
                    *self.provisional.entry(event.symbol.to_string()).or_default() += 1;
                }
                Event::IdentifierAssigned(event) => {
                    if event.scheme == IdentifierScheme::Isin {
                        self.isins.insert(event.instrument, event.value.clone());
                    }
                    self.names.push((
                        event.scheme.clone(),
                        event.value.to_string(),
                        event.from,
                        event.instrument,
                    ));
                }
                Event::InstrumentsMerged(event) => {
                    self.merged.insert(event.merged, event.kept);
                }
                Event::AccountLinked(event) => {
                    let label = event.name.open(&self.keys).unwrap();
                    self.labels.insert(event.account, label.clone());
                    let external_id = event.external_id.as_ref().map(|id| id.as_str().into());
                    let (id, broker) = (event.account, event.broker.clone());
                    self.linked.insert(id, LinkedAccount { id, broker, external_id, unlinked: false });
                    self.accounts.insert(label, event.account);
                }
                Event::CorporateActionAnnounced(event) if event.kind == CorporateActionKind::Split => {
                    let split = (event.effective, event.ratio.unwrap());
                    self.splits.entry(event.instrument).or_default().push(split);
                }
                _ => {}
            }
            if draft.role != super::Role::Reference {
                new += 1;
                self.entries.push(draft.clone());
            }
        }
        Ok(new)
    }

    pub(crate) fn class(&self, symbol: &str) -> InstrumentListed {
        match self.resolve(&IdentifierScheme::Symbol, symbol, None, None, None) {
            Resolution::One(id) => self.listed[&id].clone(),
            other => panic!("{symbol}: {other:?}"),
        }
    }
}

impl Context for Ledger {
    fn resolve(
        &self,
        scheme: &IdentifierScheme,
        value: &str,
        day: Option<Day>,
        currency: Option<Currency>,
        _venue: Option<&str>,
    ) -> Resolution {
        let value = match scheme {
            IdentifierScheme::Symbol => symbols::read(value).unwrap().text,
            _ => value.to_owned(),
        };
        let mut ids: Vec<_> = self
            .names
            .iter()
            .filter(|(named, name, from, id)| {
                named == scheme
                    && *name == value
                    && day.is_none_or(|day| from.is_none_or(|from| from <= day))
                    && currency.is_none_or(|currency| self.listed[&self.canonical(*id)].currency == currency)
            })
            .map(|(_, _, _, id)| self.canonical(*id))
            .collect();
        ids.sort();
        ids.dedup();
        match ids.as_slice() {
            [] => Resolution::Unknown,
            [id] => Resolution::One(*id),
            _ => Resolution::Ambiguous(ids),
        }
    }

    fn instrument(&self, id: InstrumentId) -> Option<InstrumentFacts> {
        let listed = self.listed.get(&id)?;
        Some(InstrumentFacts {
            class: listed.class.clone(),
            currency: listed.currency,
            multiplier: listed.contract.as_ref().map(|contract| contract.multiplier),
            provisional: listed.provisional,
            isin: self.isins.get(&id).cloned(),
        })
    }

    fn provisional_count(&self, symbol: &str) -> u32 {
        self.provisional.get(symbol).copied().unwrap_or(0)
    }

    fn account(&self, _portfolio: PortfolioId, label: &str) -> Option<AccountId> {
        self.accounts.get(label).copied()
    }

    fn linked(&self, _portfolio: PortfolioId) -> Vec<LinkedAccount> {
        self.linked.values().cloned().collect()
    }

    fn announced_splits(&self, id: InstrumentId) -> Vec<(Day, Ratio)> {
        self.splits.get(&id).cloned().unwrap_or_default()
    }

    fn keys(&self) -> &KeyRing {
        &self.keys
    }
}

impl Names for Ledger {
    fn symbol(&self, id: InstrumentId, day: Day) -> Option<String> {
        let named = self.names.iter().filter(|(scheme, _, from, named)| {
            *scheme == IdentifierScheme::Symbol && *named == id && from.is_none_or(|from| from <= day)
        });
        named.max_by_key(|(_, _, from, _)| *from).map(|(_, name, _, _)| name.clone())
    }

    fn account_label(&self, id: AccountId) -> Option<String> {
        self.labels.get(&id).cloned()
    }

    fn keys(&self) -> &KeyRing {
        &self.keys
    }
}
