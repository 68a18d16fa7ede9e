//! The two clocks: what had occurred by then, of what had been recorded by then.

use crate::build::*;
use daybook_projections::{AsOf, Book, Imports, Meta, View};
use daybook_schemas::events::*;
use daybook_schemas::{Currency, Event, EventType};
use proptest::prelude::*;

const ALL: u64 = u64::MAX;

#[test]
fn a_day_ends_in_the_portfolios_zone() {
    // 03:30 UTC on the 5th is still the 4th in New York.
    let world = World::of([buy("2024-03-05T03:30:00Z", "10", "10")]);
    let quantity = |as_of: AsOf, known| {
        let state = world.book.state_at(&View { as_of, known }, world.imports());
        state.open_holdings().map(|(_, _, holding)| holding.quantity).next()
    };
    assert_eq!(quantity(AsOf::Day(day("2024-03-04")), ALL), Some(d("10")));
    assert_eq!(quantity(AsOf::Day(day("2024-03-03")), ALL), None);
    assert_eq!(quantity(AsOf::Instant(at("2024-03-05T03:29:59Z")), ALL), None);
    assert_eq!(quantity(AsOf::Instant(at("2024-03-05T03:30:00Z")), ALL), Some(d("10")));
    assert_eq!(quantity(AsOf::Day(day("2024-03-04")), 1), None, "it was not known yet");
}

#[test]
fn a_reversal_acts_on_knowledge_alone() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("100")))]);
    let wrong = world.record(cash("2024-03-05", usd("900")));
    let undone = world.record(reversed(wrong));
    let flows = |as_of: &str, known| world.summary_known(as_of, known).net_contributions.unwrap();
    assert_eq!(flows("2024-03-05", wrong), d("1000"));
    assert_eq!(flows("2024-03-05", undone), d("100"));
    assert_eq!(flows("2024-03-04", wrong), d("100"));
    let view = View { as_of: AsOf::ALWAYS, known: undone };
    assert_eq!(world.book.entries(&view, world.imports()).len(), 1);
    let aside = world.book.entries_set_aside(&view, world.imports());
    assert_eq!((aside.len(), aside[0].reversed_by), (1, Some(undone)));
    assert_eq!(aside[0].event_type, EventType::CashTransferred);
    let before = View { as_of: AsOf::ALWAYS, known: wrong };
    assert_eq!(world.book.entries(&before, world.imports()).len(), 2);
    assert!(world.book.entries_set_aside(&before, world.imports()).is_empty());
}

#[test]
fn a_price_is_taken_as_it_was_known_and_as_of_when_it_was_seen() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("100")))]);
    world.record(buy("2024-03-04T15:00:00Z", "10", "10"));
    let first = world.record(close(1, "2024-03-05", "11", 0));
    let restated = world.record(close(1, "2024-03-05", "12", 1));
    let equity = |as_of: &str, known| world.summary_known(as_of, known).equity.unwrap();
    assert_eq!(equity("2024-03-05", first), d("110"));
    assert_eq!(equity("2024-03-05", restated), d("120"));
    assert_eq!(equity("2024-03-04", restated), d("100"), "the bar had not closed yet");
    assert_eq!(equity("2024-03-05T20:59:59Z", restated), d("100"));
    assert_eq!(equity("2024-03-05T21:00:00Z", restated), d("120"));
}

#[test]
fn an_import_counts_from_its_end_until_it_is_reverted() {
    let mut world = World::of([cash("2024-03-04", usd("100"))]);
    let row = world.record_imported(cash("2024-03-05", usd("50")), 1);
    let end = world.record(imported(1));
    let revert = world.record(ImportReverted { import: import(1), reason: None });
    let flows = |known| world.summary_known("2024-03-06", known).net_contributions.unwrap();
    assert_eq!((flows(row), flows(end), flows(revert)), (d("100"), d("150"), d("100")));
    assert_eq!(world.library.imports.reverts(), 1);
}

#[test]
fn the_settings_of_a_view_are_those_that_were_known() {
    let mut world = World::of([buy("2024-03-01T15:00:00Z", "10", "20")]);
    world.record(buy("2024-03-02T15:00:00Z", "10", "10"));
    let sold = world.record(sell("2024-03-04T15:00:00Z", "10", "30"));
    world.record(LotMethodChosen { method: LotMethod::Lifo, from: day("2024-01-01"), account: None });
    assert_eq!(world.summary_known("2024-03-04", sold).realised, Some(d("100")));
    assert_eq!(world.summary_known("2024-03-04", ALL).realised, Some(d("200")));
}

