//! What can be held, and what it is called where and when.

use crate::view::Meta;
use daybook_schemas::events::{
    Contract, IdentifierAssigned, IdentifierScheme, InstrumentClass, InstrumentClassified,
    InstrumentDelisted, InstrumentListed, ListingAdded, OptionRight,
};
use daybook_schemas::{Currency, Day, Event, ImportId, InstrumentId, ListingId, Price, Timestamp, decimal};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What an identifier stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// One instrument.
    One(InstrumentId),
    /// Several, by id: the caller must say more (the venue, the currency, the ISIN).
    Ambiguous(Vec<InstrumentId>),
    /// None that is known.
    Unknown,
}

/// A listing on a venue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listing {
    /// The listing.
    pub id: ListingId,
    /// The venue's market identifier code, where known.
    pub venue: Option<Box<str>>,
    /// The symbol there.
    pub symbol: Box<str>,
    /// The currency it trades in there.
    pub currency: Currency,
    /// The first day, where known.
    pub from: Option<Day>,
    /// The sequence that added it.
    pub sequence: u64,
}

/// An identifier and the days on which it holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identifier {
    /// How it is made.
    pub scheme: IdentifierScheme,
    /// The identifier, as it was given.
    pub value: Box<str>,
    /// The venue on which it holds, where it is a venue's.
    pub venue: Option<Box<str>>,
    /// The first day; absent for always.
    pub from: Option<Day>,
    /// The last day; absent for still.
    pub to: Option<Day>,
    /// The sequence that assigned it.
    pub sequence: u64,
    /// The import that brought it, where it renames an instrument that had a symbol before: it holds only while
    /// that import counts.
    pub rename_by: Option<ImportId>,
}

/// An instrument and what it is called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Instrument {
    /// The instrument.
    pub id: InstrumentId,
    /// What it is.
    pub class: InstrumentClass,
    /// The currency it is quoted in.
    pub currency: Currency,
    /// The terms of a derivative or a bond.
    pub contract: Option<Contract>,
    /// Its name, where known.
    pub name: Option<Box<str>>,
    /// Whether it was listed from a symbol alone and nobody confirmed it yet.
    pub provisional: bool,
    /// Its listings, in the order they were recorded.
    pub listings: Vec<Listing>,
    /// Its identifiers, in the order they were recorded.
    pub identifiers: Vec<Identifier>,
    /// The id that means the same from now on.
    pub merged_into: Option<InstrumentId>,
    /// The last day of trading.
    pub delisted: Option<InstrumentDelisted>,
    /// The sequence that listed it.
    pub sequence: u64,
}

impl Instrument {
    /// Units of the underlying in one unit: the contract's; 1 for what has no contract.
    #[must_use]
    pub fn multiplier(&self) -> Decimal {
        self.contract.as_ref().map_or(Decimal::ONE, |contract| contract.multiplier.get())
    }
}

/// What somebody said that an instrument counts as, and when that was recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Classified {
    /// What was said; each statement says all of it.
    pub said: InstrumentClassified,
    /// The event.
    pub sequence: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// What an instrument counts as on a day; what nobody said is absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Classification {
    /// What it is: as classified, else as listed.
    pub class: Option<InstrumentClass>,
    /// The sector of its business.
    pub sector: Option<Box<str>>,
    /// Who issued it.
    pub issuer: Option<Box<str>>,
    /// The country whose risk it bears.
    pub country: Option<Box<str>>,
}

/// What changed about an instrument.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InstrumentChangeKind {
    /// It became known.
    Listed,
    /// It was known from a symbol alone, and is confirmed.
    Confirmed,
    /// It is called otherwise.
    Renamed {
        /// What it was called.
        from: Option<Box<str>>,
        /// What it is called from then on.
        to: Box<str>,
    },
    /// It is traded no more.
    Delisted,
    /// It had been delisted, and is traded again.
    Relisted,
    /// It turned out to be another one.
    Merged,
}

/// A change of an instrument.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstrumentChange {
    /// The event that says so.
    pub sequence: u64,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// What changed.
    pub kind: InstrumentChangeKind,
}

