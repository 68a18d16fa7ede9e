//! Recommendations over time: where each stands, what became of it, and what brings a portfolio back to its targets.

use crate::build::*;
use crate::suitability::{close, holding, line};
use daybook_projections::suitability::{
    Drift, HORIZON_DAYS, Mending, MendingWay, OutcomeState, Target, drift, mend, outcome_of, record_of,
};
use daybook_projections::{AdviceState, AdviceStep, Classification, Recommendation};
use daybook_schemas::events::*;
use daybook_schemas::{
    AdvisorId, Currency, Event, Fraction, KeyId, KeyRing, PartyId, Price, RecommendationId, Sealed, Timestamp,
};
use rust_decimal::Decimal;

fn id(number: u8) -> RecommendationId {
    RecommendationId::from_bytes([number; 16])
}

fn sealed(text: &str) -> Sealed<String> {
    let key = KeyId::Party(PartyId::from_bytes([9; 16]));
    let mut ring = KeyRing::default();
    ring.insert(key, [7; 64]);
    Sealed::seal(&ring, key, &text.to_owned()).unwrap()
}

fn issued(number: u8, verdict: Verdict) -> RecommendationIssued {
    RecommendationIssued {
        recommendation: id(number),
        portfolio: portfolio(),
        party: PartyId::from_bytes([9; 16]),
        advisor: AdvisorId::from_bytes([8; 16]),
        profile_version: Some(1),
        model: None,
        trades: Vec::new(),
        rationale: sealed("because"),
        screening: vec![RuleFinding {
            rule: "cash".into(),
            verdict,
            measured: None,
            limit: None,
            evidence: None,
        }],
        seen_sequence: 1,
        seen_equity: Some(usd("10000")),
        expected_cost: None,
        expires: None,
        replaces: None,
    }
}

fn event(step: AdviceStep, of: u8) -> Event {
    let recommendation = id(of);
    match step {
        AdviceStep::OverrideRequested => OverrideRequested {
            recommendation,
            rules: Vec::new(),
            reason: sealed("she asked for it"),
            requested_by: AdvisorId::from_bytes([8; 16]),
        }
        .into(),
        AdviceStep::OverrideApproved => {
            OverrideApproved { recommendation, approved_by: "ada".into(), note: None }.into()
        }
        AdviceStep::OverrideRefused => {
            OverrideRefused { recommendation, refused_by: "ada".into(), note: None }.into()
        }
        AdviceStep::Accepted => RecommendationAccepted { recommendation, note: None }.into(),
        AdviceStep::Declined => {
            RecommendationDeclined { recommendation, reason: DeclineReason::Timing, note: None }.into()
        }
        AdviceStep::Expired => RecommendationExpired { recommendation }.into(),
        AdviceStep::Withdrawn => RecommendationWithdrawn { recommendation, reason: None }.into(),
        // What carried it out is of no interest here; any event will do.
        AdviceStep::Executed => {
            RecommendationExecuted { recommendation, fills: vec![Reference::Sequence(1)] }.into()
        }
        AdviceStep::FillReversed => reversed(1),
    }
}

fn reversed(target: u64) -> Event {
    EventReversed { target, reason: Words::from("it never was"), replaced_by: None }.into()
}

fn advice(world: &World, number: u8) -> &Recommendation {
    world.library.recommendations.get(id(number)).unwrap()
}

fn state(world: &World, number: u8) -> AdviceState {
    advice(world, number).state(Timestamp::from_nanos(i64::MAX), u64::MAX)
}

#[test]
fn a_recommendation_goes_from_hand_to_hand() {
    let mut world = World::of([Event::from(issued(1, Verdict::Unknown))]);
    let mut seen = vec![state(&world, 1)];
    let mut known = vec![world.library.applied()];
    for step in [
        AdviceStep::OverrideRequested,
        AdviceStep::OverrideRefused,
        AdviceStep::OverrideRequested,
        AdviceStep::OverrideApproved,
        AdviceStep::Accepted,
        AdviceStep::Executed,
    ] {
        world.record(event(step, 1));
        seen.push(state(&world, 1));
        known.push(world.library.applied());
    }
    use AdviceState::{Accepted, AwaitingOverride, Blocked, Executed, Issued};
    let expected = [Blocked, AwaitingOverride, Blocked, AwaitingOverride, Issued, Accepted, Executed];
    assert_eq!(seen, expected);
    // What was known at each moment is known for ever.
    let then: Vec<AdviceState> =
        known.iter().map(|known| advice(&world, 1).state(Timestamp::from_nanos(i64::MAX), *known)).collect();
    assert_eq!(then, expected);
}

