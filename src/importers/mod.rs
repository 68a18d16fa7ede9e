//! From the bytes of a file, or the fields of a request, to events that are ready to be appended.
//!
//! Everything here is pure: an importer reads what it is given, asks the ledger through [`Context`], and answers with
//! [`Draft`]s or [`Fault`]s. It appends nothing, opens no file and does not know the time of day, so that a dry run is
//! the same call as an import.

pub(crate) mod accounts;
pub(crate) mod alpaca;
pub(crate) mod columns;
mod csv;
mod desk;
mod faults;
pub(crate) mod identity;
pub(crate) mod invisible;
mod kept;
pub(crate) mod nearest;
pub(crate) mod prices;
mod robinhood;
mod rows;
mod schwab;
pub(crate) mod symbols;
pub(crate) mod transaction;

pub(crate) use columns::{Names, TransactionFields, to_columns};
pub(crate) use faults::{Fault, FieldFault, Warning};
pub(crate) use prices::{Adjustment, PriceOptions, read_prices, read_prices_of};
pub(crate) use transaction::{Place, transaction, transactions};

pub(crate) use daybook_projections::Resolution;
use daybook_schemas::events::{Event, IdentifierScheme, InstrumentClass};
use daybook_schemas::{
    AccountId, Currency, Day, InstrumentId, KeyId, KeyRing, Multiplier, PortfolioId, Ratio, Timestamp, Zone,
};
use std::collections::BTreeMap;
use std::io::Read;

/// What an importer must know of an instrument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct InstrumentFacts {
    /// What it is.
    pub(crate) class: InstrumentClass,
    /// The currency it is quoted in.
    pub(crate) currency: Currency,
    /// Units of the underlying in one unit, where it has a contract that says so.
    pub(crate) multiplier: Option<Multiplier>,
    /// Whether it was listed from a symbol alone and nobody confirmed it yet.
    pub(crate) provisional: bool,
    /// Its ISIN, where known.
    pub(crate) isin: Option<Box<str>>,
}

/// An account as a portfolio has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LinkedAccount {
    /// The account.
    pub(crate) id: AccountId,
    /// Where it is held, such as `alpaca`.
    pub(crate) broker: Option<Box<str>>,
    /// The broker's own id of it.
    pub(crate) external_id: Option<Box<str>>,
    /// Whether it was unlinked since.
    pub(crate) unlinked: bool,
}

/// What an importer may ask of the ledger.
pub(crate) trait Context {
    /// The instrument of an identifier: on a day (any day, where none is given), in a currency, on a venue.
    fn resolve(
        &self,
        scheme: &IdentifierScheme,
        value: &str,
        day: Option<Day>,
        currency: Option<Currency>,
        venue: Option<&str>,
    ) -> Resolution;

    /// What is known of an instrument.
    fn instrument(&self, id: InstrumentId) -> Option<InstrumentFacts>;

    /// How many instruments were listed provisionally under a symbol so far: the ordinal of the next one.
    fn provisional_count(&self, symbol: &str) -> u32;

    /// The portfolio's linked account of a label.
    fn account(&self, portfolio: PortfolioId, label: &str) -> Option<AccountId>;

    /// All accounts that were ever linked to the portfolio.
    fn linked(&self, portfolio: PortfolioId) -> Vec<LinkedAccount>;

    /// The splits that feeds announced for an instrument: first day without, and new units for old.
    fn announced_splits(&self, id: InstrumentId) -> Vec<(Day, Ratio)>;

    /// The keys under which personal data is sealed.
    fn keys(&self) -> &KeyRing;
}

/// The portfolio that an import goes into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PortfolioFacts {
    /// Which.
    pub(crate) id: PortfolioId,
    /// The currency of rows that state none and whose instrument has none.
    pub(crate) base_currency: Currency,
    /// The zone that bounds its days.
    pub(crate) zone: Zone,
    /// The key that seals its personal data.
    pub(crate) key: KeyId,
}

/// What a draft is to its import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A row's own event.
    Entry,
    /// An instrument or an account that rows refer to and that the ledger did not know.
    Reference,
    /// A row that could not be understood.
    Quarantine,
    /// A price, a rate or an announcement that came with them.
    Price,
}

