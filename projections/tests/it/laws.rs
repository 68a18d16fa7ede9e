//! The laws, as properties over made-up histories.

use crate::build::*;
use daybook_projections::{Book, Holding, Imports, State, check};
use daybook_schemas::events::*;
use daybook_schemas::{
    Currency, Day, Event, Money, Multiplier, Phase, Quantity, Ratio, Timestamp, When, decimal,
};
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::VecDeque;

/// A decimal with up to three places.
fn amount(range: std::ops::Range<i64>) -> impl Strategy<Value = Decimal> {
    (range, 0u32..4).prop_map(|(mantissa, scale)| decimal::from_parts(mantissa.into(), scale).unwrap())
}

fn moment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (4u32..16, 14u32..20, 0u32..60, 0u32..60)
            .prop_map(|(day, hour, minute, second)| format!("2024-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z")),
        1 => (4u32..16).prop_map(|day| format!("2024-03-{day:02}")),
        1 => (4u32..16).prop_map(|day| format!("^2024-03-{day:02}")),
    ]
}

fn a_trade() -> impl Strategy<Value = Event> {
    let parts = (moment(), any::<bool>(), 0u8..10, amount(1..900), amount(0..9000), amount(-20..60));
    let more =
        (1u8..3, 1u8..3, prop::option::of((0u8..3, 1i64..6)), prop::option::of(amount(1..90_000)), 0u8..10);
    (parts, more).prop_map(
        |((when, buys, effect, quantity, price, fee), (number, what, order, net, euro))| {
            let side = if buys { Side::Buy } else { Side::Sell };
            let mut event = trade(&when, side, "1", "1", "0");
            event.quantity = Quantity::new(quantity);
            event.price = Some(daybook_schemas::Price::new(price));
            event.entry.account = account(number);
            event.instrument = instrument(what);
            event.effect = match effect {
                0 | 1 => Effect::Close,
                2 => Effect::Open,
                _ => Effect::Unstated,
            };
            if !fee.is_zero() {
                let currency = if euro == 0 { "EUR" } else { "USD" };
                event.charges = vec![Charge {
                    kind: ChargeKind::Commission,
                    amount: Money::new(fee, Currency::from_code(currency).unwrap()),
                }];
            }
            if let Some(net) = net {
                event.net_amount = Some(Money::new(if buys { -net } else { net }, Currency::USD));
            }
            if let Some((order, cumulative)) = order {
                event.order = Some(daybook_schemas::BrokerOrderId::new(format!("order {order}")));
                event.cumulative_quantity = Some(Quantity::new(cumulative.into()));
            }
            if what == 2 {
                event.multiplier = Multiplier::new(d("100"));
            }
            if euro == 1 {
                event.accrued_interest = Some(usd("1.25"));
            }
            event.into()
        },
    )
}

