use super::{FIRM, records};
use crate::demo::log::DemoRecord;
use daybook_projections::firm_views::InForce;
use daybook_projections::suitability::{
    Allocation, Overall, PlannedTrade, Risk, Size, overall, portfolio_risk, weekly_returns,
};
use daybook_projections::{AsOf, At, Book, Library, Meta, View};
use daybook_schemas::events::{EventType, RecommendationIssued, RuleFinding, Verdict};
use daybook_schemas::{Currency, Event, PortfolioId, RecommendationId, Timestamp, Zone, stream};
use std::collections::{BTreeMap, BTreeSet};

/// The ledger as it grows: the library, and the books of portfolios.
#[derive(Default)]
struct Ledger {
    library: Library,
    books: BTreeMap<PortfolioId, Book>,
}

impl Ledger {
    fn record(&mut self, sequence: u64, record: &DemoRecord) {
        let meta = Meta {
            sequence,
            occurred_at: record.occurred_at,
            recorded_at: record.occurred_at,
            import: None,
            source_rank: 0,
        };
        self.library.apply(&meta, &record.stream, &record.event);
        if let Some(id) = stream::portfolio_of(&record.stream) {
            let book = self.books.entry(id).or_insert_with(|| Book::new(id));
            book.apply(&meta, &record.event, &self.library.imports);
        }
    }

    fn risk(&self, allocation: &Allocation, at: At) -> Risk {
        let returns =
            |id| weekly_returns(&self.library.prices, id, at.day, at.known, Some(allocation.currency));
        let histories = allocation.lines.keys().map(|id| (*id, returns(*id))).collect();
        portfolio_risk(allocation, &histories)
    }

    /// What the rules say of a recommendation at the moment at which it is issued.
    fn screen(&self, issued: &RecommendationIssued, when: Timestamp) -> (Vec<RuleFinding>, Allocation) {
        let known = issued.seen_sequence;
        let view = View { as_of: AsOf::Instant(when), known };
        let state = self.books[&issued.portfolio].state_at(&view, &self.library.imports);
        let rates = |currency| {
            let rate = self.library.prices.rate(currency, Currency::USD, when, known)?;
            Some(rate.rate)
        };
        let library = &self.library;
        let before = Allocation::of(&state, &library.prices, &library.instruments, &rates, view.as_of, known);
        let planned: Vec<PlannedTrade> = issued
            .trades
            .iter()
            .map(|trade| PlannedTrade {
                instrument: trade.instrument,
                symbol: library.instruments.symbol(trade.instrument, None).unwrap().to_owned(),
                side: trade.side.clone(),
                size: Size::Units(trade.quantity.unwrap().get()),
                price: trade.reference_price.map(daybook_schemas::Price::get),
                currency: Currency::USD,
                multiplier: rust_decimal::Decimal::ONE,
            })
            .collect();
        let cost = issued.expected_cost.unwrap().amount();
        let (after, sized) = before.after(&planned, cost, &rates).unwrap();
        let at = At { day: when.day_in(Zone::NEW_YORK), known };
        let in_force = InForce::of(&library.firm, issued.portfolio, at);
        assert_eq!(issued.profile_version, in_force.profile.map(|profile| profile.version));
        let risks = (self.risk(&before, at), self.risk(&after, at));
        let sides = [(&before, &risks.0), (&after, &risks.1)];
        (in_force.screen(library, at, sides, &sized, Some(cost)), before)
    }
}

#[test]
fn what_the_rules_said_of_every_recommendation_is_what_they_say_of_the_ledger_of_that_moment() {
    let mut ledger = Ledger::default();
    let mut screened = 0;
    for (sequence, record) in (1..).zip(records(&FIRM)) {
        if let Event::RecommendationIssued(issued) = &record.event {
            let (findings, before) = ledger.screen(issued, record.occurred_at);
            assert_eq!(findings, issued.screening, "recommendation at sequence {sequence}");
            assert_eq!(
                Some(before.equity().unwrap()),
                issued.seen_equity.map(daybook_schemas::Money::amount)
            );
            screened += 1;
        }
        ledger.record(sequence, record);
    }
    assert!(screened > 60, "{screened}");
}

