//! What needs more digits than a decimal holds: the figures that it would have changed are absent, and say why.

use crate::build::*;
use daybook_projections::{AsOf, Book, View, equity_series, positions};
use daybook_schemas::events::*;
use daybook_schemas::{Currency, Event, Money, Quantity, decimal};
use ethnum::I256;
use proptest::prelude::*;
use rust_decimal::Decimal;

const WEI: &str = "0.123456789012345678";

/// A purchase whose cash fits by itself but not beside the balance, and a sale of the same units.
fn wei() -> World {
    let mut world = World::of([Event::from(cash("2024-01-01", usd("1000000")))]);
    world.record(buy("2024-01-02T10:00:00Z", WEI, "2345.67891"));
    world.record(sell("2024-01-03T10:00:00Z", WEI, "2400"));
    world
}

fn listed(world: &World, as_of: &str) -> Vec<daybook_projections::Position> {
    let as_of = AsOf::Day(day(as_of));
    let state = world.book.state_at(&View { as_of, known: u64::MAX }, world.imports());
    positions(&state, &world.library.prices, &world.library.instruments, as_of, u64::MAX)
}

#[test]
fn cash_that_cannot_be_added_leaves_the_figures_it_would_have_changed_absent() {
    let world = wei();
    let before = world.summary("2024-01-01");
    assert_eq!((before.cash[&Currency::USD], before.equity), (d("1000000"), Some(d("1000000"))));
    assert!(before.complete);

    let bought = world.summary("2024-01-02");
    assert!(!bought.cash.contains_key(&Currency::USD));
    let absent = [bought.equity, bought.market_value, bought.unrealised, bought.unaccounted_cash];
    assert_eq!(absent, [None; 4]);
    for figure in ["cash", "equity", "market_value", "unrealised", "unaccounted_cash"] {
        let reason = &bought.missing[figure];
        assert!(reason.contains("event 3 needs more digits than a decimal holds"), "{figure}: {reason}");
        assert!(reason.contains("reverse it and state its `amount`"), "{figure}: {reason}");
    }
    let known = (bought.realised, bought.income, bought.costs, bought.fx, bought.net_contributions);
    let zero = Some(d("0"));
    assert_eq!(known, (zero, zero, zero, zero, Some(d("1000000"))), "it touched none of these");

    let sold = world.summary("2024-01-03");
    assert_eq!((sold.realised, sold.equity), (None, None));
    assert!(sold.missing["realised"].contains("event 3 "), "{}", sold.missing["realised"]);
    assert_eq!(sold.net_contributions, Some(d("1000000")));
    assert!(!sold.complete);
    let unaccounted: Vec<u64> = sold.unaccounted.iter().map(|event| event.sequence).collect();
    assert_eq!(unaccounted, [3, 4], "a sale of what is not known to be held is no short sale");
}

#[test]
fn a_position_that_is_not_known_is_marked_and_nothing_is_invented_in_its_place() {
    let world = wei();
    for date in ["2024-01-02", "2024-01-03"] {
        let positions = listed(&world, date);
        assert_eq!(positions.len(), 1);
        let position = &positions[0];
        assert_eq!((position.market_value, position.basis, position.unrealised), (None, None, None));
        for figure in ["quantity", "basis", "market_value", "unrealised", "realised"] {
            assert!(position.missing[figure].contains("event 3 "), "{figure}");
        }
        assert!(world.summary(date).unpriced.is_empty(), "a price would not help");
    }
    assert_eq!(world.state().trips().count(), 0, "no round trip begins with the sale");
    assert!(world.state().incomplete_history.is_empty());
    assert_eq!(world.state().open_holdings().count(), 0);
}

