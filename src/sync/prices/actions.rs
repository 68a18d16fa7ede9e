//! Corporate actions as feeds announce them, held against those that brokers posted. What one of them lacks is a break,
//! found once and resolved when it appears. No position moves by it.

use crate::journal::{Author, Draft, Journal, JournalError, Moment, Terms, decode};
use daybook_ledger::Direction;
use daybook_projections::{AnnouncedDividend, AnnouncedSplit, AsOf, PriceSource};
use daybook_schemas::events::{BreakSubject, ReconciliationBreakFound, ReconciliationBreakResolved};
use daybook_schemas::{
    AccountId, Day, Event, EventType, InstrumentId, PortfolioId, Quantity, Ratio, Timestamp, decimal, stream,
};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// So many days back both sides are compared.
const BACK_DAYS: i32 = 120;
/// A broker may post a split so many days away from when a feed dates it.
const SPLIT_DAYS: u32 = 7;
/// A split is missed so many days after it took effect.
const SPLIT_MISSED_DAYS: i32 = 3;
/// A dividend whose day of payment nobody said is paid within so many days.
const PAID_DAYS: i32 = 60;
/// A dividend is missed so many days after its payment.
const DIVIDEND_MISSED_DAYS: i32 = 7;
/// Places of a ratio where it is told as one number.
const RATIO_SCALE: u32 = 12;

/// What one side has and the other lacks, or has otherwise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Difference {
    account: AccountId,
    instrument: InstrumentId,
    /// Which action: `split 2024-06-10`, `dividend 2024-05-10`.
    action: String,
    ours: Option<Decimal>,
    theirs: Option<Decimal>,
}

/// What the comparison came to.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Checked {
    /// Breaks that were found now.
    pub(crate) found: u64,
    /// Breaks that were resolved now.
    pub(crate) resolved: u64,
    /// What differs, in words.
    pub(crate) open: Vec<String>,
}

/// What a broker posted.
struct Posted {
    account: AccountId,
    instrument: InstrumentId,
    day: Day,
    what: PostedWhat,
}

enum PostedWhat {
    Split(Option<Ratio>),
    Dividend { per_unit: Option<Decimal>, amount: Decimal, ex_date: Option<Day> },
}

/// Compares what was announced with what was posted, and records what became of the differences. `feeds` are those that
/// announce all actions of what they price.
///
/// # Errors
/// Those of the journal.
pub(super) fn check(
    journal: &Journal,
    author: &Author,
    feeds: &[String],
    now: Timestamp,
    today: Day,
) -> Result<Checked, JournalError> {
    let portfolios: Vec<(PortfolioId, Vec<AccountId>)> = journal
        .library()?
        .directory
        .list()
        .map(|portfolio| (portfolio.id, portfolio.accounts.keys().copied().collect()))
        .collect();
    let mut checked = Checked::default();
    for (portfolio, accounts) in portfolios {
        let differences = Comparison { journal, portfolio, feeds, today }.differences()?;
        let mut drafts = Vec::new();
        for account in accounts {
            let now_open: Vec<&Difference> =
                differences.iter().filter(|difference| difference.account == account).collect();
            let open = breaks_of(journal, account)?;
            settle(account, &open, &now_open, now, &mut drafts, &mut checked);
        }
        if !drafts.is_empty() {
            journal.record(author, drafts, Terms::default())?;
        }
        for difference in &differences {
            checked.open.push(in_words(journal, difference)?);
        }
    }
    Ok(checked)
}

struct Comparison<'j> {
    journal: &'j Journal,
    portfolio: PortfolioId,
    feeds: &'j [String],
    today: Day,
}

