//! What the advisors recommend, what the rules say of it that evening, and what becomes of it.
//!
//! A recommendation is made after the close, on the portfolio as it then is, and carried out on the next weekday. What
//! the rules say is computed by the projections from what the ledger holds at that moment.

use super::account::{Account, Terms, UNIT, price, quantity, worth};
use super::cast::{APPROVER, Style};
use super::known::Known;
use super::market::{SECURITIES, place};
use super::people::lead;
use super::{fraction_of_parts, usd};
use daybook_projections::At;
use daybook_projections::firm_views::InForce;
use daybook_projections::suitability::{Allocation, Line, PlannedTrade, Risk, Size, overall, portfolio_risk};
use daybook_schemas::events::{
    DeclineReason, Mandate, OverrideApproved, OverrideRefused, OverrideRequested, ProposedTrade,
    RecommendationAccepted, RecommendationDeclined, RecommendationExecuted, RecommendationExpired,
    RecommendationIssued, RecommendationWithdrawn, Reference, RuleFinding, Side, Verdict,
};
use daybook_schemas::{Currency, Event, RecommendationId, Timestamp, Zone, decimal, stream};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// A trade that an advisor thinks of.
#[derive(Clone)]
pub(super) struct Idea {
    pub(super) security: usize,
    pub(super) side: Side,
    /// Parts.
    pub(super) parts: i64,
    /// The recommendation that it replaces.
    pub(super) replaces: Option<RecommendationId>,
    pub(super) fate: Fate,
}

/// What becomes of a recommendation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Chance decides.
    Drawn,
    /// Nobody has answered yet.
    Open,
    /// The client accepts in the evening.
    Accepted,
    /// The rules hold it back, and nobody asks for an exception.
    Blocked,
    /// The rules hold it back, and nobody has decided on the exception yet.
    Awaiting,
}

/// What must be there to be seen on the last days: the portfolio, weekdays before the last one, and what becomes of it.
const STANDING: [(&str, usize, Fate); 7] = [
    ("Ann's shares", 0, Fate::Open),
    ("Shares and euros", 0, Fate::Open),
    ("From her brother", 2, Fate::Open),
    ("Shares", 0, Fate::Accepted),
    ("Growth", 3, Fate::Blocked),
    ("Shares and euros", 1, Fate::Awaiting),
    ("Growth", 11, Fate::Awaiting),
];

/// Days after which an answer is not waited for any longer.
const EXPIRES_AFTER_DAYS: i32 = 7;
/// Days after which what is held back is not waited for any longer.
const HELD_BACK_DAYS: i32 = 30;

/// Carries out what was accepted since yesterday.
pub(super) fn morning(account: &mut Account<'_>, day: usize) {
    for (place, (recommendation, idea)) in (0..).zip(std::mem::take(&mut account.accepted)) {
        // Before whatever else is traded that day, which counts on the cash that these leave.
        let minutes = 2 + place * 4 + account.draw.below(3);
        let at = account.at(day, minutes);
        let price_cents = account.price_within(idea.security, day);
        let parts = match idea.side {
            Side::Buy => idea.parts.min(account.affordable(account.cash, price_cents)),
            _ => idea.parts.min(account.held(idea.security)),
        };
        if parts <= 0 {
            continue;
        }
        let terms = Terms { recommendation: Some(recommendation), ..Terms::default() };
        let key = account.trade((day, at), idea.security, &idea.side, parts, price_cents, &terms);
        let at = account.day(day).at_in(16, 45, Zone::NEW_YORK);
        let fills = vec![Reference::Key(key.into())];
        account.log.note(
            stream::advice(recommendation),
            at,
            RecommendationExecuted { recommendation, fills },
        );
    }
}

/// Recommends what was thought of during the day, if the ledger knows the portfolio as it is.
pub(super) fn evening(account: &mut Account<'_>, day: usize) {
    if account.plan.mandate != Mandate::Advisory || day <= account.first_day() {
        return;
    }
    let last = account.market.days.len() - 1;
    let standing = STANDING
        .iter()
        .find(|(name, before, _)| *name == account.plan.name && last - before == day)
        .and_then(|(.., fate)| stand(account, day, *fate));
    let quarterly = || {
        let inherited = matches!(account.plan.style, Style::Income { picks: [], .. });
        (inherited && account.market.ends_quarter(day)).then(|| largest(account, day, Fate::Drawn)).flatten()
    };
    let idea = standing.or_else(quarterly).or_else(|| account.idea.take());
    account.idea = None;
    let Some(idea) = idea else { return };
    if idea.parts > 0 && account.unsettled_until.is_none_or(|until| day > until) {
        recommend(account, day, &idea);
    }
}

/// To sell a part of the largest holding.
fn largest(account: &Account<'_>, day: usize, fate: Fate) -> Option<Idea> {
    let value = |(security, parts): (&usize, &i64)| {
        (worth(*parts, account.bar(*security, day).close), *security, *parts)
    };
    let (_, security, parts) = account.holdings.iter().map(value).max()?;
    let parts = parts / 5 / UNIT * UNIT;
    Some(Idea { security, side: Side::Sell, parts, replaces: None, fate })
}

