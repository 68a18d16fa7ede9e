//! One portfolio: its entries in fold order, which of them count, and the state they leave behind.
//!
//! Entries are kept in a compact form (at most 400 bytes each, texts not counted), in the order of the log; the events themselves stay in
//! the log under their sequence. Appending folds one entry; whatever arrives late, is reversed, or becomes visible
//! with its import re-folds from the nearest checkpoint before the first place that changes.

use crate::effect::{ArrivedLot, Effect, Row, Supply};
use crate::fold::Posting;
use crate::library::Imports;
use crate::state::{Holding, MethodChoice, Settings, State};
use crate::view::{AsOf, Meta, View};
use daybook_schemas::events::{EventType, LotMethodChosen, PortfolioOpened, Reference};
use daybook_schemas::{AccountId, CodecError, Day, Event, ImportId, PortfolioId, Timestamp, codec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The name under which snapshots of this fold are kept.
pub const FOLD_NAME: &str = "portfolio";
/// Grows whenever the same events give another state or other bytes.
pub const FOLD_VERSION: u32 = 4;

/// The fewest entries between two checkpoints.
const CHECKPOINT_INTERVAL_MIN: usize = 512;
/// The most checkpoints that are kept; then every other goes and the interval doubles.
const CHECKPOINTS_MAX: usize = 16;

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// Another version of the fold wrote it.
    #[error("the snapshot is of {found}, this is {wanted}: rebuild it from the log")]
    OtherVersion {
        /// What the snapshot says it is.
        found: String,
        /// What is needed.
        wanted: String,
    },
    /// Its bytes are not what was written.
    #[error("the snapshot is damaged ({0}): rebuild it from the log")]
    Damaged(String),
}

/// An entry of a portfolio as a listing needs it; its event is in the log under its sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRow {
    /// Sequence, times, import.
    pub meta: Meta,
    /// The account it touches.
    pub account: AccountId,
    /// The day on which it counts.
    pub trade_date: Day,
    /// The type of its event.
    pub event_type: EventType,
    /// The event that reversed it, where one did.
    pub reversed_by: Option<u64>,
    /// Whether the import that brought it counts; true where none did.
    pub visible: bool,
}

/// A setting of the portfolio and where it was said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Choice {
    Opened(PortfolioOpened),
    Method(LotMethodChosen),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Reversal {
    sequence: u64,
    target: u64,
    import: Option<ImportId>,
}

/// An entry in fold order, with the instant that counts for it among the fills of its order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Placed {
    index: u32,
    instant: i64,
}

#[derive(Clone, Debug)]
struct Checkpoint {
    /// How many entries of the fold order it holds.
    entries: usize,
    /// The state, its lists of things past left out.
    state: State,
    closed_trips: usize,
    unaccounted: usize,
    unknown_basis: usize,
    incomplete_history: usize,
    lots_not_followed: usize,
}

/// One portfolio.
#[derive(Clone, Debug)]
pub struct Book {
    portfolio: PortfolioId,
    applied: u64,
    /// The last event about imports that it has taken notice of.
    imports_seen: u64,
    /// Entries by sequence.
    rows: Vec<Row>,
    choices: Vec<(Meta, Choice)>,
    reversals: Vec<Reversal>,
    supplies: Vec<Supply>,
    /// Entries that count, in fold order.
    order: Vec<Placed>,
    /// Supplies by the sequence of the transfer, of all that is known.
    supplied: BTreeMap<u64, usize>,
    checkpoints: Vec<Checkpoint>,
    interval: usize,
    state: State,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    portfolio: PortfolioId,
    applied: u64,
    imports_seen: u64,
    rows: Cow<'a, [Row]>,
    choices: Cow<'a, [(Meta, Choice)]>,
    reversals: Cow<'a, [Reversal]>,
    supplies: Cow<'a, [Supply]>,
    state: Cow<'a, State>,
}

