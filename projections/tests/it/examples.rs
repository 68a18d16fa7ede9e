//! Worked examples, by name.

use crate::build::*;
use daybook_projections::AsOf;
use daybook_projections::state::{BasisState, Direction};
use daybook_projections::valuation::PriceBasis;
use daybook_projections::{PriceSource, positions};
use daybook_schemas::events::*;
use daybook_schemas::{Currency, Event, InstrumentId, Multiplier, Quantity, Ratio};

fn holding(world: &World) -> &daybook_projections::Holding {
    &world.state().holdings[&(account(1), instrument(1), Currency::USD)]
}

#[test]
fn a_flip_through_zero_closes_and_opens_at_one_price_with_the_fee_divided_by_quantity() {
    let world = World::of([
        trade("2024-03-01T15:00:00Z", Side::Buy, "100", "10", "1"),
        trade("2024-03-04T15:00:00Z", Side::Sell, "150", "12", "1.50"),
    ]);
    assert_eq!(world.state().totals[&Currency::USD].realised, d("198"));
    let holding = holding(&world);
    assert_eq!(holding.quantity, d("-50"));
    assert_eq!(holding.lots.len(), 1);
    assert_eq!(holding.lots[0].basis, d("599.5"), "the proceeds of the short");
    let closed = &world.state().closed_trips[0];
    assert_eq!((closed.direction, closed.sums.net), (Direction::Long, d("198")));
    assert_eq!(closed.gross(), Some(d("200")));
    assert_eq!(closed.sums.fees, d("2"));
    let open = holding.trip.as_ref().unwrap();
    assert_eq!((open.direction, open.id, open.fills.clone()), (Direction::Short, 3, vec![3]));
    assert_eq!(open.entry_average(), Some(d("12")));
    assert_eq!(world.state().trip_of_fill(3).unwrap().id, 3);
    assert_eq!(world.state().trip_of_fill(2).unwrap().id, 2);
}

#[test]
fn fifo_sells_the_oldest_first_gain_650_left_50_at_12() {
    let world = World::of([
        buy("2024-03-01T15:00:00Z", "100", "10"),
        buy("2024-03-01T16:00:00Z", "100", "12"),
        sell("2024-03-04T15:00:00Z", "150", "15"),
    ]);
    assert_eq!(world.state().totals[&Currency::USD].realised, d("650"));
    assert_eq!(holding(&world).quantity, d("50"));
    assert_eq!(holding(&world).basis(), Ok(d("600")));
}

#[test]
fn fifo_of_two_lots_bought_for_3149_20_and_1684_92_gains_98_12() {
    let with_amount = |mut trade: TradeExecuted, amount: &str| {
        trade.price = None;
        trade.net_amount = Some(usd(amount));
        trade
    };
    let world = World::of([
        with_amount(buy("2024-03-01T15:00:00Z", "109", "0"), "-3149.20"),
        with_amount(buy("2024-03-01T16:00:00Z", "52", "0"), "-1684.92"),
        with_amount(sell("2024-03-04T15:00:00Z", "15", "0"), "531.50"),
    ]);
    let realised = world.state().totals[&Currency::USD].realised;
    assert_eq!(daybook_schemas::decimal::round(realised, 2), d("98.12"));
    let basis = holding(&world).basis().unwrap();
    assert_eq!(
        basis,
        d("4834.12") - (d("531.50") - realised),
        "what was relieved and what is left sum to the whole"
    );
}

#[test]
fn lifo_and_hifo_relieve_the_newest_and_the_dearest() {
    for (method, realised) in [(LotMethod::Lifo, "150"), (LotMethod::Hifo, "100")] {
        let mut world = World::with(opened(Calendar::Weekdays, method));
        world.record(buy("2024-03-01T15:00:00Z", "10", "20"));
        world.record(buy("2024-03-02T15:00:00Z", "10", "10"));
        world.record(buy("2024-03-03T15:00:00Z", "10", "15"));
        world.record(sell("2024-03-04T15:00:00Z", "10", "30"));
        assert_eq!(world.state().totals[&Currency::USD].realised, d(realised));
    }
}