impl Comparison<'_> {
    fn differences(&self) -> Result<BTreeSet<Difference>, JournalError> {
        let first = self.today.plus_days(-BACK_DAYS);
        let (sequences, instruments) =
            self.journal.portfolio(self.portfolio, &Moment::default(), |view| {
                let sequences: Vec<u64> = view
                    .entries()
                    .iter()
                    .filter(|entry| {
                        entry.trade_date >= first
                            && matches!(entry.event_type, EventType::SplitApplied | EventType::DividendPosted)
                    })
                    .map(|entry| entry.meta.sequence)
                    .collect();
                let instruments: BTreeSet<InstrumentId> = view
                    .trips()
                    .filter(|trip| trip.closed_on.is_none_or(|closed| closed >= first))
                    .map(|trip| trip.instrument)
                    .collect();
                Ok((sequences, instruments))
            })?;
        let posted = self.posted(&sequences)?;
        let mut differences = BTreeSet::new();
        let mut matched = vec![false; posted.len()];
        for instrument in instruments {
            let (splits, dividends) = {
                let library = self.journal.library()?;
                let known = library.applied();
                (
                    library.prices.announced_splits(instrument, known),
                    library.prices.announced_dividends(instrument, known),
                )
            };
            for split in
                splits.iter().filter(|split| first <= split.effective && split.effective <= self.today)
            {
                self.split(instrument, split, &posted, &mut matched, &mut differences)?;
            }
            for dividend in
                dividends.iter().filter(|one| first <= one.effective && one.effective <= self.today)
            {
                self.dividend(instrument, dividend, &posted, &mut matched, &mut differences)?;
            }
        }
        for (posted, _) in posted.iter().zip(&matched).filter(|(_, matched)| !**matched) {
            self.unannounced(posted, first, &mut differences)?;
        }
        Ok(differences)
    }

    fn posted(&self, sequences: &[u64]) -> Result<Vec<Posted>, JournalError> {
        let mut posted = Vec::new();
        for sequence in sequences {
            let record = self.journal.event(*sequence)?;
            match decode(&record.view())? {
                Event::SplitApplied(split) => posted.push(Posted {
                    account: split.entry.account,
                    instrument: split.instrument,
                    day: split.entry.trade_date,
                    what: PostedWhat::Split(split.ratio),
                }),
                Event::DividendPosted(dividend) => {
                    let Some(instrument) = dividend.instrument else { continue };
                    posted.push(Posted {
                        account: dividend.entry.account,
                        instrument,
                        day: dividend.entry.trade_date,
                        what: PostedWhat::Dividend {
                            per_unit: dividend.per_unit.map(daybook_schemas::Price::get),
                            amount: dividend.amount.amount(),
                            ex_date: dividend.ex_date,
                        },
                    });
                }
                _ => {}
            }
        }
        Ok(posted)
    }

    /// The accounts that held an instrument when a day began.
    fn holders(&self, instrument: InstrumentId, day: Day) -> Result<Vec<AccountId>, JournalError> {
        let moment = Moment { as_of: Some(AsOf::Day(day.plus_days(-1))), ..Moment::default() };
        self.journal.portfolio(self.portfolio, &moment, |view| {
            let held = view
                .holdings()
                .filter(|(_, held, holding)| *held == instrument && holding.quantity > Decimal::ZERO);
            Ok(held.map(|(account, ..)| account).collect())
        })
    }

    fn split(
        &self,
        instrument: InstrumentId,
        split: &AnnouncedSplit,
        posted: &[Posted],
        matched: &mut [bool],
        differences: &mut BTreeSet<Difference>,
    ) -> Result<(), JournalError> {
        for account in self.holders(instrument, split.effective)? {
            let mut found = false;
            for (one, matched) in posted.iter().zip(matched.iter_mut()) {
                let PostedWhat::Split(ratio) = &one.what else { continue };
                if one.account == account
                    && one.instrument == instrument
                    && one.day.number().abs_diff(split.effective.number()) <= SPLIT_DAYS
                    && ratio.is_none_or(|ratio| as_number(ratio) == as_number(split.ratio))
                {
                    (found, *matched) = (true, true);
                }
            }
            if !found && self.today > split.effective.plus_days(SPLIT_MISSED_DAYS) {
                differences.insert(Difference {
                    account,
                    instrument,
                    action: format!("split {}", split.effective),
                    ours: None,
                    theirs: as_number(split.ratio),
                });
            }
        }
        Ok(())
    }

    fn dividend(
        &self,
        instrument: InstrumentId,
        dividend: &AnnouncedDividend,
        posted: &[Posted],
        matched: &mut [bool],
        differences: &mut BTreeSet<Difference>,
    ) -> Result<(), JournalError> {
        let paid = dividend.pays.unwrap_or_else(|| dividend.effective.plus_days(PAID_DAYS));
        let last = paid.plus_days(DIVIDEND_MISSED_DAYS);
        for account in self.holders(instrument, dividend.effective)? {
            let difference = |ours: Option<Decimal>| Difference {
                account,
                instrument,
                action: format!("dividend {}", dividend.effective),
                ours,
                theirs: Some(dividend.cash.amount()),
            };
            let mut found = false;
            for (one, matched) in posted.iter().zip(matched.iter_mut()) {
                let PostedWhat::Dividend { per_unit, ex_date, .. } = &one.what else { continue };
                let in_time = match ex_date {
                    Some(ex_date) => ex_date.number().abs_diff(dividend.effective.number()) <= 1,
                    None => dividend.effective <= one.day && one.day <= last,
                };
                if found || *matched || one.account != account || one.instrument != instrument || !in_time {
                    continue;
                }
                (found, *matched) = (true, true);
                // Brokers tell the cash of one unit with fewer digits.
                let told = |per_unit: &Decimal| decimal::round(dividend.cash.amount(), per_unit.scale());
                if let Some(per_unit) = per_unit.filter(|per_unit| told(per_unit) != *per_unit) {
                    differences.insert(difference(Some(per_unit)));
                }
            }
            if !found && self.today > last {
                differences.insert(difference(None));
            }
        }
        Ok(())
    }

    /// What a broker posted and no feed announced that has prices of the instrument since.
    fn unannounced(
        &self,
        posted: &Posted,
        first: Day,
        differences: &mut BTreeSet<Difference>,
    ) -> Result<(), JournalError> {
        let (name, ours, missed) = match &posted.what {
            PostedWhat::Split(ratio) => ("split", ratio.and_then(as_number), SPLIT_MISSED_DAYS),
            // What is paid now may have been announced before the days that are compared.
            PostedWhat::Dividend { .. } if posted.day < first.plus_days(PAID_DAYS) => return Ok(()),
            PostedWhat::Dividend { per_unit, amount, .. } => {
                ("dividend", per_unit.or(Some(*amount)), DIVIDEND_MISSED_DAYS)
            }
        };
        if self.today <= posted.day.plus_days(missed) {
            return Ok(());
        }
        let library = self.journal.library()?;
        let mut bars = library.prices.bars(posted.instrument, Some(posted.day), None, library.applied());
        let mut before =
            library.prices.bars(posted.instrument, None, Some(posted.day.plus_days(-1)), library.applied());
        let of_feeds = |feed: &str| self.feeds.iter().any(|known| known == feed);
        bars.retain(|bar| of_feeds(&bar.feed));
        before.retain(|bar| of_feeds(&bar.feed));
        if !bars.is_empty() && !before.is_empty() {
            differences.insert(Difference {
                account: posted.account,
                instrument: posted.instrument,
                action: format!("{name} {}", posted.day),
                ours,
                theirs: None,
            });
        }
        Ok(())
    }
}