/// Compares two entries by fold order.
fn compare(rows: &[Row], a: Placed, b: Placed) -> Ordering {
    let (x, y) = (&rows[a.index as usize], &rows[b.index as usize]);
    (x.trade_date, x.place.phase, a.instant, x.place.leg)
        .cmp(&(y.trade_date, y.place.phase, b.instant, y.place.leg))
        .then_with(|| x.place.order.cmp(&y.place.order))
        .then_with(|| x.place.cumulative.cmp(&y.place.cumulative))
        .then_with(|| x.place.rank.cmp(&y.place.rank))
        // Fills of one order and one cumulative quantity may share a running maximum; their own instants tell.
        .then_with(|| x.place.instant.cmp(&y.place.instant))
        .then_with(|| x.meta.source_rank.cmp(&y.meta.source_rank))
        .then_with(|| x.meta.sequence.cmp(&y.meta.sequence))
}

/// Whether two fills belong to one order on one day, so that they go by cumulative quantity.
fn same_order(x: &Row, y: &Row) -> bool {
    x.place.cumulative.is_some()
        && y.place.cumulative.is_some()
        && x.place.order.is_some()
        && x.place.order == y.place.order
        && x.account == y.account
        && x.trade_date == y.trade_date
}

/// Gives the fills of one order the running maximum of their instants in order of cumulative quantity.
fn run_instants(rows: &[Row], fills: &mut [Placed]) {
    for fill in fills.iter_mut() {
        fill.instant = rows[fill.index as usize].place.instant;
    }
    fills.sort_by(|a, b| {
        let (x, y) = (&rows[a.index as usize], &rows[b.index as usize]);
        (x.place.cumulative, a.instant, x.meta.source_rank, x.meta.sequence).cmp(&(
            y.place.cumulative,
            b.instant,
            y.meta.source_rank,
            y.meta.sequence,
        ))
    });
    let mut latest = i64::MIN;
    for fill in fills.iter_mut() {
        latest = latest.max(fill.instant);
        fill.instant = latest;
    }
}

/// Puts entries into fold order.
fn arrange(rows: &[Row], included: impl Iterator<Item = u32>) -> Vec<Placed> {
    let mut placed: Vec<Placed> =
        included.map(|index| Placed { index, instant: rows[index as usize].place.instant }).collect();
    let mut fills: Vec<Placed> = placed
        .iter()
        .copied()
        .filter(|fill| {
            let place = &rows[fill.index as usize].place;
            place.order.is_some() && place.cumulative.is_some()
        })
        .collect();
    if fills.len() > 1 {
        let key = |fill: &Placed| {
            let row = &rows[fill.index as usize];
            (row.trade_date, row.account, &row.place.order)
        };
        fills.sort_by(|a, b| key(a).cmp(&key(b)).then(a.index.cmp(&b.index)));
        let mut instants: BTreeMap<u32, i64> = BTreeMap::new();
        for group in fills.chunk_by_mut(|a, b| same_order(&rows[a.index as usize], &rows[b.index as usize])) {
            if group.len() > 1 {
                run_instants(rows, group);
                for fill in group.iter() {
                    if fill.instant != rows[fill.index as usize].place.instant {
                        instants.insert(fill.index, fill.instant);
                    }
                }
            }
        }
        if !instants.is_empty() {
            for entry in &mut placed {
                if let Some(instant) = instants.get(&entry.index) {
                    entry.instant = *instant;
                }
            }
        }
    }
    placed.sort_by(|a, b| compare(rows, *a, *b));
    placed
}

impl Book {
    /// The book of a portfolio of which nothing is recorded yet.
    #[must_use]
    pub fn new(portfolio: PortfolioId) -> Self {
        Self {
            portfolio,
            applied: 0,
            imports_seen: 0,
            rows: Vec::new(),
            choices: Vec::new(),
            reversals: Vec::new(),
            supplies: Vec::new(),
            order: Vec::new(),
            supplied: BTreeMap::new(),
            checkpoints: Vec::new(),
            interval: CHECKPOINT_INTERVAL_MIN,
            state: State::default(),
        }
    }

    /// The book of a portfolio from the events of its stream, in the order of the log: sorted once, folded once.
    pub fn from_events(
        portfolio: PortfolioId,
        events: impl IntoIterator<Item = (Meta, Event)>,
        imports: &Imports,
    ) -> Self {
        let mut book = Self::new(portfolio);
        for (meta, event) in events {
            book.take(&meta, &event);
        }
        book.refresh(imports);
        book
    }