#[test]
fn every_step_that_cannot_be_taken_changes_nothing() {
    use AdviceStep::*;
    let paths: [(Verdict, &[AdviceStep], AdviceState, &[AdviceStep]); 9] = [
        (Verdict::Block, &[], AdviceState::Blocked, &[OverrideRequested, Expired, Withdrawn]),
        (
            Verdict::Block,
            &[OverrideRequested],
            AdviceState::AwaitingOverride,
            &[OverrideApproved, OverrideRefused, Expired, Withdrawn],
        ),
        (Verdict::Warn, &[], AdviceState::Issued, &[Accepted, Declined, Expired, Withdrawn]),
        (Verdict::Pass, &[Accepted], AdviceState::Accepted, &[Executed, Withdrawn]),
        (Verdict::Pass, &[Declined], AdviceState::Declined, &[]),
        (Verdict::Pass, &[Expired], AdviceState::Expired, &[]),
        (Verdict::Pass, &[Withdrawn], AdviceState::Withdrawn, &[]),
        (Verdict::Pass, &[Accepted, Executed], AdviceState::Executed, &[FillReversed]),
        (Verdict::Other("odd".into()), &[], AdviceState::Blocked, &[OverrideRequested, Expired, Withdrawn]),
    ];
    for (verdict, path, stands, possible) in paths {
        for step in AdviceStep::ALL {
            let mut world = World::of([Event::from(issued(1, verdict.clone()))]);
            for step in path {
                world.record(event(*step, 1));
            }
            assert_eq!(state(&world, 1), stands, "{path:?}");
            assert_eq!(stands.after(step).is_some(), possible.contains(&step), "{stands} {step:?}");
            world.record(event(step, 1));
            assert_eq!(state(&world, 1) == stands, !possible.contains(&step), "{stands} {step:?}");
        }
    }
}

#[test]
fn one_whose_fill_never_was_waits_to_be_carried_out_again() {
    let executed = |fills: &[u64]| RecommendationExecuted {
        recommendation: id(1),
        fills: fills.iter().map(|fill| Reference::Sequence(*fill)).collect(),
    };
    let mut world = World::of([Event::from(issued(1, Verdict::Pass)), event(AdviceStep::Accepted, 1)]);
    world.record(executed(&[101, 102]));
    let head = advice(&world, 1).last_sequence;
    let by = |world: &World, fill| world.library.recommendations.carried_out_by(fill).map(|one| one.id);
    assert_eq!((by(&world, 101), by(&world, 103)), (Some(id(1)), None));
    world.record(reversed(103));
    assert_eq!((state(&world, 1), advice(&world, 1).last_sequence), (AdviceState::Executed, head));
    world.record(reversed(101));
    assert_eq!(state(&world, 1), AdviceState::Accepted);
    assert_eq!(advice(&world, 1).fills(u64::MAX), (vec![102], vec![101]));
    assert_eq!((by(&world, 101), by(&world, 102)), (None, Some(id(1))));
    assert!(advice(&world, 1).last_sequence > head);
    let then = advice(&world, 1).state(Timestamp::from_nanos(i64::MAX), head);
    assert_eq!((then, advice(&world, 1).fills(head)), (AdviceState::Executed, (vec![101, 102], vec![])));
    world.record(executed(&[102, 104]));
    assert_eq!(state(&world, 1), AdviceState::Executed);
    assert_eq!(advice(&world, 1).fills(u64::MAX), (vec![102, 104], vec![101]));
}

#[test]
fn one_whose_time_has_run_out_is_expired_from_that_instant_on() {
    let expires = at("2024-03-01T12:00:00Z");
    let world =
        World::of([Event::from(RecommendationIssued { expires: Some(expires), ..issued(1, Verdict::Pass) })]);
    let of = |at| advice(&world, 1).state(at, u64::MAX);
    assert_eq!(of(expires.plus_nanos(-1)), AdviceState::Issued);
    assert_eq!(of(expires), AdviceState::Expired);
    let mut answered = world;
    answered.record(event(AdviceStep::Accepted, 1));
    assert_eq!(state(&answered, 1), AdviceState::Accepted);
}

