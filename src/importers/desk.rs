//! What one file adds to what the ledger knows while it is read: new instruments, their names, and accounts.

use super::accounts::account_id;
use super::symbols::{self, Form, Symbol, provisional_id};
use super::{Context, Draft, InstrumentFacts, PortfolioFacts, Resolution, Role};
use daybook_schemas::events::{
    AccountKind, AccountLinked, ContentHash, Contract, Event, IdentifierAssigned, IdentifierScheme,
    InstrumentClass, InstrumentListed, ListingAdded,
};
use daybook_schemas::{
    AccountId, Currency, Day, ExternalId, InstrumentId, Multiplier, Sealed, Timestamp, stream,
};
use std::collections::BTreeMap;

/// The contract size of an option whose symbol says nothing else.
const OPTION_MULTIPLIER: u32 = 100;

/// The most renames that lead from one symbol to another.
const RENAMES_MAX: usize = 16;

/// What a row says of the instrument it means.
#[derive(Clone, Debug)]
pub(super) struct Sought<'s> {
    pub(super) symbol: &'s Symbol,
    pub(super) isin: Option<&'s str>,
    pub(super) mic: Option<&'s str>,
    /// The currency that the row states.
    pub(super) currency: Option<Currency>,
    /// Whether that currency is the one the instrument is quoted in; that of a dividend need not be.
    pub(super) quoted: bool,
    /// The currency of a new listing where the row and the symbol state none.
    pub(super) default_currency: Currency,
    /// The multiplier that the row states.
    pub(super) multiplier: Option<Multiplier>,
    /// What it is, where the source tells.
    pub(super) class: Option<InstrumentClass>,
    /// Its name, where the source tells.
    pub(super) name: Option<&'s str>,
    pub(super) day: Day,
    pub(super) occurred_at: Timestamp,
    pub(super) line: u64,
}

/// Why an instrument cannot be told, or not used as the row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unclear {
    /// What is wrong and what to do.
    pub(super) text: String,
    /// Whether it is the multiplier that is wrong, and not the name.
    pub(super) multiplier: bool,
}

impl Unclear {
    const fn name(text: String) -> Self {
        Self { text, multiplier: false }
    }
}

/// Why an account cannot be linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LinkError {
    /// The label belongs to an account with this other id at the broker.
    Taken(String),
    /// The label cannot be sealed.
    Sealing(String),
}

/// An instrument that was found or listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) id: InstrumentId,
    /// What is known of it; its multiplier may be what another row of the file states.
    pub(super) facts: InstrumentFacts,
    /// The multiplier by which it is listed, whatever the rows of the file say.
    pub(super) contract: Option<Multiplier>,
    pub(super) warning: Option<String>,
}

/// A symbol as this file uses it for an instrument.
#[derive(Clone, Debug)]
struct Use {
    id: InstrumentId,
    currency: Currency,
    from: Option<Day>,
}

/// A rename that the file states: from a day on, what was `old` is called `new`.
#[derive(Clone, Debug)]
struct Rename {
    old: Symbol,
    new: String,
    from: Day,
}

/// The ledger as one file sees it.
pub(super) struct Desk<'c> {
    pub(super) context: &'c dyn Context,
    pub(super) portfolio: Option<&'c PortfolioFacts>,
    /// The broker of accounts that are linked.
    broker: Option<&'static str>,
    uses: BTreeMap<String, Vec<Use>>,
    isins: BTreeMap<String, InstrumentId>,
    facts: BTreeMap<InstrumentId, InstrumentFacts>,
    /// The multipliers that rows state of what is listed without one.
    stated: BTreeMap<InstrumentId, Multiplier>,
    listed: BTreeMap<String, u32>,
    /// The lines on which units were first counted one for one, for want of a multiplier.
    single: BTreeMap<InstrumentId, u64>,
    renames: Vec<Rename>,
    accounts: BTreeMap<String, AccountId>,
    /// The accounts that were linked here, by the broker's id.
    linked: BTreeMap<String, AccountId>,
    drafts: Vec<Draft>,
}

impl<'c> Desk<'c> {
    pub(super) fn new(
        context: &'c dyn Context,
        portfolio: Option<&'c PortfolioFacts>,
        broker: Option<&'static str>,
    ) -> Self {
        Self {
            context,
            portfolio,
            broker,
            uses: BTreeMap::new(),
            isins: BTreeMap::new(),
            facts: BTreeMap::new(),
            stated: BTreeMap::new(),
            listed: BTreeMap::new(),
            single: BTreeMap::new(),
            renames: Vec::new(),
            accounts: BTreeMap::new(),
            linked: BTreeMap::new(),
            drafts: Vec::new(),
        }
    }

