//! What holds of the made-up firm, recomputed from its events alone.

mod advice;

use super::{DemoRecord, Firm, firm};
use daybook_schemas::events::{Event, EventType, FeeKind, InterestKind, PartyKind, Side, Words};
use daybook_schemas::{AccountId, Currency, Day, InstrumentId, KeyRing, Money, Phase, Timestamp, When, Zone};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

const SEED: u64 = 2_024;

fn today() -> Day {
    Day::from_ymd(2026, 3, 4).unwrap()
}

/// Made once for all tests that only look at it.
static FIRM: LazyLock<Firm> = LazyLock::new(|| firm(today(), SEED));

fn records(firm: &Firm) -> Vec<&DemoRecord> {
    firm.commits.iter().flatten().collect()
}

/// Whether a record is of the weeks before the two years, which the feed brings when it is asked for the first time.
fn is_backfilled(record: &DemoRecord) -> bool {
    matches!(&record.event, Event::BarClosed(bar) if bar.opens.is_none())
}

/// The entries that stand, in the order in which they count: those taken back left out.
fn standing(firm: &Firm) -> Vec<&Event> {
    let records = records(firm);
    let reversed: BTreeSet<u64> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::EventReversed(reversal) => Some(reversal.target),
            _ => None,
        })
        .collect();
    let mut entries: Vec<(Timestamp, u8, u32, u64, &Event)> = (1u64..)
        .zip(records)
        .filter(|(sequence, record)| record.event.entry().is_some() && !reversed.contains(sequence))
        .map(|(sequence, record)| {
            let when = record.event.entry().unwrap().when;
            let (phase, rank) = match when {
                When::At(_) => (1, 0),
                When::On { phase: Phase::Open, rank, .. } => (0, rank),
                When::On { phase: Phase::Close, rank, .. } => (2, rank),
            };
            (when.occurs(Zone::NEW_YORK), phase, rank, sequence, &record.event)
        })
        .collect();
    entries.sort_by_key(|(at, phase, rank, sequence, _)| (*at, *phase, *rank, *sequence));
    entries.into_iter().map(|(.., event)| event).collect()
}

/// What an entry does to its account: cash by currency, and units of an instrument.
fn effect(event: &Event) -> (Vec<Money>, Option<(InstrumentId, Decimal)>) {
    match event {
        Event::CashTransferred(transfer) => (vec![transfer.amount], None),
        Event::DividendPosted(dividend) => (vec![dividend.amount], None),
        Event::InterestPosted(interest) => (vec![interest.amount], None),
        Event::FeePosted(fee) => (fee.amount.into_iter().collect(), None),
        Event::TaxPosted(tax) => (tax.amount.into_iter().collect(), None),
        Event::CurrencyConverted(conversion) => {
            let charged = conversion.charges.iter().map(|charge| -charge.amount);
            ([conversion.sold, conversion.bought].into_iter().chain(charged).collect(), None)
        }
        Event::TradeExecuted(trade) => {
            let units = trade.quantity.get();
            let units = if trade.side == Side::Buy { units } else { -units };
            (trade.net_amount.into_iter().collect(), Some((trade.instrument, units)))
        }
        Event::SecuritiesTransferred(transfer) => {
            (vec![], Some((transfer.instrument, transfer.quantity.get())))
        }
        Event::SplitApplied(_) => (vec![], None),
        other => panic!("the demo has no {:?}", other.event_type()),
    }
}

/// The account of a portfolio.
fn of_portfolio(name: &str, seed: u64) -> AccountId {
    let names = super::Names::new(seed);
    names.account(super::PORTFOLIOS.iter().find(|plan| plan.name == name).unwrap())
}

#[test]
fn the_same_day_and_seed_give_the_same_firm_and_others_another() {
    assert!(*FIRM == firm(today(), SEED), "two runs of one seed differ");
    assert!(*FIRM != firm(today(), SEED + 1));
    assert!(*FIRM != firm(today().plus_days(1), SEED));
}