/// All instruments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruments {
    instruments: BTreeMap<InstrumentId, Instrument>,
    /// Which instruments ever had an identifier, by scheme and normalised value.
    by_identifier: BTreeMap<(u16, Box<str>), BTreeSet<InstrumentId>>,
    /// Imports that were reverted: what they renamed is called as before.
    reverted: BTreeSet<ImportId>,
    /// What changed, in the order of the log.
    changes: Vec<InstrumentChange>,
    /// What was said of classes, sectors, issuers and countries, in the order of the log.
    classified: BTreeMap<InstrumentId, Vec<Classified>>,
    changed_at: u64,
}

/// The parts of an option symbol in the OCC's form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Osi {
    /// The root: the underlying's symbol as the OCC writes it.
    pub root: String,
    /// The last day of its life.
    pub expiry: Day,
    /// Call or put.
    pub right: OptionRight,
    /// The price at which it can be exercised.
    pub strike: Price,
}

impl Osi {
    /// The form of 21 characters.
    #[must_use]
    pub fn padded(&self) -> String {
        let date = self.expiry.to_date().format("%y%m%d");
        let right = if self.right == OptionRight::Call { 'C' } else { 'P' };
        let strike = decimal::multiply(self.strike.get(), Decimal::ONE_THOUSAND).unwrap_or_default();
        format!("{:<6}{date}{right}{:0>8}", self.root, strike.normalize().to_string())
    }
}

/// Reads an option symbol in the OCC's form, padded to 21 characters or compact.
#[must_use]
pub fn parse_osi(text: &str) -> Option<Osi> {
    let text = text.trim();
    if !text.is_ascii() || !(16..=21).contains(&text.len()) {
        return None;
    }
    let (root, terms) = text.split_at(text.len() - 15);
    let root = root.trim_end().to_ascii_uppercase();
    let formed = (1..=6).contains(&root.len())
        && root.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && root.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (date, rest) = terms.split_at(6);
    let (right, strike) = rest.split_at(1);
    if !formed || !digits(date) || !digits(strike) {
        return None;
    }
    let number = |part: &str| part.parse::<u32>().ok();
    let year = 2000 + i32::try_from(number(&date[..2])?).ok()?;
    let expiry = Day::from_ymd(year, number(&date[2..4])?, number(&date[4..])?)?;
    let right = match right {
        "C" | "c" => OptionRight::Call,
        "P" | "p" => OptionRight::Put,
        _ => return None,
    };
    let strike = decimal::from_parts(strike.parse().ok()?, 3).ok()?;
    Some(Osi { root, expiry, right, strike: Price::new(strike) })
}

/// The one form of a symbol: capitals; an option symbol in its 21 characters; a pair such as `BTC/USD` without its stroke.
#[must_use]
pub fn normalise_symbol(text: &str) -> String {
    let text = text.trim();
    if let Some(osi) = parse_osi(text) {
        return osi.padded();
    }
    let symbol = text.to_ascii_uppercase();
    if let Some((base, quote)) = symbol.split_once(['/', '-'])
        && base.len() >= 2
        && quote.len() >= 3
        && base.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && Currency::parse(quote).is_ok()
    {
        return format!("{base}{quote}");
    }
    symbol
}

/// Symbols and option symbols are one scheme: brokers write either in the same column.
fn index_key(scheme: &IdentifierScheme, value: &str) -> (u16, Box<str>) {
    let symbol = IdentifierScheme::Symbol.code();
    match scheme {
        IdentifierScheme::Symbol | IdentifierScheme::Osi => (symbol, normalise_symbol(value).into()),
        IdentifierScheme::Broker => (scheme.code(), value.trim().into()),
        IdentifierScheme::Other(name) => (0, format!("{name}:{}", value.trim()).into()),
        _ => (scheme.code(), value.trim().to_ascii_uppercase().into()),
    }
}

fn is_symbol(scheme: &IdentifierScheme) -> bool {
    matches!(scheme, IdentifierScheme::Symbol | IdentifierScheme::Osi)
}

/// A name of an instrument on a stretch of days.
struct Name<'a> {
    value: &'a str,
    venue: Option<&'a str>,
    from: Option<Day>,
    to: Option<Day>,
    sequence: u64,
}