    /// The references that were added since the last call.
    pub(super) fn take_drafts(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.drafts)
    }

    /// The account of a label, linked where it is new.
    pub(super) fn account(
        &mut self,
        label: &str,
        number: Option<&str>,
        occurred_at: Timestamp,
        line: u64,
    ) -> Result<AccountId, String> {
        let portfolio = self.portfolio.ok_or("prices belong to no account")?;
        if let Some(id) = self.accounts.get(label) {
            return Ok(*id);
        }
        if let Some(id) = self.context.account(portfolio.id, label) {
            self.accounts.insert(label.to_owned(), id);
            return Ok(id);
        }
        let keys = self.context.keys();
        let sealed =
            |text: &str| Sealed::seal(keys, portfolio.key, &text.to_owned()).map_err(|e| e.to_string());
        let id = account_id(keys, portfolio.key, portfolio.id, label).map_err(|error| error.to_string())?;
        let event = AccountLinked {
            account: id,
            kind: AccountKind::Unstated,
            name: sealed(label)?,
            broker: self.broker.map(Into::into),
            number: number.map(sealed).transpose()?,
            external_id: None,
        };
        self.refer(
            format!("account:{}:{id}", portfolio.id),
            stream::portfolio(portfolio.id),
            event,
            occurred_at,
            line,
        );
        self.accounts.insert(label.to_owned(), id);
        Ok(id)
    }

    /// The account that a broker knows by an id of its own, linked where it is new; without an id, that of the label.
    pub(super) fn link(
        &mut self,
        label: &str,
        external_id: Option<&str>,
        occurred_at: Timestamp,
        line: u64,
    ) -> Result<AccountId, LinkError> {
        let sealing = |error: String| LinkError::Sealing(error);
        let Some(portfolio) = self.portfolio else {
            return Err(sealing("prices belong to no account".to_owned()));
        };
        let Some(stated) = external_id else {
            return self.account(label, None, occurred_at, line).map_err(sealing);
        };
        let linked = self.context.linked(portfolio.id);
        let by_id = linked.iter().find(|account| {
            account.broker.as_deref() == self.broker && account.external_id.as_deref() == Some(stated)
        });
        if let Some(known) = by_id {
            return Ok(known.id);
        }
        if let Some(id) = self.linked.get(stated) {
            return Ok(*id);
        }
        let (keys, key) = (self.context.keys(), portfolio.key);
        let id = account_id(keys, key, portfolio.id, label).map_err(|error| sealing(error.to_string()))?;
        let taken = linked
            .iter()
            .find(|account| account.id == id)
            .and_then(|account| account.external_id.as_deref().map(ToOwned::to_owned));
        let here = self.linked.iter().find(|(_, known)| **known == id).map(|(taken, _)| taken.clone());
        if let Some(known) = taken.or(here) {
            return Err(LinkError::Taken(known));
        }
        let name = Sealed::seal(keys, key, &label.to_owned()).map_err(|error| sealing(error.to_string()))?;
        let event = AccountLinked {
            account: id,
            kind: AccountKind::Unstated,
            name,
            broker: self.broker.map(Into::into),
            number: None,
            external_id: Some(ExternalId::new(stated)),
        };
        // An account that was linked without the broker's id is linked again, with it.
        let identity = format!("account:{}:{id}:{}", portfolio.id, symbols::key_part(stated));
        self.refer(identity, stream::portfolio(portfolio.id), event, occurred_at, line);
        self.accounts.insert(label.to_owned(), id);
        self.linked.insert(stated.to_owned(), id);
        Ok(id)
    }

    /// Notes a rename before the rows are read, so that rows that use the new name find the old one's instrument.
    pub(super) fn expect_rename(&mut self, old: Symbol, new: &Symbol, from: Day) {
        self.renames.push(Rename { old, new: new.text.clone(), from });
    }

    /// From a day on, a symbol means an instrument.
    pub(super) fn call(&mut self, id: InstrumentId, symbol: &Symbol, currency: Currency, from: Day) {
        self.uses.entry(symbol.text.clone()).or_default().push(Use { id, currency, from: Some(from) });
    }

    /// What is known of an instrument, that of this file included.
    pub(super) fn facts(&self, id: InstrumentId) -> Option<InstrumentFacts> {
        self.facts.get(&id).cloned().or_else(|| self.context.instrument(id))
    }

    /// The instrument that a row means, listed provisionally where nobody knows it.
    pub(super) fn instrument(&mut self, sought: &Sought<'_>) -> Result<Found, Unclear> {
        let Sought { symbol, isin, day, .. } = *sought;
        if let Form::Pair { .. } = symbol.form
            && sought.class.is_none()
            && self.portfolio.is_some()
        {
            let text = format!(
                "`{}` is a pair of currencies, which cannot be held: write a `convert` row for the exchange",
                symbol.text
            );
            return Err(Unclear::name(text));
        }
        let by_isin = match isin {
            Some(isin) => match self.by_isin(isin, sought) {
                Resolution::One(id) => Some(id),
                Resolution::Ambiguous(ids) => return Err(ambiguous(isin, &ids, "state `currency` or `mic`")),
                Resolution::Unknown => None,
            },
            None => None,
        };
        let by_symbol = self.by_symbol(symbol, sought, 0);
        let mut warning = None;
        let id = match (by_isin, by_symbol) {
            (Some(id), Resolution::Unknown) => {
                self.name_symbol(id, symbol, sought);
                id
            }
            (Some(id), _) => id,
            (None, Resolution::One(id)) => {
                if let Some(isin) = isin {
                    warning = self.name_isin(id, isin, sought);
                }
                id
            }
            (None, Resolution::Unknown) => self.list(sought),
            (None, Resolution::Ambiguous(ids)) => {
                return Err(ambiguous(&symbol.text, &ids, "state `currency`, `mic` or `isin`"));
            }
        };
        let Some(mut facts) = self.facts(id) else {
            let text =
                format!("nothing is known of the instrument {id} that `{}` names on {day}", symbol.text);
            return Err(Unclear::name(text));
        };
        let contract = facts.multiplier;
        facts.multiplier = contract.or_else(|| self.stated.get(&id).copied());
        if let (Some(stated), Some(known)) = (sought.multiplier, facts.multiplier)
            && stated != known
        {
            let text = format!(
                "{stated} contradicts the contract of `{}`, one of which is {known} units: correct it or leave it empty",
                symbol.text
            );
            return Err(Unclear { text, multiplier: true });
        }
        if let (Some(stated), None, Some(line)) = (sought.multiplier, facts.multiplier, self.single.get(&id))
            && stated != Multiplier::ONE
        {
            let text = format!(
                "{stated} contradicts line {line}, which states none for `{}` and so counts its units one for one: state it in both",
                symbol.text
            );
            return Err(Unclear { text, multiplier: true });
        }
        if sought.quoted && sought.multiplier.is_none() && facts.multiplier.is_none() {
            self.single.entry(id).or_insert(sought.line);
        }
        if let (Some(stated), None) = (sought.multiplier, facts.multiplier) {
            // What one row says of the contract holds for the rows after it, so that two rows cannot contradict.
            self.stated.insert(id, stated);
        }
        if warning.is_none()
            && sought.currency.is_none()
            && facts.provisional
            && let Some(portfolio) = self.portfolio
            && facts.currency != portfolio.base_currency
        {
            warning = Some(format!(
                "`{}` is taken to be in {}, as it was when it was first seen, though the portfolio is in {}: state `currency` if that is wrong",
                symbol.text, facts.currency, portfolio.base_currency
            ));
        }
        Ok(Found { id, facts, contract, warning })
    }

    fn by_isin(&self, isin: &str, sought: &Sought<'_>) -> Resolution {
        if let Some(id) = self.isins.get(isin) {
            return Resolution::One(*id);
        }
        let scheme = IdentifierScheme::Isin;
        let with = |currency, mic| self.context.resolve(&scheme, isin, Some(sought.day), currency, mic);
        let currency = sought.currency.filter(|_| sought.quoted);
        match with(currency, sought.mic) {
            Resolution::Unknown => match with(None, None) {
                Resolution::Unknown => self.context.resolve(&scheme, isin, None, None, None),
                // The instrument is one whatever it is quoted in; its listings differ.
                found => found,
            },
            found => found,
        }
    }

    /// The instrument of a symbol, asked ever more loosely: a venue, a day or a currency that the ledger does not
    /// know of an instrument must not make it another.
    fn by_symbol(&self, symbol: &Symbol, sought: &Sought<'_>, renames: usize) -> Resolution {
        let currency = match symbol.form {
            Form::Crypto { quote } | Form::Pair { quote, .. } => Some(quote),
            _ => sought.currency,
        };
        let (day, mic) = (Some(sought.day), sought.mic);
        let mut questions = vec![(day, currency, mic)];
        if mic.is_some() {
            questions.push((day, currency, None));
        }
        questions.push((None, currency, None));
        if currency.is_some() && !sought.quoted {
            questions.push((day, None, mic));
            questions.push((None, None, None));
        }
        for (day, currency, mic) in questions {
            let found = self.look_up(&symbol.text, day, currency, mic);
            if found != Resolution::Unknown {
                return found;
            }
        }
        let renamed = self
            .renames
            .iter()
            .filter(|rename| rename.new == symbol.text && rename.from <= sought.day)
            .max_by_key(|rename| rename.from);
        match renamed {
            Some(rename) if renames < RENAMES_MAX => self.by_symbol(&rename.old, sought, renames + 1),
            _ => Resolution::Unknown,
        }
    }

    fn look_up(
        &self,
        symbol: &str,
        day: Option<Day>,
        currency: Option<Currency>,
        mic: Option<&str>,
    ) -> Resolution {
        let known = self.context.resolve(&IdentifierScheme::Symbol, symbol, day, currency, mic);
        let mut ids = match known {
            Resolution::One(id) => vec![id],
            Resolution::Ambiguous(ids) => ids,
            Resolution::Unknown => Vec::new(),
        };
        for usage in self.uses.get(symbol).into_iter().flatten() {
            let on_day = day.is_none_or(|day| usage.from.is_none_or(|from| from <= day));
            let in_currency = currency.is_none_or(|currency| currency == usage.currency);
            if on_day && in_currency && !ids.contains(&usage.id) {
                ids.push(usage.id);
            }
        }
        match ids.as_slice() {
            [] => Resolution::Unknown,
            [id] => Resolution::One(*id),
            _ => Resolution::Ambiguous(ids),
        }
    }

    /// Lists an instrument of which nothing but the row is known.
    fn list(&mut self, sought: &Sought<'_>) -> InstrumentId {
        // The first name of an instrument that the file renames: it is listed under that, and renamed by its row.
        let mut symbol = sought.symbol;
        for _ in 0..RENAMES_MAX {
            let renamed =
                self.renames.iter().filter(|rename| rename.new == symbol.text && rename.from <= sought.day);
            let Some(rename) = renamed.max_by_key(|rename| rename.from) else { break };
            symbol = &rename.old;
        }
        let symbol = symbol.clone();
        let stated = sought.currency.filter(|_| sought.quoted);
        let currency = match symbol.form {
            Form::Crypto { quote } | Form::Pair { quote, .. } => quote,
            _ => stated.or(sought.currency).unwrap_or(sought.default_currency),
        };
        let here = self.listed.entry(symbol.text.clone()).or_default();
        let ordinal = self.context.provisional_count(&symbol.text) + *here;
        *here += 1;
        let id = provisional_id(&symbol.text, currency, ordinal);
        let class = match &symbol.form {
            Form::Option(_) => InstrumentClass::Option,
            Form::Crypto { .. } => InstrumentClass::Crypto,
            Form::Pair { .. } => InstrumentClass::CurrencyPair,
            Form::Plain if sought.class.is_none() && symbols::is_crypto(&symbol.text) => {
                InstrumentClass::Crypto
            }
            Form::Plain => sought.class.clone().unwrap_or(InstrumentClass::Unstated),
        };
        let contract = contract(&symbol, sought.multiplier);
        let multiplier = contract.as_ref().map(|contract| contract.multiplier);
        let key = symbols::listing_key(&symbol.text, currency, ordinal);
        let stream = stream::instrument(id);
        let listed = InstrumentListed {
            instrument: id,
            class: class.clone(),
            currency,
            name: sought.name.map(Into::into),
            contract,
            provisional: true,
        };
        let venue: Option<Box<str>> = sought.mic.map(Into::into);
        let listing = ListingAdded {
            listing: symbols::listing_id(id, venue.as_deref(), &symbol.text, currency),
            instrument: id,
            venue,
            symbol: symbol.text.as_str().into(),
            currency,
            from: None,
        };
        let (at, line) = (sought.occurred_at, sought.line);
        self.refer(key.clone(), stream.clone(), listed, at, line);
        self.refer(format!("{key}:listing"), stream.clone(), listing, at, line);
        self.assign(format!("{key}:symbol"), id, IdentifierScheme::Symbol, &symbol.text, None, at, line);
        if let Form::Option(terms) = &symbol.form
            && let Some(padded) = terms.padded()
        {
            self.assign(format!("{key}:osi"), id, IdentifierScheme::Osi, &padded, None, at, line);
        }
        if symbols::is_cusip(&symbol.text) {
            self.assign(format!("{key}:cusip"), id, IdentifierScheme::Cusip, &symbol.text, None, at, line);
        }
        if let Some(isin) = sought.isin {
            self.assign(format!("{key}:isin"), id, IdentifierScheme::Isin, isin, None, at, line);
            self.isins.insert(isin.to_owned(), id);
        }
        self.uses.entry(symbol.text.clone()).or_default().push(Use { id, currency, from: None });
        let isin = sought.isin.map(Into::into);
        self.facts.insert(id, InstrumentFacts { class, currency, multiplier, provisional: true, isin });
        id
    }

    /// An instrument that an ISIN names is also called by the row's symbol.
    fn name_symbol(&mut self, id: InstrumentId, symbol: &Symbol, sought: &Sought<'_>) {
        let key = format!("instrument:{id}:symbol:{}", symbols::key_part(&symbol.text));
        self.assign(key, id, IdentifierScheme::Symbol, &symbol.text, None, sought.occurred_at, sought.line);
        let currency = self.facts(id).map_or(sought.default_currency, |facts| facts.currency);
        self.uses.entry(symbol.text.clone()).or_default().push(Use { id, currency, from: None });
    }

    /// An instrument that a symbol names has the row's ISIN, from its day on where it had another one before.
    fn name_isin(&mut self, id: InstrumentId, isin: &str, sought: &Sought<'_>) -> Option<String> {
        let mut facts = self.facts(id)?;
        let before = facts.isin.replace(isin.into());
        if before.as_deref() == Some(isin) {
            return None;
        }
        let from = before.is_some().then_some(sought.day);
        let key = format!("instrument:{id}:isin:{isin}");
        self.assign(key, id, IdentifierScheme::Isin, isin, from, sought.occurred_at, sought.line);
        self.isins.insert(isin.to_owned(), id);
        self.facts.insert(id, facts);
        before.map(|before| {
            format!(
                "`{}` was known by the ISIN {before}; from {} on it is also known by {isin}",
                sought.symbol.text, sought.day
            )
        })
    }

    /// Adds an identifier to an instrument.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one event that it makes")]
    pub(super) fn assign(
        &mut self,
        key: String,
        instrument: InstrumentId,
        scheme: IdentifierScheme,
        value: &str,
        from: Option<Day>,
        occurred_at: Timestamp,
        line: u64,
    ) {
        let event =
            IdentifierAssigned { instrument, scheme, value: value.into(), venue: None, from, to: None };
        self.refer(key, stream::instrument(instrument), event, occurred_at, line);
    }

    fn refer(
        &mut self,
        key: String,
        stream: String,
        event: impl Into<Event>,
        occurred_at: Timestamp,
        line: u64,
    ) {
        // A reference is recognised by its key alone: what another file says of the instrument is no contradiction.
        let content_hash = ContentHash::of(key.as_bytes()).0;
        let (event, identity) = (event.into(), Some(key));
        self.drafts.push(Draft {
            event,
            stream,
            occurred_at,
            identity,
            content_hash,
            line,
            role: Role::Reference,
        });
    }
}

fn ambiguous(name: &str, ids: &[InstrumentId], remedy: &str) -> Unclear {
    let ids: Vec<_> = ids.iter().take(4).map(ToString::to_string).collect();
    Unclear::name(format!("`{name}` names several instruments ({}): {remedy}", ids.join(", ")))
}

/// The contract of a new instrument, where its symbol or its row states one.
fn contract(symbol: &Symbol, stated: Option<Multiplier>) -> Option<Contract> {
    match &symbol.form {
        Form::Option(terms) => Some(Contract {
            underlying: None,
            underlying_symbol: Some(terms.root.as_str().into()),
            expiry: Some(terms.expiry),
            strike: Some(terms.strike),
            right: Some(terms.right.clone()),
            multiplier: stated.unwrap_or_else(|| Multiplier::new(OPTION_MULTIPLIER.into())),
        }),
        _ => stated.map(|multiplier| Contract {
            underlying: None,
            underlying_symbol: None,
            expiry: None,
            strike: None,
            right: None,
            multiplier,
        }),
    }
}