fn an_event() -> impl Strategy<Value = Event> {
    let on = |number: u8, mut event: Event| {
        let entry = match &mut event {
            Event::SplitApplied(event) => &mut event.entry,
            Event::SecuritiesTransferred(event) => &mut event.entry,
            Event::CashTransferred(event) => &mut event.entry,
            _ => return event,
        };
        entry.account = account(number);
        event
    };
    prop_oneof![
        10 => a_trade(),
        2 => (moment(), amount(-5000..9000)).prop_map(|(when, value)| cash(&when, Money::new(value, Currency::USD)).into()),
        1 => (moment(), amount(-50..90)).prop_map(|(when, value)| dividend(&when, Money::new(value, Currency::USD)).into()),
        1 => (moment(), amount(-50..90), any::<bool>()).prop_map(|(when, value, margin)| {
            let kind = if margin { InterestKind::Margin } else { InterestKind::Credit };
            interest(&when, kind, Money::new(value, Currency::USD)).into()
        }),
        1 => (moment(), amount(-50..9)).prop_map(|(when, value)| fee(&when, Money::new(value, Currency::USD)).into()),
        1 => (moment(), amount(-50..9)).prop_map(|(when, value)| tax(&when, Money::new(value, Currency::USD)).into()),
        1 => (moment(), amount(-5..9)).prop_map(|(when, value)| adjustment(&when, Money::new(value, Currency::USD)).into()),
        1 => (moment(), amount(1..900), amount(1..900)).prop_map(|(when, sold, bought)| {
            conversion(&when, Money::new(-sold, Currency::USD), Money::new(bought, Currency::from_code("EUR").unwrap())).into()
        }),
        2 => (moment(), 1u8..3, prop::sample::select(vec!["2", "3", "1/2", "1/3", "3/2", "1/10", "7"]))
            .prop_map(move |(when, number, ratio)| on(number, split(&when, ratio).into())),
        2 => (moment(), 1u8..3, amount(-300..600), prop::option::of(amount(1..9000)), prop::option::of(amount(1..9000)), any::<bool>())
            .prop_filter("units are needed", |(_, _, quantity, ..)| !quantity.is_zero())
            .prop_map(move |(when, number, quantity, value, basis, internal)| {
                let mut event = transfer(&when, "1", None, None);
                event.quantity = Quantity::new(quantity);
                event.value = value.map(|value| Money::new(value, Currency::USD));
                event.basis = basis.map(|basis| Money::new(basis, Currency::USD));
                if internal {
                    event.scope = Scope::Internal;
                    event.quantity = Quantity::new(if quantity.is_sign_negative() { d("-3") } else { d("3") });
                    event.entry.group = group("a move");
                }
                on(number, event.into())
            }),
        1 => (moment(), amount(1..30), prop::option::of(1i64..50)).prop_map(|(when, quantity, price)| {
            let mut event = reward_in_kind(&when, "1", None);
            let units = event.in_kind.as_mut().unwrap();
            units.quantity = Quantity::new(quantity);
            units.price = price.map(|price| daybook_schemas::Price::new(price.into()));
            event.into()
        }),
        1 => (moment(), amount(1..30), prop::option::of(1i64..50)).prop_map(|(when, quantity, price)| {
            let mut event = fee(&when, usd("0"));
            event.amount = None;
            event.in_kind = Some(in_kind("-1", None));
            let units = event.in_kind.as_mut().unwrap();
            units.quantity = Quantity::new(-quantity);
            units.price = price.map(|price| daybook_schemas::Price::new(price.into()));
            event.into()
        }),
        1 => moment().prop_map(|when| expiry(&when, None).into()),
        1 => (moment(), 1u8..3, amount(-50..50)).prop_map(move |(when, number, value)| {
            let mut event = cash(&when, Money::new(value, Currency::USD));
            event.scope = Scope::Internal;
            on(number, event.into())
        }),
    ]
}

/// What a made-up log holds beside events: reversals and imports.
#[derive(Clone, Debug)]
enum Step {
    Record(Box<Event>),
    /// An event that comes with an import.
    Imported(Box<Event>, u8),
    /// Reverses an earlier event, counted from the beginning.
    Reverse(prop::sample::Index),
    EndImport(u8),
    RevertImport(u8),
    Supply(prop::sample::Index, i64),
    Method(u32, u8),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => an_event().prop_map(|event| Step::Record(Box::new(event))),
        4 => (an_event(), 1u8..4).prop_map(|(event, import)| Step::Imported(Box::new(event), import)),
        2 => any::<prop::sample::Index>().prop_map(Step::Reverse),
        1 => (1u8..4).prop_map(Step::EndImport),
        1 => (1u8..4).prop_map(Step::RevertImport),
        1 => (any::<prop::sample::Index>(), 1i64..500).prop_map(|(target, basis)| Step::Supply(target, basis)),
        1 => (4u32..16, 0u8..3).prop_map(|(day, method)| Step::Method(day, method)),
    ]
}

fn play(steps: &[Step]) -> World {
    let mut world = World::new();
    for step in steps {
        let length = world.log.len();
        match step {
            Step::Record(event) => world.record((**event).clone()),
            Step::Imported(event, number) => world.record_imported((**event).clone(), *number),
            Step::Reverse(target) => world.record(reversed(target.index(length) as u64 + 1)),
            Step::EndImport(number) => world.record(imported(*number)),
            Step::RevertImport(number) => {
                world.record(ImportReverted { import: import(*number), reason: None })
            }
            Step::Supply(target, basis) => {
                let sequence = target.index(length) as u64 + 1;
                let quantity = match &world.log[target.index(length)].1 {
                    Event::SecuritiesTransferred(transfer) => transfer.quantity,
                    _ => Quantity::new(d("1")),
                };
                world.record(BasisSupplied {
                    entry: entry(1, "2024-04-01"),
                    transfer: Reference::Sequence(sequence),
                    lots: vec![TransferredLot {
                        quantity,
                        basis: Some(Money::new((*basis).into(), Currency::USD)),
                        acquired: None,
                    }],
                })
            }
            Step::Method(date, method) => world.record(LotMethodChosen {
                method: [LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo][usize::from(*method)].clone(),
                from: day(&format!("2024-03-{date:02}")),
                account: None,
            }),
        };
    }
    world
}