    /// The portfolio.
    #[must_use]
    pub const fn portfolio(&self) -> PortfolioId {
        self.portfolio
    }

    /// The sequence of the last event taken in; 0 for none.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// How many entries it keeps, those that do not count included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it keeps no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes in the next event of the portfolio's stream. An event at or below [`Book::applied`] changes nothing.
    pub fn apply(&mut self, meta: &Meta, event: &Event, imports: &Imports) {
        if meta.sequence <= self.applied {
            return;
        }
        let rows = self.rows.len();
        let plain = self.take(meta, event);
        if !plain {
            self.refresh(imports);
        } else if self.rows.len() > rows && imports.counts(meta.import, u64::MAX) {
            // A basis may have been supplied before the transfer that it belongs to was recorded.
            if !self.supplies.is_empty() && matches!(self.rows[rows].effect, Effect::Transfer(_)) {
                self.refresh(imports);
            } else {
                self.insert(rows);
            }
        }
        self.imports_seen = self.imports_seen.max(imports.changed_at());
    }

    /// Takes in several events of the portfolio's stream, in the order of the log, and re-folds once.
    pub fn apply_all<'a>(
        &mut self,
        events: impl IntoIterator<Item = (&'a Meta, &'a Event)>,
        imports: &Imports,
    ) {
        for (meta, event) in events {
            self.take(meta, event);
        }
        self.refresh(imports);
    }

    /// Takes notice that an import became visible or was reverted.
    pub fn import_changed(&mut self, import: ImportId, imports: &Imports) {
        let carried = self.rows.iter().any(|row| row.meta.import == Some(import))
            || self.reversals.iter().any(|reversal| reversal.import == Some(import))
            || self.choices.iter().any(|(meta, _)| meta.import == Some(import))
            || self.supplies.iter().any(|supply| supply.meta.import == Some(import));
        if carried {
            self.refresh(imports);
        }
        self.imports_seen = self.imports_seen.max(imports.changed_at());
    }

    /// Stores an event without folding: the state holds it from the next [`Book::refresh`] on. Answers whether it was
    /// nothing but a new entry, or nothing at all.
    pub fn take(&mut self, meta: &Meta, event: &Event) -> bool {
        if meta.sequence <= self.applied {
            return true;
        }
        self.applied = meta.sequence;
        match event {
            Event::EventReversed(reversed) if reversed.target < meta.sequence => {
                self.reversals.push(Reversal {
                    sequence: meta.sequence,
                    target: reversed.target,
                    import: meta.import,
                });
                false
            }
            Event::PortfolioOpened(opened) => {
                self.choices.push((*meta, Choice::Opened(opened.clone())));
                false
            }
            Event::LotMethodChosen(chosen) => {
                self.choices.push((*meta, Choice::Method(chosen.clone())));
                false
            }
            Event::BasisSupplied(supplied) => {
                self.supplies.push(Supply {
                    meta: *meta,
                    transfer: supplied.transfer.clone(),
                    lots: supplied.lots.iter().map(ArrivedLot::from).collect(),
                });
                false
            }
            _ => {
                self.rows.extend(Row::of(meta, event));
                true
            }
        }
    }

    /// The events that are reversed, and by which event, of what is known.
    fn reversed(&self, known: u64, imports: &Imports) -> BTreeMap<u64, u64> {
        let mut reversed = BTreeMap::new();
        // A reversal speaks of an earlier event, so that going back from the last one each is decided before it acts.
        for reversal in self.reversals.iter().rev() {
            if reversal.sequence <= known
                && imports.counts(reversal.import, known)
                && !reversed.contains_key(&reversal.sequence)
            {
                reversed.insert(reversal.target, reversal.sequence);
            }
        }
        reversed
    }

    fn counts(meta: &Meta, known: u64, imports: &Imports, reversed: &BTreeMap<u64, u64>) -> bool {
        meta.sequence <= known && imports.counts(meta.import, known) && !reversed.contains_key(&meta.sequence)
    }

    fn settings(&self, known: u64, imports: &Imports, reversed: &BTreeMap<u64, u64>) -> Settings {
        let mut settings = Settings::default();
        for (meta, choice) in &self.choices {
            if !Self::counts(meta, known, imports, reversed) {
                continue;
            }
            match choice {
                Choice::Opened(opened) if settings.opened.is_none() => {
                    settings.base_currency = opened.base_currency;
                    settings.zone = opened.zone;
                    settings.calendar = opened.calendar.clone();
                    settings.opened = Some(meta.sequence);
                    let method = opened.lot_method.clone();
                    settings.methods.insert(0, MethodChoice { from: None, account: None, method });
                }
                Choice::Opened(_) => {}
                Choice::Method(chosen) => settings.methods.push(MethodChoice {
                    from: Some(chosen.from),
                    account: chosen.account,
                    method: chosen.method.clone(),
                }),
            }
        }
        // Stable: of two choices from one day the later one stands.
        settings.methods.sort_by_key(|choice| choice.from);
        settings.supplies_unmatched = self
            .supplies
            .iter()
            .filter(|supply| Self::counts(&supply.meta, known, imports, reversed))
            .filter(|supply| self.transfer_named(&supply.transfer).is_none())
            .map(|supply| supply.meta.sequence)
            .collect();
        settings
    }

    /// Which supply counts for which transfer.
    fn supplied(&self, known: u64, imports: &Imports, reversed: &BTreeMap<u64, u64>) -> BTreeMap<u64, usize> {
        let mut supplied = BTreeMap::new();
        for (at, supply) in self.supplies.iter().enumerate() {
            if Self::counts(&supply.meta, known, imports, reversed)
                && let Some(transfer) = self.transfer_named(&supply.transfer)
            {
                supplied.insert(transfer, at);
            }
        }
        supplied
    }

    fn transfer_named(&self, reference: &Reference) -> Option<u64> {
        self.rows.iter().find_map(|row| {
            let Effect::Transfer(transfer) = &row.effect else { return None };
            let named = match reference {
                Reference::Sequence(sequence) => *sequence == row.meta.sequence,
                Reference::External(id) => transfer.external_id.as_ref() == Some(id),
                Reference::Key(_) => false,
            };
            named.then_some(row.meta.sequence)
        })
    }

    fn posting<'a>(&'a self, placed: Placed, supplied: &BTreeMap<u64, usize>) -> Posting<'a> {
        let row = &self.rows[placed.index as usize];
        let at =
            if row.place.phase == 1 { Timestamp::from_nanos(placed.instant) } else { row.meta.occurred_at };
        let supply = if supplied.is_empty() {
            None
        } else {
            supplied.get(&row.meta.sequence).map(|at| &*self.supplies[*at].lots)
        };
        Posting { row, at, supply }
    }

    /// Puts one new entry, which counts, into its place.
    fn insert(&mut self, index: usize) {
        let row = &mut self.rows[index];
        row.counts = true;
        let index = u32::try_from(index).expect("a portfolio has fewer than four thousand million entries");
        let new = Placed { index, instant: row.place.instant };
        if self.order.last().is_none_or(|last| compare(&self.rows, *last, new) == Ordering::Less)
            && !self.has_company(new)
        {
            self.order.push(new);
            self.fold_from(self.order.len() - 1);
            return;
        }
        let mut fills = self.company(new);
        let before: BTreeMap<u32, i64> = fills.iter().map(|fill| (fill.index, fill.instant)).collect();
        fills.push(new);
        run_instants(&self.rows, &mut fills);
        let mut first = self.order.len();
        fills.retain(|fill| before.get(&fill.index) != Some(&fill.instant));
        for fill in &fills {
            if let Some(instant) = before.get(&fill.index) {
                let old = Placed { index: fill.index, instant: *instant };
                let at =
                    self.order.partition_point(|known| compare(&self.rows, *known, old) == Ordering::Less);
                debug_assert_eq!(self.order.get(at), Some(&old), "every entry that counts has its place");
                self.order.remove(at);
                first = first.min(at);
            }
        }
        for fill in fills {
            let at = self.order.partition_point(|known| compare(&self.rows, *known, fill) == Ordering::Less);
            self.order.insert(at, fill);
            first = first.min(at);
        }
        self.fold_from(first);
    }

    /// Entries at an instant on the day of an entry.
    fn day_of(&self, placed: Placed) -> &[Placed] {
        let day = self.rows[placed.index as usize].trade_date;
        let before = |wanted: (Day, u8)| {
            self.order.partition_point(|known| {
                let row = &self.rows[known.index as usize];
                (row.trade_date, row.place.phase) < wanted
            })
        };
        &self.order[before((day, 1))..before((day, 2))]
    }

    fn has_company(&self, new: Placed) -> bool {
        let row = &self.rows[new.index as usize];
        row.place.order.is_some()
            && row.place.cumulative.is_some()
            && self.day_of(new).iter().any(|known| same_order(&self.rows[known.index as usize], row))
    }

    /// The other fills of an entry's order on its day.
    fn company(&self, new: Placed) -> Vec<Placed> {
        let row = &self.rows[new.index as usize];
        if row.place.order.is_none() || row.place.cumulative.is_none() {
            return Vec::new();
        }
        let in_company = |known: &&Placed| same_order(&self.rows[known.index as usize], row);
        self.day_of(new).iter().filter(in_company).copied().collect()
    }

    /// Decides anew which entries count and in which order, and re-folds from the first difference.
    pub fn refresh(&mut self, imports: &Imports) {
        self.imports_seen = self.imports_seen.max(imports.changed_at());
        let known = u64::MAX;
        let reversed = self.reversed(known, imports);
        let mut flipped = false;
        // Rows of one import stand together: each is asked for once.
        let mut asked = (None, true);
        for row in &mut self.rows {
            if row.meta.import != asked.0 {
                asked = (row.meta.import, imports.counts(row.meta.import, known));
            }
            let counts = asked.1 && (reversed.is_empty() || !reversed.contains_key(&row.meta.sequence));
            flipped |= counts != row.counts;
            row.counts = counts;
        }
        let settings = self.settings(known, imports, &reversed);
        let supplied = self.supplied(known, imports, &reversed);
        if !flipped && settings == self.state.settings && supplied == self.supplied {
            return;
        }
        let order = if flipped {
            let included = (0u32..).zip(&self.rows).filter(|(_, row)| row.counts).map(|(index, _)| index);
            arrange(&self.rows, included)
        } else {
            self.order.clone()
        };

        let mut first = self.order.iter().zip(&order).take_while(|(a, b)| a == b).count();
        if settings != self.state.settings {
            first = 0;
        }
        let changed_supplies: BTreeSet<u64> = self
            .supplied
            .iter()
            .filter(|(transfer, at)| supplied.get(*transfer) != Some(at))
            .chain(supplied.iter().filter(|(transfer, at)| self.supplied.get(*transfer) != Some(at)))
            .map(|(transfer, _)| *transfer)
            .collect();
        if !changed_supplies.is_empty() {
            let touched = order.iter().position(|placed| {
                changed_supplies.contains(&self.rows[placed.index as usize].meta.sequence)
            });
            first = first.min(touched.unwrap_or(usize::MAX));
        }
        let unchanged =
            first == order.len() && order.len() == self.order.len() && settings == self.state.settings;
        self.order = order;
        self.supplied = supplied;
        if !unchanged {
            if first == 0 {
                self.checkpoints.clear();
                self.interval = CHECKPOINT_INTERVAL_MIN;
                self.state = State { settings, ..State::default() };
            }
            self.fold_from(first);
        }
    }

    /// Folds the entries from a place on; what was folded before that place stands, or is taken from a checkpoint.
    fn fold_from(&mut self, first: usize) {
        let mut done = usize::try_from(self.state.entries).unwrap_or(usize::MAX);
        if done > first {
            self.checkpoints.retain(|checkpoint| checkpoint.entries <= first);
            let (entries, state) = self.restart(first, &self.state.settings);
            self.state = state;
            done = entries;
        }
        let mut state = std::mem::take(&mut self.state);
        let mut last = self.checkpoints.last().map_or(0, |checkpoint| checkpoint.entries);
        for at in done..self.order.len() {
            state.fold(&self.posting(self.order[at], &self.supplied));
            let entries = at + 1;
            let since = entries - last;
            if since >= self.interval && since.is_multiple_of(self.interval) && since >= 4 * weight(&state) {
                self.checkpoints.push(Checkpoint::of(entries, &state));
                last = entries;
                if self.checkpoints.len() > CHECKPOINTS_MAX {
                    let mut place = 0;
                    self.checkpoints.retain(|_| {
                        place += 1;
                        place % 2 == 0
                    });
                    self.interval *= 2;
                    last = self.checkpoints.last().map_or(0, |checkpoint| checkpoint.entries);
                }
            }
        }
        self.state = state;
    }

    /// The state at the last checkpoint that holds no more than the first so many entries.
    fn restart(&self, entries_max: usize, settings: &Settings) -> (usize, State) {
        match self.checkpoints.iter().rev().find(|checkpoint| checkpoint.entries <= entries_max) {
            Some(checkpoint) => (checkpoint.entries, checkpoint.restore(&self.state)),
            None => (0, State { settings: settings.clone(), ..State::default() }),
        }
    }

    /// The state of all that is known, over the whole history.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether a view knows all that this book knows.
    fn knows_all(&self, view: &View) -> bool {
        view.known >= self.applied.max(self.imports_seen)
    }

    /// The entries of a view in fold order.
    fn placed_at(&self, view: &View, imports: &Imports, reversed: &BTreeMap<u64, u64>) -> Vec<Placed> {
        let included = (0u32..)
            .zip(&self.rows)
            .filter(|(_, row)| {
                let occurred = match view.as_of {
                    AsOf::Day(day) => row.trade_date <= day,
                    AsOf::Instant(instant) => row.meta.occurred_at <= instant,
                };
                occurred && Self::counts(&row.meta, view.known, imports, reversed)
            })
            .map(|(index, _)| index);
        arrange(&self.rows, included)
    }

    /// The state of a view: what had occurred by then, of what was recorded by then.
    #[must_use]
    pub fn state_at(&self, view: &View, imports: &Imports) -> Cow<'_, State> {
        if self.knows_all(view) {
            match view.as_of {
                AsOf::Instant(instant) => {
                    if let Some(state) = self.state_at_instant(instant) {
                        return state;
                    }
                }
                // Days bound the fold order, so that a day's state is that of its first entries.
                AsOf::Day(day) => {
                    let entries = self
                        .order
                        .partition_point(|placed| self.rows[placed.index as usize].trade_date <= day);
                    if entries == self.order.len() {
                        return Cow::Borrowed(&self.state);
                    }
                    let (done, mut state) = self.restart(entries, &self.state.settings);
                    for placed in &self.order[done..entries] {
                        state.fold(&self.posting(*placed, &self.supplied));
                    }
                    return Cow::Owned(state);
                }
            }
        }
        let reversed = self.reversed(view.known, imports);
        let supplied = self.supplied(view.known, imports, &reversed);
        let mut state = State { settings: self.settings(view.known, imports, &reversed), ..State::default() };
        for placed in self.placed_at(view, imports, &reversed) {
            state.fold(&self.posting(placed, &supplied));
        }
        Cow::Owned(state)
    }

    /// The state at an instant, of all that is known: what had not occurred by then is left out of the fold order.
    /// Not where a fill of an order that goes by cumulative quantity is left out: the others may move without it.
    fn state_at_instant(&self, instant: Timestamp) -> Option<Cow<'_, State>> {
        let row = |placed: &Placed| &self.rows[placed.index as usize];
        let is_later = |placed: &Placed| row(placed).meta.occurred_at > instant;
        let Some(first) = self.order.iter().position(is_later) else {
            return Some(Cow::Borrowed(&self.state));
        };
        if self.order[first..].iter().any(|placed| is_later(placed) && row(placed).place.cumulative.is_some())
        {
            return None;
        }
        let (done, mut state) = self.restart(first, &self.state.settings);
        for placed in self.order[done..].iter().filter(|placed| !is_later(placed)) {
            state.fold(&self.posting(*placed, &self.supplied));
        }
        Some(Cow::Owned(state))
    }

    /// Visits the state at the end of each of the given days, which must ascend; entries after `view` do not count.
    pub(crate) fn visit_days(
        &self,
        view: &View,
        imports: &Imports,
        days: impl Iterator<Item = Day>,
        mut visit: impl FnMut(Day, &State),
    ) {
        let reversed = self.reversed(view.known, imports);
        let supplied = self.supplied(view.known, imports, &reversed);
        let order = self.placed_at(view, imports, &reversed);
        let mut state = State { settings: self.settings(view.known, imports, &reversed), ..State::default() };
        let mut entries = order.iter().peekable();
        for day in days {
            while let Some(placed) =
                entries.next_if(|placed| self.rows[placed.index as usize].trade_date <= day)
            {
                state.fold(&self.posting(*placed, &supplied));
            }
            visit(day, &state);
        }
    }

    /// The settings of a view.
    #[must_use]
    pub fn settings_at(&self, view: &View, imports: &Imports) -> Settings {
        self.settings(view.known, imports, &self.reversed(view.known, imports))
    }

    /// The first and the last day on which an entry of a view counts.
    #[must_use]
    pub fn span(&self, view: &View, imports: &Imports) -> Option<(Day, Day)> {
        let order = self.placed_at(view, imports, &self.reversed(view.known, imports));
        let day = |placed: &Placed| self.rows[placed.index as usize].trade_date;
        Some((day(order.first()?), day(order.last()?)))
    }

    fn entry_row(row: &Row, known: u64, imports: &Imports, reversed: &BTreeMap<u64, u64>) -> EntryRow {
        EntryRow {
            meta: row.meta,
            account: row.account,
            trade_date: row.trade_date,
            event_type: EventType::from_id(row.event_type).expect("a row was made of an event of this type"),
            reversed_by: reversed.get(&row.meta.sequence).copied(),
            visible: imports.counts(row.meta.import, known),
        }
    }

    /// The entries of a view in fold order: those that count.
    #[must_use]
    pub fn entries(&self, view: &View, imports: &Imports) -> Vec<EntryRow> {
        let reversed = self.reversed(view.known, imports);
        self.placed_at(view, imports, &reversed)
            .into_iter()
            .map(|placed| Self::entry_row(&self.rows[placed.index as usize], view.known, imports, &reversed))
            .collect()
    }

    /// The entries that a view knows of but that do not count: reversed, or of an import that does not count; in the
    /// order of the log.
    #[must_use]
    pub fn entries_set_aside(&self, view: &View, imports: &Imports) -> Vec<EntryRow> {
        let reversed = self.reversed(view.known, imports);
        self.rows
            .iter()
            .filter(|row| {
                row.meta.sequence <= view.known && !Self::counts(&row.meta, view.known, imports, &reversed)
            })
            .map(|row| Self::entry_row(row, view.known, imports, &reversed))
            .collect()
    }

    /// Everything as bytes, to be restored by the same version of the fold.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let stored = Stored {
            portfolio: self.portfolio,
            applied: self.applied,
            imports_seen: self.imports_seen,
            rows: Cow::Borrowed(&self.rows),
            choices: Cow::Borrowed(&self.choices),
            reversals: Cow::Borrowed(&self.reversals),
            supplies: Cow::Borrowed(&self.supplies),
            state: Cow::Borrowed(&self.state),
        };
        seal_snapshot(FOLD_NAME, FOLD_VERSION, &stored)
    }

    /// What [`Book::snapshot`] wrote. Later events, late ones included, may be applied to it; where imports changed
    /// since it was taken, call [`Book::refresh`] first.
    ///
    /// # Errors
    /// [`BookError`] for another version's bytes and for damaged ones: rebuild from the stream.
    pub fn restore(bytes: &[u8], imports: &Imports) -> Result<Self, BookError> {
        let stored: Stored<'static> = open_snapshot(FOLD_NAME, FOLD_VERSION, bytes)?;
        let mut book = Self::new(stored.portfolio);
        book.applied = stored.applied;
        book.imports_seen = stored.imports_seen;
        book.rows = stored.rows.into_owned();
        book.choices = stored.choices.into_owned();
        book.reversals = stored.reversals.into_owned();
        book.supplies = stored.supplies.into_owned();
        book.state = stored.state.into_owned();
        let included = (0u32..).zip(&book.rows).filter(|(_, row)| row.counts).map(|(index, _)| index);
        book.order = arrange(&book.rows, included);
        if book.order.len() as u64 != book.state.entries {
            return Err(BookError::Damaged("its state does not hold its entries".to_owned()));
        }
        let reversed = book.reversed(u64::MAX, imports);
        book.supplied = book.supplied(u64::MAX, imports, &reversed);
        book.refresh(imports);
        Ok(book)
    }
}