#[test]
fn another_takes_its_place_while_it_waits_and_not_afterwards() {
    let replacing = || RecommendationIssued { replaces: Some(id(1)), ..issued(2, Verdict::Pass) };
    let mut world = World::of([issued(1, Verdict::Pass), replacing()]);
    assert_eq!((state(&world, 1), state(&world, 2)), (AdviceState::Replaced, AdviceState::Issued));
    world.record(event(AdviceStep::Withdrawn, 1));
    assert_eq!(state(&world, 1), AdviceState::Replaced);
    let mut declined = World::of([issued(1, Verdict::Pass)]);
    declined.record(event(AdviceStep::Declined, 1));
    declined.record(replacing());
    assert_eq!(state(&declined, 1), AdviceState::Declined);
}

#[test]
fn the_client_never_got_to_see_what_nobody_allowed() {
    let mut world = World::of([issued(1, Verdict::Block), issued(2, Verdict::Pass)]);
    let reached = |world: &World, number| {
        advice(world, number).reached_client(Timestamp::from_nanos(i64::MAX), u64::MAX)
    };
    assert!(!reached(&world, 1) && reached(&world, 2));
    world.record(event(AdviceStep::OverrideRequested, 1));
    world.record(event(AdviceStep::Withdrawn, 1));
    assert!(!reached(&world, 1));
}

fn bought(number: u8, side: Side, amount: &str, price: &str) -> ProposedTrade {
    ProposedTrade {
        instrument: instrument(number),
        side,
        quantity: None,
        amount: Some(usd(amount)),
        weight: None,
        limit: None,
        reference_price: Some(Price::new(d(price))),
    }
}

fn listed(number: u8) -> InstrumentListed {
    InstrumentListed {
        instrument: instrument(number),
        class: InstrumentClass::Equity,
        currency: Currency::USD,
        name: None,
        contract: None,
        provisional: false,
    }
}

/// Two instruments and a benchmark (the third), before and after the horizon.
fn judged() -> World {
    let mut world = World::of((1..=3).map(listed));
    world.record(BenchmarkChosen { instrument: Some(instrument(3)), from: day("1960-01-01") });
    let issue = world
        .record(issued_on(1, vec![bought(1, Side::Buy, "3000", "100"), bought(2, Side::Sell, "1000", "50")]));
    let on =
        world.log[usize::try_from(issue).unwrap() - 1].0.occurred_at.day_in(daybook_schemas::Zone::NEW_YORK);
    let horizon = on.plus_days(HORIZON_DAYS);
    for (number, before, after) in [(1, "100", "110"), (2, "50", "45"), (3, "400", "420")] {
        world.record(close(number, on.plus_days(-1), before));
        world.record(close(number, horizon.plus_days(-1), after));
    }
    world
}

fn issued_on(number: u8, trades: Vec<ProposedTrade>) -> RecommendationIssued {
    RecommendationIssued { trades, ..issued(number, Verdict::Pass) }
}

#[test]
fn an_outcome_by_hand() {
    let world = judged();
    let of = |days| {
        let until = advice(&world, 1).issued.occurred_at.plus_nanos(i64::from(days) * 86_400_000_000_000);
        outcome_of(&world.library, advice(&world, 1), HORIZON_DAYS, until, u64::MAX).state
    };
    assert_eq!(of(HORIZON_DAYS - 2), OutcomeState::Pending);
    // Three quarters gained a tenth; a quarter was sold before it lost a tenth. The benchmark's twentieth counts three
    // quarters as held and one quarter as not held.
    let OutcomeState::Known { trades, benchmark, difference } = of(HORIZON_DAYS + 2) else {
        panic!("{:?}", of(HORIZON_DAYS + 2))
    };
    assert_eq!((trades, benchmark, difference), (d("0.1"), d("0.025"), d("0.075")));
}