fn sorted(world: &World) -> Book {
    let own = world
        .log
        .iter()
        .filter(|(_, event)| !matches!(event, Event::FileImported(_) | Event::ImportReverted(_)));
    Book::from_events(portfolio(), own.cloned(), world.imports())
}

/// The books balance: what is held and what is known of how it came about agree, by currency.
fn books_balance(state: &State) {
    let cash = state.cash_by_currency();
    for (currency, totals) in &state.totals {
        let book: Decimal = state
            .open_holdings()
            .filter(|(_, _, holding)| holding.currency == *currency)
            .map(|(_, _, holding)| signed_basis(holding))
            .sum();
        let left = totals.realised + totals.income - totals.costs + totals.converted
            - totals.transferred_gain
            + totals.unaccounted_cash
            + totals.contributed
            - totals.withdrawn;
        assert_eq!(left, cash[currency].clone().unwrap() + book, "{currency}: {totals:?}");
    }
}

fn signed_basis(holding: &Holding) -> Decimal {
    let basis = holding.basis().unwrap();
    if holding.quantity.is_sign_negative() { -basis } else { basis }
}

fn lots_are_sound(state: &State) {
    for (key, holding) in &state.holdings {
        let sum: Decimal = holding.lots.iter().map(|lot| lot.quantity).sum();
        assert_eq!(sum, holding.quantity, "{key:?}: lots sum to the position");
        for lot in &holding.lots {
            assert!(!lot.quantity.is_zero(), "{key:?}: no lot is empty");
            assert_eq!(
                lot.quantity.is_sign_negative(),
                holding.quantity.is_sign_negative(),
                "{key:?}: no mixed signs"
            );
        }
        let in_order =
            holding.lots.iter().zip(holding.lots.iter().skip(1)).all(|(a, b)| a.acquired_at <= b.acquired_at);
        assert!(in_order, "{key:?}: lots stand by acquisition");
        assert_eq!(holding.trip.is_some(), holding.is_open(), "{key:?}: a trip is open while units are held");
    }
}