/// The types of a recommendation's events in their order.
fn stories() -> BTreeMap<RecommendationId, (Overall, Vec<EventType>)> {
    let mut stories: BTreeMap<RecommendationId, (Overall, Vec<EventType>)> = BTreeMap::new();
    let mut replaced = BTreeSet::new();
    for record in records(&FIRM) {
        let Some(id) = record.stream.strip_prefix("advice-") else { continue };
        let id: RecommendationId = id.parse().unwrap();
        if let Event::RecommendationIssued(issued) = &record.event {
            stories.insert(id, (overall(&issued.screening), Vec::new()));
            replaced.extend(issued.replaces);
        }
        stories.get_mut(&id).unwrap().1.push(record.event.event_type());
    }
    assert!(!replaced.is_empty(), "none is replaced");
    let answers = [EventType::RecommendationAccepted, EventType::RecommendationDeclined];
    assert!(replaced.iter().all(|id| !stories[id].1.iter().any(|event| answers.contains(event))));
    stories
}

#[test]
fn recommendations_come_to_every_end_and_some_are_still_open() {
    use EventType::{
        OverrideApproved, OverrideRefused, OverrideRequested, RecommendationAccepted, RecommendationDeclined,
        RecommendationExecuted, RecommendationExpired, RecommendationIssued, RecommendationWithdrawn,
    };
    let stories = stories();
    let count = |held_back: bool, types: &[EventType]| {
        stories
            .values()
            .filter(|(overall, story)| overall.holds_back() == held_back && story[1..] == *types)
            .count()
    };
    let all: Vec<_> = stories.values().collect();
    assert!(all.iter().all(|(_, story)| story[0] == RecommendationIssued));
    for (held_back, types, least) in [
        (false, &[][..], 2),
        (false, &[RecommendationAccepted], 1),
        (false, &[RecommendationAccepted, RecommendationExecuted], 20),
        (false, &[RecommendationDeclined], 5),
        (false, &[RecommendationExpired], 1),
        (false, &[RecommendationWithdrawn], 1),
        (true, &[], 2),
        (true, &[OverrideRequested], 1),
        (true, &[OverrideRequested, OverrideRefused], 2),
    ] {
        let found = count(held_back, types);
        assert!(found >= least, "{found} of {held_back} {types:?}: {all:#?}");
    }
    // Once allowed, a recommendation goes its way like any other.
    let allowed =
        all.iter().filter(|(_, story)| story.contains(&OverrideApproved) && story.len() > 3).count();
    assert!(allowed >= 2, "{allowed}: {all:#?}");
}

#[test]
fn nobody_answers_what_the_rules_hold_back_before_an_exception_is_approved() {
    for (overall, story) in stories().values().filter(|(overall, _)| overall.holds_back()) {
        let approved = story.iter().position(|event| *event == EventType::OverrideApproved);
        let answered = story.iter().position(|event| {
            matches!(event, EventType::RecommendationAccepted | EventType::RecommendationDeclined)
        });
        assert!(answered.is_none_or(|at| approved.is_some_and(|first| first < at)), "{overall:?} {story:?}");
    }
}

#[test]
fn the_rules_that_bind_pass_some_recommendations_and_not_others() {
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in records(&FIRM) {
        if let Event::RecommendationIssued(issued) = &record.event {
            for finding in &issued.screening {
                said.entry(finding.rule.to_string()).or_default().insert(finding.verdict.to_string());
            }
        }
    }
    for rule in ["risk_class", "cap:instrument"] {
        assert!(said[rule].len() > 1, "{rule} is always {:?}", said[rule]);
        assert!(said[rule].contains(&Verdict::Pass.to_string()), "{rule}");
    }
    assert!(said.keys().any(|rule| rule.starts_with("exclusion:sector")), "{said:?}");
}
