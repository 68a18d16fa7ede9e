//! What a feed is asked for: what is held, what is followed, and what the feed itself is told to price.

use super::feed::Market;
use crate::importers::symbols::{self, Symbol};
use crate::journal::{Journal, JournalError, Moment};
use crate::sync::instruments::{SymbolError, known_symbol};
use daybook_projections::Resolution;
use daybook_schemas::events::IdentifierScheme;
use daybook_schemas::{Currency, Day, InstrumentId, PortfolioId};
use std::collections::{BTreeMap, BTreeSet};

/// What a symbol's prices are prices of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Subject {
    /// An instrument, and the currency it is listed in.
    Instrument(InstrumentId, Currency),
    /// A currency in another.
    Pair(Currency, Currency),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instrument(id, _) => id.fmt(f),
            Self::Pair(base, quote) => write!(f, "{base}{quote}"),
        }
    }
}

/// Something that feeds are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// The symbol as it is known here.
    pub(super) symbol: Symbol,
    /// Where it is priced.
    pub(super) market: Market,
    /// What it is; none if nobody listed it yet.
    pub(super) subject: Option<Subject>,
}

/// What is to be asked for, by symbol, and what cannot be, with the reason.
#[derive(Clone, Default, Debug)]
pub(super) struct Wanted {
    pub(super) targets: BTreeMap<String, Target>,
    pub(super) refused: BTreeMap<String, String>,
}

/// The instruments that some portfolio holds now.
pub(super) fn held(journal: &Journal) -> Result<BTreeSet<InstrumentId>, JournalError> {
    let portfolios: Vec<PortfolioId> =
        journal.library()?.directory.list().map(|portfolio| portfolio.id).collect();
    let mut held = BTreeSet::new();
    for id in portfolios {
        journal.portfolio(id, &Moment::default(), |view| {
            held.extend(view.holdings().map(|(_, instrument, _)| instrument));
            Ok(())
        })?;
    }
    Ok(held)
}

/// What is wanted of symbols and of instruments.
pub(super) fn wanted(
    journal: &Journal,
    names: &[String],
    instruments: &BTreeSet<InstrumentId>,
    today: Day,
) -> Result<Wanted, JournalError> {
    let library = journal.library()?;
    let mut wanted = Wanted::default();
    for id in instruments {
        let id = library.instruments.canonical(*id);
        let Some(instrument) = library.instruments.get(id) else { continue };
        if instrument.delisted.as_ref().is_some_and(|delisted| delisted.on < today) {
            continue;
        }
        let name = library.instruments.symbol(id, Some(today));
        let Some(Ok(symbol)) = name.or_else(|| library.instruments.symbol(id, None)).map(symbols::read)
        else {
            continue;
        };
        // Options and what is traded between two parties alone are priced by no feed.
        let Some(market) = Market::of(&symbol, Some(&instrument.class)) else { continue };
        let subject = Some(Subject::Instrument(id, instrument.currency));
        wanted.targets.insert(symbol.text.clone(), Target { symbol, market, subject });
    }
    for name in names {
        let symbol = match symbols::read(name) {
            Ok(symbol) => symbol,
            Err(text) => {
                wanted.refused.insert(name.clone(), text);
                continue;
            }
        };
        if wanted.targets.contains_key(&symbol.text) {
            continue;
        }
        if !matches!(symbol.form, symbols::Form::Pair { .. }) {
            match known_symbol(journal, &library, &symbol.text, true) {
                Ok(_) => {}
                Err(SymbolError::Unknown(unknown)) => {
                    wanted.refused.insert(symbol.text.clone(), unknown.to_string());
                    continue;
                }
                Err(SymbolError::Journal(error)) => return Err(error),
            }
        }
        let mut class = None;
        let subject = if let symbols::Form::Pair { base, quote } = symbol.form {
            Some(Subject::Pair(base, quote))
        } else {
            let scheme = IdentifierScheme::Symbol;
            match library.instruments.resolve(&scheme, &symbol.text, Some(today), None, None) {
                Resolution::One(id) => library.instruments.get(id).map(|instrument| {
                    class = Some(instrument.class.clone());
                    Subject::Instrument(id, instrument.currency)
                }),
                Resolution::Ambiguous(ids) => {
                    let text = format!(
                        "it names {} instruments: hold it, or follow another listing of it",
                        ids.len()
                    );
                    wanted.refused.insert(symbol.text.clone(), text);
                    continue;
                }
                Resolution::Unknown => None,
            }
        };
        match Market::of(&symbol, class.as_ref()) {
            Some(market) => {
                wanted.targets.insert(symbol.text.clone(), Target { symbol, market, subject });
            }
            None => {
                let text = "no feed prices what it is".to_owned();
                wanted.refused.insert(symbol.text.clone(), text);
            }
        }
    }
    Ok(wanted)
}