fn configuration() -> ProptestConfig {
    ProptestConfig { cases: 160, max_shrink_iters: 4_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(configuration())]

    #[test]
    fn replay_is_incremental_bit_for_bit(steps in prop::collection::vec(a_step(), 1..60)) {
        for cut in [steps.len() / 3, steps.len() / 2, steps.len()] {
            let world = play(&steps[..cut]);
            let sorted = sorted(&world);
            prop_assert_eq!(sorted.state(), world.state());
            prop_assert_eq!(sorted.state().digest(), world.state().digest());
        }
    }

    #[test]
    fn the_books_balance_and_lots_are_sound_after_every_event(steps in prop::collection::vec(a_step(), 1..40)) {
        for cut in 0..=steps.len() {
            let world = play(&steps[..cut]);
            books_balance(world.state());
            lots_are_sound(world.state());
        }
    }

    #[test]
    fn late_is_on_time(events in prop::collection::vec(an_event(), 1..40), keys in prop::collection::vec(any::<u64>(), 40)) {
        // Distinct instants, so that nothing is left to the order of recording.
        let events: Vec<Event> = events.into_iter().enumerate().map(|(at, event)| at_second(event, at)).collect();
        let mut shuffled: Vec<(u64, Event)> = keys.into_iter().zip(events.iter().cloned()).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let on_time = World::of(events);
        let late = World::of(shuffled.into_iter().map(|(_, event)| event));
        prop_assert_eq!(economics(on_time.state()), economics(late.state()));
        prop_assert_eq!(economics(sorted(&late).state()), economics(late.state()));
    }

    #[test]
    fn order_matters_only_within_one_instrument_of_one_account(trades in prop::collection::vec(a_trade(), 2..20), keys in prop::collection::vec(any::<u64>(), 20)) {
        // All on one day at its close, so that nothing but the order of recording tells them apart.
        let at_close = |event: Event, at: usize| match event {
            Event::TradeExecuted(mut event) => {
                event.entry.when = When::On { day: day("2024-03-04"), phase: Phase::Close, rank: 0 };
                event.entry.trade_date = day("2024-03-04");
                event.instrument = instrument(u8::try_from(at).unwrap());
                Event::from(event)
            }
            other => other,
        };
        let events: Vec<Event> = trades.into_iter().enumerate().map(|(at, event)| at_close(event, at)).collect();
        let mut shuffled: Vec<(u64, Event)> = keys.into_iter().zip(events.iter().cloned()).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let lines = |world: &World| {
            let text = economics(world.state());
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let other = World::of(shuffled.into_iter().map(|(_, event)| event));
        prop_assert_eq!(lines(&World::of(events)), lines(&other));
    }

    #[test]
    fn reversed_is_never_happened(events in prop::collection::vec(an_event(), 1..30), extra in an_event(), place in any::<prop::sample::Index>(), twice in any::<bool>()) {
        let without = World::of(events.clone());
        let place = place.index(events.len() + 1);
        let mut with = World::new();
        let mut target = 0;
        for at in 0..=events.len() {
            if at == place {
                target = with.record(extra.clone());
            }
            if let Some(event) = events.get(at) {
                with.record(event.clone());
            }
        }
        let undone = with.record(reversed(target));
        prop_assert_eq!(economics(with.state()), economics(without.state()));
        if twice {
            // A reversal that never happened leaves the event standing.
            with.record(reversed(undone));
            let mut all = events;
            all.insert(place, extra);
            prop_assert_eq!(economics(with.state()), economics(World::of(all).state()));
        }
    }

    #[test]
    fn a_reverted_import_is_an_import_that_never_was(own in prop::collection::vec(an_event(), 1..20), brought in prop::collection::vec(an_event(), 1..20)) {
        let mut world = World::new();
        let mut brought = brought.into_iter();
        for event in &own {
            world.record(event.clone());
            if let Some(event) = brought.next() {
                world.record_imported(event, 1);
            }
        }
        let pending = economics(world.state());
        prop_assert_eq!(&pending, &economics(World::of(own.clone()).state()), "nothing counts before the end of the import");
        world.record(imported(1));
        let with = economics(world.state());
        prop_assert_eq!(&with, &economics(sorted(&world).state()));
        world.record(ImportReverted { import: import(1), reason: None });
        prop_assert_eq!(economics(world.state()), pending);
    }

    #[test]
    fn the_identity_holds_to_the_last_decimal(events in prop::collection::vec(an_event(), 1..40), prices in prop::collection::vec((1u8..3, 4u32..16, 1i64..90_000), 0..8)) {
        let mut world = World::of(events);
        for (number, date, price) in prices {
            let price = decimal::from_parts(price.into(), 3).unwrap().to_string();
            world.record(close(number, &format!("2024-03-{date:02}"), &price, 0));
        }
        for date in ["2024-03-08", "2024-03-20"] {
            let summary = world.summary(date);
            let figures = (
                summary.realised, summary.unrealised, summary.income, summary.costs, summary.fx,
                summary.transferred_gain, summary.unaccounted_cash, summary.equity, summary.net_contributions,
            );
            let (Some(realised), Some(unrealised), Some(income), Some(costs), Some(fx), Some(gain), Some(cash), Some(equity), Some(flows)) = figures
            else {
                prop_assert!(!summary.missing.is_empty(), "what is absent has a reason");
                prop_assert!(!summary.complete);
                continue;
            };
            prop_assert_eq!(realised + unrealised + income - costs + fx - gain + cash, equity - flows);
        }
    }

    #[test]
    fn flat_is_the_same_gain_under_every_method_as_the_cash_says(trades in prop::collection::vec((any::<bool>(), 1i64..500, 1i64..9000, 0i64..300), 1..25)) {
        for method in [LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo] {
            let mut world = World::with(opened(Calendar::Weekdays, method));
            let mut position = 0;
            for (at, (buys, quantity, price, fee)) in trades.iter().enumerate() {
                position += if *buys { *quantity } else { -*quantity };
                let side = if *buys { Side::Buy } else { Side::Sell };
                let fee = decimal::from_parts((*fee).into(), 2).unwrap().to_string();
                let price = decimal::from_parts((*price).into(), 2).unwrap().to_string();
                world.record(trade(&second(at), side, &quantity.to_string(), &price, &fee));
            }
            if position != 0 {
                let side = if position < 0 { Side::Buy } else { Side::Sell };
                world.record(trade("2024-04-01T15:00:00Z", side, &position.abs().to_string(), "12.34", "0"));
            }
            let state = world.state();
            prop_assert_eq!(state.open_holdings().count(), 0);
            let cash = state.cash_by_currency()[&Currency::USD].clone().unwrap();
            prop_assert_eq!(state.totals[&Currency::USD].realised, cash);
            let trips: Decimal = state.closed_trips.iter().map(|trip| trip.sums.net).sum();
            prop_assert_eq!(trips, cash, "trips own all of it");
            let gross_less_fees: Decimal =
                state.closed_trips.iter().map(|trip| trip.gross().unwrap() - trip.sums.fees).sum();
            prop_assert_eq!(gross_less_fees, cash);
        }
    }

    #[test]
    fn fifo_agrees_with_a_queue_of_single_units(trades in prop::collection::vec((any::<bool>(), 1i64..20, 1i64..900), 1..30)) {
        // Each unit is kept apart: no division, no lots, nothing in common with the fold.
        let mut queue: VecDeque<(bool, i64)> = VecDeque::new();
        let mut gain = 0i64;
        let mut world = World::new();
        for (at, (buys, quantity, price)) in trades.iter().enumerate() {
            for _ in 0..*quantity {
                match queue.front() {
                    Some((long, cost)) if long != buys => {
                        gain += if *long { price - cost } else { cost - price };
                        queue.pop_front();
                    }
                    _ => queue.push_back((*buys, *price)),
                }
            }
            let side = if *buys { Side::Buy } else { Side::Sell };
            world.record(trade(&second(at), side, &quantity.to_string(), &price.to_string(), "0"));
        }
        let state = world.state();
        let near = |a: Decimal, b: i64| (a - Decimal::from(b)).abs() < d("0.000000001");
        prop_assert!(near(state.totals[&Currency::USD].realised, gain));
        let basis: Decimal = state.open_holdings().map(|(_, _, holding)| holding.basis().unwrap()).sum();
        prop_assert!(near(basis, queue.iter().map(|(_, price)| price).sum()));
    }

    #[test]
    fn a_split_and_its_inverse_are_the_identity(quantities in prop::collection::vec(1i64..500, 1..6), numerator in prop::sample::select(vec![1i64, 2, 3, 4, 5, 7, 8, 10, 20]), denominator in prop::sample::select(vec![1i64, 2, 3, 4, 5, 7, 8, 10, 13])) {
        let mut world = World::new();
        for (at, quantity) in quantities.iter().enumerate() {
            world.record(buy(&second(at), &quantity.to_string(), "7.77"));
        }
        let without_splits = |world: &World| {
            let holding = &world.state().holdings[&(account(1), instrument(1), Currency::USD)];
            (holding.quantity, holding.lots.clone(), holding.last_price.map(|last| last.price))
        };
        let before = without_splits(&world);
        let there = Ratio::new(numerator.into(), denominator.into()).unwrap();
        let mut event = split("^2024-03-20", "1");
        event.ratio = Some(there);
        world.record(event.clone());
        event.entry = entry(1, "^2024-03-21");
        event.ratio = Some(there.inverse());
        world.record(event);
        let after = without_splits(&world);
        prop_assert_eq!(after.0, before.0);
        prop_assert_eq!(after.1, before.1);
        prop_assert!((after.2.unwrap() - before.2.unwrap()).abs() < d("0.0000000001"));
    }

    #[test]
    fn a_snapshot_and_the_rest_are_a_replay_at_every_cut(steps in prop::collection::vec(a_step(), 1..25)) {
        let whole = play(&steps);
        for cut in 0..=steps.len() {
            let part = play(&steps[..cut]);
            let snapshot = part.book.snapshot();
            let mut imports: Imports = part.imports().clone();
            let mut book = Book::restore(&snapshot, &imports).unwrap();
            prop_assert_eq!(book.state().digest(), part.state().digest());
            for (meta, event) in &whole.log[part.log.len()..] {
                imports.apply(meta, event);
                match event {
                    Event::FileImported(file) => book.import_changed(file.import, &imports),
                    Event::ImportReverted(reverted) => book.import_changed(reverted.import, &imports),
                    _ => book.apply(meta, event, &imports),
                }
            }
            prop_assert_eq!(book.state().digest(), whole.state().digest(), "cut at {}", cut);
        }
        let middle = play(&steps[..steps.len() / 2]).book.snapshot();
        let report = check(portfolio(), &whole.own_records(), Some(&middle));
        prop_assert!(report.agrees() && report.snapshot_refused.is_none() && report.digests.len() == 3, "{:?}", report);
    }

    #[test]
    fn a_split_moves_no_basis_and_no_cash(events in prop::collection::vec(a_trade(), 1..20), ratio in prop::sample::select(vec!["2", "1/3", "3/2"])) {
        let before = World::of(events.clone());
        let mut after = World::of(events);
        after.record(split("2024-04-01", ratio));
        prop_assert_eq!(before.state().cash.clone(), after.state().cash.clone());
        prop_assert_eq!(before.state().totals.clone(), after.state().totals.clone());
        for (key, holding) in &before.state().holdings {
            prop_assert_eq!(holding.basis(), after.state().holdings[key].basis());
        }
    }
}

/// Numbers at the edges of what a decimal holds, and ordinary ones.
fn extreme() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        (any::<i64>(), 0u32..28)
            .prop_map(|(mantissa, scale)| decimal::from_parts(mantissa.into(), scale).unwrap()),
        Just(Decimal::MAX),
        Just(Decimal::MIN),
        Just(Decimal::from_i128_with_scale(1, 28)),
        Just(Decimal::ONE),
        Just(Decimal::ZERO),
        (1i64..100).prop_map(Decimal::from),
    ]
}