fn stand(account: &Account<'_>, day: usize, fate: Fate) -> Option<Idea> {
    match fate {
        Fate::Open | Fate::Accepted | Fate::Drawn => largest(account, day, fate),
        Fate::Blocked | Fate::Awaiting => {
            // More than a portfolio may hold of one instrument, and more than it can pay for.
            let security = place("KELD");
            let parts = account.equity(day) * 45 / 100 / account.bar(security, day).close * UNIT;
            Some(Idea { security, side: Side::Buy, parts, replaces: None, fate })
        }
    }
}

/// The portfolio as the ledger knows it at the moment.
fn allocation(account: &Account<'_>, day: usize, at: Timestamp, known: u64) -> Allocation {
    let line = |(security, parts): (&usize, &i64)| {
        let instrument = account.names.instrument(*security);
        let units = fraction_of_parts(*parts);
        let close = price(account.bar(*security, day).close).get();
        let line = Line {
            instrument,
            symbol: SECURITIES[*security].symbol.to_owned(),
            currency: Currency::USD,
            quantity: Some(units),
            price: Some(close),
            multiplier: Decimal::ONE,
            value: decimal::multiply(units, close).map_err(|error| error.to_string()),
        };
        (instrument, line)
    };
    let mut cash = BTreeMap::from([(Currency::USD, Decimal::new(account.cash, 2).normalize())]);
    if account.euro_cents != 0 {
        let rates = rates(account.known, at, known);
        let euros = Decimal::new(account.euro_cents, 2).normalize();
        if let Some(value) = rates(super::euro()).and_then(|rate| decimal::multiply(euros, rate).ok()) {
            cash.insert(super::euro(), value);
        }
    }
    Allocation {
        currency: Currency::USD,
        lines: account.holdings.iter().filter(|(_, parts)| **parts != 0).map(line).collect(),
        cash: Ok(cash),
    }
}

fn rates(known_then: &Known, at: Timestamp, known: u64) -> impl Fn(Currency) -> Option<Decimal> {
    let prices = &known_then.library.prices;
    move |currency| prices.rate(currency, Currency::USD, at, known).map(|rate| rate.rate)
}

fn risk(account: &Account<'_>, allocation: &Allocation, day: usize, known: u64) -> Risk {
    let histories = allocation
        .lines
        .keys()
        .map(|instrument| (*instrument, account.known.returns(*instrument, account.day(day), known)))
        .collect();
    portfolio_risk(allocation, &histories)
}

/// Recommends, screens, and lets the people involved answer.
fn recommend(account: &mut Account<'_>, day: usize, idea: &Idea) {
    let today = account.day(day);
    let at = today.at_in(16, 50, Zone::NEW_YORK);
    let known = account.known.sequence_at(at);
    let security = &SECURITIES[idea.security];
    let close = price(account.bar(idea.security, day).close);
    let cost = usd(account.broker().commission_cents(idea.parts));
    let planned = PlannedTrade {
        instrument: account.names.instrument(idea.security),
        symbol: security.symbol.to_owned(),
        side: idea.side.clone(),
        size: Size::Units(fraction_of_parts(idea.parts)),
        price: Some(close.get()),
        currency: Currency::USD,
        multiplier: Decimal::ONE,
    };
    let before = allocation(account, day, at, known);
    let rates = rates(account.known, at, known);
    let (after, sized) = before
        .after(std::slice::from_ref(&planned), cost.amount(), &rates)
        .expect("a trade stated in units can be thought through");
    let moment = At { day: today, known };
    let library = &account.known.library;
    let in_force = InForce::of(&library.firm, account.portfolio, moment);
    let risks = (risk(account, &before, day, known), risk(account, &after, day, known));
    let sides = [(&before, &risks.0), (&after, &risks.1)];
    let screening = in_force.screen(library, moment, sides, &sized, Some(cost.amount()));
    let label = format!("{}-{day}-{}-{}", account.plan.name, idea.security, idea.side);
    let recommendation = RecommendationId::derive(&account.names.parts(&label));
    let why = match idea.side {
        Side::Buy => format!("{} adds to what is underweight in the portfolio.", security.symbol),
        _ => format!("{} has run its course; the proceeds are better used elsewhere.", security.symbol),
    };
    let held_back = overall(&screening).holds_back();
    let days = if held_back { HELD_BACK_DAYS } else { EXPIRES_AFTER_DAYS };
    let expires = today.plus_days(days).at_in(16, 0, Zone::NEW_YORK);
    let issued = RecommendationIssued {
        recommendation,
        portfolio: account.portfolio,
        party: account.names.party(account.plan.client),
        advisor: account.names.advisor(lead(account.market, account.plan.client, today)),
        profile_version: in_force.profile.map(|profile| profile.version),
        model: None,
        trades: vec![ProposedTrade {
            instrument: planned.instrument,
            side: idea.side.clone(),
            quantity: Some(quantity(idea.parts)),
            amount: None,
            weight: None,
            limit: None,
            reference_price: Some(close),
        }],
        rationale: account.sealed(&why),
        screening: screening.clone(),
        seen_sequence: 0,
        seen_equity: before
            .equity()
            .ok()
            .map(|equity| daybook_schemas::Money::new(decimal::round(equity, 8), Currency::USD)),
        expected_cost: Some(cost),
        expires: Some(expires),
        replaces: idea.replaces,
    };
    account.log.note(stream::advice(recommendation), at, issued);
    let mut story = Story { account, recommendation, day, idea };
    if held_back {
        story.held_back(&screening);
    } else {
        story.answered((today, 20, 15), expires);
    }
}