#[test]
fn days_from_an_event_of_too_many_digits_on_have_no_equity_and_say_why() {
    let world = wei();
    let series = equity_series(
        &world.book,
        &world.library.prices,
        &world.library.instruments,
        world.imports(),
        &View { as_of: AsOf::Day(day("2024-01-05")), known: u64::MAX },
        None,
        None,
    );
    assert_eq!(series.days.len(), 5);
    assert_eq!(series.days[0].equity, Some(d("1000000")));
    for day in &series.days[1..] {
        assert_eq!((day.equity, day.daily_return, day.drawdown), (None, None, None), "{}", day.date);
        assert!(day.missing.as_ref().unwrap().contains("event 3 needs more digits"), "{day:?}");
    }
}

#[test]
fn reversed_and_stated_with_its_amount_the_figures_are_all_there() {
    let mut world = wei();
    world.record(reversed(3));
    let mut stated = buy("2024-01-02T10:00:00Z", WEI, "2345.67891");
    stated.net_amount = Some(usd("-289.59"));
    world.record(stated);
    let summary = world.summary("2024-01-03");
    assert!(summary.missing.is_empty() && summary.complete, "{:?}", summary.missing);
    // 0.123456789012345678 × 2400 − 289.59
    assert_eq!(summary.realised, Some(d("6.7062936296296272")));
    assert_eq!(summary.cash[&Currency::USD], d("1000006.7062936296296272"));
    assert_eq!(listed(&world, "2024-01-03").len(), 0);
}

#[test]
fn a_deposit_beside_one_of_another_magnitude_leaves_cash_and_contributions_absent() {
    let world = World::of([
        cash("2024-01-02", usd("0.0000000000000000000000000001")),
        cash("2024-01-03", usd("100000")),
        cash("2024-01-04", usd("1")),
    ]);
    let summary = world.summary("2024-01-04");
    assert!(summary.cash.is_empty());
    assert_eq!((summary.equity, summary.net_contributions, summary.unaccounted_cash), (None, None, None));
    for figure in ["cash", "equity", "net_contributions", "unaccounted_cash"] {
        assert!(summary.missing[figure].contains("event 3 "), "{figure}: {:?}", summary.missing);
    }
    assert_eq!(summary.market_value, Some(d("0")), "nothing is held");
    assert_eq!(summary.realised, Some(d("0")));
}

#[test]
fn a_trade_whose_amount_fits_no_decimal_is_not_known_either() {
    let world = World::of([
        Event::from(cash("2024-01-02", usd("10"))),
        buy("2024-01-03T15:00:00Z", WEI, "0.123456789012345678").into(),
    ]);
    let summary = world.summary("2024-01-03");
    assert!(summary.cash.is_empty() && summary.equity.is_none());
    assert!(summary.missing["cash"].contains("event 3 needs more digits"), "{:?}", summary.missing);
    assert_eq!(listed(&world, "2024-01-03").len(), 1);

    // With its amount stated its cash is known, whatever the price says.
    let mut stated = buy("2024-01-03T15:00:00Z", WEI, "0.123456789012345678");
    stated.net_amount = Some(usd("-1"));
    let world = World::of([Event::from(cash("2024-01-02", usd("10"))), stated.into()]);
    assert_eq!(world.summary("2024-01-03").cash[&Currency::USD], d("9"));
}

#[test]
fn what_is_not_known_of_one_instrument_leaves_others_and_other_currencies_alone() {
    let mut world = wei();
    let euro = Currency::from_code("EUR").unwrap();
    let mut other = buy("2024-01-04T15:00:00Z", "10", "5");
    other.instrument = instrument(2);
    world.record(other);
    world.record(cash("2024-01-04", money("7", "EUR")));
    let summary = world.summary("2024-01-04");
    assert_eq!(summary.cash.get(&euro), Some(&d("7")));
    let positions = listed(&world, "2024-01-04");
    let whole: Vec<_> = positions.iter().filter(|position| position.missing.is_empty()).collect();
    assert_eq!((whole.len(), whole[0].quantity, whole[0].market_value), (1, Some(d("10")), Some(d("50"))));
    // A dividend is income whether or not the balance is known.
    world.record(dividend("2024-01-05", usd("3")));
    assert_eq!(world.summary("2024-01-05").income, Some(d("3")));
}

