//! The registry of instruments: searched, read, and what changed in it since somebody last looked.

use super::access::Caller;
use super::answer::{Done, Found, Question};
use super::classification::{self, ClassificationItem, ClassifiedItem};
use super::page::{Limit, List, Page, Pin, gone};
use super::problem::{Fault, Kind, Problem};
use super::record::record;
use super::scalar::{CurrencyCode, Date, Exact, Instrument as InstrumentKey, Sequence, Time};
use super::service::Service;
use super::tags::Tag;
use crate::journal::{Journal, now};
use crate::sync::instruments::{NAME, nearest_said};
use daybook_projections::{
    Instrument, InstrumentChange, InstrumentChangeKind, Instruments as Registry, Library, Resolution,
    normalise_symbol,
};
use daybook_schemas::events::{IdentifierScheme, InstrumentClass, Role};
use daybook_schemas::{Timestamp, Zone};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use std::cmp::Reverse;

record! {
    /// A symbol on a venue.
    ListingItem {
        /// The venue's market identifier code, where known
        venue: Option<String>,
        /// The symbol there
        symbol: String,
        /// The currency it trades in there
        currency: CurrencyCode,
        /// The first day, where known
        from: Option<Date>,
    }
}

record! {
    /// An identifier and the days on which it holds.
    IdentifierItem {
        /// How it is made: `symbol`, `isin`, `cusip`, `figi`, `sedol`, `osi`, `broker`, or a list's own
        scheme: String,
        /// The identifier
        value: String,
        /// The venue on which it holds, where it is a venue's
        venue: Option<String>,
        /// The first day; absent for always
        from: Option<Date>,
        /// The last day; absent for still
        to: Option<Date>,
    }
}

record! {
    /// The terms of a derivative or a bond.
    ContractItem {
        /// What it is derived from, where that is an instrument we know
        underlying: Option<InstrumentKey>,
        /// The symbol of what it is derived from
        underlying_symbol: Option<String>,
        /// The last day of its life
        expiry: Option<Date>,
        /// The price at which it can be exercised
        strike: Option<Exact>,
        /// `call` or `put`
        right: Option<String>,
        /// Units of the underlying in one contract
        multiplier: Exact,
    }
}

record! {
    /// What can be held, and what it is called.
    InstrumentItem {
        /// Its id, which never changes
        id: InstrumentKey,
        /// What it is called now
        symbol: Option<String>,
        /// Its name, where known
        name: Option<String>,
        /// What it is: `equity`, `etf`, `option`, `crypto`…; `unstated` while nobody said
        class: String,
        /// The currency it is quoted in
        currency: CurrencyCode,
        /// Whether it is known from a symbol alone, and nobody confirmed it yet
        provisional: bool,
        /// The last day of trading, if it is traded no more
        delisted: Option<Date>,
        /// Its terms, if it is a derivative or a bond
        contract: Option<ContractItem>,
        /// Where it is traded
        listings: Vec<ListingItem>,
        /// What else it is known by, former symbols included
        identifiers: Vec<IdentifierItem>,
        /// What it counts as today when a portfolio is held against rules
        classification: ClassificationItem,
        /// What was said of that, in the order of the ledger
        classified: Vec<ClassifiedItem>,
        /// The event that listed it
        sequence: Sequence,
    }
}

record! {
    /// A change in the registry.
    InstrumentChangeItem {
        /// The event that says so
        sequence: Sequence,
        /// When it was recorded
        recorded_at: Time,
        /// `listed`, `confirmed`, `renamed`, `delisted`, `relisted` or `merged`
        change: String,
        /// The instrument
        instrument: InstrumentKey,
        /// What it is called now
        symbol: Option<String>,
        /// Its name, where known
        name: Option<String>,
        /// Of a rename: what it was called before
        was: Option<String>,
        /// Of a rename: what it was called from then on
        to: Option<String>,
    }
}

/// The routes of instruments.
pub(super) struct Instruments(pub(super) Service);