#[test]
fn a_method_that_is_not_supported_leaves_its_figures_absent_and_says_so() {
    let mut world = World::with(opened(Calendar::Weekdays, LotMethod::Average));
    world.record(cash("2024-03-01", usd("1000")));
    world.record(buy("2024-03-04T15:00:00Z", "10", "20"));
    world.record(sell("2024-03-05T15:00:00Z", "5", "30"));
    let summary = world.summary("2024-03-05");
    assert_eq!(summary.realised, None);
    assert!(summary.missing["realised"].contains("lot method"), "{:?}", summary.missing);
    assert!(!summary.complete);
    assert_eq!(summary.equity, Some(d("1100")), "equity does not depend on the method");
}

#[test]
fn a_method_chosen_from_a_day_on_holds_from_that_day() {
    let mut world = World::new();
    world.record(buy("2024-03-01T15:00:00Z", "10", "20"));
    world.record(buy("2024-03-02T15:00:00Z", "10", "10"));
    world.record(sell("2024-03-04T15:00:00Z", "5", "30"));
    world.record(sell("2024-03-06T15:00:00Z", "5", "30"));
    assert_eq!(world.state().totals[&Currency::USD].realised, d("100"));
    let chosen = LotMethodChosen { method: LotMethod::Lifo, from: day("2024-03-05"), account: None };
    world.record(chosen);
    assert_eq!(world.state().totals[&Currency::USD].realised, d("150"));
}

#[test]
fn what_a_summary_says_after_an_ordinary_month() {
    let mut world = World::of([Event::from(cash("2024-03-01", usd("10000")))]);
    world.record(trade("2024-03-04T15:00:00Z", Side::Buy, "100", "50", "1"));
    world.record(dividend("2024-03-05", usd("30")));
    world.record(tax("2024-03-05", usd("-4.50")));
    world.record(fee("2024-03-06", usd("-10")));
    world.record(interest("2024-03-07", InterestKind::Margin, usd("-2")));
    world.record(interest("2024-03-07", InterestKind::Credit, usd("1")));
    world.record(trade("2024-03-08T15:00:00Z", Side::Sell, "40", "60", "1"));
    world.record(cash("2024-03-11", usd("-500")));
    world.record(close(1, "2024-03-11", "55", 0));
    let summary = world.summary("2024-03-12");
    assert_eq!(summary.cash[&Currency::USD], d("6912.5"));
    assert_eq!(summary.market_value, Some(d("3300")));
    assert_eq!(summary.equity, Some(d("10212.5")));
    assert_eq!(summary.realised, Some(d("398.6")));
    assert_eq!(summary.unrealised, Some(d("299.4")));
    assert_eq!(summary.income, Some(d("31")));
    assert_eq!(summary.costs, Some(d("16.5")));
    assert_eq!(summary.fx, Some(d("0")));
    assert_eq!(summary.net_contributions, Some(d("9500")));
    assert_eq!(summary.trade_fees, Some(d("2")));
    assert_eq!(summary.taxes, Some(d("4.5")));
    assert_eq!(summary.unaccounted_cash, Some(d("0")));
    assert!(summary.complete, "{summary:?}");
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["equity"], "10212.5");
    assert_eq!(json["as_of"], "2024-03-12");
    assert_eq!(json["cash"]["USD"], "6912.5");
    let position = &positions(
        world.state(),
        &world.library.prices,
        &world.library.instruments,
        AsOf::Day(day("2024-03-12")),
        u64::MAX,
    )[0];
    assert_eq!(position.price_source, Some(PriceBasis::Market));
    assert_eq!(position.realised, Some(d("398.6")));
}

#[test]
fn a_dividend_paid_on_a_short_is_negative_income_and_margin_interest_is_a_cost_whatever_its_sign() {
    let world = World::of([
        Event::from(dividend("2024-03-05", usd("-30"))),
        interest("2024-03-07", InterestKind::Margin, usd("2")).into(),
    ]);
    let totals = world.state().totals[&Currency::USD];
    assert_eq!((totals.income, totals.costs), (d("-30"), d("-2")));
}

