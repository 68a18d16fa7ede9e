//! What a list of instruments says that the ledger does not know yet.

use crate::importers::symbols::{self, Form, Symbol, provisional_id};
use crate::importers::{Draft, Role};
use crate::journal::{FeedRow, Statement};
use daybook_projections::{Instrument, Instruments, Resolution, normalise_symbol};
use daybook_schemas::events::{
    ContentHash, IdentifierAssigned, IdentifierScheme, InstrumentClass, InstrumentDelisted, InstrumentListed,
    ListingAdded,
};
use daybook_schemas::{Currency, Day, Event, InstrumentId, Timestamp, stream};
use std::collections::{BTreeSet, HashMap};

/// Who keeps a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeper {
    /// Alpaca, which gives every asset an id.
    Alpaca,
    /// The user.
    List,
}

impl Keeper {
    /// The part of record keys that names it.
    const fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::List => "list",
        }
    }

    /// How what it tells its instruments apart by is recorded.
    fn scheme(self) -> IdentifierScheme {
        match self {
            Self::Alpaca => IdentifierScheme::Broker,
            Self::List => IdentifierScheme::Other("list".into()),
        }
    }

    /// Whether an identifier is one by which it tells its instruments apart.
    fn gave(self, scheme: &IdentifierScheme, value: &str) -> bool {
        *scheme == self.scheme() && (self == Self::List || value.starts_with("alpaca:"))
    }

    /// Whether what it says of a class stands over what is known.
    fn knows_class_better(self, known: &InstrumentClass) -> bool {
        // Alpaca calls every share, fund and receipt an equity.
        self == Self::List || *known == InstrumentClass::Unstated
    }
}

/// An instrument as a list has it.
#[derive(Clone, Debug)]
pub(super) struct Asset {
    /// What its keeper tells it apart by, whatever it is called.
    pub(super) handle: String,
    /// What it is called.
    pub(super) symbol: Symbol,
    /// Its name.
    pub(super) name: Option<String>,
    /// What it is.
    pub(super) class: Option<InstrumentClass>,
    /// The currency it is quoted in.
    pub(super) currency: Currency,
    /// The market identifier code of its venue.
    pub(super) venue: Option<String>,
    /// Its ISIN.
    pub(super) isin: Option<String>,
    /// Its CUSIP.
    pub(super) cusip: Option<String>,
    /// Whether it is traded.
    pub(super) active: bool,
}

/// What is to be recorded of a list.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// The events, each under its identity.
    pub(super) rows: Vec<FeedRow>,
    /// Instruments that are new.
    pub(super) listed: u64,
    /// Instruments that were known from a symbol alone.
    pub(super) confirmed: u64,
    /// Instruments that are called otherwise.
    pub(super) renamed: u64,
    /// Instruments that are traded no more.
    pub(super) delisted: u64,
    /// Symbols that several instruments of the ledger have, none of which can be told to be meant.
    pub(super) ambiguous: Vec<String>,
}

/// Compares a list with the registry.
pub(super) fn difference(
    keeper: Keeper,
    registry: &Instruments,
    assets: &[Asset],
    today: Day,
    at: Timestamp,
) -> Difference {
    let mut comparing = Comparing {
        keeper,
        registry,
        today,
        at,
        by_handle: HashMap::new(),
        new: BTreeSet::new(),
        met: BTreeSet::new(),
        found: Difference::default(),
    };
    for instrument in registry.list() {
        for identifier in &instrument.identifiers {
            if keeper.gave(&identifier.scheme, &identifier.value) {
                comparing.by_handle.insert(&identifier.value, instrument.id);
            }
        }
    }
    // What is traded comes first: a symbol that was given to another instrument is that one's.
    for asset in assets.iter().filter(|asset| asset.active) {
        comparing.traded(asset);
    }
    for asset in assets.iter().filter(|asset| !asset.active) {
        comparing.not_traded(asset);
    }
    comparing.vanished();
    comparing.found
}

struct Comparing<'r> {
    keeper: Keeper,
    registry: &'r Instruments,
    today: Day,
    at: Timestamp,
    by_handle: HashMap<&'r str, InstrumentId>,
    /// Ids that are given in this comparison.
    new: BTreeSet<InstrumentId>,
    /// Instruments that the list has.
    met: BTreeSet<InstrumentId>,
    found: Difference,
}

impl<'r> Comparing<'r> {
    fn traded(&mut self, asset: &Asset) {
        match self.known(asset) {
            Known::As(id) => {
                self.met.insert(id);
                if let Some(instrument) = self.registry.get(id) {
                    self.compare(instrument, asset);
                }
            }
            Known::Not => self.list(asset),
            Known::AsSeveral => self.found.ambiguous.push(asset.symbol.text.clone()),
        }
    }

    fn not_traded(&mut self, asset: &Asset) {
        // A symbol alone does not tell a dead instrument from a living one that took it over.
        let Some(id) = self.by_handle.get(asset.handle.as_str()).copied().or_else(|| self.by_numbers(asset))
        else {
            return;
        };
        if self.met.insert(id)
            && let Some(instrument) = self.registry.get(id)
        {
            self.delist(instrument, "its list says that it is traded no more");
        }
    }