#[OpenApi(tag = "Tag::Instruments")]
impl Instruments {
    /// List instruments
    ///
    /// With `q`, those whose symbol, name or identifier holds the text; one whose symbol is the text comes first.
    #[oai(path = "/instruments", method = "get", operation_id = "listInstruments")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// A text that the symbol, the name or an identifier holds, in small letters or capitals
        q: Query<Option<String>>,
        /// Only those of this class, such as `equity`, `etf` or `crypto`
        class: Query<Option<String>>,
        /// `true` for those that nobody confirmed yet, `false` for the others
        provisional: Query<Option<String>>,
        /// `traded`, `delisted` or `all` (the default)
        state: Query<Option<String>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<InstrumentItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let filter =
            Filter::read(q.0.as_deref(), class.0.as_deref(), provisional.0.as_deref(), state.0.as_deref())?;
        self.0
            .blocking(move |journal| {
                let library = journal.library()?;
                let registry = &library.instruments;
                let pin = page.pinned(library.applied(), Pin::known(library.applied()))?;
                if registry.changed_at() > pin.known {
                    return Err(gone("the registry changed since the list was begun"));
                }
                Found::new(question.tag(&[registry.changed_at(), today()]), || {
                    let mut found: Vec<(Reverse<u8>, &str, &Instrument)> = registry
                        .list()
                        .filter(|instrument| may_know(&caller, instrument))
                        .filter_map(|instrument| {
                            let symbol = registry.symbol(instrument.id, None).unwrap_or_default();
                            Some((Reverse(filter.rank(instrument, symbol)?), symbol, instrument))
                        })
                        .collect();
                    found.sort_by(|a, b| (a.0, a.1, a.2.id).cmp(&(b.0, b.1, b.2.id)));
                    let instruments = found.into_iter().map(|(_, _, instrument)| instrument);
                    page.cut(
                        pin,
                        instruments,
                        |instrument| instrument.id.to_string(),
                        |instrument| Ok(shown(registry, instrument)),
                    )
                })
            })
            .await
    }

    /// List what changed in the registry
    ///
    /// What was newly listed, confirmed, renamed, delisted, listed again or merged after the event `since`, in the order of
    /// the log. The `sequence` of the answer is the `since` of the next question.
    #[oai(path = "/instruments/changes", method = "get", operation_id = "listInstrumentChanges")]
    async fn changes(
        &self,
        caller: Caller,
        question: Question,
        /// The event after which changes are listed; from the beginning if not said
        since: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<InstrumentChangeItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let since = since.0.map_or(0, |since| since.0);
        self.0
            .blocking(move |journal| {
                let library = journal.library()?;
                let registry = &library.instruments;
                let pin = page.pinned(library.applied(), Pin::known(library.applied()))?;
                Found::new(question.tag(&[registry.changed_at(), pin.known]), || {
                    let changes = registry
                        .changes_after(since)
                        .iter()
                        .filter(|change| change.sequence <= pin.known)
                        .filter(|change| {
                            registry
                                .get(change.instrument)
                                .is_some_and(|instrument| may_know(&caller, instrument))
                        });
                    page.cut(
                        pin,
                        changes,
                        |change| change.sequence.to_string(),
                        |change| shown_change(journal, registry, change),
                    )
                })
            })
            .await
    }

    /// Read an instrument
    #[oai(path = "/instruments/:instrument", method = "get", operation_id = "readInstrument")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// Its id, or a symbol that names it alone; a pair is written without its stroke
        instrument: Path<String>,
    ) -> Result<Found<InstrumentItem>, Problem> {
        self.0
            .blocking(move |journal| {
                let library = journal.library()?;
                let registry = &library.instruments;
                let found = find(&library, &caller, &instrument.0)?;
                Found::new(question.tag(&[registry.changed_at(), today()]), || Ok(shown(registry, found)))
            })
            .await
    }

    /// Ask for the list of instruments to be read now
    ///
    /// It is read in the background; `/sync/instruments` tells how it goes.
    #[oai(path = "/instruments/refresh", method = "post", operation_id = "refreshInstruments")]
    async fn refresh(
        &self,
        _caller: Caller,
        /// Which attempt it is; to ask twice is to ask once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
    ) -> Result<Done, Problem> {
        let Some(source) = self.0.shared.board.get(NAME) else {
            return Err(Problem::new(
                Kind::Conflict,
                "no list of instruments is configured: write an [instruments] section into the configuration file \
                 (`daybook config --example` shows how) and start the service anew",
            ));
        };
        source.ring();
        Ok(Done)
    }
}