#[test]
fn a_closing_sale_beyond_the_position_never_opens_a_short() {
    let mut closing = sell("2024-03-05T15:00:00Z", "150", "10");
    closing.effect = Effect::Close;
    let mut world = World::of([buy("2024-03-04T15:00:00Z", "100", "8"), closing]);
    assert_eq!(holding(&world).quantity, d("0"));
    let totals = world.state().totals[&Currency::USD];
    assert_eq!((totals.realised, totals.contributed, totals.transferred_gain), (d("200"), d("500"), d("0")));
    let summary = world.summary("2024-03-05");
    assert_eq!(summary.incomplete_history.len(), 1);
    assert_eq!(summary.incomplete_history[0].quantity, Some(Quantity::new(d("50"))));
    assert!(!summary.complete);
    assert!(world.state().closed_trips[0].incomplete);

    // The history arrives, and what stood in for it is gone.
    world.record(buy("2024-03-01T15:00:00Z", "50", "9"));
    let totals = world.state().totals[&Currency::USD];
    assert_eq!((totals.realised, totals.contributed), (d("250"), d("0")));
    assert!(world.summary("2024-03-05").incomplete_history.is_empty());
}

#[test]
fn an_unstated_sale_beyond_the_position_opens_a_short() {
    let world = World::of([sell("2024-03-05T15:00:00Z", "10", "10"), buy("2024-03-06T15:00:00Z", "10", "8")]);
    assert_eq!(world.state().totals[&Currency::USD].realised, d("20"));
    assert!(world.state().incomplete_history.is_empty());
}

#[test]
fn a_transfer_in_contributes_its_value_and_brings_its_gain_along() {
    let mut world = World::of([transfer("2024-03-04", "10", Some("1500"), Some("1000"))]);
    world.record(close(1, "2024-03-05", "160", 0));
    let summary = world.summary("2024-03-05");
    assert_eq!(summary.net_contributions, Some(d("1500")));
    assert_eq!(summary.transferred_gain, Some(d("500")));
    assert_eq!(summary.unrealised, Some(d("600")));
    assert_eq!(summary.equity, Some(d("1600")));
    world.record(transfer("2024-03-06", "-5", Some("820"), None));
    let summary = world.summary("2024-03-06");
    assert_eq!(summary.net_contributions, Some(d("680")));
    assert_eq!(summary.transferred_gain, Some(d("180")));
    assert_eq!(summary.realised, Some(d("0")));
}

#[test]
fn a_basis_that_is_not_known_stands_at_the_value_until_it_is_supplied() {
    let mut world = World::of([transfer("2024-03-04", "10", Some("1500"), None)]);
    assert_eq!(holding(&world).lots[0].basis_state, BasisState::Provisional);
    let summary = world.summary("2024-03-04");
    assert_eq!((summary.unrealised, summary.transferred_gain), (Some(d("0")), Some(d("0"))));
    assert_eq!(summary.unknown_basis.len(), 1);
    let supplied = BasisSupplied {
        entry: entry(1, "2024-04-01"),
        transfer: Reference::Sequence(2),
        lots: vec![
            TransferredLot {
                quantity: Quantity::new(d("4")),
                basis: Some(usd("300")),
                acquired: Some(day("2020-01-02")),
            },
            TransferredLot { quantity: Quantity::new(d("6")), basis: Some(usd("700")), acquired: None },
        ],
    };
    world.record(supplied);
    let summary = world.summary("2024-03-04");
    assert_eq!((summary.unrealised, summary.transferred_gain), (Some(d("500")), Some(d("500"))));
    assert_eq!(summary.net_contributions, Some(d("1500")), "a basis never changes a flow");
    assert!(summary.complete, "{summary:?}");
    assert_eq!(holding(&world).lots[0].acquired_on, day("2020-01-02"));
}

#[test]
fn lots_acquired_on_one_day_are_relieved_in_the_order_in_which_they_came() {
    let arrived = |when: &str, basis: &str| {
        let mut event = transfer(when, "10", Some("500"), Some(basis));
        event.acquired = Some(day("2019-05-06"));
        event
    };
    let mut world = World::of([Event::from(buy("2024-03-04T15:00:00Z", "10", "50"))]);
    world.record(arrived("2024-03-05", "100"));
    world.record(arrived("2024-03-06", "200"));
    let basis: Vec<_> = holding(&world).lots.iter().map(|lot| lot.basis).collect();
    assert_eq!(basis, [d("100"), d("200"), d("500")], "older than the purchase, the first to come first");
}