impl Instruments {
    pub(super) fn apply(&mut self, meta: &Meta, event: &Event) {
        match event {
            Event::InstrumentListed(listed) => self.listed(meta, listed),
            Event::ListingAdded(added) => self.listing(meta, added),
            Event::IdentifierAssigned(assigned) => self.assigned(meta, assigned),
            Event::InstrumentsMerged(merged) => {
                if merged.kept != merged.merged && self.canonical(merged.kept) != merged.merged {
                    self.placeholder(merged.merged, meta.sequence).merged_into = Some(merged.kept);
                    self.note(meta, merged.merged, InstrumentChangeKind::Merged);
                }
            }
            Event::InstrumentDelisted(delisted) => {
                self.placeholder(delisted.instrument, meta.sequence).delisted = Some(delisted.clone());
                self.note(meta, delisted.instrument, InstrumentChangeKind::Delisted);
            }
            Event::InstrumentClassified(said) => {
                let classified =
                    Classified { said: said.clone(), sequence: meta.sequence, recorded_at: meta.recorded_at };
                self.classified.entry(said.instrument).or_default().push(classified);
            }
            Event::ImportReverted(reverted) => {
                self.reverted.insert(reverted.import);
            }
            _ => return,
        }
        self.changed_at = meta.sequence;
    }

    fn placeholder(&mut self, id: InstrumentId, sequence: u64) -> &mut Instrument {
        self.instruments.entry(id).or_insert_with(|| Instrument {
            id,
            class: InstrumentClass::Unstated,
            currency: Currency::USD,
            contract: None,
            name: None,
            provisional: true,
            listings: Vec::new(),
            identifiers: Vec::new(),
            merged_into: None,
            delisted: None,
            sequence,
        })
    }

    fn note(&mut self, meta: &Meta, instrument: InstrumentId, kind: InstrumentChangeKind) {
        self.changes.push(InstrumentChange { sequence: meta.sequence, instrument, kind });
    }

    fn listed(&mut self, meta: &Meta, listed: &InstrumentListed) {
        let is_new = !self.instruments.contains_key(&listed.instrument);
        let instrument = self.placeholder(listed.instrument, meta.sequence);
        // A confirmed listing stands over a provisional one that arrives later.
        if listed.provisional && !instrument.provisional {
            return;
        }
        instrument.class = listed.class.clone();
        instrument.currency = listed.currency;
        instrument.contract.clone_from(&listed.contract);
        if listed.name.is_some() {
            instrument.name.clone_from(&listed.name);
        }
        let was_provisional = std::mem::replace(&mut instrument.provisional, listed.provisional);
        // Whoever lists it anew, and knows what he lists, says that it is traded.
        let was_delisted = !listed.provisional && instrument.delisted.take().is_some();
        if is_new {
            self.note(meta, listed.instrument, InstrumentChangeKind::Listed);
        } else if was_delisted {
            self.note(meta, listed.instrument, InstrumentChangeKind::Relisted);
        } else if was_provisional && !listed.provisional {
            self.note(meta, listed.instrument, InstrumentChangeKind::Confirmed);
        }
    }

    fn listing(&mut self, meta: &Meta, added: &ListingAdded) {
        let instrument = self.placeholder(added.instrument, meta.sequence);
        let listing = Listing {
            id: added.listing,
            venue: added.venue.clone(),
            symbol: added.symbol.clone(),
            currency: added.currency,
            from: added.from,
            sequence: meta.sequence,
        };
        match instrument.listings.iter_mut().find(|known| known.id == added.listing) {
            Some(known) => *known = listing,
            None => instrument.listings.push(listing),
        }
        let key = index_key(&IdentifierScheme::Symbol, &added.symbol);
        self.by_identifier.entry(key).or_default().insert(added.instrument);
    }

    fn assigned(&mut self, meta: &Meta, assigned: &IdentifierAssigned) {
        let called = is_symbol(&assigned.scheme)
            .then(|| self.symbol(assigned.instrument, None).map(Box::<str>::from))
            .flatten();
        let instrument = self.placeholder(assigned.instrument, meta.sequence);
        let renames = is_symbol(&assigned.scheme)
            && assigned.from.is_some()
            && (!instrument.listings.is_empty()
                || instrument.identifiers.iter().any(|known| is_symbol(&known.scheme)));
        instrument.identifiers.push(Identifier {
            scheme: assigned.scheme.clone(),
            value: assigned.value.clone(),
            venue: assigned.venue.clone(),
            from: assigned.from,
            to: assigned.to,
            sequence: meta.sequence,
            rename_by: meta.import.filter(|_| renames),
        });
        let key = index_key(&assigned.scheme, &assigned.value);
        self.by_identifier.entry(key).or_default().insert(assigned.instrument);
        if renames && called.as_deref().map(normalise_symbol) != Some(normalise_symbol(&assigned.value)) {
            let kind = InstrumentChangeKind::Renamed { from: called, to: assigned.value.clone() };
            self.note(meta, assigned.instrument, kind);
        }
    }