fn extreme_day() -> impl Strategy<Value = Day> {
    prop_oneof![Just(i32::MIN), Just(i32::MAX), any::<i32>(), 0..3i32].prop_map(Day::from_number)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_number_and_no_day_makes_the_fold_panic_or_the_books_lie(
        steps in prop::collection::vec((0u8..8, extreme(), extreme(), extreme(), extreme_day(), any::<i64>()), 1..12),
    ) {
        let mut world = World::new();
        for (kind, a, b, c, date, nanos) in steps {
            let when = if nanos % 2 == 0 {
                When::At(Timestamp::from_nanos(nanos))
            } else {
                When::On { day: date, phase: Phase::Close, rank: 0 }
            };
            let entry = Entry::new(account(1), when, date);
            let event: Event = match kind {
                0..=2 => {
                    let mut event = trade("2024-03-04", if kind == 0 { Side::Sell } else { Side::Buy }, "1", "1", "0");
                    event.quantity = Quantity::new(a.abs());
                    event.price = Some(daybook_schemas::Price::new(b));
                    event.multiplier = Multiplier::new(if kind == 2 { c } else { Decimal::ONE });
                    event.charges = vec![Charge { kind: ChargeKind::Unstated, amount: Money::new(c, Currency::USD) }];
                    TradeExecuted { entry, ..event }.into()
                }
                3 => CashTransferred { entry, ..cash("2024-03-04", Money::new(a, Currency::USD)) }.into(),
                4 => {
                    let mut event = transfer("2024-03-04", "1", None, None);
                    event.quantity = Quantity::new(a);
                    event.price = Some(daybook_schemas::Price::new(b));
                    event.acquired = Some(date);
                    event.basis = Some(Money::new(c, Currency::USD));
                    SecuritiesTransferred { entry, ..event }.into()
                }
                5 => {
                    let mut event = split("2024-03-04", "1");
                    event.ratio = Ratio::new(b.abs(), c.abs()).ok();
                    event.added = event.ratio.is_none().then(|| Quantity::new(a));
                    SplitApplied { entry, ..event }.into()
                }
                6 => adjustment("2024-03-04", Money::new(a, Currency::USD)).into(),
                _ => {
                    let mut bar = close(1, "2024-03-05", "1", 0);
                    bar.close = daybook_schemas::Price::new(b);
                    bar.closes = Timestamp::from_nanos(nanos);
                    bar.day = Some(date);
                    bar.into()
                }
            };
            world.record(event);
        }
        lots_are_sound_where_they_sum(world.state());
        for as_of in ["2024-03-08", "1971-01-01"] {
            let summary = world.summary(as_of);
            if let (Some(equity), Some(value)) = (summary.equity, summary.market_value) {
                let cash = summary.cash[&Currency::USD];
                prop_assert_eq!(decimal::add(cash, value), Ok(equity));
            }
        }
        prop_assert_eq!(sorted(&world).state().digest(), world.state().digest());
    }
}