#[test]
fn a_transfer_with_no_value_leaves_the_contributions_absent() {
    let world = World::of([transfer("2024-03-04", "10", None, Some("1000"))]);
    let summary = world.summary("2024-03-04");
    assert_eq!((summary.net_contributions, summary.transferred_gain), (None, None));
    assert!(summary.missing["net_contributions"].contains("no value and no price"));
    assert_eq!(summary.unpriced.len(), 1);
    assert_eq!(summary.equity, None);
}

#[test]
fn a_transfer_with_neither_value_nor_basis_leaves_the_gain_absent_also_after_a_sale() {
    let mut world = World::of([Event::from(transfer("2024-03-04", "10", None, None))]);
    world.record(close(1, "2024-03-04", "10", 0));
    let summary = world.summary("2024-03-04");
    assert_eq!(summary.equity, Some(d("100")));
    assert_eq!(summary.unrealised, None);
    world.record(sell("2024-03-05T15:00:00Z", "10", "12"));
    let summary = world.summary("2024-03-05");
    assert_eq!((summary.realised, summary.unrealised), (None, Some(d("0"))));
}

#[test]
fn units_moved_between_own_accounts_take_their_lots_along() {
    for out_first in [true, false] {
        let mut out = transfer("2024-03-06", "-10", None, None);
        out.scope = Scope::Internal;
        out.entry.group = group("move");
        let mut arriving = transfer("2024-03-06", "10", None, None);
        arriving.scope = Scope::Internal;
        arriving.entry.account = account(2);
        arriving.entry.group = group("move");
        let mut world = World::of([cash("2024-03-01", usd("1000"))]);
        world.record(buy("2024-03-04T15:00:00Z", "30", "10"));
        let legs = if out_first { [out, arriving] } else { [arriving, out] };
        let mut legs = legs.into_iter();
        world.record(legs.next().unwrap());
        let halfway = world.summary("2024-03-06");
        assert_eq!(halfway.unaccounted.len(), 1, "one leg alone moves nothing and is listed");
        assert_eq!(halfway.equity, Some(d("1000")));
        world.record(legs.next().unwrap());
        let summary = world.summary("2024-03-06");
        assert!(summary.complete, "{summary:?}");
        assert_eq!((summary.equity, summary.net_contributions), (Some(d("1000")), Some(d("1000"))));
        let moved = &world.state().holdings[&(account(2), instrument(1), Currency::USD)];
        assert_eq!((moved.quantity, moved.basis()), (d("10"), Ok(d("100"))));
        assert_eq!(moved.lots[0].acquired_on, day("2024-03-04"));
        assert_eq!(holding(&world).quantity, d("20"));
    }
}

#[test]
fn cash_between_own_accounts_is_on_its_way_until_both_legs_are_there() {
    let leg = |number: u8, amount: &str| {
        let mut leg = cash("2024-03-04", usd(amount));
        leg.scope = Scope::Internal;
        leg.entry.account = account(number);
        leg
    };
    let mut world = World::of([cash("2024-03-01", usd("100")), leg(1, "-40")]);
    let summary = world.summary("2024-03-04");
    assert_eq!(summary.equity, Some(d("100")));
    assert!(summary.warnings[0].contains("on its way"), "{:?}", summary.warnings);
    world.record(leg(2, "40"));
    let summary = world.summary("2024-03-04");
    assert_eq!((summary.equity, summary.net_contributions), (Some(d("100")), Some(d("100"))));
    assert!(summary.warnings.is_empty());
}

#[test]
fn a_split_keeps_the_basis_and_rescales_prices_seen_before_it() {
    let mut world = World::of([cash("2024-03-01", usd("1000"))]);
    world.record(buy("2024-03-04T15:00:00Z", "10", "70"));
    world.record(close(1, "2024-03-05", "77", 0));
    world.record(split("^2024-03-06", "7"));
    assert_eq!(holding(&world).quantity, d("70"));
    assert_eq!(holding(&world).basis(), Ok(d("700")));
    let summary = world.summary("2024-03-06");
    assert_eq!(summary.market_value, Some(d("770")));
    assert_eq!(world.summary("2024-03-05").market_value, Some(d("770")));
    world.record(close(1, "2024-03-06", "12", 0));
    assert_eq!(world.summary("2024-03-06").market_value, Some(d("840")));
}