    /// What changed after a sequence, in the order of the log.
    pub fn changes_after(&self, sequence: u64) -> &[InstrumentChange] {
        &self.changes[self.changes.partition_point(|change| change.sequence <= sequence)..]
    }

    /// The id that an id means, after merges.
    #[must_use]
    pub fn canonical(&self, id: InstrumentId) -> InstrumentId {
        let mut current = id;
        // Merges cannot run in a circle; the bound guards against a log that says so all the same.
        for _ in 0..64 {
            match self.instruments.get(&current).and_then(|instrument| instrument.merged_into) {
                Some(next) => current = next,
                None => break,
            }
        }
        current
    }

    /// An instrument by its id, merges followed.
    #[must_use]
    pub fn get(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(&self.canonical(id))
    }

    /// What was said that an instrument counts as, in the order of the log.
    #[must_use]
    pub fn classifications(&self, id: InstrumentId) -> &[Classified] {
        let said = self.classified.get(&self.canonical(id)).or_else(|| self.classified.get(&id));
        said.map_or(&[], Vec::as_slice)
    }

    /// What an instrument counts as on a day, of what is recorded up to `known`: by the statement that holds from the
    /// latest day, and of several from one day by the one recorded last.
    #[must_use]
    pub fn classification(&self, id: InstrumentId, day: Day, known: u64) -> Classification {
        let said = self
            .classifications(id)
            .iter()
            .filter(|one| one.sequence <= known && one.said.from <= day)
            .max_by_key(|one| (one.said.from, one.sequence))
            .map(|one| &one.said);
        let listed = self.get(id).map(|instrument| &instrument.class);
        let class = said.and_then(|said| said.class.as_ref()).or(listed);
        Classification {
            class: class.filter(|class| **class != InstrumentClass::Unstated).cloned(),
            sector: said.and_then(|said| said.sector.clone()),
            issuer: said.and_then(|said| said.issuer.clone()),
            country: said.and_then(|said| said.country.clone()),
        }
    }

    /// All instruments that were not merged into another, by id.
    pub fn list(&self) -> impl DoubleEndedIterator<Item = &Instrument> {
        self.instruments.values().filter(|instrument| instrument.merged_into.is_none())
    }

    /// The sequence of the last event about an instrument; 0 for none.
    #[must_use]
    pub fn changed_at(&self) -> u64 {
        self.changed_at
    }

