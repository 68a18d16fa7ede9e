//! By which fills a recommendation was carried out.

use crate::journal::{Journal, JournalError, Moment, decode};
use daybook_projections::{AdviceStep, Recommendation};
use daybook_schemas::events::TradeExecuted;
use daybook_schemas::{Event, EventType, Timestamp};

impl Journal {
    /// The fills that carried a recommendation out: those that are named, if each is one of its portfolio and of its
    /// trades; without names, those since it was accepted that match its trades, of which each must have one.
    pub(super) fn fills_of(&self, advice: &Recommendation, named: &[u64]) -> Result<Vec<u64>, JournalError> {
        if advice.trades.is_empty() {
            return Err(JournalError::Conflict {
                detail: "it recommends no trade, so that there is nothing to carry out".to_owned(),
                sequence: Some(advice.issued.sequence),
            });
        }
        let accepted = advice
            .steps
            .iter()
            .find(|(_, step)| *step == AdviceStep::Accepted)
            .map_or(advice.issued.occurred_at, |(meta, _)| meta.occurred_at);
        let since = if named.is_empty() { accepted } else { advice.issued.occurred_at };
        let fills = self.trades_since(advice, since)?;
        if named.is_empty() {
            let lacking = advice.trades.iter().position(|trade| {
                !fills.iter().any(|(_, fill)| carries_out(advice, fill) && matches(trade, fill))
            });
            if let Some(at) = lacking {
                let detail = format!(
                    "no fill since it was accepted matches trades[{at}]: name the fills, or wait for them"
                );
                return Err(JournalError::field("fills", detail));
            }
            let all = fills.iter().filter(|(_, fill)| carries_out(advice, fill));
            return Ok(all.map(|(sequence, _)| *sequence).collect());
        }
        for (at, sequence) in named.iter().enumerate() {
            let fits = fills.iter().any(|(known, fill)| known == sequence && carries_out(advice, fill));
            if !fits || named[..at].contains(sequence) {
                let detail = format!(
                    "event {sequence} is no trade of the portfolio since the recommendation in an instrument and on a side that it names, or is named twice"
                );
                return Err(JournalError::field(&format!("fills[{at}]"), detail));
            }
        }
        Ok(named.to_vec())
    }

    /// The trades of its portfolio that count and occurred since an instant.
    fn trades_since(
        &self,
        advice: &Recommendation,
        since: Timestamp,
    ) -> Result<Vec<(u64, TradeExecuted)>, JournalError> {
        let sequences: Vec<u64> = self.portfolio(advice.portfolio, &Moment::default(), |view| {
            // A fill on a day alone occurs at its end; one at an instant says it.
            let first = since.day_in(view.portfolio.zone);
            Ok(view
                .entries()
                .into_iter()
                .filter(|row| row.event_type == EventType::TradeExecuted && row.trade_date >= first)
                .filter(|row| row.meta.occurred_at >= since)
                .map(|row| row.meta.sequence)
                .collect())
        })?;
        let mut fills = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            if let Event::TradeExecuted(fill) = decode(&self.event(sequence)?.view())? {
                fills.push((sequence, fill));
            }
        }
        Ok(fills)
    }
}

fn matches(trade: &daybook_schemas::events::ProposedTrade, fill: &TradeExecuted) -> bool {
    trade.instrument == fill.instrument && trade.side == fill.side
}

/// Whether a fill is one of the recommended trades, and not said to be another recommendation's.
fn carries_out(advice: &Recommendation, fill: &TradeExecuted) -> bool {
    fill.recommendation.is_none_or(|id| id == advice.id)
        && advice.trades.iter().any(|trade| matches(trade, fill))
}