fn lots_are_sound_where_they_sum(state: &State) {
    for (key, holding) in &state.holdings {
        let sum = holding.lots.iter().try_fold(Decimal::ZERO, |sum, lot| decimal::add(sum, lot.quantity));
        assert_eq!(sum, Ok(holding.quantity), "{key:?}");
        assert!(
            holding
                .lots
                .iter()
                .all(|lot| lot.quantity.is_sign_negative() == holding.quantity.is_sign_negative())
        );
    }
}

fn second(at: usize) -> String {
    format!("2024-03-{:02}T15:{:02}:{:02}Z", 4 + at / 3600, (at / 60) % 60, at % 60)
}

/// The same event at an instant of its own; fills of an order keep their order.
fn at_second(mut event: Event, at: usize) -> Event {
    let moved = entry(1, &second(at));
    macro_rules! set {
        ($($name:ident),*) => {
            match &mut event {
                $(Event::$name(event) => {
                    event.entry.when = moved.when;
                    event.entry.trade_date = moved.trade_date;
                })*
                _ => {}
            }
        };
    }
    set!(
        TradeExecuted,
        CashTransferred,
        DividendPosted,
        InterestPosted,
        FeePosted,
        TaxPosted,
        CashAdjusted,
        CurrencyConverted,
        SplitApplied,
        SecuritiesTransferred,
        RewardPosted,
        OptionSettled
    );
    event
}