#[test]
fn the_firm_has_the_size_it_is_meant_to_have() {
    let firm = &*FIRM;
    let mut counts: BTreeMap<EventType, usize> = BTreeMap::new();
    for record in records(firm) {
        *counts.entry(record.event.event_type()).or_default() += 1;
    }
    let count = |event_type| counts.get(&event_type).copied().unwrap_or(0);
    let total: usize = counts.values().sum();
    assert!((15_000..30_000).contains(&total), "{total} events: {counts:?}");
    assert_eq!(count(EventType::AdvisorRegistered), 3);
    assert_eq!(count(EventType::AdvisorDeparted), 1);
    assert_eq!(count(EventType::InstrumentClassified), 30);
    assert_eq!(count(EventType::PartyOnboarded), 12);
    assert_eq!(count(EventType::PortfolioOpened), 25);
    assert_eq!(count(EventType::InstrumentListed), 30);
    assert_eq!(count(EventType::CurrencyConverted), 1);
    assert_eq!(count(EventType::EventReversed), 2);
    assert!(count(EventType::SplitApplied) >= 1, "nobody held the share that was split");
    assert!(count(EventType::TradeExecuted) > 2_000, "{counts:?}");
    for event_type in [
        EventType::DividendPosted,
        EventType::TaxPosted,
        EventType::InterestPosted,
        EventType::FeePosted,
        EventType::SecuritiesTransferred,
        EventType::RecommendationAccepted,
        EventType::RecommendationDeclined,
        EventType::RecommendationExecuted,
        EventType::TradePlanned,
        EventType::TradeAnnotated,
        EventType::CorporateActionAnnounced,
    ] {
        assert!(count(event_type) > 2, "{event_type:?} comes too rarely: {counts:?}");
    }
    for kind in [PartyKind::Person, PartyKind::Joint, PartyKind::Trust, PartyKind::Entity] {
        assert!(
            records(firm)
                .iter()
                .any(|record| matches!(&record.event, Event::PartyOnboarded(party) if party.kind == kind)),
            "no client is a {kind}"
        );
    }
}

/// Follows every balance of a firm; whether somebody borrowed cash, and whether somebody sold short.
fn follow_balances(firm: &Firm, seed: u64) -> (bool, bool) {
    let (margin, short) = (of_portfolio("On margin", seed), of_portfolio("Short book", seed));
    let mut cash: BTreeMap<(AccountId, Currency), Decimal> = BTreeMap::new();
    let mut held: BTreeMap<(AccountId, InstrumentId), Decimal> = BTreeMap::new();
    let (mut borrowed, mut sold_short) = (false, false);
    for event in standing(firm) {
        let account = event.entry().unwrap().account;
        let (money, units) = effect(event);
        // A charge may stand beside what it is charged on, so a balance is looked at after the whole event.
        for amount in &money {
            *cash.entry((account, amount.currency())).or_default() += amount.amount();
        }
        for amount in &money {
            let balance = cash[&(account, amount.currency())];
            borrowed |= balance < Decimal::ZERO;
            assert!(balance >= Decimal::ZERO || account == margin, "seed {seed}: {event:?} leaves {balance}");
        }
        if let Some((instrument, units)) = units {
            let balance = held.entry((account, instrument)).or_default();
            *balance += units;
            sold_short |= *balance < Decimal::ZERO;
            assert!(*balance >= Decimal::ZERO || account == short, "seed {seed}: {event:?} leaves {balance}");
        }
        if let Event::SplitApplied(split) = event {
            let balance =
                held.get_mut(&(account, split.instrument)).expect("a split is applied to a holding");
            *balance *= split.ratio.unwrap().numerator();
        }
    }
    (borrowed, sold_short)
}

#[test]
fn no_account_owes_cash_but_the_one_on_margin_and_none_owes_shares_but_the_short_seller_s() {
    assert_eq!(follow_balances(&FIRM, SEED), (true, true), "nobody borrows, or nobody sells short");
    for seed in 0..5 {
        let later = i32::try_from(seed).unwrap() * 97;
        follow_balances(&firm(today().plus_days(later), seed), seed);
    }
}