    /// What the keeper knew once and does not name any more.
    fn vanished(&mut self) {
        let mut gone: Vec<InstrumentId> =
            self.by_handle.values().filter(|id| !self.met.contains(id)).copied().collect();
        gone.sort_unstable();
        gone.dedup();
        for id in gone {
            if let Some(instrument) = self.registry.get(id) {
                self.delist(instrument, "its list does not name it any more");
            }
        }
    }

    /// The instrument of the ledger that an asset is.
    fn known(&self, asset: &Asset) -> Known {
        let found = self.by_handle.get(asset.handle.as_str()).copied().or_else(|| self.by_numbers(asset));
        if let Some(id) = found.filter(|id| !self.met.contains(id)) {
            return Known::As(id);
        }
        let mut names = vec![asset.symbol.text.as_str()];
        // A file may hold the coin where its market names the pair.
        if let Form::Crypto { .. } = asset.symbol.form
            && let Some((coin, _)) = asset.symbol.text.split_once('/')
            && symbols::is_crypto(coin)
        {
            names.push(coin);
        }
        for name in names {
            let resolved =
                self.registry.resolve(&IdentifierScheme::Symbol, name, None, Some(asset.currency), None);
            let ids = match resolved {
                Resolution::Unknown => Vec::new(),
                Resolution::One(id) => vec![id],
                Resolution::Ambiguous(ids) => ids,
            };
            let mut free = ids.into_iter().filter(|id| self.may_be(*id, name, asset));
            match (free.next(), free.next()) {
                (Some(id), None) => return Known::As(id),
                (Some(_), Some(_)) => return Known::AsSeveral,
                (None, _) => {}
            }
        }
        Known::Not
    }

    /// Whether an instrument that has, or had, a symbol can be this asset.
    fn may_be(&self, id: InstrumentId, symbol: &str, asset: &Asset) -> bool {
        let Some(instrument) = self.registry.get(id) else { return false };
        let another = |scheme: &IdentifierScheme, value: &Option<String>| {
            let mut known = instrument.identifiers.iter().filter(|known| known.scheme == *scheme).peekable();
            value
                .as_ref()
                .is_some_and(|value| known.peek().is_some() && known.all(|known| *known.value != **value))
        };
        let has_handle =
            instrument.identifiers.iter().any(|known| self.keeper.gave(&known.scheme, &known.value));
        // What was called so once is not called so now; and what the list names already is something else.
        let called = self.registry.symbol(id, None).map(normalise_symbol);
        !has_handle
            && !self.met.contains(&id)
            && called == Some(normalise_symbol(symbol))
            && !another(&IdentifierScheme::Isin, &asset.isin)
            && !another(&IdentifierScheme::Cusip, &asset.cusip)
    }

    fn by_numbers(&self, asset: &Asset) -> Option<InstrumentId> {
        let numbers = [(IdentifierScheme::Isin, &asset.isin), (IdentifierScheme::Cusip, &asset.cusip)];
        numbers.into_iter().find_map(|(scheme, value)| {
            let currency = Some(asset.currency);
            match self.registry.resolve(&scheme, value.as_deref()?, None, currency, None) {
                Resolution::One(id) if !self.met.contains(&id) => Some(id),
                _ => None,
            }
        })
    }

    /// Lists what is new.
    fn list(&mut self, asset: &Asset) {
        let (text, currency) = (&asset.symbol.text, asset.currency);
        // The id that an import would give it, so that whoever comes first lists the same.
        let ordinal = (0u32..).find(|ordinal| {
            let id = provisional_id(text, currency, *ordinal);
            self.registry.get(id).is_none() && !self.new.contains(&id)
        });
        let Some(ordinal) = ordinal else { return };
        let id = provisional_id(text, currency, ordinal);
        self.new.insert(id);
        self.found.listed += 1;
        let key = symbols::listing_key(text, currency, ordinal);
        let listed = InstrumentListed {
            instrument: id,
            class: asset.class.clone().unwrap_or(InstrumentClass::Unstated),
            currency,
            name: asset.name.as_deref().map(Into::into),
            contract: None,
            provisional: false,
        };
        self.say(id, key.clone(), &facts(&listed, None), listed);
        self.venue(id, &format!("{key}:listing"), asset);
        self.identify(id, asset);
    }