/// An event that is ready to be appended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Draft {
    /// The event.
    pub(crate) event: Event,
    /// The stream it belongs to.
    pub(crate) stream: String,
    /// When it occurred in the world.
    pub(crate) occurred_at: Timestamp,
    /// What its record key is made of, without the revision; absent where nothing identifies it.
    pub(crate) identity: Option<String>,
    /// BLAKE3 of what the source said, normalised: the same identity with another hash is a contradiction.
    pub(crate) content_hash: [u8; 32],
    /// The line on which its row begins, from 1.
    pub(crate) line: u64,
    /// What it is to its import.
    pub(crate) role: Role,
}

/// A row with an id of its source's, of which the ledger may hold another statement, perhaps under another identity.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Restated {
    /// Other identities under which the same row may have been recorded.
    pub(crate) aliases: Vec<String>,
    /// What is recorded in its place where the ledger holds another content: the row, kept aside.
    pub(crate) aside: Draft,
}

/// A row that takes back what the ledger may hold under its identity.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Withdrawn {
    /// The identity, without a revision.
    pub(crate) identity: String,
    /// The hash of what the row says.
    pub(crate) content_hash: [u8; 32],
    /// Other identities, and what is recorded where the ledger holds what the row takes back.
    pub(crate) restated: Option<Restated>,
}

/// What a file says.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Parsed {
    /// The events: references before the entries that need them, entries oldest first.
    pub(crate) drafts: Vec<Draft>,
    /// Rows of data that were read.
    pub(crate) rows: u64,
    /// What the reader should know.
    pub(crate) warnings: Vec<Warning>,
    /// Rows kept aside.
    pub(crate) quarantined: u64,
    /// What is known of rows whose source may restate them, by identity.
    pub(crate) restated: BTreeMap<String, Restated>,
    /// Rows that take back others.
    pub(crate) withdrawn: Vec<Withdrawn>,
}

/// A format that `import` may be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// The generic CSV.
    Csv,
    /// Charles Schwab's transactions.
    Schwab,
    /// Prices.
    Prices,
    /// Robinhood's account activity.
    Robinhood,
    /// Interactive Brokers' statements.
    Ibkr,
    /// Alpaca's activities.
    Alpaca,
}

impl Format {
    /// Every format that has a name.
    pub(crate) const ALL: &'static [Self] =
        &[Self::Csv, Self::Schwab, Self::Prices, Self::Robinhood, Self::Ibkr, Self::Alpaca];

    /// The name, as the command has it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Schwab => "schwab",
            Self::Prices => "prices",
            Self::Robinhood => "robinhood",
            Self::Ibkr => "ibkr",
            Self::Alpaca => "alpaca",
        }
    }

    /// The version of the importer, which grows when it reads a file otherwise than before.
    #[must_use]
    pub(crate) const fn importer_version(self) -> u16 {
        1
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|format| format.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|format| format.name()).collect();
            let meant = nearest::of(text, &names).map(|name| format!(" (did you mean `{name}`?)"));
            format!(
                "`{text}` is not a format{}: write one of {}",
                meant.unwrap_or_default(),
                names.join(", ")
            )
        })
    }
}

/// Reads a file of transactions. `progress` is told the bytes read so far.
///
/// # Errors
/// Every fault that was found, up to [`faults::FAULTS_MAX`]; nothing of the file may be appended then. Formats of
/// brokers keep single rows aside instead and fail only when the file as a whole cannot be read.
pub(crate) fn read(
    format: Format,
    file_name: &str,
    input: impl Read,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    if !context.keys().contains(portfolio.key) {
        let text = format!(
            "the key {} is not in the key file, so nothing of its owner can be sealed",
            portfolio.key
        );
        return Err(vec![Fault::of_file(file_name, text)]);
    }
    match format {
        Format::Csv => csv::read(file_name, input, portfolio, context, progress),
        Format::Schwab => schwab::read(file_name, input, portfolio, context, progress),
        Format::Prices => {
            Err(vec![Fault::of_file(file_name, "prices belong to no portfolio: use `import prices`")])
        }
        Format::Alpaca => alpaca::read(file_name, input, portfolio, context, progress),
        Format::Robinhood => robinhood::read(file_name, input, portfolio, context, progress),
        Format::Ibkr => {
            let text = format!(
                "files of the format `{format}` cannot be read yet: write the rows as generic CSV and import `csv`"
            );
            Err(vec![Fault::of_file(file_name, text)])
        }
    }
}

#[cfg(test)]
pub(crate) mod ledger_in_memory;
