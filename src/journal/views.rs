//! Reading: what a portfolio was, at a moment in the world and a moment of knowledge.

use super::heads::Basis;
use super::market::{Asked, Market};
use super::{Journal, JournalError};
use daybook_projections::{
    AsOf, Book, EntryRow, Holding, ImportState, Library, PortfolioEntry, Position, Series, State, Summary,
    Trip, View, equity_series, positions, summary,
};
use daybook_schemas::{AccountId, Day, InstrumentId, KeyRing, PortfolioId, TimeError, Timestamp, Zone};
use serde_json::{Value, json};
use std::borrow::Cow;

/// What a reader asks for on the two clocks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    /// Only what had occurred by then; today, if not said.
    pub(crate) as_of: Option<AsOf>,
    /// Only what had been recorded by then.
    pub(crate) known_at: Option<Timestamp>,
    /// Only what had been recorded up to this sequence.
    pub(crate) at_sequence: Option<u64>,
}

impl Moment {
    /// Reads what a person or a program wrote. A date means the end of that day: for `as_of` in the portfolio's zone,
    /// for `known_at` in UTC.
    pub(crate) fn parse(
        as_of: Option<&str>,
        known_at: Option<&str>,
        at_sequence: Option<u64>,
    ) -> Result<Self, JournalError> {
        if known_at.is_some() && at_sequence.is_some() {
            return Err(JournalError::field("at_sequence", "say either known_at or at_sequence, not both"));
        }
        Ok(Self {
            as_of: as_of.map(|text| day_or_instant("as_of", text)).transpose()?,
            known_at: known_at.map(|text| instant("known_at", text)).transpose()?,
            at_sequence,
        })
    }
}

fn day_or_instant(field: &str, text: &str) -> Result<AsOf, JournalError> {
    match (Day::parse(text), Timestamp::parse(text)) {
        (Ok(day), _) => Ok(AsOf::Day(day)),
        (_, Ok(instant)) => Ok(AsOf::Instant(instant)),
        (Err(error @ TimeError::OutOfRange(_)), _) | (_, Err(error)) => {
            Err(JournalError::field(field, error.to_string()))
        }
    }
}

/// Reads an instant; a date means the end of that day in UTC.
pub(crate) fn instant(field: &str, text: &str) -> Result<Timestamp, JournalError> {
    day_or_instant(field, text).map(|moment| moment.instant(Zone::UTC))
}

/// A portfolio, seen from a moment.
pub(crate) struct PortfolioView<'a> {
    /// What is known across portfolios.
    pub(crate) library: &'a Library,
    /// The portfolio as the directory lists it.
    pub(crate) portfolio: &'a PortfolioEntry,
    /// Its entries.
    pub(crate) book: &'a Book,
    /// From where it is seen.
    pub(crate) view: View,
    /// What its entries left behind by then.
    pub(crate) state: Cow<'a, State>,
    /// The keys under which names are sealed.
    pub(crate) keys: &'a KeyRing,
    pub(super) market: Market<'a>,
}

impl Journal {
    /// The highest sequence that a moment knows of.
    pub(crate) fn known(&self, moment: &Moment) -> Result<u64, JournalError> {
        let head = self.library()?.applied();
        if let Some(sequence) = moment.at_sequence {
            if sequence > head {
                return Err(JournalError::Unreachable(format!(
                    "sequence {sequence} is not recorded yet: the last one is {head}"
                )));
            }
            return Ok(sequence);
        }
        Ok(moment
            .known_at
            .map(|instant| self.sequence_at(instant))
            .transpose()?
            .map_or(head, |known| known.min(head)))
    }