#[test]
fn a_check_names_the_first_event_after_which_a_snapshot_differs() {
    let mut world = World::new();
    for at in 0..6 {
        world.record(buy(&second(at), "10", "5"));
    }
    let mut other = World::new();
    other.record(buy(&second(0), "10", "5"));
    other.record(buy(&second(1), "11", "5"));
    let report = check(portfolio(), &world.own_records(), Some(&other.book.snapshot()));
    assert!(!report.agrees());
    assert_eq!(report.differences[0].sequence, 3, "the snapshot's last event: it differs by itself");
    assert_eq!(report.differences.len(), 1);
}

#[test]
fn a_snapshot_of_another_version_or_with_a_flipped_bit_is_refused() {
    let world = World::of([buy("2024-03-04T15:00:00Z", "10", "5")]);
    let snapshot = world.book.snapshot();
    for at in 0..snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[at] ^= 1;
        assert!(Book::restore(&damaged, world.imports()).is_err(), "byte {at}");
    }
    assert!(Book::restore(&snapshot[..snapshot.len() - 1], world.imports()).is_err());
    assert!(Book::restore(&[], world.imports()).is_err());
}

#[test]
fn many_entries_with_late_ones_among_them_fold_as_if_sorted() {
    // Long enough for checkpoints to be made, thinned and fallen back to.
    let mut world = World::new();
    let mut state = 1u64;
    for at in 0..6_000usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let late = state >> 60 == 0;
        let place = if late { (state >> 20) as usize % (at + 1) } else { at };
        let side = if state >> 40 & 1 == 0 { Side::Buy } else { Side::Sell };
        let when = format!(
            "2024-03-{:02}T15:{:02}:{:02}.{:03}Z",
            4 + place / 3600,
            (place / 60) % 60,
            place % 60,
            at % 1000
        );
        world.record(trade(&when, side, &(1 + (state >> 50) % 20).to_string(), "5.25", "0.01"));
    }
    assert_eq!(sorted(&world).state().digest(), world.state().digest());
}