#[test]
fn a_record_counts_what_waits_and_what_cannot_be_judged_apart() {
    let mut world = judged();
    world.record(event(AdviceStep::Accepted, 1));
    let late = advice(&world, 1).issued.occurred_at.plus_nanos(200 * 86_400_000_000_000);
    world.record(issued_on(2, vec![bought(1, Side::Buy, "3000", "100")]));
    world.record(issued(3, Verdict::Pass));
    world.record(RecommendationIssued {
        trades: vec![bought(1, Side::Buy, "1", "100")],
        ..issued(4, Verdict::Block)
    });
    let record_at = |at| {
        let outcome = |advice: &_| Some(outcome_of(&world.library, advice, HORIZON_DAYS, at, u64::MAX));
        record_of(world.library.recommendations.list(), at, u64::MAX, outcome)
    };
    let record = record_at(late);
    // The second was issued at another moment, where the benchmark is the same: both are known; the third recommends no
    // trade and the fourth reached nobody.
    assert_eq!((record.issued.count, record.accepted.count, record.pending, record.absent), (2, 1, 0, 0));
    assert_eq!(record.accepted.mean, Some(d("0.075")));
    assert!(record.accepted.interval.is_none() && record.accepted.reason.is_some());
    let early = advice(&world, 1).issued.occurred_at.plus_nanos(86_400_000_000_000);
    let record = record_at(early);
    assert_eq!((record.issued.count, record.pending), (0, 2));
}