/// A ratio as one number.
fn as_number(ratio: Ratio) -> Option<Decimal> {
    decimal::divide(ratio.numerator(), ratio.denominator(), RATIO_SCALE).ok()
}

fn stream_of(account: AccountId) -> String {
    stream::sync("prices", &account.to_string())
}

/// Breaks by instrument and action: the sequence that found it, while it is open, and how often it was found.
type Breaks = BTreeMap<(InstrumentId, String), (Option<u64>, u32)>;

/// The breaks that were ever found of an account.
fn breaks_of(journal: &Journal, account: AccountId) -> Result<Breaks, JournalError> {
    let mut breaks = Breaks::new();
    let mut fault = None;
    let name = stream_of(account);
    journal.ledger().scan_stream(&name, 1, usize::MAX, Direction::Forward, &mut |record| {
        match decode(record) {
            Ok(Event::ReconciliationBreakFound(found)) => {
                if let (Some(instrument), Some(action)) = (found.instrument, found.external_id) {
                    let one = breaks.entry((instrument, action.into_string())).or_default();
                    *one = (Some(record.sequence), one.1 + 1);
                }
            }
            Ok(Event::ReconciliationBreakResolved(resolved)) => {
                for one in breaks.values_mut().filter(|one| one.0 == Some(resolved.found)) {
                    one.0 = None;
                }
            }
            Ok(_) => {}
            Err(error) => {
                fault = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    fault.map_or(Ok(breaks), Err)
}

/// What is to be recorded so that exactly these differences are open.
fn settle(
    account: AccountId,
    known: &Breaks,
    now_open: &[&Difference],
    now: Timestamp,
    drafts: &mut Vec<Draft>,
    checked: &mut Checked,
) {
    for ((instrument, action), (open, _)) in known {
        let still = now_open.iter().any(|one| one.instrument == *instrument && one.action == *action);
        if let Some(found) = open
            && !still
        {
            let resolved = ReconciliationBreakResolved {
                found: *found,
                explanation: Some("both sides have it by now".into()),
            };
            let mut draft = Draft::new(stream_of(account), now, resolved);
            draft.key = Some(format!("settled:{found}#0"));
            drafts.push(draft);
            checked.resolved += 1;
        }
    }
    for difference in now_open {
        let before = known.get(&(difference.instrument, difference.action.clone())).copied();
        let (open, times) = before.unwrap_or_default();
        if open.is_some() {
            continue;
        }
        let found = ReconciliationBreakFound {
            account,
            subject: BreakSubject::CorporateAction,
            instrument: Some(difference.instrument),
            currency: None,
            external_id: Some(difference.action.as_str().into()),
            ours: difference.ours.map(Quantity::new),
            theirs: difference.theirs.map(Quantity::new),
            as_of: now,
        };
        let key = format!("break:{account}:{}:{}#{times}", difference.instrument, difference.action);
        let mut draft = Draft::new(stream_of(account), now, found);
        draft.key = Some(key);
        drafts.push(draft);
        checked.found += 1;
    }
}

/// A difference in words.
fn in_words(journal: &Journal, difference: &Difference) -> Result<String, JournalError> {
    let library = journal.library()?;
    let symbol = library.instruments.symbol(difference.instrument, None);
    let symbol = symbol.map_or_else(|| difference.instrument.to_string(), str::to_owned);
    let (kind, day) = difference.action.split_once(' ').unwrap_or((&difference.action, ""));
    let account = difference.account;
    Ok(match (difference.ours, difference.theirs) {
        (None, Some(theirs)) => format!(
            "{symbol}: a {kind} of {theirs} was announced for {day} and is not recorded in account {account}"
        ),
        (Some(ours), None) => format!(
            "{symbol}: a {kind} of {ours} is recorded in account {account} on {day} and was not announced"
        ),
        (Some(ours), Some(theirs)) => format!(
            "{symbol}: a {kind} of {theirs} was announced for {day} and {ours} is recorded in account {account}"
        ),
        (None, None) => {
            format!("{symbol}: a {kind} is recorded in account {account} on {day} and was not announced")
        }
    })
}