#[test]
fn a_split_stated_by_the_units_added_finds_its_ratio_in_the_holding() {
    let mut added = split("^2024-03-06", "1");
    added.ratio = None;
    added.added = Some(Quantity::new(d("20")));
    let world = World::of([Event::from(buy("2024-03-04T15:00:00Z", "10", "30")), added.into()]);
    assert_eq!(holding(&world).quantity, d("30"));
    assert_eq!(holding(&world).splits[0].ratio, Ratio::parse("3").unwrap());
    assert_eq!(holding(&world).last_price.unwrap().price, d("10"));
}

#[test]
fn a_split_of_what_is_not_held_is_not_accounted_for() {
    let world = World::of([split("^2024-03-06", "7")]);
    assert_eq!(world.summary("2024-03-06").unaccounted[0].event_type, "SplitApplied");
}

#[test]
fn a_hundred_units_split_one_to_three_and_back_are_a_hundred_again() {
    let world = World::of([
        Event::from(buy("2024-01-02T15:00:00Z", "100", "10")),
        split("2024-01-03", "1/3").into(),
        split("2024-01-04", "3").into(),
        sell("2024-01-05T15:00:00Z", "100", "12").into(),
    ]);
    assert_eq!(holding(&world).quantity, d("0"));
    assert_eq!(world.state().totals[&Currency::USD].realised, d("200"));
    assert_eq!(world.state().closed_trips.len(), 1);
    assert!(holding(&world).trip.is_none(), "no dust is left that would open a short");
}

#[test]
fn thirds_of_a_lot_sum_to_the_whole_after_a_reverse_split() {
    let world = World::of([
        Event::from(buy("2024-03-04T15:00:00Z", "10", "30")),
        buy("2024-03-04T16:00:00Z", "10", "30").into(),
        split("^2024-03-06", "1/3").into(),
    ]);
    let holding = holding(&world);
    assert_eq!(holding.quantity, d("6.666666666667"));
    assert_eq!(holding.lots.iter().map(|lot| lot.quantity).sum::<rust_decimal::Decimal>(), holding.quantity);
}

#[test]
fn an_announced_split_that_was_not_recorded_is_warned_of() {
    let mut world = World::of([buy("2024-03-04T15:00:00Z", "10", "70")]);
    let announced = CorporateActionAnnounced {
        instrument: instrument(1),
        kind: CorporateActionKind::Split,
        effective: day("2024-03-06"),
        ratio: Some(Ratio::parse("7").unwrap()),
        cash: None,
        other: None,
        basis_share: None,
        declared: None,
        record_date: None,
        pays: None,
        external_id: None,
        revision: 0,
    };
    world.record(announced);
    assert!(world.summary("2024-03-05").warnings.is_empty());
    assert!(world.summary("2024-03-06").warnings[0].contains("7:1"));
    world.record(split("^2024-03-07", "7"));
    assert!(world.summary("2024-03-07").warnings.is_empty());
}

#[test]
fn prices_that_do_not_jump_at_a_split_are_warned_of() {
    let mut world = World::of([buy("2024-03-04T15:00:00Z", "10", "70")]);
    world.record(split("^2024-03-06", "7"));
    world.record(close(1, "2024-03-05", "10", 0));
    world.record(close(1, "2024-03-06", "10.5", 0));
    assert!(world.summary("2024-03-07").warnings[0].contains("--adjusted splits"));
}

#[test]
fn a_reward_in_kind_is_income_at_its_value_and_a_fee_in_kind_is_a_disposal() {
    let mut paid = fee("2024-03-06", usd("0"));
    paid.amount = None;
    paid.in_kind = Some(in_kind("-1", Some("12")));
    let mut world =
        World::of([Event::from(reward_in_kind("2024-03-04", "5", Some("10"))), Event::from(paid)]);
    let totals = world.state().totals[&Currency::USD];
    assert_eq!((totals.income, totals.realised, totals.costs), (d("50"), d("2"), d("12")));
    world.record(close(1, "2024-03-06", "12", 0));
    let summary = world.summary("2024-03-06");
    assert_eq!((summary.equity, summary.net_contributions), (Some(d("48")), Some(d("0"))));
}

#[test]
fn a_reward_in_kind_without_a_value_leaves_income_absent() {
    let world = World::of([reward_in_kind("2024-03-04", "5", None)]);
    let summary = world.summary("2024-03-04");
    assert_eq!(summary.income, None);
    assert_eq!(holding(&world).quantity, d("5"));
}