#[test]
fn without_a_benchmark_or_a_price_an_outcome_is_absent_and_says_why() {
    let mut world = World::of([listed(1)]);
    world.record(issued_on(1, vec![bought(1, Side::Buy, "3000", "100")]));
    let late = advice(&world, 1).issued.occurred_at.plus_nanos(200 * 86_400_000_000_000);
    let of = |world: &World| match outcome_of(&world.library, advice(world, 1), HORIZON_DAYS, late, u64::MAX)
        .state
    {
        OutcomeState::Absent(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert!(of(&world).contains("benchmark"));
    world.record(BenchmarkChosen { instrument: Some(instrument(3)), from: day("2020-01-01") });
    assert!(of(&world).contains("benchmark"));
}

fn target(number: u8, weight: &str) -> TargetWeight {
    TargetWeight {
        instrument: Some(instrument(number)),
        sleeve: None,
        weight: Fraction::new(d(weight)),
        band: None,
    }
}

fn drifted(cash: &str, held: &[(u8, &str)], targets: &[TargetWeight]) -> Drift {
    let lines: Vec<_> =
        held.iter().map(|(number, value)| line(*number, &format!("S{number}"), value, "1")).collect();
    drift(&holding(cash, &lines), targets, &|_| Classification::default(), &|id| id).unwrap()
}

#[test]
fn a_weight_alerts_beyond_five_points_or_a_quarter_of_its_target() {
    // 5 points for 40 %, 2.5 points for 10 %.
    let of = |first: &str, second: &str| {
        let cash = (d("1000") - d(first) - d(second)).to_string();
        let drift = drifted(&cash, &[(1, first), (2, second)], &[target(1, "0.4"), target(2, "0.1")]);
        let alert = |at: usize| drift.lines[at].alert;
        (alert(0), alert(1))
    };
    assert_eq!(of("450", "75"), (false, false));
    assert_eq!(of("451", "125"), (true, false));
    assert_eq!(of("400", "126"), (false, true));
    assert_eq!(of("349", "74"), (true, true));
    let own = TargetWeight { band: Some(Fraction::new(d("0.2"))), ..target(1, "0.4") };
    assert!(!drifted("1000", &[(1, "700")], &[own]).lines[0].alert, "its own band counts");
    let beside = drifted("500", &[(1, "400"), (2, "100")], &[target(1, "0.4")]);
    assert!(beside.lines[1].alert && beside.lines[1].aimed.is_zero(), "what nothing aims at");
}

#[test]
fn cash_alerts_by_the_same_band_as_everything_else() {
    // The targets leave 2 % to cash, of which a quarter is half a point.
    let of = |cash: &str| {
        let held = (d("1000") - d(cash)).to_string();
        let drift = drifted(cash, &[(1, &held)], &[target(1, "0.98")]);
        let cash = drift.lines.last().unwrap();
        assert_eq!((&cash.target, cash.aimed, cash.band), (&Target::Cash, d("0.02"), d("0.005")));
        cash.alert
    };
    assert_eq!((of("15"), of("25")), (false, false));
    assert_eq!((of("14.9"), of("25.1"), of("0.2")), (true, true, true));
    // With more to aim at it is five points, as elsewhere.
    let half = drifted("551", &[(1, "449")], &[target(1, "0.5")]);
    assert_eq!((half.lines[1].band, half.lines[1].alert), (d("0.05"), true));
}

#[test]
fn weights_sum_to_one_and_the_distance_is_what_would_have_to_move() {
    let drift = drifted("300", &[(1, "200"), (2, "500")], &[target(1, "0.4"), target(2, "0.3")]);
    let sum: Decimal = drift.lines.iter().map(|line| line.weight).sum();
    assert_eq!((sum, drift.distance), (d("1"), d("0.2")));
}

fn mended(drift: &Drift, equity: &str, contribution: &str, kept: &str) -> Mending {
    mend(drift, d(equity), d(contribution), d(kept)).unwrap()
}

fn said(mending: &Mending) -> Vec<(&str, Side, String, MendingWay)> {
    mending
        .proposals
        .iter()
        .map(|one| (one.name.as_str(), one.side.clone(), one.amount.to_string(), one.way))
        .collect()
}

#[test]
fn what_flows_in_mends_before_anything_is_traded() {
    let targets = [target(1, "0.5"), target(2, "0.5")];
    let drift = drifted("0", &[(1, "6000"), (2, "4000")], &targets);
    assert!(drift.alerts());
    let flowing = mended(&drift, "10000", "2000", "0");
    assert_eq!(said(&flowing), [("S2", Side::Buy, "2000".to_owned(), MendingWay::CashFlow)]);
    assert!(!flowing.leaves_alerts);
    // Half of it is not enough: 6,000 and 5,000 of 11,000 are within five points.
    assert_eq!(
        said(&mended(&drift, "10000", "1000", "0")),
        [("S2", Side::Buy, "1000".to_owned(), MendingWay::CashFlow)]
    );
    let traded = mended(&drift, "10000", "0", "0");
    let expected = [
        ("S1", Side::Sell, "1000".to_owned(), MendingWay::Trade),
        ("S2", Side::Buy, "1000".to_owned(), MendingWay::Trade),
    ];
    assert_eq!(said(&traded), expected);
    assert!(!traded.leaves_alerts);
}

#[test]
fn what_flows_out_comes_from_what_there_is_too_much_of_and_the_reserve_stays() {
    let targets = [target(1, "0.5"), target(2, "0.5")];
    let drift = drifted("0", &[(1, "6000"), (2, "4000")], &targets);
    let out = mended(&drift, "10000", "-2000", "0");
    assert_eq!(said(&out), [("S1", Side::Sell, "2000".to_owned(), MendingWay::CashFlow)]);
    let idle = drifted("3000", &[(1, "3500"), (2, "3500")], &targets);
    let kept = mended(&idle, "10000", "0", "1000");
    let amounts: Vec<String> = said(&kept).into_iter().map(|(_, _, amount, _)| amount).collect();
    assert_eq!(amounts, ["1000", "1000"]);
    assert_eq!(drift.lines[0].target, Target::Instrument(instrument(1)));
    assert_eq!(mended(&drift, "10000", "-20000", "0").lacking, d("10000"));
}

#[test]
fn a_classification_holds_from_its_day_and_as_known() {
    let mut world = World::of([listed(1)]);
    let said = |sector: &str, from: &str| InstrumentClassified {
        instrument: instrument(1),
        class: None,
        sector: Some(sector.into()),
        issuer: None,
        country: None,
        from: day(from),
    };
    let first = world.record(said("energy", "2024-01-01"));
    world.record(said("utilities", "2024-06-01"));
    world.record(said("mining", "2024-01-01"));
    let of = |on: &str, known| world.library.instruments.classification(instrument(1), day(on), known);
    let sector = |on, known| of(on, known).sector.map(String::from);
    assert_eq!(sector("2023-12-31", u64::MAX), None);
    assert_eq!(sector("2024-03-01", first), Some("energy".to_owned()));
    assert_eq!(sector("2024-03-01", u64::MAX), Some("mining".to_owned()));
    assert_eq!(sector("2024-06-01", u64::MAX), Some("utilities".to_owned()));
    assert_eq!(of("2024-06-01", u64::MAX).class, Some(InstrumentClass::Equity), "as listed");
    assert_eq!(world.library.instruments.classifications(instrument(1)).len(), 3);
}
