//! Which portfolios there are, what they are called, and which accounts are theirs.

use crate::view::Meta;
use daybook_schemas::events::{
    AccountLinked, AccountUnlinked, BenchmarkChosen, Calendar, LotMethod, LotMethodChosen, Mandate,
    MandateSet, PortfolioClosed, PortfolioOpened, PortfolioOwnersSet, PortfolioRenamed,
};
use daybook_schemas::{
    AccountId, Currency, Day, Event, InstrumentId, PortfolioId, Sealed, Timestamp, Zone, stream,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An account of a portfolio.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// What was said when it was linked last.
    pub linked: AccountLinked,
    /// The sequence of that.
    pub sequence: u64,
    /// Whether it was unlinked since.
    pub unlinked: bool,
}

/// A portfolio as the directory lists it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortfolioEntry {
    /// The portfolio.
    pub id: PortfolioId,
    /// Its name.
    pub name: Sealed<String>,
    /// The currency its figures are stated in.
    pub base_currency: Currency,
    /// The zone that bounds its days.
    pub zone: Zone,
    /// The days of its series.
    pub calendar: Calendar,
    /// How disposals relieve lots from now on.
    pub lot_method: LotMethod,
    /// The sequence at which it was opened.
    pub opened: u64,
    /// When that was recorded.
    pub opened_at: Timestamp,
    /// Its accounts.
    pub accounts: BTreeMap<AccountId, Account>,
    /// What it is measured against.
    pub benchmark: Option<InstrumentId>,
    /// On whose decision trades are made.
    pub mandate: Option<Mandate>,
    /// Who owns it.
    pub owners: Option<PortfolioOwnersSet>,
    /// Its last day, once it is closed.
    pub closed: Option<Day>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Said {
    Opened(PortfolioOpened),
    Linked(AccountLinked),
    Unlinked(AccountUnlinked),
    Renamed(PortfolioRenamed),
    Closed(PortfolioClosed),
    Method(LotMethodChosen),
    Benchmark(BenchmarkChosen),
    Owners(PortfolioOwnersSet),
    Mandate(MandateSet),
    Reversed(u64),
}

impl Said {
    fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::PortfolioOpened(event) => Self::Opened(event.clone()),
            Event::AccountLinked(event) => Self::Linked(event.clone()),
            Event::AccountUnlinked(event) => Self::Unlinked(event.clone()),
            Event::PortfolioRenamed(event) => Self::Renamed(event.clone()),
            Event::PortfolioClosed(event) => Self::Closed(event.clone()),
            Event::LotMethodChosen(event) => Self::Method(event.clone()),
            Event::BenchmarkChosen(event) => Self::Benchmark(event.clone()),
            Event::PortfolioOwnersSet(event) => Self::Owners(event.clone()),
            Event::MandateSet(event) => Self::Mandate(event.clone()),
            _ => return None,
        })
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Record {
    said: Vec<(Meta, Said)>,
    entry: Option<PortfolioEntry>,
    last_sequence: u64,
    events: u64,
}

impl Record {
    /// Tells the entry anew from what was said and not taken back.
    fn tell(&mut self) {
        let mut reversed = BTreeSet::new();
        for (meta, said) in self.said.iter().rev() {
            if let Said::Reversed(target) = said
                && !reversed.contains(&meta.sequence)
                && *target < meta.sequence
            {
                reversed.insert(*target);
            }
        }
        let mut entry: Option<PortfolioEntry> = None;
        for (meta, said) in self.said.iter().filter(|(meta, _)| !reversed.contains(&meta.sequence)) {
            match (said, &mut entry) {
                (Said::Opened(opened), None) => {
                    entry = Some(PortfolioEntry {
                        id: opened.portfolio,
                        name: opened.name.clone(),
                        base_currency: opened.base_currency,
                        zone: opened.zone,
                        calendar: opened.calendar.clone(),
                        lot_method: opened.lot_method.clone(),
                        opened: meta.sequence,
                        opened_at: meta.recorded_at,
                        accounts: BTreeMap::new(),
                        benchmark: None,
                        mandate: None,
                        owners: None,
                        closed: None,
                    });
                }
                (Said::Linked(linked), Some(entry)) => {
                    let account =
                        Account { linked: linked.clone(), sequence: meta.sequence, unlinked: false };
                    entry.accounts.insert(linked.account, account);
                }
                (Said::Unlinked(unlinked), Some(entry)) => {
                    if let Some(account) = entry.accounts.get_mut(&unlinked.account) {
                        account.unlinked = true;
                    }
                }
                (Said::Renamed(renamed), Some(entry)) => entry.name = renamed.name.clone(),
                (Said::Closed(closed), Some(entry)) => entry.closed = Some(closed.on),
                (Said::Method(chosen), Some(entry)) if chosen.account.is_none() => {
                    entry.lot_method = chosen.method.clone();
                }
                (Said::Benchmark(chosen), Some(entry)) => entry.benchmark = chosen.instrument,
                (Said::Owners(owners), Some(entry)) => entry.owners = Some(owners.clone()),
                (Said::Mandate(set), Some(entry)) => entry.mandate = Some(set.mandate.clone()),
                _ => {}
            }
        }
        self.entry = entry;
    }
}

/// All portfolios.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    records: BTreeMap<PortfolioId, Record>,
}

impl Directory {
    pub(super) fn apply(&mut self, meta: &Meta, stream_name: &str, event: &Event) {
        let Some(id) = stream::portfolio_of(stream_name) else { return };
        let record = self.records.entry(id).or_default();
        record.last_sequence = meta.sequence;
        record.events += 1;
        let said = match event {
            Event::EventReversed(reversed)
                if record.said.iter().any(|(meta, _)| meta.sequence == reversed.target) =>
            {
                Some(Said::Reversed(reversed.target))
            }
            other => Said::of(other),
        };
        if let Some(said) = said {
            record.said.push((*meta, said));
            record.tell();
        }
    }

    /// A portfolio by its id.
    #[must_use]
    pub fn get(&self, id: PortfolioId) -> Option<&PortfolioEntry> {
        self.records.get(&id)?.entry.as_ref()
    }

    /// All portfolios, by id; ids sort by age.
    pub fn list(&self) -> impl DoubleEndedIterator<Item = &PortfolioEntry> {
        self.records.values().filter_map(|record| record.entry.as_ref())
    }

    /// The portfolio of an account, and what is known of the account.
    #[must_use]
    pub fn account(&self, account: AccountId) -> Option<(PortfolioId, &Account)> {
        self.list().find_map(|entry| entry.accounts.get(&account).map(|found| (entry.id, found)))
    }

    /// The sequence of the last event in a portfolio's stream; 0 for none.
    #[must_use]
    pub fn last_sequence(&self, id: PortfolioId) -> u64 {
        self.records.get(&id).map_or(0, |record| record.last_sequence)
    }

    /// How many events a portfolio's stream holds.
    #[must_use]
    pub fn events(&self, id: PortfolioId) -> u64 {
        self.records.get(&id).map_or(0, |record| record.events)
    }
}