#[test]
fn what_is_applied_twice_counts_once() {
    let world = World::of([cash("2024-03-04", usd("100"))]);
    let mut book = world.book.clone();
    for (meta, event) in &world.log {
        book.apply(meta, event, world.imports());
    }
    assert_eq!(book.state().digest(), world.state().digest());
    assert_eq!(book.len(), 1);
}

/// Cash and trades on random days, some of them imported, some reversed.
fn a_log() -> impl Strategy<Value = Vec<(u8, u32, i64, bool)>> {
    prop::collection::vec((0u8..9, 4u32..16, 1i64..500, any::<bool>()), 1..40)
}

fn play(log: &[(u8, u32, i64, bool)]) -> World {
    let mut world = World::new();
    for (at, (kind, date, amount, brought)) in log.iter().enumerate() {
        let when = format!("2024-03-{date:02}T15:{:02}:00Z", at % 60);
        let date = format!("2024-03-{date:02}");
        let event: Event = match kind {
            0 => reversed(1 + (*amount).unsigned_abs() % world.log.len() as u64),
            1 => imported(1).into(),
            2 => ImportReverted { import: import(1 + u8::from(amount % 2 == 1)), reason: None }.into(),
            3 => imported(2).into(),
            4 => split(&format!("^{date}"), "2").into(),
            5 => cash(&date, usd(&amount.to_string())).into(),
            6 => order(buy(&when, &amount.to_string(), "7"), "A", &(500 - amount).to_string()).into(),
            7 => buy(&when, &amount.to_string(), "7").into(),
            _ => sell(&when, &amount.to_string(), "9").into(),
        };
        if *brought && event.entry().is_some() {
            world.record_imported(event, 1 + u8::from(amount % 2 == 1));
        } else {
            world.record(event);
        }
    }
    world
}

/// The book of a log that ends at `known` and lacks what had not occurred by then.
fn as_if(world: &World, view: &View) -> Book {
    let mut imports = Imports::default();
    let mut own: Vec<(Meta, Event)> = Vec::new();
    for (meta, event) in &world.log {
        if meta.sequence > view.known {
            break;
        }
        imports.apply(meta, event);
        let occurred = match (event.entry(), view.as_of) {
            (Some(entry), AsOf::Day(day)) => entry.trade_date <= day,
            (Some(_), AsOf::Instant(instant)) => meta.occurred_at <= instant,
            (None, _) => !matches!(event, Event::FileImported(_) | Event::ImportReverted(_)),
        };
        if occurred {
            own.push((*meta, event.clone()));
        }
    }
    Book::from_events(portfolio(), own, &imports)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_view_is_the_state_of_a_log_that_holds_no_more_than_it_knows(log in a_log(), cut in any::<prop::sample::Index>(), date in 3u32..17) {
        let world = play(&log);
        let known = cut.index(world.log.len()) as u64 + 1;
        let date = day(&format!("2024-03-{date:02}"));
        for known in [known, ALL] {
            for as_of in [AsOf::Day(date), AsOf::Instant(at("2024-03-09T15:30:00Z")), AsOf::ALWAYS] {
                let view = View { as_of, known };
                let expected = as_if(&world, &view);
                let state = world.book.state_at(&view, world.imports());
                prop_assert_eq!(state.digest(), expected.state().digest(), "{:?}", view);
            }
        }
    }
}

#[test]
fn a_state_by_currency_keeps_other_currencies_apart() {
    let euro = Currency::from_code("EUR").unwrap();
    let world = World::of([cash("2024-03-04", money("100", "EUR"))]);
    let summary = world.summary("2024-03-04");
    assert_eq!(summary.cash[&euro], d("100"));
    assert_eq!(summary.cash[&Currency::USD], d("0"));
    assert!(summary.missing["net_contributions"].contains("EUR"));
}

#[test]
fn a_day_on_either_side_of_a_checkpoint_is_that_day() {
    // One entry a day, enough of them for the first checkpoint, which lies at 512.
    let first = day("2020-01-01");
    let mut world = World::new();
    for at in 0..600 {
        world.record(cash(&first.plus_days(at).to_string(), usd("1")));
    }
    for at in 508..516 {
        let view = View { as_of: AsOf::Day(first.plus_days(at)), known: ALL };
        let state = world.book.state_at(&view, world.imports());
        assert_eq!(state.digest(), as_if(&world, &view).state().digest(), "{at}");
        let noon = AsOf::Instant(first.plus_days(at).at_in(12, 0, daybook_schemas::Zone::NEW_YORK));
        let view = View { as_of: noon, known: ALL };
        let state = world.book.state_at(&view, world.imports());
        assert_eq!(state.digest(), as_if(&world, &view).state().digest(), "{at}");
    }
}