#[test]
fn trades_are_made_within_the_bar_of_their_day_and_move_what_they_say() {
    let firm = &*FIRM;
    let mut bars = BTreeMap::new();
    for record in records(firm) {
        if let Event::BarClosed(bar) = &record.event
            && !is_backfilled(record)
        {
            let (low, high) = (bar.low.unwrap(), bar.high.unwrap());
            assert!(low <= bar.open.unwrap() && bar.open.unwrap() <= high, "{bar:?}");
            assert!(low <= bar.close && bar.close <= high && low.get() > Decimal::ZERO, "{bar:?}");
            assert_eq!(
                bars.insert((bar.instrument, bar.day.unwrap()), (low, high)),
                None,
                "two bars of a day"
            );
        }
    }
    let mut trades = 0;
    for event in standing(firm) {
        let Event::TradeExecuted(trade) = event else { continue };
        trades += 1;
        let price = trade.price.unwrap();
        let (low, high) = bars[&(trade.instrument, trade.entry.trade_date)];
        assert!(low <= price && price <= high, "{trade:?} is outside {low} to {high}");
        let gross = trade.quantity.get() * price.get();
        let charged: Decimal = trade.charges.iter().map(|charge| charge.amount.amount()).sum();
        let expected = if trade.side == Side::Buy { -gross } else { gross } - charged;
        let net = trade.net_amount.unwrap().amount();
        assert!(net.scale() <= 2, "{net} is not in whole cents");
        let whole = trade.quantity.get().scale() == 0;
        let off = (net - expected).abs();
        assert!(if whole { off.is_zero() } else { off < Decimal::ONE }, "{trade:?} should move {expected}");
    }
    assert!(trades > 2_000);
}

#[test]
fn everything_happens_before_today_and_is_recorded_in_the_order_of_time() {
    for today in [today(), today().plus_days(3), today().plus_days(4), today().plus_days(5)] {
        let firm = &firm(today, SEED);
        let midnight = today.start_in(Zone::NEW_YORK);
        let two_years_ago = today.plus_days(-732).start_in(Zone::NEW_YORK);
        let mut late = 0;
        let mut latest = two_years_ago;
        for record in records(firm).into_iter().filter(|record| !is_backfilled(record)) {
            assert!((two_years_ago..midnight).contains(&record.occurred_at), "{record:?}");
            late += usize::from(record.occurred_at < latest);
            latest = latest.max(record.occurred_at);
        }
        // Recorded late: the trade that was found on a statement, and the one that was typed again in the evening.
        assert!((1..=4).contains(&late), "{late} events are recorded after a later one");
        let last = records(firm).into_iter().rev().find_map(|record| match &record.event {
            Event::BarClosed(bar) => bar.day,
            _ => None,
        });
        assert!(last.unwrap() >= today.plus_days(-3), "the newest bar is of {last:?}");
    }
}

#[test]
fn what_reversals_take_back_is_what_their_reasons_say() {
    let firm = &*FIRM;
    let records = records(firm);
    let mut reasons = Vec::new();
    for (sequence, record) in (1u64..).zip(&records) {
        let Event::EventReversed(reversal) = &record.event else { continue };
        assert!(reversal.target < sequence);
        let target = records[usize::try_from(reversal.target).unwrap() - 1];
        assert_eq!(target.stream, record.stream);
        let Words::Plain(reason) = &reversal.reason else { panic!("what is made up is about nobody") };
        reasons.push((reason.to_string(), target.event.event_type()));
    }
    reasons.sort();
    assert_eq!(
        reasons,
        [
            ("entered twice".to_owned(), EventType::CashTransferred),
            ("ten times the shares: a digit too many".to_owned(), EventType::TradeExecuted),
        ]
    );
}