    /// Shows a portfolio as it was at a moment.
    pub(crate) fn portfolio<T>(
        &self,
        id: PortfolioId,
        moment: &Moment,
        visit: impl FnOnce(&PortfolioView<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let fixed = moment.known_at.is_some() || moment.at_sequence.is_some();
        let fixed = if fixed { Some(self.known(moment)?) } else { None };
        let missing = || JournalError::not_found("portfolio", id);
        let zone = {
            let library = self.library()?;
            let known = fixed.unwrap_or_else(|| library.applied());
            let portfolio = library.directory.get(id).filter(|portfolio| portfolio.opened <= known);
            portfolio.filter(|_| super::scope::reaches(id)).ok_or_else(missing)?.zone
        };
        let as_of = moment.as_of.unwrap_or_else(|| AsOf::Day(super::now().day_in(zone)));
        self.with_book(id, |current| {
            let view = View { as_of, known: fixed.unwrap_or(current.reaches) };
            // Neither is the library held while a state of the past is folded.
            let state = current.book.state_at(&view, &current.imports);
            let library = self.library_as_it_is();
            let keys = self.keys();
            visit(&PortfolioView {
                library: &library,
                portfolio: library.directory.get(id).ok_or_else(missing)?,
                book: current.book,
                view,
                state,
                keys: &keys,
                market: Market { library: &library, ledger: Some(self.ledger()) },
            })
        })
    }

    /// The portfolios, as they are listed.
    pub(crate) fn portfolio_list(&self) -> Result<Vec<Value>, JournalError> {
        let library = self.library()?;
        let keys = self.keys();
        Ok(library
            .directory
            .list()
            .map(|portfolio| {
                json!({
                    "id": portfolio.id,
                    "name": portfolio.name.open(&keys).ok(),
                    "currency": portfolio.base_currency,
                    "zone": portfolio.zone,
                    "calendar": portfolio.calendar,
                    "lots": portfolio.lot_method,
                    "opened_at": portfolio.opened_at,
                })
            })
            .collect())
    }

    /// The imports, as they are listed, those that were interrupted among them.
    pub(crate) fn import_list(&self) -> Result<Vec<Value>, JournalError> {
        let library = self.library()?;
        let keys = self.keys();
        let known = library.applied();
        let mut imports: Vec<_> = library.imports.list().collect();
        imports.sort_by_key(|import| import.first_sequence);
        Ok(imports
            .into_iter()
            .map(|import| {
                let state = match import.state(known) {
                    ImportState::Visible => "visible",
                    ImportState::Pending => "interrupted",
                    ImportState::Reverted => "reverted",
                };
                let file = import.file.as_ref();
                json!({
                    "id": import.id,
                    "format": file.map(|file| &file.format),
                    "file": file.and_then(|file| file.file_name.as_ref()).and_then(|name| name.open(&keys).ok()),
                    "file_hash": file.map(|file| file.file_hash),
                    "portfolio": file.and_then(|file| file.portfolio),
                    "rows": file.map(|file| file.rows),
                    "events": file.map_or(import.events, |file| file.events),
                    "known": file.map(|file| file.known),
                    "quarantined": file.map_or(0, |file| file.quarantined),
                    "warnings": file.map(|file| file.warnings.iter().filter_map(|words| words.read(&keys)).collect::<Vec<_>>()),
                    "recorded_at": import.imported_at,
                    "state": state,
                })
            })
            .collect())
    }
}

impl<'a> PortfolioView<'a> {
    /// The portfolio's name; absent where its key is not at hand.
    pub(crate) fn name(&self) -> Option<String> {
        self.portfolio.name.open(self.keys).ok()
    }

    /// The summary of figures.
    pub(crate) fn summary(&self) -> Summary {
        summary(&self.state, &self.market, &self.library.instruments, self.view.as_of, self.view.known)
    }

    /// The summary of figures, and what it depends on, where it is the present that is seen.
    pub(crate) fn summary_with_basis(&self) -> (Summary, Basis) {
        let asked = Asked::new(&self.market);
        let summary =
            summary(&self.state, &asked, &self.library.instruments, self.view.as_of, self.view.known);
        let zone = self.portfolio.zone;
        let day = self.view.as_of.day(zone);
        let before = Day::from_number(day.number() - 1);
        let basis = Basis {
            reflects: self.view.known,
            day: (before.end_in(zone), day.end_in(zone)),
            priced: asked.into_instruments(),
        };
        (summary, basis)
    }

    /// The open positions.
    pub(crate) fn positions(&self) -> Vec<Position> {
        positions(&self.state, &self.market, &self.library.instruments, self.view.as_of, self.view.known)
    }

    /// What is held, lot by lot.
    pub(crate) fn holdings(&self) -> impl Iterator<Item = (AccountId, InstrumentId, &Holding)> {
        self.state.open_holdings()
    }

    /// Round trips, closed ones first.
    pub(crate) fn trips(&self) -> impl Iterator<Item = &Trip> {
        self.state.trips()
    }

    /// The entries that count, in fold order.
    pub(crate) fn entries(&self) -> Vec<EntryRow> {
        self.book.entries(&self.view, &self.library.imports)
    }

    /// The daily series of equity, net flow, return and drawdown.
    pub(crate) fn equity(&self, from: Option<Day>, to: Option<Day>) -> Series {
        equity_series(
            self.book,
            &self.market,
            &self.library.instruments,
            &self.library.imports,
            &self.view,
            from,
            to,
        )
    }

    /// The symbol under which an instrument is known on the day of the view.
    pub(crate) fn symbol(&self, instrument: InstrumentId) -> Option<&str> {
        let day = self.view.as_of.day(self.portfolio.zone);
        let symbol = self.library.instruments.symbol(instrument, Some(day));
        symbol.or_else(|| self.library.instruments.symbol(instrument, None))
    }

    /// What the owner calls an account; its id, where the key was erased.
    pub(crate) fn account_name(&self, account: AccountId) -> String {
        let linked = self.portfolio.accounts.get(&account).map(|account| &account.linked.name);
        linked.and_then(|name| name.open(self.keys).ok()).unwrap_or_else(|| account.to_string())
    }
}
