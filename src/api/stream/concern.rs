//! Whose figures some events may change: told from the names of their streams, without folding anything.

use crate::journal::decode;
use daybook_ledger::Record;
use daybook_schemas::{Event, InstrumentId, PortfolioId, stream};
use std::collections::BTreeSet;

/// What a portfolio holds, as far as it decides whose prices concern it.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The instruments, under each of their ids.
    pub(super) instruments: BTreeSet<InstrumentId>,
    /// Whether any of it is in another currency than the portfolio's own.
    pub(super) foreign: bool,
}

/// What some events are about.
#[derive(Debug, Default)]
pub(super) struct Concerned {
    portfolios: BTreeSet<PortfolioId>,
    instruments: BTreeSet<InstrumentId>,
    /// Whether rates between currencies are among them.
    rates: bool,
    /// Whether any portfolio may be concerned.
    all: bool,
}

impl Concerned {
    /// What these events are about.
    pub(super) fn by(records: &[Record]) -> Self {
        let mut concerned = Self::default();
        for record in records {
            match stream::category(&record.stream) {
                "portfolio" => concerned.portfolios.extend(stream::portfolio_of(&record.stream)),
                "market" | "instrument" => match record.stream.rsplit('-').next().map(str::parse) {
                    Some(Ok(instrument)) => {
                        concerned.instruments.insert(instrument);
                    }
                    _ => concerned.rates = true,
                },
                "import" => concerned.import(record, records),
                _ => {}
            }
        }
        concerned
    }

    /// An import becomes visible, or is taken back.
    fn import(&mut self, record: &Record, records: &[Record]) {
        match decode(&record.view()) {
            Ok(Event::FileImported(file)) => match file.portfolio {
                Some(portfolio) => {
                    self.portfolios.insert(portfolio);
                }
                None => {
                    // Where all that it brought is at hand, each price speaks for itself.
                    let own = Some(*file.import.as_bytes());
                    let is_price =
                        |other: &&Record| other.import == own && stream::category(&other.stream) == "market";
                    self.all |= (records.iter().filter(is_price).count() as u64) < file.events;
                }
            },
            Ok(Event::RecordQuarantined(_)) => {}
            _ => self.all = true,
        }
    }

    /// Whether any of the events may change the figures of a portfolio.
    pub(super) fn touches(&self, portfolio: PortfolioId, held: &Held) -> bool {
        // Of what was recorded and of what is held, the fewer are looked up among the others.
        let of_held = if self.instruments.len() < held.instruments.len() {
            self.instruments.iter().any(|id| held.instruments.contains(id))
        } else {
            held.instruments.iter().any(|id| self.instruments.contains(id))
        };
        of_held || self.all || (self.rates && held.foreign) || self.portfolios.contains(&portfolio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, name: &str) -> Record {
        Record {
            sequence,
            stream: name.into(),
            version: 1,
            type_id: 0,
            schema_version: 1,
            codec: 0,
            occurred_at: 0,
            recorded_at: 0,
            actor: "a".into(),
            source: "s".into(),
            key: None,
            content_hash: [0; 32],
            import: None,
            correlation: None,
            payload: Box::default(),
        }
    }

    #[test]
    fn a_portfolio_is_concerned_by_its_own_events_and_by_prices_of_what_it_holds() {
        let (mine, other) = (PortfolioId::from_bytes([1; 16]), PortfolioId::from_bytes([2; 16]));
        let (held, foreign) = (InstrumentId::from_bytes([3; 16]), InstrumentId::from_bytes([4; 16]));
        let records = [
            record(1, &stream::portfolio(other)),
            record(2, &stream::market("yahoo", foreign)),
            record(3, "access"),
            record(4, "market-yahoo-EURUSD"),
        ];
        let mut holds = Held { instruments: [held].into(), foreign: false };
        assert!(!Concerned::by(&records).touches(mine, &holds));
        assert!(Concerned::by(&records).touches(other, &holds));
        holds.foreign = true;
        assert!(Concerned::by(&records).touches(mine, &holds));
        holds.foreign = false;
        for concerning in [stream::portfolio(mine), stream::market("a-b", held)] {
            assert!(Concerned::by(&[record(5, &concerning)]).touches(mine, &holds), "{concerning}");
        }
        // What cannot be told may concern anybody.
        assert!(Concerned::by(&[record(7, "import-x")]).touches(mine, &Held::default()));
    }
}
