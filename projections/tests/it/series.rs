//! Equity, flows, returns and drawdown day by day.

use crate::build::*;
use daybook_projections::{AsOf, Series, View, equity_series};
use daybook_schemas::events::*;
use daybook_schemas::{Day, Event, Zone, decimal};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn series(world: &World, from: Option<Day>, to: &str) -> Series {
    equity_series(
        &world.book,
        &world.library.prices,
        &world.library.instruments,
        world.imports(),
        &View { as_of: AsOf::Day(day(to)), known: u64::MAX },
        from,
        None,
    )
}

#[test]
fn a_fund_that_grows_and_falls_by_a_tenth() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("1000")))]);
    world.record(buy("2024-03-04T15:00:00Z", "100", "10"));
    for (date, price) in [("2024-03-04", "10"), ("2024-03-05", "11"), ("2024-03-06", "9.9")] {
        world.record(close(1, date, price, 0));
    }
    let series = series(&world, None, "2024-03-06");
    assert_eq!(series.convention, "in-start/out-end");
    let figures: Vec<_> =
        series.days.iter().map(|day| (day.equity, day.net_flow, day.daily_return, day.drawdown)).collect();
    assert_eq!(
        figures,
        [
            (Some(d("1000")), Some(d("1000")), Some(d("0")), Some(d("0"))),
            (Some(d("1100")), Some(d("0")), Some(d("0.1")), Some(d("0"))),
            (Some(d("990")), Some(d("0")), Some(d("-0.1")), Some(d("-0.1"))),
        ]
    );
    let json = serde_json::to_value(&series.days[1]).unwrap();
    assert_eq!(
        (&json["date"], &json["return"], &json["equity"]),
        (&"2024-03-05".into(), &"0.1".into(), &"1100".into())
    );
}

/// Ten units bought on the 4th, split 2:1 at the open of the 5th, and closes in New York that jump on that day.
fn split_in(zone: &str) -> World {
    let mut world = World::with(opened_in(zone));
    world.record(cash("2024-01-03", usd("10000")));
    world.record(buy("2024-01-04", "10", "100"));
    world.record(split("^2024-01-05", "2"));
    for (date, price) in
        [("2024-01-03", "100"), ("2024-01-04", "100"), ("2024-01-05", "50"), ("2024-01-08", "50")]
    {
        world.record(close(1, date, price, 0));
    }
    world
}

#[test]
fn a_split_of_a_day_rescales_the_closes_of_the_days_before_it_in_every_zone() {
    for zone in
        ["Asia/Tokyo", "Pacific/Kiritimati", "Europe/Berlin", "UTC", "America/New_York", "Pacific/Pago_Pago"]
    {
        let world = split_in(zone);
        let series = series(&world, None, "2024-01-09");
        assert_eq!(series.days.len(), 5, "{zone}");
        for day in &series.days {
            let figures = (day.equity, day.daily_return, day.drawdown);
            assert_eq!(figures, (Some(d("10000")), Some(d("0")), Some(d("0"))), "{zone} {}", day.date);
            let summary = world.summary(&day.date.to_string());
            assert_eq!(summary.equity, Some(d("10000")), "{zone} {}", day.date);
            assert_eq!(summary.warnings, Vec::<String>::new(), "{zone} {}", day.date);
        }
        // Every hour from the deposit on, past the split and the closes on either side of it.
        for hour in 12..72 {
            let instant = day("2024-01-04").at_in(0, 0, Zone::UTC).plus_nanos(hour * 3_600_000_000_000);
            let summary = world.summary(&instant.to_string());
            assert_eq!(summary.equity, Some(d("10000")), "{zone} {instant}");
            assert_eq!(summary.warnings, Vec::<String>::new(), "{zone} {instant}");
        }
    }
}

#[test]
fn a_split_at_the_close_of_a_day_comes_after_that_days_close() {
    let mut world = World::with(opened_in("Asia/Tokyo"));
    world.record(buy("2024-01-03", "10", "100"));
    world.record(split("2024-01-04", "2"));
    world.record(close(1, "2024-01-04", "100", 0));
    world.record(close(1, "2024-01-05", "51", 0));
    assert_eq!(world.summary("2024-01-05").market_value, Some(d("1000")));
    assert_eq!(world.summary("2024-01-08").market_value, Some(d("1020")));
}