    /// Says of an instrument that is known what is not known yet.
    fn compare(&mut self, instrument: &'r Instrument, asset: &Asset) {
        let id = instrument.id;
        let class = asset.class.clone().filter(|_| self.keeper.knows_class_better(&instrument.class));
        let listed = InstrumentListed {
            instrument: id,
            class: class.unwrap_or_else(|| instrument.class.clone()),
            currency: instrument.currency,
            name: asset.name.as_deref().map(Into::into).or_else(|| instrument.name.clone()),
            contract: instrument.contract.clone(),
            provisional: false,
        };
        let same = !instrument.provisional
            && instrument.delisted.is_none()
            && listed.class == instrument.class
            && listed.name == instrument.name;
        if !same {
            self.found.confirmed += u64::from(instrument.provisional);
            let back_from = instrument.delisted.as_ref().map(|delisted| delisted.on);
            let key = format!("instrument:{id}:{}:listed", self.keeper.name());
            self.say(id, key, &facts(&listed, back_from), listed);
        }
        let called = self.registry.symbol(id, None).map(normalise_symbol);
        if called != Some(normalise_symbol(&asset.symbol.text)) {
            self.rename(instrument, asset);
        }
        if let Some(venue) = &asset.venue
            && !instrument.listings.iter().any(|listing| listing.venue.as_deref() == Some(venue))
        {
            let key = format!("instrument:{id}:{}:venue:{venue}", self.keeper.name());
            self.venue(id, &key, asset);
        }
        self.identify(id, asset);
    }

    /// What is known is called otherwise: from today on where it was its keeper's, and besides where it was not.
    fn rename(&mut self, instrument: &Instrument, asset: &Asset) {
        let id = instrument.id;
        let was_its = self.by_handle.get(asset.handle.as_str()) == Some(&id);
        let from = was_its.then_some(self.today);
        self.found.renamed += u64::from(was_its);
        let assigned = IdentifierAssigned {
            instrument: id,
            scheme: IdentifierScheme::Symbol,
            value: asset.symbol.text.as_str().into(),
            venue: None,
            from,
            to: None,
        };
        let since = from.map(|day| format!(":{day}")).unwrap_or_default();
        let key = symbols::key_part(&asset.symbol.text);
        let key = format!("instrument:{id}:{}:symbol:{key}{since}", self.keeper.name());
        self.say(id, key.clone(), &key, assigned);
    }

    fn venue(&mut self, id: InstrumentId, key: &str, asset: &Asset) {
        let (text, currency) = (&asset.symbol.text, asset.currency);
        let listing = ListingAdded {
            listing: symbols::listing_id(id, asset.venue.as_deref(), text, currency),
            instrument: id,
            venue: asset.venue.as_deref().map(Into::into),
            symbol: text.as_str().into(),
            currency,
            from: None,
        };
        self.say(id, key.to_owned(), key, listing);
    }

    /// The identifiers that are not known yet.
    fn identify(&mut self, id: InstrumentId, asset: &Asset) {
        let keeper = self.keeper;
        let identifiers = [
            (keeper.scheme(), Some(&asset.handle), format!("{}:handle", keeper.name())),
            (IdentifierScheme::Isin, asset.isin.as_ref(), "isin".to_owned()),
            (IdentifierScheme::Cusip, asset.cusip.as_ref(), "cusip".to_owned()),
        ];
        for (scheme, value, part) in identifiers {
            let Some(value) = value else { continue };
            if self.registry.has_identifier(id, &scheme, value) {
                continue;
            }
            let others = !keeper.gave(&scheme, value)
                && self.registry.get(id).is_some_and(|instrument| {
                    instrument.identifiers.iter().any(|known| known.scheme == scheme)
                });
            let key = format!("instrument:{id}:{part}:{}", symbols::key_part(value));
            let assigned = IdentifierAssigned {
                instrument: id,
                scheme,
                value: value.as_str().into(),
                venue: None,
                // It replaces one that was known before.
                from: others.then_some(self.today),
                to: None,
            };
            self.say(id, key.clone(), &key, assigned);
        }
    }

    fn delist(&mut self, instrument: &Instrument, reason: &str) {
        if instrument.delisted.is_some() {
            return;
        }
        self.found.delisted += 1;
        let delisted = InstrumentDelisted {
            instrument: instrument.id,
            venue: None,
            on: self.today,
            reason: Some(reason.into()),
        };
        let key = format!("instrument:{}:{}:delisted:{}", instrument.id, self.keeper.name(), self.today);
        self.say(instrument.id, key.clone(), &key, delisted);
    }

    fn say(&mut self, id: InstrumentId, identity: String, content: &str, event: impl Into<Event>) {
        let content_hash = ContentHash::of(content.as_bytes()).0;
        let draft = Draft {
            event: event.into(),
            stream: stream::instrument(id),
            occurred_at: self.at,
            identity: Some(identity.clone()),
            content_hash,
            line: 0,
            role: Role::Reference,
        };
        self.found.rows.push(FeedRow {
            identity,
            aliases: Vec::new(),
            content_hash,
            statement: Statement::Event(draft),
        });
    }
}

/// What an asset is to the ledger.
enum Known {
    As(InstrumentId),
    AsSeveral,
    Not,
}

/// What a listing says, as it is compared.
fn facts(listed: &InstrumentListed, back_from: Option<Day>) -> String {
    format!("{}|{}|{:?}|{back_from:?}", listed.class, listed.currency, listed.name)
}