    /// How many instruments were ever listed provisionally under a symbol, in any currency.
    #[must_use]
    pub fn provisional_count(&self, symbol: &str) -> u32 {
        let Some(ids) = self.by_identifier.get(&index_key(&IdentifierScheme::Symbol, symbol)) else {
            return 0;
        };
        let count = ids
            .iter()
            .filter(|id| self.instruments.get(id).is_some_and(|instrument| instrument.provisional))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn holds(&self, identifier: &Identifier) -> bool {
        identifier.rename_by.is_none_or(|import| !self.reverted.contains(&import))
    }

    /// The symbols of an instrument with their days, the earlier ones ended by the rename that follows.
    fn names<'a>(&'a self, instrument: &'a Instrument) -> Vec<Name<'a>> {
        let from_listings = instrument.listings.iter().map(|listing| Name {
            value: &listing.symbol,
            venue: listing.venue.as_deref(),
            from: listing.from,
            to: None,
            sequence: listing.sequence,
        });
        let from_identifiers = instrument
            .identifiers
            .iter()
            .filter(|identifier| is_symbol(&identifier.scheme) && self.holds(identifier))
            .map(|identifier| Name {
                value: &identifier.value,
                venue: identifier.venue.as_deref(),
                from: identifier.from,
                to: identifier.to,
                sequence: identifier.sequence,
            });
        let mut names: Vec<Name<'a>> = from_listings.chain(from_identifiers).collect();
        names.sort_by_key(|name| (name.from, name.sequence));
        for at in 0..names.len() {
            if names[at].to.is_some() {
                continue;
            }
            let next = names[at + 1..]
                .iter()
                .find(|later| {
                    later.from > names[at].from
                        && (later.venue.is_none() || later.venue == names[at].venue)
                        && normalise_symbol(later.value) != normalise_symbol(names[at].value)
                })
                .and_then(|later| later.from);
            names[at].to = next.map(|day| day.plus_days(-1));
        }
        names
    }

    /// What an instrument is called on a day; today where no day is given.
    #[must_use]
    pub fn symbol(&self, id: InstrumentId, day: Option<Day>) -> Option<&str> {
        let instrument = self.get(id)?;
        let names = self.names(instrument);
        let on_day = names.iter().rev().find(|name| match day {
            Some(day) => name.from.is_none_or(|from| from <= day) && name.to.is_none_or(|to| day <= to),
            None => name.to.is_none(),
        });
        // Before its first name it is called by that name, after its last by the last.
        let found = on_day.or_else(|| if day.is_some() { names.first() } else { names.last() })?;
        Some(found.value)
    }

    /// What an identifier stands for on a day, in a currency and on a venue, where those are given.
    ///
    /// An identifier that holds on the day comes first; where none does, one that ever held stands in, because
    /// exports call old rows by new names and new rows by old ones.
    #[must_use]
    pub fn resolve(
        &self,
        scheme: &IdentifierScheme,
        value: &str,
        day: Option<Day>,
        currency: Option<Currency>,
        venue: Option<&str>,
    ) -> Resolution {
        let key = index_key(scheme, value);
        let Some(ids) = self.by_identifier.get(&key) else { return Resolution::Unknown };
        let mut on_day = BTreeSet::new();
        let mut ever = BTreeSet::new();
        for id in ids {
            let Some(named) = self.instruments.get(id) else { continue };
            let canonical = self.canonical(*id);
            let Some(instrument) = self.instruments.get(&canonical) else { continue };
            let in_currency = currency.is_none_or(|currency| {
                instrument.currency == currency
                    || instrument.listings.iter().any(|listing| listing.currency == currency)
            });
            if !in_currency {
                continue;
            }
            let (held, holds_on_day) = self.held(named, scheme, &key.1, day, venue);
            if held {
                ever.insert(canonical);
            }
            if holds_on_day {
                on_day.insert(canonical);
            }
        }
        let found = if on_day.is_empty() { ever } else { on_day };
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (None, _) => Resolution::Unknown,
            (Some(one), None) => Resolution::One(one),
            (Some(one), Some(two)) => Resolution::Ambiguous([one, two].into_iter().chain(found).collect()),
        }
    }

    /// Whether an instrument ever had an identifier on the venue, and whether it had it on the day.
    fn held(
        &self,
        instrument: &Instrument,
        scheme: &IdentifierScheme,
        normalised: &str,
        day: Option<Day>,
        venue: Option<&str>,
    ) -> (bool, bool) {
        let on_venue = |known: Option<&str>| match (venue, known) {
            (Some(wanted), Some(known)) => wanted.eq_ignore_ascii_case(known),
            _ => true,
        };
        let on_day = |from: Option<Day>, to: Option<Day>| match day {
            Some(day) => from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to),
            None => to.is_none(),
        };
        let (mut ever, mut then) = (false, false);
        if is_symbol(scheme) {
            for name in self.names(instrument) {
                if normalise_symbol(name.value) == normalised && on_venue(name.venue) {
                    ever = true;
                    then |= on_day(name.from, name.to);
                }
            }
            return (ever, then);
        }
        for identifier in &instrument.identifiers {
            if &*index_key(&identifier.scheme, &identifier.value).1 == normalised
                && identifier.scheme.code() == scheme.code()
                && on_venue(identifier.venue.as_deref())
            {
                ever = true;
                then |= on_day(identifier.from, identifier.to);
            }
        }
        (ever, then)
    }

    /// Whether an instrument already has an identifier, on any day.
    #[must_use]
    pub fn has_identifier(&self, id: InstrumentId, scheme: &IdentifierScheme, value: &str) -> bool {
        self.by_identifier
            .get(&index_key(scheme, value))
            .is_some_and(|ids| ids.iter().any(|known| self.canonical(*known) == self.canonical(id)))
    }
}