#[test]
fn units_that_move_out_of_a_position_that_is_not_known_leave_the_other_account_unknown_too() {
    let mut world = wei();
    let mut held = buy("2024-01-04T15:00:00Z", "1", "5");
    held.entry.account = account(2);
    world.record(held);
    assert_eq!(listed(&world, "2024-01-04")[1].quantity, Some(d("1")));
    let leg = |number: u8, quantity: &str| {
        let mut leg = transfer("2024-01-05", quantity, None, None);
        leg.entry.account = account(number);
        leg.scope = Scope::Internal;
        leg.entry.group = group("a move");
        leg
    };
    world.record(leg(1, "-2"));
    world.record(leg(2, "2"));
    let positions = listed(&world, "2024-01-05");
    assert_eq!(positions.len(), 2);
    assert!(positions.iter().all(|position| position.missing.contains_key("quantity")), "{positions:?}");
    let last = world.summary("2024-01-05").unaccounted.last().map(|event| event.sequence);
    assert_eq!(last, Some(7), "the second leg; the first is no leg that waits any more");
}

#[test]
fn a_split_that_cannot_be_computed_leaves_the_position_unknown_and_cash_known() {
    let mut world = World::of([Event::from(cash("2024-01-02", usd("100")))]);
    let mut bought = buy("2024-01-02T15:00:00Z", "70000000000000000000000000000", "1");
    bought.net_amount = Some(usd("-1"));
    world.record(bought);
    world.record(split("^2024-01-03", "10"));
    let summary = world.summary("2024-01-03");
    assert_eq!((summary.cash[&Currency::USD], summary.equity), (d("99"), None));
    assert!(summary.missing["market_value"].contains("state it with fewer digits"), "{:?}", summary.missing);
    assert_eq!(summary.realised, Some(d("0")));
}

#[test]
fn accounts_whose_sum_fits_no_decimal_leave_cash_absent_rather_than_zero() {
    let mut other = cash("2024-01-02", usd("100000"));
    other.entry.account = account(2);
    let world = World::of([cash("2024-01-02", usd("0.0000000000000000000000000001")), other]);
    let summary = world.summary("2024-01-02");
    assert!(summary.cash.is_empty() && summary.equity.is_none());
    assert!(summary.missing["cash"].contains("digits") && summary.missing["equity"].contains("digits"));
}

/// An amount of up to 27 digits, in units of the 28th place.
fn wide(amount: Decimal) -> I256 {
    I256::new(amount.mantissa()) * I256::new(10).pow(28 - amount.scale())
}

fn long() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        2 => (any::<i64>(), 0u32..28)
            .prop_map(|(mantissa, scale)| decimal::from_parts(mantissa.into(), scale).unwrap()),
        1 => (1i64..1000).prop_map(Decimal::from),
        1 => (-100_000i64..100_000).prop_map(|cents| Decimal::new(cents, 2)),
    ]
}

fn a_long_event() -> impl Strategy<Value = (u8, Decimal, Decimal)> {
    (0u8..7, long(), long())
}