/// What an instrument counts as changes from one day to the next.
fn today() -> u64 {
    u64::from_le_bytes(i64::from(now().day_in(Zone::UTC).number()).to_le_bytes())
}

/// Which instruments are asked for.
struct Filter {
    text: Option<String>,
    symbol: String,
    class: Option<InstrumentClass>,
    provisional: Option<bool>,
    delisted: Option<bool>,
}

impl Filter {
    fn read(
        text: Option<&str>,
        class: Option<&str>,
        provisional: Option<&str>,
        state: Option<&str>,
    ) -> Result<Self, Problem> {
        let class = class
            .map(|name| {
                InstrumentClass::from_name(name).ok_or_else(|| {
                    let detail = "it is no class: write unstated, equity, etf, fund, money_market, bond, option, future, \
                                  crypto, currency_pair, index, warrant, depositary_receipt or commodity";
                    Problem::parameter("class", detail)
                })
            })
            .transpose()?;
        let provisional = match provisional {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Problem::parameter("provisional", "write true or false")),
        };
        let delisted = match state {
            None | Some("all") => None,
            Some("traded") => Some(false),
            Some("delisted") => Some(true),
            Some(_) => return Err(Problem::parameter("state", "write traded, delisted or all")),
        };
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.chars().count() > 100) {
            return Err(Problem::parameter("q", "it has more than 100 characters: write less"));
        }
        Ok(Self {
            symbol: text.map(normalise_symbol).unwrap_or_default(),
            text: text.map(str::to_lowercase),
            class,
            provisional,
            delisted,
        })
    }

    /// How well an instrument fits; none if it does not.
    fn rank(&self, instrument: &Instrument, symbol: &str) -> Option<u8> {
        let fits = self.class.as_ref().is_none_or(|class| *class == instrument.class)
            && self.provisional.is_none_or(|provisional| provisional == instrument.provisional)
            && self.delisted.is_none_or(|delisted| delisted == instrument.delisted.is_some());
        if !fits {
            return None;
        }
        let Some(text) = &self.text else { return Some(0) };
        let called = normalise_symbol(symbol);
        let holds = |value: &str| value.to_lowercase().contains(text);
        if called == self.symbol {
            Some(3)
        } else if called.starts_with(&self.symbol) {
            Some(2)
        } else if holds(symbol)
            || instrument.name.as_deref().is_some_and(holds)
            || instrument.listings.iter().any(|listing| holds(&listing.symbol))
            || instrument.identifiers.iter().any(|identifier| holds(&identifier.value))
        {
            Some(1)
        } else {
            None
        }
    }
}

/// What is known from imports alone tells what portfolios of others hold: a service's token sees what a list confirmed.
fn may_know(caller: &Caller, instrument: &Instrument) -> bool {
    *caller.role() != Role::Service || !instrument.provisional
}