#[test]
fn accrued_interest_is_income_and_no_basis() {
    let mut bond = buy("2024-03-04T15:00:00Z", "1000", "99");
    bond.multiplier = Multiplier::new(d("0.01"));
    bond.accrued_interest = Some(usd("7.50"));
    let world = World::of([bond]);
    assert_eq!(holding(&world).basis(), Ok(d("990")));
    let totals = world.state().totals[&Currency::USD];
    assert_eq!(totals.income, d("-7.5"));
    assert_eq!(world.state().cash_by_currency()[&Currency::USD], Ok(d("-997.5")));
}

#[test]
fn an_option_that_expires_costs_its_holder_the_premium_and_brings_it_to_its_writer() {
    let option = |mut trade: TradeExecuted| {
        trade.multiplier = Multiplier::new(d("100"));
        trade
    };
    let held = World::of([
        Event::from(option(buy("2024-03-04T15:00:00Z", "2", "1.5"))),
        expiry("2024-03-15", None).into(),
    ]);
    assert_eq!(held.state().totals[&Currency::USD].realised, d("-300"));
    assert_eq!(holding(&held).quantity, d("0"));
    let written = World::of([
        Event::from(option(sell("2024-03-04T15:00:00Z", "2", "1.5"))),
        expiry("2024-03-15", Some("2")).into(),
    ]);
    assert_eq!(written.state().totals[&Currency::USD].realised, d("300"));
}

#[test]
fn a_charge_in_another_currency_is_a_cost_of_that_currency() {
    let mut bought = buy("2024-03-04T15:00:00Z", "10", "10");
    bought.charges = vec![Charge { kind: ChargeKind::TransactionTax, amount: money("3", "EUR") }];
    let world = World::of([Event::from(cash("2024-03-01", usd("100"))), bought.into()]);
    let euro = Currency::from_code("EUR").unwrap();
    assert_eq!(world.state().totals[&euro].costs, d("3"));
    assert_eq!(world.state().totals[&euro].trade_fees, d("3"));
    assert_eq!(holding(&world).basis(), Ok(d("100")));
    let summary = world.summary("2024-03-04");
    assert_eq!(summary.cash[&euro], d("-3"));
    for figure in ["equity", "costs", "trade_fees", "fx"] {
        assert!(summary.missing[figure].contains("EUR"), "{figure}: {:?}", summary.missing);
    }
    assert_eq!(summary.realised, Some(d("0")));
    assert_eq!(summary.net_contributions, Some(d("100")));
}

#[test]
fn conversions_there_and_back_leave_their_effect_in_fx() {
    let mut world = World::of([cash("2024-03-01", usd("1000"))]);
    world.record(conversion("2024-03-04", usd("-110"), money("100", "EUR")));
    let summary = world.summary("2024-03-04");
    assert_eq!((summary.equity, summary.fx), (None, None));
    world.record(conversion("2024-03-06", money("-100", "EUR"), usd("115")));
    let summary = world.summary("2024-03-06");
    assert_eq!(
        (summary.equity, summary.fx, summary.net_contributions),
        (Some(d("1005")), Some(d("5")), Some(d("1000")))
    );
    assert!(summary.complete, "{summary:?}");
}

#[test]
fn what_is_not_accounted_for_moves_its_cash_at_once_and_is_listed() {
    let world = World::of([
        Event::from(cash("2024-03-01", usd("100"))),
        adjustment("2024-03-04", usd("-0.05")).into(),
        CapitalReturned {
            entry: entry(1, "2024-03-05"),
            instrument: instrument(1),
            amount: usd("12"),
            quantity: None,
        }
        .into(),
    ]);
    let summary = world.summary("2024-03-05");
    assert_eq!(summary.unaccounted_cash, Some(d("11.95")));
    assert_eq!(summary.equity, Some(d("111.95")));
    assert_eq!(summary.unaccounted.len(), 2);
    assert!(!summary.complete);
}