/// How much a copy of a state costs, in lots and fills.
fn weight(state: &State) -> usize {
    let fills = |holding: &Holding| holding.trip.as_ref().map_or(0, |trip| trip.fills.len() / 8);
    state.holdings.values().map(|holding| 1 + holding.lots.len() + fills(holding)).sum()
}

impl Checkpoint {
    fn of(entries: usize, state: &State) -> Self {
        let past = State::default();
        let kept = State {
            settings: state.settings.clone(),
            cash: state.cash.clone(),
            holdings: state.holdings.clone(),
            totals: state.totals.clone(),
            unknowns: state.unknowns.clone(),
            lost: state.lost.clone(),
            open_legs: state.open_legs.clone(),
            entries: state.entries,
            first_day: state.first_day,
            ..past
        };
        Self {
            entries,
            state: kept,
            closed_trips: state.closed_trips.len(),
            unaccounted: state.unaccounted.len(),
            unknown_basis: state.unknown_basis.len(),
            incomplete_history: state.incomplete_history.len(),
            lots_not_followed: state.lots_not_followed.len(),
        }
    }

    /// The state as it was; what is past is taken from a later state, which only ever added to it.
    fn restore(&self, later: &State) -> State {
        let mut state = self.state.clone();
        state.closed_trips = later.closed_trips[..self.closed_trips].to_vec();
        state.unaccounted = later.unaccounted[..self.unaccounted].to_vec();
        state.unknown_basis = later.unknown_basis[..self.unknown_basis].to_vec();
        state.incomplete_history = later.incomplete_history[..self.incomplete_history].to_vec();
        state.lots_not_followed = later.lots_not_followed[..self.lots_not_followed].to_vec();
        state
    }
}