#[test]
fn a_split_at_an_instant_is_told_from_a_close_by_the_instant() {
    // 23:30 on the 5th in Tokyo is 09:30 in New York.
    let mut world = World::with(opened_in("Asia/Tokyo"));
    world.record(buy("2024-01-04", "10", "100"));
    world.record(split("2024-01-05T14:30:00Z", "2"));
    world.record(close(1, "2024-01-04", "100", 0));
    world.record(close(1, "2024-01-05", "51", 0));
    assert_eq!(world.summary("2024-01-05").market_value, Some(d("1000")));
    assert_eq!(world.summary("2024-01-08").market_value, Some(d("1020")));
}

#[test]
fn prices_without_the_jump_of_a_split_are_warned_of_east_of_their_venue_too() {
    for zone in ["Asia/Tokyo", "America/New_York"] {
        let mut world = World::with(opened_in(zone));
        world.record(buy("2024-01-04", "10", "100"));
        world.record(split("^2024-01-05", "2"));
        world.record(close(1, "2024-01-04", "50", 0));
        world.record(close(1, "2024-01-05", "50", 0));
        assert_eq!(world.summary("2024-01-05T20:00:00Z").warnings, Vec::<String>::new(), "{zone}: one close");
        assert!(world.summary("2024-01-08").warnings[0].contains("--adjusted splits"), "{zone}");
    }
}

#[test]
fn what_comes_in_counts_at_the_start_and_what_goes_out_at_the_end() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("1000")))]);
    world.record(cash("2024-03-05", usd("1000")));
    world.record(dividend("2024-03-05", usd("100")));
    world.record(cash("2024-03-06", usd("-1050")));
    world.record(dividend("2024-03-06", usd("210")));
    let returns: Vec<_> =
        series(&world, None, "2024-03-06").days.iter().map(|day| day.daily_return.unwrap()).collect();
    // 2100/(1000 + 1000) − 1, then (1260 + 1050)/2100 − 1
    assert_eq!(returns, [d("0"), d("0.05"), d("0.1")]);
}

#[test]
fn a_flow_on_a_weekend_counts_at_the_start_of_monday() {
    let mut world = World::of([Event::from(cash("2024-03-08", usd("1000")))]);
    world.record(cash("2024-03-09", usd("-500")));
    world.record(dividend("2024-03-11", usd("50")));
    let series = series(&world, None, "2024-03-11");
    let dates: Vec<String> = series.days.iter().map(|day| day.date.to_string()).collect();
    assert_eq!(dates, ["2024-03-08", "2024-03-11"]);
    assert_eq!(series.days[1].daily_return, Some(d("0.1")));
    assert_eq!(series.days[1].net_flow, Some(d("-500")));
}

#[test]
fn a_portfolio_that_begins_on_a_weekend_begins_its_series_on_monday() {
    let world = World::of([cash("2024-03-09", usd("1000"))]);
    let series = series(&world, None, "2024-03-12");
    assert_eq!(series.days.len(), 2);
    assert_eq!((series.days[0].daily_return, series.days[0].net_flow), (Some(d("0")), Some(d("1000"))));
}

#[test]
fn a_daily_calendar_has_weekends() {
    let mut world = World::with(opened(Calendar::Daily, LotMethod::Fifo));
    world.record(cash("2024-03-08", usd("1000")));
    assert_eq!(series(&world, None, "2024-03-11").days.len(), 4);
}

#[test]
fn the_calendar_of_new_york_leaves_its_holidays_out_and_their_flows_count_on_the_next_day() {
    let mut world = World::with(opened(Calendar::NewYork, LotMethod::Fifo));
    world.record(cash("2024-03-27", usd("1000")));
    world.record(cash("2024-03-29", usd("500")));
    let series = series(&world, None, "2024-04-02");
    let dates: Vec<String> = series.days.iter().map(|day| day.date.to_string()).collect();
    assert_eq!(dates, ["2024-03-27", "2024-03-28", "2024-04-01", "2024-04-02"], "Good Friday is left out");
    assert_eq!((series.days[2].net_flow, series.days[2].daily_return), (Some(d("500")), Some(d("0"))));
    assert_eq!(series.calendar_note, None);
}

#[test]
fn where_nothing_is_invested_the_return_is_absent_and_the_index_stands_still() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("1000")))]);
    world.record(fee("2024-03-05", usd("-500")));
    world.record(cash("2024-03-06", usd("-500")));
    world.record(cash("2024-03-08", usd("1000")));
    let series = series(&world, None, "2024-03-08");
    assert_eq!(series.days[1].drawdown, Some(d("-0.5")));
    assert_eq!(series.days[3].daily_return, None);
    assert!(series.days[3].missing.as_ref().unwrap().contains("nothing was invested"));
    assert_eq!(series.days[3].equity, Some(d("0")));
    assert_eq!(series.days[4].drawdown, Some(d("-0.5")));
}