/// The instrument of an id or a symbol, as far as the caller may know of it.
pub(super) fn find<'l>(library: &'l Library, caller: &Caller, text: &str) -> Result<&'l Instrument, Problem> {
    let registry = &library.instruments;
    let unknown = || {
        let symbol: String = text.chars().take(100).collect();
        let nearest = nearest_said(library, &symbol, |instrument| may_know(caller, instrument));
        let hint = nearest.map(|near| format!("; {near}")).unwrap_or_default();
        Problem::new(Kind::NotFound, format!("there is no instrument with the id or symbol `{symbol}`{hint}"))
    };
    let known = |id| registry.get(id).filter(|instrument| may_know(caller, instrument));
    if let Some(instrument) = text.parse().ok().and_then(known) {
        return Ok(instrument);
    }
    let ids = match registry.resolve(&IdentifierScheme::Symbol, text, None, None, None) {
        Resolution::Unknown => Vec::new(),
        Resolution::One(id) => vec![id],
        Resolution::Ambiguous(ids) => ids,
    };
    let found: Vec<&Instrument> = ids.into_iter().filter_map(known).collect();
    match found.as_slice() {
        [] => Err(unknown()),
        [one] => Ok(*one),
        several => {
            let ids: Vec<String> =
                several.iter().take(10).map(|instrument| instrument.id.to_string()).collect();
            let detail =
                format!("several instruments have this symbol: ask by id for one of {}", ids.join(", "));
            Err(Problem::faulty(Kind::InvalidParameter, vec![Fault::new("instrument", detail)]))
        }
    }
}

fn shown(registry: &Registry, instrument: &Instrument) -> InstrumentItem {
    let today = now().day_in(Zone::UTC);
    let classification = registry.classification(instrument.id, today, u64::MAX);
    InstrumentItem {
        id: instrument.id.into(),
        symbol: registry.symbol(instrument.id, None).map(str::to_owned),
        name: instrument.name.as_deref().map(str::to_owned),
        class: instrument.class.to_string(),
        currency: instrument.currency.into(),
        provisional: instrument.provisional,
        delisted: instrument.delisted.as_ref().map(|delisted| delisted.on.into()),
        contract: instrument.contract.as_ref().map(|contract| ContractItem {
            underlying: contract.underlying.map(InstrumentKey),
            underlying_symbol: contract.underlying_symbol.as_deref().map(str::to_owned),
            expiry: contract.expiry.map(Date),
            strike: contract.strike.map(|strike| strike.get().into()),
            right: contract.right.as_ref().map(ToString::to_string),
            multiplier: contract.multiplier.get().into(),
        }),
        listings: instrument
            .listings
            .iter()
            .map(|listing| ListingItem {
                venue: listing.venue.as_deref().map(str::to_owned),
                symbol: listing.symbol.to_string(),
                currency: listing.currency.into(),
                from: listing.from.map(Date),
            })
            .collect(),
        identifiers: instrument
            .identifiers
            .iter()
            .map(|identifier| IdentifierItem {
                scheme: identifier.scheme.to_string(),
                value: identifier.value.to_string(),
                venue: identifier.venue.as_deref().map(str::to_owned),
                from: identifier.from.map(Date),
                to: identifier.to.map(Date),
            })
            .collect(),
        classification: classification::shown(&classification),
        classified: registry.classifications(instrument.id).iter().map(classification::said).collect(),
        sequence: Sequence(instrument.sequence),
    }
}

fn shown_change(
    journal: &Journal,
    registry: &Registry,
    change: &InstrumentChange,
) -> Result<InstrumentChangeItem, Problem> {
    let (name, was, to) = match &change.kind {
        InstrumentChangeKind::Listed => ("listed", None, None),
        InstrumentChangeKind::Confirmed => ("confirmed", None, None),
        InstrumentChangeKind::Renamed { from, to } => ("renamed", from.as_deref(), Some(&**to)),
        InstrumentChangeKind::Delisted => ("delisted", None, None),
        InstrumentChangeKind::Relisted => ("relisted", None, None),
        InstrumentChangeKind::Merged => ("merged", None, None),
    };
    let recorded_at = Timestamp::from_nanos(journal.event(change.sequence)?.recorded_at);
    Ok(InstrumentChangeItem {
        sequence: Sequence(change.sequence),
        recorded_at: recorded_at.into(),
        change: name.to_owned(),
        instrument: change.instrument.into(),
        symbol: registry.symbol(change.instrument, None).map(str::to_owned),
        name: registry
            .get(change.instrument)
            .and_then(|instrument| instrument.name.as_deref())
            .map(str::to_owned),
        was: was.map(str::to_owned),
        to: to.map(str::to_owned),
    })
}