/// Writes a snapshot: the name and version of its fold, a digest, the value.
pub(crate) fn seal_snapshot<T: Serialize>(name: &str, version: u32, value: &T) -> Vec<u8> {
    let body = codec::encode_unbounded(value).expect("a projection holds nothing that cannot be written");
    let digest = *blake3::hash(&body).as_bytes();
    let mut bytes = codec::encode_unbounded(&(name, version, digest)).expect("a name, a number and a digest");
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads what [`seal_snapshot`] wrote.
pub(crate) fn open_snapshot<T: DeserializeOwned>(
    name: &str,
    version: u32,
    bytes: &[u8],
) -> Result<T, BookError> {
    let damaged = |error: CodecError| BookError::Damaged(error.to_string());
    // The head's length depends on the name's and the version's only.
    let head = codec::encode_unbounded(&(name, version, [0u8; 32])).map_err(damaged)?.len();
    let other = || BookError::OtherVersion {
        found: "another fold or version".to_owned(),
        wanted: format!("{name} version {version}"),
    };
    let (head, body) = bytes.split_at_checked(head).ok_or_else(other)?;
    let (found_name, found_version, digest): (String, u32, [u8; 32]) =
        codec::decode_unbounded(head).map_err(|_| other())?;
    if found_name != name || found_version != version {
        return Err(BookError::OtherVersion {
            found: format!("{found_name} version {found_version}"),
            wanted: format!("{name} version {version}"),
        });
    }
    if *blake3::hash(body).as_bytes() != digest {
        return Err(BookError::Damaged("its digest does not match".to_owned()));
    }
    codec::decode_unbounded(body).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::{Placed, Row};

    #[test]
    fn an_entry_takes_no_more_memory_than_is_said() {
        assert!(size_of::<Row>() <= 384, "{}", size_of::<Row>());
        assert_eq!(size_of::<Placed>(), 16);
    }
}