#[test]
fn a_trade_whose_product_has_too_many_digits_is_listed_and_its_position_is_not_known_any_more() {
    let world = World::of([
        buy("2024-03-01T15:00:00Z", "10", "10"),
        buy("2024-03-04T15:00:00Z", "1.23456789012345678901", "1.23456789012345678901"),
    ]);
    let summary = world.summary("2024-03-04");
    assert_eq!(summary.unaccounted[0].sequence, 3);
    assert!(summary.unaccounted[0].reason.contains("digits"), "{}", summary.unaccounted[0].reason);
    assert!(!holding(&world).is_open());
    assert_eq!(world.state().lost[&(account(1), instrument(1))].quantity, d("10"), "what was held before");
    assert_eq!((summary.equity, summary.market_value, summary.unrealised), (None, None, None));
}

#[test]
fn a_trade_in_another_currency_than_the_lots_is_not_accounted_for() {
    let mut elsewhere = sell("2024-03-04T15:00:00Z", "5", "10");
    elsewhere.currency = Currency::from_code("EUR").unwrap();
    let world = World::of([buy("2024-03-01T15:00:00Z", "10", "10"), elsewhere]);
    let summary = world.summary("2024-03-04");
    assert!(summary.unaccounted[0].reason.contains("EUR"));
    assert_eq!(holding(&world).quantity, d("10"));
}

#[test]
fn the_own_last_fill_stands_in_for_a_price_and_grows_stale() {
    let world = World::of([buy("2024-03-01T15:00:00Z", "10", "10")]);
    let at = |date: &str| {
        positions(
            world.state(),
            &world.library.prices,
            &world.library.instruments,
            AsOf::Day(day(date)),
            u64::MAX,
        )
        .remove(0)
    };
    let fresh = at("2024-03-04");
    assert_eq!((fresh.price_source, fresh.stale), (Some(PriceBasis::Trade), false));
    assert!(at("2024-03-07").stale);
    assert_eq!(world.summary("2024-03-07").stale.len(), 1);
    assert_eq!(world.summary("2024-03-07").equity, Some(d("0")));
}

#[test]
fn a_price_in_another_currency_needs_a_rate_and_leaves_the_value_absent() {
    let mut world = World::of([buy("2024-03-01T15:00:00Z", "10", "10")]);
    let mut bar = close(1, "2024-03-04", "9", 0);
    bar.currency = Currency::from_code("EUR").unwrap();
    world.record(bar);
    let summary = world.summary("2024-03-04");
    assert_eq!(summary.market_value, None);
    assert!(summary.missing["market_value"].contains("EUR"));
}

#[test]
fn the_fills_of_one_order_go_by_cumulative_quantity_whatever_their_instants() {
    let fills = [
        order(buy("2024-03-04T15:00:02Z", "10", "10"), "A", "10"),
        order(buy("2024-03-04T15:00:01Z", "10", "11"), "A", "20"),
    ];
    let sold = sell("2024-03-04T15:00:01.5Z", "5", "20");
    // The second fill counts from the instant of the first, so that the sale comes before both.
    for order_of_arrival in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let mut world = World::new();
        for index in order_of_arrival {
            match index {
                2 => world.record(sold.clone()),
                fill => world.record(fills[fill].clone()),
            };
        }
        assert_eq!(world.state().totals[&Currency::USD].realised, d("50"), "{order_of_arrival:?}");
        assert_eq!(holding(&world).lots[0].basis, d("50"), "{order_of_arrival:?}");
    }
}

#[test]
fn splits_come_at_the_open_and_undated_rows_at_the_close() {
    // Sold in the evening on the books of the day, bought at noon: the date-only sale comes last.
    let world = World::of([
        Event::from(sell("2024-03-06", "70", "12")),
        Event::from(split("^2024-03-06", "7")),
        Event::from(buy("2024-03-04T15:00:00Z", "10", "70")),
    ]);
    assert_eq!(world.state().totals[&Currency::USD].realised, d("140"));
    assert!(world.state().unaccounted.is_empty());
}

#[test]
fn a_price_source_is_asked_for_both_ids_of_a_merged_instrument() {
    let mut world = World::of([buy("2024-03-01T15:00:00Z", "10", "10")]);
    let kept: InstrumentId = instrument(2);
    world.record(InstrumentsMerged { kept, merged: instrument(1), reason: None });
    world.record(close(2, "2024-03-04", "11", 0));
    assert!(
        world.library.prices.latest(instrument(1), at("2024-03-05T00:00:00Z"), u64::MAX).unwrap().is_none()
    );
    assert_eq!(world.summary("2024-03-05").market_value, Some(d("110")));
}