#[test]
fn every_event_is_encoded_and_every_sealed_text_opens() {
    let firm = &*FIRM;
    let mut ring = KeyRing::default();
    for (id, key) in &firm.keys {
        ring.insert(*id, *key);
    }
    let mut opened = 0;
    let mut keys = BTreeSet::new();
    for record in records(firm) {
        let event_type = record.event.event_type();
        let bytes = record.event.encode().unwrap();
        let read = Event::decode(
            event_type.id(),
            event_type.schema_version(),
            daybook_schemas::CODEC_BINCODE,
            &bytes,
        );
        assert_eq!(read.as_ref(), Ok(&record.event));
        if let Some(key) = &record.key {
            assert!(keys.insert(key.clone()), "two records have the key {key}");
        }
        let name = match &record.event {
            Event::PortfolioOpened(opened) => &opened.name,
            Event::PartyOnboarded(party) => &party.name,
            Event::AdvisorRegistered(advisor) => &advisor.name,
            _ => continue,
        };
        assert!(!name.open(&ring).unwrap().is_empty());
        opened += 1;
    }
    assert_eq!(opened, 25 + 12 + 3);
}

#[test]
fn charges_and_interest_have_their_kinds_and_signs() {
    let firm = &*FIRM;
    let (mut advisory, mut margin, mut borrow, mut in_lieu) = (0, 0, 0, 0);
    for event in standing(firm) {
        match event {
            Event::FeePosted(fee) => {
                assert!(fee.amount.unwrap().amount() < Decimal::ZERO);
                advisory += usize::from(fee.kind == FeeKind::Advisory);
            }
            Event::TaxPosted(tax) => {
                assert!(tax.amount.unwrap().amount() < Decimal::ZERO && tax.country.is_some());
            }
            Event::InterestPosted(interest) => {
                let earns = interest.kind == InterestKind::Credit;
                assert_eq!(interest.amount.amount() > Decimal::ZERO, earns, "{interest:?}");
                margin += usize::from(interest.kind == InterestKind::Margin);
                borrow += usize::from(interest.kind == InterestKind::Borrow);
            }
            Event::DividendPosted(dividend) => {
                in_lieu += usize::from(dividend.amount.amount() < Decimal::ZERO);
            }
            _ => {}
        }
    }
    assert!(
        advisory > 100 && margin > 5 && borrow > 5 && in_lieu > 0,
        "{advisory} {margin} {borrow} {in_lieu}"
    );
}

#[test]
fn the_market_falls_by_more_than_a_tenth_and_comes_back() {
    let firm = &*FIRM;
    let broad = super::Names::new(SEED).instrument(super::market::place("DBMX"));
    let closes: Vec<Decimal> = records(firm)
        .iter()
        .filter_map(|record| match &record.event {
            Event::BarClosed(bar) if bar.instrument == broad => Some(bar.close.get()),
            _ => None,
        })
        .collect();
    let (mut peak, mut deepest) = (Decimal::ZERO, Decimal::ONE);
    for close in &closes {
        peak = peak.max(*close);
        deepest = deepest.min(close / peak);
    }
    assert!(closes.len() > 500);
    assert!(
        (Decimal::new(60, 2)..Decimal::new(90, 2)).contains(&deepest),
        "the trough is {deepest} of the peak"
    );
    assert!(closes.last() > closes.first(), "two years without a gain");
}

#[test]
fn isins_have_the_check_digit_that_they_should() {
    // The published example of the standard's check digit, worked by the same sum: US0378331005.
    let valid = |isin: &str| {
        let digits: String =
            isin.chars().filter_map(|letter| letter.to_digit(36)).map(|value| value.to_string()).collect();
        let sum: u32 = digits
            .chars()
            .rev()
            .filter_map(|digit| digit.to_digit(10))
            .enumerate()
            .map(|(place, digit)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
            .sum();
        sum.is_multiple_of(10)
    };
    assert!(valid("US0378331005") && !valid("US0378331006"));
    for place in 0..30 {
        let isin = super::isin(place);
        assert!(isin.len() == 12 && valid(&isin), "{isin}");
    }
}