#[test]
fn a_flow_of_unknown_value_leaves_its_day_without_return_and_breaks_the_drawdown() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("1000")))]);
    world.record(transfer("2024-03-05", "10", None, Some("50")));
    world.record(close(1, "2024-03-05", "10", 0));
    world.record(close(1, "2024-03-06", "21", 0));
    let series = series(&world, None, "2024-03-06");
    let day = &series.days[1];
    assert_eq!(
        (day.equity, day.net_flow, day.daily_return, day.drawdown),
        (Some(d("1100")), None, None, None)
    );
    assert!(day.missing.as_ref().unwrap().contains("no value and no price"));
    let next = &series.days[2];
    assert_eq!(next.daily_return, Some(d("0.1")));
    assert_eq!(next.drawdown, None);
    assert!(next.missing.as_ref().unwrap().contains("2024-03-05"));
}

#[test]
fn days_without_equity_are_linked_across_and_say_so() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("1000")))]);
    world.record(conversion("2024-03-05", usd("-110"), money("100", "EUR")));
    world.record(conversion("2024-03-07", money("-100", "EUR"), usd("210")));
    let series = series(&world, None, "2024-03-08");
    assert_eq!(series.days[1].equity, None);
    assert!(series.days[1].missing.as_ref().unwrap().contains("EUR"));
    assert_eq!(series.days[2].drawdown, None);
    let back = &series.days[3];
    assert_eq!((back.equity, back.daily_return, back.drawdown), (Some(d("1100")), None, Some(d("0"))));
    assert!(back.missing.as_ref().unwrap().contains("2024-03-06"));
    assert_eq!(series.days[4].daily_return, Some(d("0")));
}

#[test]
fn leaving_out_days_changes_no_other_day() {
    let mut world = World::of([Event::from(cash("2024-03-04", usd("1000")))]);
    world.record(fee("2024-03-05", usd("-100")));
    world.record(fee("2024-03-07", usd("-100")));
    let all = series(&world, None, "2024-03-08");
    let some = series(&world, Some(day("2024-03-06")), "2024-03-08");
    assert_eq!(some.days, all.days[2..]);
}

#[test]
fn a_portfolio_without_entries_has_no_days() {
    assert!(series(&World::new(), None, "2024-03-08").days.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_series_agrees_with_the_summary_of_each_day_and_links_to_the_whole(
        flows in prop::collection::vec((4u32..29, -300i64..900), 1..8),
        gains in prop::collection::vec((4u32..29, -50i64..90), 0..12),
    ) {
        let mut world = World::of([cash("2024-03-04", usd("5000"))]);
        for (date, amount) in flows {
            world.record(cash(&format!("2024-03-{date:02}"), usd(&amount.to_string())));
        }
        for (date, amount) in gains {
            world.record(dividend(&format!("2024-03-{date:02}"), usd(&amount.to_string())));
        }
        let series = series(&world, None, "2024-03-29");
        let mut before = Decimal::ZERO;
        let mut flow_before = Decimal::ZERO;
        let (mut index, mut peak) = (Decimal::ONE, Decimal::ONE);
        for day in &series.days {
            let summary = world.summary(&day.date.to_string());
            prop_assert_eq!(day.equity, summary.equity);
            let flow = summary.net_contributions.unwrap();
            prop_assert_eq!(day.net_flow, Some(flow - flow_before));
            // With a gain g, V1 = V0 + flow + g: whatever the order of flows, a day without gain has no return.
            if day.equity.unwrap() - before == flow - flow_before {
                prop_assert_eq!(day.daily_return, Some(Decimal::ZERO));
            }
            index = decimal::round(index * (Decimal::ONE + day.daily_return.unwrap()), 16);
            peak = peak.max(index);
            let drawdown = day.drawdown.unwrap();
            prop_assert!(drawdown <= Decimal::ZERO);
            prop_assert_eq!(drawdown, decimal::divide(index, peak, 16).unwrap() - Decimal::ONE);
            before = day.equity.unwrap();
            flow_before = flow;
        }
    }
}

#[test]
fn a_day_at_the_end_of_all_days_makes_a_series_and_no_panic() {
    for number in [i32::MIN, -40_000_000, i32::MAX - 1, i32::MAX] {
        let mut event = cash("2024-03-04", usd("1"));
        event.entry.trade_date = Day::from_number(number);
        let world = World::of([event]);
        let view = View { as_of: AsOf::ALWAYS, known: u64::MAX };
        let series = equity_series(
            &world.book,
            &world.library.prices,
            &world.library.instruments,
            world.imports(),
            &view,
            None,
            None,
        );
        assert!(series.days.len() <= 1, "{number}");
    }
}