fn event_of(at: usize, kind: u8, a: Decimal, b: Decimal) -> Event {
    let when = format!("2024-03-04T15:{:02}:{:02}Z", at / 60, at % 60);
    let money = Money::new(a, Currency::USD);
    match kind {
        0 => cash(&when, money).into(),
        1 => dividend(&when, money).into(),
        2 => fee(&when, money).into(),
        3 => adjustment(&when, money).into(),
        _ => {
            let mut event = if kind == 4 { sell(&when, "1", "1") } else { buy(&when, "1", "1") };
            event.quantity = Quantity::new(a.abs());
            event.price = Some(daybook_schemas::Price::new(b.abs()));
            event.into()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_figure_that_is_shown_is_the_exact_sum_whatever_its_digits(steps in prop::collection::vec(a_long_event(), 1..12)) {
        let mut world = World::new();
        let (mut moved, mut contributed, mut income, mut held) = (I256::ZERO, I256::ZERO, I256::ZERO, I256::ZERO);
        for (at, (kind, a, b)) in steps.iter().enumerate() {
            let trades = *kind >= 4;
            if trades && (a.is_zero() || multiply_wide(*a, *b).is_none()) {
                continue;
            }
            world.record(event_of(at, *kind, *a, *b));
            match kind {
                0 => contributed += wide(*a),
                1 => income += wide(*a),
                _ => {}
            }
            if trades {
                let gross = multiply_wide(a.abs(), b.abs()).unwrap();
                let sign = if *kind == 4 { I256::new(-1) } else { I256::ONE };
                moved -= sign * gross;
                held += sign * wide(a.abs());
            } else {
                moved += wide(*a);
            }
        }
        let summary = world.summary("2024-03-05");
        match summary.cash.get(&Currency::USD) {
            Some(cash) => prop_assert_eq!(wide(*cash), moved),
            None => prop_assert!(summary.missing.contains_key("cash") && summary.equity.is_none()),
        }
        match summary.net_contributions {
            Some(flows) => prop_assert_eq!(wide(flows), contributed),
            None => prop_assert!(summary.missing.contains_key("net_contributions")),
        }
        match summary.income {
            Some(shown) => prop_assert_eq!(wide(shown), income),
            None => prop_assert!(summary.missing.contains_key("income")),
        }
        let positions = listed(&world, "2024-03-05");
        match positions.first() {
            None => prop_assert_eq!(held, I256::ZERO),
            Some(position) if position.missing.contains_key("quantity") => {
                prop_assert!(summary.equity.is_none() && summary.market_value.is_none());
            }
            Some(position) => prop_assert_eq!(wide(position.quantity.unwrap()), held),
        }
        let figures = (
            summary.realised, summary.unrealised, summary.income, summary.costs,
            summary.unaccounted_cash, summary.equity, summary.net_contributions,
        );
        if let (Some(realised), Some(unrealised), Some(income), Some(costs), Some(cash), Some(equity), Some(flows)) = figures {
            let left = [realised, unrealised, income, -costs, cash].into_iter().map(wide).sum::<I256>();
            prop_assert_eq!(left, wide(equity) - wide(flows));
        }
    }

    #[test]
    fn late_is_on_time_and_replay_is_incremental_where_digits_run_out(
        steps in prop::collection::vec(a_long_event(), 1..12),
        keys in prop::collection::vec(any::<u64>(), 12),
    ) {
        let events: Vec<Event> =
            steps.iter().enumerate().map(|(at, (kind, a, b))| event_of(at, *kind, *a, *b)).collect();
        let mut shuffled: Vec<(u64, Event)> = keys.into_iter().zip(events.iter().cloned()).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let on_time = World::of(events);
        let late = World::of(shuffled.into_iter().map(|(_, event)| event));
        prop_assert_eq!(economics(on_time.state()), economics(late.state()));
        for world in [&on_time, &late] {
            let sorted = Book::from_events(portfolio(), world.log.iter().cloned(), world.imports());
            prop_assert_eq!(sorted.state().digest(), world.state().digest());
            let restored = Book::restore(&world.book.snapshot(), world.imports()).unwrap();
            prop_assert_eq!(restored.state().digest(), world.state().digest());
        }
    }
}

/// The exact product in units of the 28th place; nothing where it has more places than that.
fn multiply_wide(a: Decimal, b: Decimal) -> Option<I256> {
    let (product, scale) = (I256::new(a.mantissa()) * I256::new(b.mantissa()), a.scale() + b.scale());
    if scale <= 28 {
        return Some(product * I256::new(10).pow(28 - scale));
    }
    let unit = I256::new(10).pow(scale - 28);
    (product % unit == I256::ZERO).then(|| product / unit)
}