/// What becomes of one recommendation.
struct Story<'s, 'a> {
    account: &'s mut Account<'a>,
    recommendation: RecommendationId,
    /// The day of its issue, by place.
    day: usize,
    idea: &'s Idea,
}

impl Story<'_, '_> {
    /// Notes what happened, unless that lies beyond the two years.
    fn note(&mut self, at: Timestamp, event: impl Into<Event>) -> bool {
        let last = self.account.market.days.len() - 1;
        let is_past = at.day_in(Zone::NEW_YORK) <= self.account.day(last);
        if is_past {
            self.account.log.note(stream::advice(self.recommendation), at, event);
        }
        is_past
    }

    fn later(&self, weekdays: usize, hour: u32, minute: u32) -> Timestamp {
        self.account.market.date(self.day + weekdays).at_in(hour, minute, Zone::NEW_YORK)
    }

    /// The rules hold it back: an exception is asked for, or it stays where it is.
    fn held_back(&mut self, screening: &[RuleFinding]) {
        let asks = match self.idea.fate {
            Fate::Blocked => false,
            Fate::Awaiting => true,
            _ => self.account.draw.chance(700),
        };
        if !asks {
            return;
        }
        let recommendation = self.recommendation;
        let broken = screening
            .iter()
            .filter(|finding| matches!(finding.verdict, Verdict::Block | Verdict::Unknown))
            .map(|finding| finding.rule.clone())
            .collect();
        let today = self.account.day(self.day);
        let advisor = lead(self.account.market, self.account.plan.client, today);
        let requested = OverrideRequested {
            recommendation,
            rules: broken,
            reason: self.account.sealed("the client asked for it and can bear it"),
            requested_by: self.account.names.advisor(advisor),
        };
        self.note(today.at_in(17, 5, Zone::NEW_YORK), requested);
        if self.idea.fate == Fate::Awaiting {
            return;
        }
        let at = self.later(1, 8, 40);
        if self.account.draw.chance(550) {
            let note = Some(self.account.sealed("small enough beside what she holds elsewhere"));
            if self.note(at, OverrideApproved { recommendation, approved_by: APPROVER.into(), note }) {
                let tomorrow = self.account.market.date(self.day + 1);
                let expires = today.plus_days(HELD_BACK_DAYS).at_in(16, 0, Zone::NEW_YORK);
                self.answered((tomorrow, 9, 10), expires);
            }
        } else {
            let note = Some(self.account.sealed("this is what the profile is there for"));
            self.note(at, OverrideRefused { recommendation, refused_by: APPROVER.into(), note });
        }
    }

    /// The client answers, or does not, or the advisor thinks again.
    fn answered(&mut self, (day, hour, minute): (daybook_schemas::Day, u32, u32), expires: Timestamp) {
        let recommendation = self.recommendation;
        let at = day.at_in(hour, minute, Zone::NEW_YORK);
        let inherited = self.account.plan.name == "From her brother";
        let chance = match self.idea.fate {
            Fate::Open => return,
            Fate::Accepted => 0,
            _ if inherited => 600,
            _ => self.account.draw.below(1_000),
        };
        match chance {
            0..580 => {
                if self.note(at, RecommendationAccepted { recommendation, note: None })
                    && self.account.draw.chance(940)
                {
                    self.account.accepted.push((recommendation, self.idea.clone()));
                }
            }
            580..780 => {
                let reasons = [
                    (DeclineReason::TooRisky, "it fell by a third last time"),
                    (DeclineReason::Disagrees, "I see it otherwise"),
                    (DeclineReason::Timing, "not before the house is paid"),
                    (DeclineReason::TooCostly, "it costs more than it brings"),
                    (DeclineReason::Liquidity, "the money is needed in spring"),
                ];
                let kept = (DeclineReason::Disagrees, "they were his, and they stay");
                let drawn = self.account.draw.pick(&reasons).cloned();
                let (reason, words) = if inherited { kept } else { drawn.unwrap_or(kept) };
                let note = Some(self.account.sealed(words));
                self.note(at, RecommendationDeclined { recommendation, reason, note });
            }
            780..870 => {
                self.note(expires, RecommendationExpired { recommendation });
            }
            870..930 => {
                let reason = Some(self.account.sealed("the price ran away"));
                self.note(self.later(1, 11, 0), RecommendationWithdrawn { recommendation, reason });
            }
            _ => {
                let parts = self.idea.parts / 2 / UNIT * UNIT;
                let replaces = Some(recommendation);
                self.account.idea_after = Some(Idea { parts, replaces, ..self.idea.clone() });
            }
        }
    }
}
