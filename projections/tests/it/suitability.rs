//! Whether a portfolio suits: risk classes, screening, drift, outcomes, each by an example worked by hand.

use crate::build::*;
use daybook_projections::suitability::{
    Allocation, Line, Overall, PlannedTrade, Risk, RiskClass, Screening, Size, SizedTrade, WEEKS_MIN,
    WeeklyReturns, class_of_horizon, effective_class, instrument_risk, overall, portfolio_risk, screen,
    weekly_returns,
};
use daybook_projections::{Classification, Prices};
use daybook_schemas::events::*;
use daybook_schemas::{Currency, Day, Fraction, InstrumentId, Money, PartyId, Price, Ratio};
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// A daily close of an instrument.
pub(crate) fn close(number: u8, on: Day, price: &str) -> BarClosed {
    let closes = on.at_in(16, 0, daybook_schemas::Zone::NEW_YORK);
    BarClosed {
        instrument: instrument(number),
        day: Some(on),
        opens: Some(closes),
        closes,
        open: None,
        high: None,
        low: None,
        close: Price::new(d(price)),
        volume: None,
        average: None,
        trades: None,
        currency: Currency::USD,
        unadjusted_by: None,
        revision: 0,
    }
}

/// Closes on as many Fridays, from one to the next.
fn fridays(number: u8, first: &str, prices: &[String]) -> World {
    let mut world = World::new();
    for (week, price) in prices.iter().enumerate() {
        let on = day(first).plus_days(7 * i32::try_from(week).unwrap());
        world.record(close(number, on, price));
    }
    world
}

fn returns_of(world: &World, until: &str) -> WeeklyReturns {
    weekly_returns(&world.library.prices, instrument(1), day(until), u64::MAX, None)
}

#[test]
fn a_bound_belongs_to_the_class_above_it() {
    for (volatility, class) in [
        ("0", 1),
        ("0.0049999999", 1),
        ("0.005", 2),
        ("0.0199999999", 2),
        ("0.02", 3),
        ("0.05", 4),
        ("0.0999999999", 4),
        ("0.1", 5),
        ("0.15", 6),
        ("0.2499999999", 6),
        ("0.25", 7),
        ("3", 7),
    ] {
        assert_eq!(RiskClass::of(d(volatility)).get(), class, "{volatility}");
    }
}

/// Prices that go up by a part and back, so that the returns of weeks are known.
fn swinging(weeks: usize, high: &str) -> Vec<String> {
    (0..=weeks).map(|week| if week % 2 == 0 { "100".to_owned() } else { high.to_owned() }).collect()
}

#[test]
fn volatility_by_hand() {
    // 52 returns, half of them 1/100, half of them 1/101 − 1. Their mean is m, each lies s = (0.01 + 1/101)/2 … from it:
    // the sample deviation is ((0.01 + 1/101)/2) · √(52/51), times √52 a year.
    let world = fridays(1, "2023-01-06", &swinging(52, "101"));
    let risk = instrument_risk(&returns_of(&world, "2024-12-31"));
    assert_eq!(risk.weeks, 52);
    let half = (0.01 + 1.0 - 100.0 / 101.0) / 2.0;
    let by_hand = half * (52.0_f64 / 51.0).sqrt() * 52.0_f64.sqrt();
    assert_eq!(risk.volatility, Some(d(&format!("{by_hand:.10}"))));
    assert_eq!(risk.class, Some(RiskClass::of(d("0.0724"))));
    assert_eq!(risk.class.unwrap().get(), 4);
}

#[test]
fn with_less_than_a_year_of_weeks_there_is_no_class_and_it_says_how_many_are_known() {
    let world = fridays(1, "2023-01-06", &swinging(51, "101"));
    let risk = instrument_risk(&returns_of(&world, "2024-12-31"));
    assert_eq!((risk.class, risk.volatility, risk.weeks), (None, None, 51));
    assert!(risk.reason.unwrap().contains("51 weekly returns"));
    assert_eq!(WEEKS_MIN, 52);
}

#[test]
fn at_most_five_years_count_and_a_week_that_is_not_over_does_not() {
    let world = fridays(1, "2015-01-02", &swinging(400, "101"));
    let last = day("2015-01-02").plus_days(400 * 7);
    let of = |until: Day| weekly_returns(&world.library.prices, instrument(1), until, u64::MAX, None).len();
    assert_eq!(of(last), 260);
    let short = fridays(1, "2023-01-06", &swinging(60, "101"));
    let last = day("2023-01-06").plus_days(60 * 7);
    let of = |until: Day| weekly_returns(&short.library.prices, instrument(1), until, u64::MAX, None).len();
    assert_eq!((of(last), of(last.plus_days(-1)), of(last.plus_days(6))), (60, 59, 60));
}

#[test]
fn a_gap_between_weeks_has_no_return_and_what_was_not_known_yet_does_not_count() {
    let mut world = fridays(1, "2023-01-06", &["100".to_owned(), "101".to_owned()]);
    let known = world.record(close(1, day("2023-01-27"), "120"));
    assert_eq!(returns_of(&world, "2023-12-31").len(), 1);
    world.record(close(1, day("2023-01-20"), "110"));
    assert_eq!(returns_of(&world, "2023-12-31").len(), 3);
    let then = weekly_returns(&world.library.prices, instrument(1), day("2023-12-31"), known, None);
    assert_eq!(then.len(), 1);
}

#[test]
fn splits_are_undone_and_dividends_belong_to_the_holder() {
    let mut world = fridays(1, "2023-01-06", &["100".to_owned(), "49".to_owned()]);
    let announced = |kind, on: &str, ratio, cash| CorporateActionAnnounced {
        instrument: instrument(1),
        kind,
        effective: day(on),
        ratio,
        cash,
        other: None,
        basis_share: None,
        declared: None,
        record_date: None,
        pays: None,
        external_id: None,
        revision: 0,
    };
    let two_for_one = Some(Ratio::new(d("2"), d("1")).unwrap());
    world.record(announced(CorporateActionKind::Split, "2023-01-10", two_for_one, None));
    world.record(announced(CorporateActionKind::CashDividend, "2023-01-12", None, Some(usd("1"))));
    // Two units at 49 and a dollar for each: a hundred again.
    let returns: Vec<f64> = returns_of(&world, "2023-12-31").returns().collect();
    assert_eq!(returns, [0.0]);
}

/// A line of an allocation, worth so much.
pub(crate) fn line(number: u8, symbol: &str, quantity: &str, price: &str) -> Line {
    Line {
        instrument: instrument(number),
        symbol: symbol.to_owned(),
        currency: Currency::USD,
        quantity: Some(d(quantity)),
        price: Some(d(price)),
        multiplier: Decimal::ONE,
        value: Ok(d(quantity) * d(price)),
    }
}

pub(crate) fn holding(cash: &str, lines: &[Line]) -> Allocation {
    Allocation {
        currency: Currency::USD,
        lines: lines.iter().map(|line| (line.instrument, line.clone())).collect(),
        cash: Ok(BTreeMap::from([(Currency::USD, d(cash))])),
    }
}

fn planned(number: u8, symbol: &str, side: Side, size: Size, price: Option<&str>) -> PlannedTrade {
    PlannedTrade {
        instrument: instrument(number),
        symbol: symbol.to_owned(),
        side,
        size,
        price: price.map(d),
        currency: Currency::USD,
        multiplier: Decimal::ONE,
    }
}

fn units(number: u8, symbol: &str, side: Side, quantity: &str, price: &str) -> PlannedTrade {
    planned(number, symbol, side, Size::Units(d(quantity)), Some(price))
}

fn after(before: &Allocation, trades: &[PlannedTrade]) -> (Allocation, Vec<SizedTrade>) {
    before.after(trades, Decimal::ZERO, &|_| None).unwrap()
}

#[test]
fn trades_in_units_money_and_weight_leave_the_same_portfolio() {
    let before = holding("5000", &[line(1, "AAA", "50", "100")]);
    let (in_units, _) = after(&before, &[units(1, "AAA", Side::Buy, "25", "100")]);
    let (in_money, _) = after(&before, &[planned(1, "AAA", Side::Buy, Size::Amount(d("2500")), Some("100"))]);
    let (as_weight, sized) =
        after(&before, &[planned(1, "AAA", Side::Buy, Size::Weight(d("0.75")), Some("100"))]);
    assert_eq!(in_units, in_money);
    assert_eq!(in_units, as_weight);
    assert_eq!((sized[0].quantity, sized[0].amount.clone()), (Some(d("25")), Ok(d("2500"))));
    assert_eq!((in_units.cash_value(), in_units.equity()), (Ok(d("2500")), Ok(d("10000"))));
    let (none, _) = after(&before, &[planned(1, "AAA", Side::Sell, Size::Weight(d("0")), Some("100"))]);
    assert!(none.lines.is_empty());
    let away = before.after(
        &[planned(1, "AAA", Side::Buy, Size::Weight(d("0.3")), Some("100"))],
        Decimal::ZERO,
        &|_| None,
    );
    let faults = away.unwrap_err();
    assert_eq!((faults[0].index, faults[0].field), (0, "weight"));
}

#[test]
fn another_currency_is_valued_at_its_rate_and_unknown_without_one() {
    let euro = Currency::from_code("EUR").unwrap();
    let before = holding("5000", &[]);
    let mut trade = units(1, "SAP", Side::Buy, "10", "100");
    trade.currency = euro;
    let (known, _) =
        before.after(&[trade.clone()], d("5"), &|currency| (currency == euro).then(|| d("1.1"))).unwrap();
    assert_eq!(known.lines[&instrument(1)].value, Ok(d("1100")));
    assert_eq!((known.cash_value(), known.equity()), (Ok(d("3895")), Ok(d("4995"))));
    // Nothing is exchanged for it: the euros are owed, at the rate, and the cost is paid in dollars.
    assert_eq!(known.cash, Ok(BTreeMap::from([(Currency::USD, d("4995")), (euro, d("-1100"))])));
    let (unknown, _) = before.after(&[trade], Decimal::ZERO, &|_| None).unwrap();
    assert!(unknown.equity().unwrap_err().contains("no rate from EUR"));
}

#[test]
fn a_trade_is_paid_in_its_own_currency_and_another_does_not_cover_it() {
    let euro = Currency::from_code("EUR").unwrap();
    let mut before = holding("8000", &[]);
    before.cash = Ok(BTreeMap::from([(Currency::USD, d("8000")), (euro, d("14400"))]));
    let bought = |quantity: &str| vec![units(1, "KELD", Side::Buy, quantity, "1")];
    let blocked = Case::of(before.clone(), bought("15000")).says("cash", Verdict::Block);
    // A dollar is expected cost; the euros would cover it all, once somebody sold them.
    assert_eq!(blocked.measured, share("-7001"));
    let words = blocked.evidence.unwrap();
    assert!(words.contains("7399 USD") && words.contains("-7001 USD in USD"), "{words}");
    Case::of(before.clone(), bought("7999")).says("cash", Verdict::Pass);
    Case::of(before.clone(), bought("7999.01")).says("cash", Verdict::Block);
    // What a sale brings in the same currency pays.
    before.lines.insert(instrument(2), line(2, "OLD", "80", "100"));
    let mut trades = bought("15000");
    trades.push(units(2, "OLD", Side::Sell, "80", "100"));
    Case::of(before.clone(), trades).says("cash", Verdict::Pass);
    // What was overdrawn before, and is less so afterwards, is a step back.
    before.cash = Ok(BTreeMap::from([(Currency::USD, d("-500")), (euro, d("14400"))]));
    let mut back = bought("1");
    back.push(units(2, "OLD", Side::Sell, "3", "100"));
    Case::of(before.clone(), back).says("cash", Verdict::Warn);
    let mut still = Case::of(before, Vec::new());
    still.cost = None;
    still.says("cash", Verdict::Pass);
}

fn party() -> PartyId {
    PartyId::from_bytes([9; 16])
}

fn profile() -> InvestmentProfileSet {
    InvestmentProfileSet {
        party: party(),
        version: 3,
        portfolio: None,
        objectives: vec![Objective::Growth],
        risk_tolerance: RiskLevel::High,
        loss_capacity: None,
        horizon_years: Some(10),
        liquidity_reserve: None,
        drawdown_max: None,
        details: None,
        exclusions: Vec::new(),
        caps: Vec::new(),
        targets: Vec::new(),
        review_due: None,
        from: day("2024-01-01"),
    }
}

#[test]
fn the_lowest_of_tolerance_capacity_and_horizon_counts() {
    let of = |tolerance, capacity, years| {
        let profile = InvestmentProfileSet {
            risk_tolerance: tolerance,
            loss_capacity: capacity,
            horizon_years: years,
            ..profile()
        };
        effective_class(&profile).unwrap().class.get()
    };
    assert_eq!(of(RiskLevel::VeryHigh, None, None), 7);
    assert_eq!(of(RiskLevel::VeryHigh, Some(RiskLevel::Medium), None), 5);
    assert_eq!(of(RiskLevel::VeryHigh, Some(RiskLevel::Medium), Some(3)), 4);
    assert_eq!(of(RiskLevel::VeryLow, Some(RiskLevel::VeryHigh), Some(30)), 2);
    for (years, class) in
        [(0, 1), (1, 2), (2, 3), (3, 4), (4, 4), (5, 5), (6, 5), (7, 6), (9, 6), (10, 7), (99, 7)]
    {
        assert_eq!(class_of_horizon(years).get(), class, "{years}");
    }
    let strange = InvestmentProfileSet { risk_tolerance: RiskLevel::Other("bold".into()), ..profile() };
    assert!(effective_class(&strange).unwrap_err().contains("bold"));
}

/// A risk of this class, or none.
fn risk(volatility: Option<&str>) -> Risk {
    Risk {
        class: volatility.map(|volatility| RiskClass::of(d(volatility))),
        volatility: volatility.map(d),
        weeks: volatility.map_or(0, |_| 260),
        reason: volatility.is_none().then(|| "nothing is known".to_owned()),
    }
}

/// What is screened: a portfolio, trades, and everything else that rules look at.
struct Case {
    before: Allocation,
    trades: Vec<PlannedTrade>,
    profile: Option<InvestmentProfileSet>,
    mandate: Option<Mandate>,
    cost: Option<Decimal>,
    review_due: Option<Day>,
    risk: (Risk, Risk),
    classes: BTreeMap<InstrumentId, Classification>,
}

impl Case {
    fn of(before: Allocation, trades: Vec<PlannedTrade>) -> Self {
        Self {
            before,
            trades,
            profile: Some(profile()),
            mandate: Some(Mandate::Advisory),
            cost: Some(Decimal::ONE),
            review_due: None,
            risk: (risk(Some("0.12")), risk(Some("0.12"))),
            classes: BTreeMap::new(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut InvestmentProfileSet)) -> Self {
        change(self.profile.as_mut().unwrap());
        self
    }

    fn sector(mut self, number: u8, sector: &str) -> Self {
        let classification = Classification {
            class: Some(InstrumentClass::Equity),
            sector: Some(sector.into()),
            issuer: Some(format!("issuer {number}").into()),
            country: Some("US".into()),
        };
        self.classes.insert(instrument(number), classification);
        self
    }

    fn findings(&self) -> Vec<RuleFinding> {
        let cost = self.cost.unwrap_or_default();
        let (after, sized) = self.before.after(&self.trades, cost, &|_| None).unwrap();
        let targets = self.profile.as_ref().map(|profile| profile.targets.clone()).unwrap_or_default();
        screen(&Screening {
            before: &self.before,
            after: &after,
            trades: &sized,
            cost: self.cost,
            profile: self.profile.as_ref(),
            review_due: self.review_due,
            targets: &targets,
            mandate: self.mandate.as_ref(),
            on: day("2024-06-03"),
            risk_before: &self.risk.0,
            risk_after: &self.risk.1,
            classify: &|id| self.classes.get(&id).cloned().unwrap_or_default(),
            canonical: &|id| id,
        })
    }

    #[track_caller]
    fn finding(&self, rule: &str) -> RuleFinding {
        let findings = self.findings();
        let found = findings.iter().find(|finding| &*finding.rule == rule);
        assert!(found.is_some(), "{rule} among {findings:?}");
        found.cloned().unwrap()
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test writes what it means in place")]
    fn says(&self, rule: &str, verdict: Verdict) -> RuleFinding {
        let finding = self.finding(rule);
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(finding.evidence.as_deref().is_some_and(|words| words.len() > 20), "{finding:?}");
        finding
    }
}

fn share(text: &str) -> Option<Fraction> {
    Some(Fraction::new(d(text)))
}

#[test]
fn nothing_is_recommended_without_a_profile_and_an_overdue_review_warns() {
    let mut case = Case::of(holding("1000", &[]), Vec::new());
    case.says("profile", Verdict::Pass);
    case.review_due = Some(day("2024-06-03"));
    case.says("review", Verdict::Pass);
    case.review_due = Some(day("2024-06-02"));
    case.says("review", Verdict::Warn);
    case.profile = None;
    case.says("profile", Verdict::Block);
    assert_eq!(overall(&case.findings()), Overall::Block);
}

#[test]
fn the_risk_class_after_the_trades_is_held_against_the_profile() {
    let mut case = Case::of(holding("1000", &[]), Vec::new());
    for (before, after, verdict) in [
        (Some("0.12"), Some("0.2499999999"), Verdict::Pass),
        (Some("0.12"), Some("0.25"), Verdict::Block),
        (Some("0.31"), Some("0.3"), Verdict::Warn),
        (Some("0.3"), Some("0.3"), Verdict::Block),
        (None, Some("0.3"), Verdict::Block),
        (Some("0.12"), None, Verdict::Unknown),
    ] {
        case.risk = (risk(before), risk(after));
        let finding = case.says("risk_class", verdict);
        assert_eq!(finding.limit, share("6"));
    }
    assert!(overall(&case.findings()).holds_back(), "what is not known is not passed");
}

#[test]
fn a_horizon_that_is_too_short_for_the_class_blocks() {
    let case = |years, after| {
        let mut case =
            Case::of(holding("1000", &[]), Vec::new()).with(|profile| profile.horizon_years = years);
        case.risk.1 = risk(after);
        case
    };
    // Class 5 is not needed for five years.
    let finding = case(Some(5), Some("0.12")).says("horizon", Verdict::Pass);
    assert_eq!((finding.measured, finding.limit), (share("5"), share("5")));
    case(Some(4), Some("0.2")).says("horizon", Verdict::Block);
    let mut mending = case(Some(4), Some("0.12"));
    mending.risk.0 = risk(Some("0.3"));
    mending.says("horizon", Verdict::Warn);
    case(Some(4), None).says("horizon", Verdict::Unknown);
    case(None, Some("0.12")).says("horizon", Verdict::Warn);
}

fn cap(dimension: Dimension, value: Option<&str>, share_max: &str) -> Cap {
    Cap { dimension, value: value.map(Into::into), share_max: Fraction::new(d(share_max)) }
}

#[test]
fn a_cap_on_one_instrument_counts_exactly_up_to_its_limit() {
    let case = |quantity: &str| {
        let trades = vec![units(1, "AAA", Side::Buy, quantity, "10")];
        let mut case = Case::of(holding("10000", &[]), trades);
        case.cost = None;
        case.with(|profile| profile.caps = vec![cap(Dimension::Instrument, None, "0.2")])
    };
    let finding = case("200").says("cap:instrument", Verdict::Pass);
    assert_eq!((finding.measured, finding.limit), (share("0.2"), share("0.2")));
    case("200.001").says("cap:instrument", Verdict::Block);
}

#[test]
fn a_cap_on_a_sector_blocks_warns_on_the_way_back_and_knows_nothing_of_the_unclassified() {
    let held = [line(1, "AAA", "40", "100"), line(2, "BBB", "20", "100")];
    let with_cap = |case: Case| {
        case.with(|profile| profile.caps = vec![cap(Dimension::Sector, Some("Technology"), "0.5")])
    };
    let rule = "cap:sector:Technology";
    let base = |trades| with_cap(Case::of(holding("4000", &held), trades)).sector(1, "technology");
    // Six thousand of ten in technology.
    let both = base(Vec::new()).sector(2, "technology").says(rule, Verdict::Block);
    assert!(both.measured.unwrap().get() > d("0.6"), "the expected cost came off equity: {both:?}");
    let sold = vec![units(1, "AAA", Side::Sell, "5", "100")];
    base(sold).sector(2, "technology").says(rule, Verdict::Warn);
    base(Vec::new()).sector(2, "energy").says(rule, Verdict::Pass);
    let unknown = base(Vec::new()).says(rule, Verdict::Unknown);
    assert!(unknown.evidence.unwrap().contains("BBB"));
    let mut unpriced =
        base(vec![planned(2, "BBB", Side::Buy, Size::Units(d("1")), None)]).sector(2, "technology");
    unpriced.before.lines.remove(&instrument(2));
    unpriced.says(rule, Verdict::Unknown);
}

#[test]
fn a_cap_on_each_names_whatever_is_over_it_and_did_not_shrink() {
    let held = [line(1, "AAA", "60", "100"), line(2, "BBB", "30", "100")];
    let trades = vec![units(1, "AAA", Side::Sell, "10", "100"), units(2, "BBB", Side::Buy, "10", "100")];
    let mut case = Case::of(holding("1000", &held), trades)
        .with(|profile| profile.caps = vec![cap(Dimension::Issuer, None, "0.35")])
        .sector(1, "energy")
        .sector(2, "energy");
    case.cost = None;
    // The larger one shrank, and the smaller one grew beyond the cap.
    let finding = case.says("cap:issuer", Verdict::Block);
    assert_eq!(finding.measured, share("0.4"));
    assert!(finding.evidence.unwrap().contains("issuer 2"));
}

#[test]
fn caps_on_currency_class_and_country_look_at_their_own() {
    let euro = Currency::from_code("EUR").unwrap();
    let mut held = holding("1000", &[line(1, "AAA", "30", "100")]);
    held.cash.as_mut().unwrap().insert(euro, d("1000"));
    let case = Case::of(held, Vec::new())
        .with(|profile| {
            profile.caps = vec![
                cap(Dimension::Currency, Some("EUR"), "0.1"),
                cap(Dimension::Currency, Some("USD"), "0.9"),
                cap(Dimension::Class, Some("equity"), "0.7"),
                cap(Dimension::Country, None, "0.5"),
                cap(Dimension::Other("planet".into()), None, "0.5"),
            ];
        })
        .sector(1, "energy");
    case.says("cap:currency:EUR", Verdict::Block);
    case.says("cap:currency:USD", Verdict::Pass);
    case.says("cap:class:equity", Verdict::Pass);
    case.says("cap:country", Verdict::Block);
    case.says("cap:other:planet", Verdict::Unknown);
}

fn exclusion(dimension: Dimension, value: &str) -> Exclusion {
    Exclusion { dimension, value: value.into() }
}

#[test]
fn what_is_excluded_is_not_held_and_not_bought() {
    let with = |held: &[Line], trades, exclusions: Vec<Exclusion>| {
        Case::of(holding("10000", held), trades).with(|profile| profile.exclusions = exclusions)
    };
    let tobacco = || vec![exclusion(Dimension::Sector, "tobacco")];
    let rule = "exclusion:sector:tobacco";
    let bought = || vec![units(1, "AAA", Side::Buy, "1", "10")];
    with(&[], bought(), tobacco()).sector(1, "Tobacco").says(rule, Verdict::Block);
    with(&[], bought(), tobacco()).sector(1, "energy").says(rule, Verdict::Pass);
    with(&[], bought(), tobacco()).says(rule, Verdict::Unknown);
    let held = [line(1, "AAA", "100", "10")];
    with(&held, Vec::new(), tobacco()).sector(1, "tobacco").says(rule, Verdict::Block);
    let sold = |quantity: &str| vec![units(1, "AAA", Side::Sell, quantity, "10")];
    with(&held, sold("40"), tobacco()).sector(1, "tobacco").says(rule, Verdict::Warn);
    with(&held, sold("100"), tobacco()).sector(1, "tobacco").says(rule, Verdict::Pass);
    let by_symbol = vec![exclusion(Dimension::Instrument, "aaa")];
    with(&[], bought(), by_symbol).says("exclusion:instrument:aaa", Verdict::Block);
    let id = instrument(1).to_string();
    let by_id = vec![exclusion(Dimension::Instrument, &id)];
    with(&[], bought(), by_id).says(&format!("exclusion:instrument:{id}"), Verdict::Block);
    // What has no price is held all the same.
    let unpriced = vec![planned(1, "AAA", Side::Buy, Size::Units(d("1")), None)];
    with(&[], unpriced, tobacco()).sector(1, "tobacco").says(rule, Verdict::Block);
}

#[test]
fn cash_covers_the_reserve_the_trades_and_their_cost() {
    let case = |reserve: Option<Money>, trades| {
        Case::of(holding("1000", &[line(1, "AAA", "10", "100")]), trades)
            .with(|profile| profile.liquidity_reserve = reserve)
    };
    let bought = |quantity: &str| vec![units(2, "BBB", Side::Buy, quantity, "1")];
    // A dollar is expected cost.
    case(Some(usd("500")), bought("499")).says("liquidity_reserve", Verdict::Pass);
    case(Some(usd("500")), bought("500")).says("liquidity_reserve", Verdict::Block);
    let sold = vec![units(1, "AAA", Side::Sell, "1", "100")];
    case(Some(usd("5000")), sold).says("liquidity_reserve", Verdict::Warn);
    case(Some(money("5", "EUR")), Vec::new()).says("liquidity_reserve", Verdict::Unknown);
    case(None, bought("999")).says("cash", Verdict::Pass);
    case(None, bought("999.01")).says("cash", Verdict::Block);
    assert!(!case(None, Vec::new()).findings().iter().any(|finding| &*finding.rule == "liquidity_reserve"));
    let mut overdrawn = case(None, vec![units(1, "AAA", Side::Sell, "3", "100")]);
    overdrawn.before.cash = Ok(BTreeMap::from([(Currency::USD, d("-500"))]));
    overdrawn.says("cash", Verdict::Warn);
    overdrawn.trades.clear();
    overdrawn.says("cash", Verdict::Block);
    let unpriced = vec![planned(2, "BBB", Side::Buy, Size::Units(d("1")), None)];
    case(None, unpriced).says("cash", Verdict::Unknown);
}

#[test]
fn cost_is_held_against_what_is_traded() {
    let case = |cost: Option<&str>, price: Option<&str>| {
        let trades = vec![planned(1, "AAA", Side::Buy, Size::Units(d("10")), price)];
        let mut case = Case::of(holding("10000", &[]), trades);
        case.cost = cost.map(d);
        case
    };
    for (cost, verdict) in
        [("10", Verdict::Pass), ("10.01", Verdict::Warn), ("30", Verdict::Warn), ("30.01", Verdict::Block)]
    {
        case(Some(cost), Some("100")).says("cost", verdict);
    }
    case(None, Some("100")).says("cost", Verdict::Warn);
    case(Some("1"), None).says("cost", Verdict::Unknown);
    let finding = case(Some("10"), Some("100")).finding("cost");
    assert_eq!(finding.measured, share("0.01"));
}

#[test]
fn trades_that_lead_away_from_the_targets_warn() {
    let target = |number: u8, weight: &str| TargetWeight {
        instrument: Some(instrument(number)),
        sleeve: None,
        weight: Fraction::new(d(weight)),
        band: None,
    };
    let case = |trades| {
        let held = holding("5000", &[line(1, "AAA", "20", "100"), line(2, "BBB", "30", "100")]);
        let mut case =
            Case::of(held, trades).with(|profile| profile.targets = vec![target(1, "0.4"), target(2, "0.3")]);
        case.cost = None;
        case
    };
    let toward = case(vec![units(1, "AAA", Side::Buy, "20", "100")]).says("drift", Verdict::Pass);
    // 20 % for 40 %, 50 % cash for 30 %: a fifth would have to move; afterwards nothing.
    assert_eq!((toward.measured, toward.limit), (share("0"), share("0.2")));
    case(vec![units(1, "AAA", Side::Sell, "10", "100")]).says("drift", Verdict::Warn);
    let beside = case(Vec::new()).with(|profile| {
        profile.targets = vec![TargetWeight {
            instrument: None,
            sleeve: Some("bond".into()),
            weight: Fraction::new(d("0.5")),
            band: None,
        }];
    });
    beside.says("drift", Verdict::Unknown);
}

#[test]
fn a_mandate_says_whether_anything_may_be_recommended() {
    let mut case = Case::of(holding("1000", &[]), Vec::new());
    for (mandate, verdict) in [
        (Some(Mandate::Advisory), Verdict::Pass),
        (Some(Mandate::Discretionary), Verdict::Pass),
        (Some(Mandate::ExecutionOnly), Verdict::Block),
        (Some(Mandate::Other("robot".into())), Verdict::Unknown),
        (None, Verdict::Warn),
    ] {
        case.mandate = mandate;
        case.says("mandate", verdict);
    }
}

#[test]
fn a_sale_beyond_what_is_held_is_told() {
    let sold = vec![units(1, "AAA", Side::Sell, "11", "100")];
    let case = Case::of(holding("1000", &[line(1, "AAA", "10", "100")]), sold);
    case.says("short_sale", Verdict::Warn);
}

#[test]
fn a_portfolio_moves_by_its_weights_and_cash_stands_still() {
    let mut world = fridays(1, "2023-01-06", &swinging(60, "101"));
    for week in 0..=60 {
        let price = if week % 2 == 0 { "100" } else { "101" };
        world.record(close(2, day("2023-01-06").plus_days(7 * week), price));
    }
    let history = |prices: &Prices, number| {
        weekly_returns(prices, instrument(number), day("2024-12-31"), u64::MAX, Some(Currency::USD))
    };
    let histories: BTreeMap<InstrumentId, WeeklyReturns> =
        [1, 2].map(|number| (instrument(number), history(&world.library.prices, number))).into();
    let alone = instrument_risk(&histories[&instrument(1)]).volatility.unwrap();
    let both = holding("0", &[line(1, "AAA", "10", "100"), line(2, "BBB", "10", "100")]);
    assert_eq!(portfolio_risk(&both, &histories).volatility, Some(alone));
    let half = holding("1000", &[line(1, "AAA", "10", "100")]);
    let halved = portfolio_risk(&half, &histories);
    let off = (halved.volatility.unwrap() * d("2") - alone).abs();
    assert!(off <= d("0.000000001"), "{off}");
    let cash = portfolio_risk(&holding("1000", &[]), &histories);
    assert_eq!((cash.class.unwrap().get(), cash.volatility), (1, Some(d("0"))));
    let unknown = portfolio_risk(&holding("0", &[line(3, "CCC", "10", "100")]), &histories);
    assert_eq!(unknown.class, None);
    assert!(unknown.reason.unwrap().contains("CCC"));
}

fn sides() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

prop_compose! {
    fn portfolios()(cash in 0i64..1_000_000, held in prop::collection::vec((1u8..6, 1i64..1_000, 1i64..50_000), 0..5)) -> Allocation {
        let lines: Vec<Line> = held
            .iter()
            .map(|(number, quantity, cents)| {
                line(*number, &format!("S{number}"), &quantity.to_string(), &Decimal::new(*cents, 2).to_string())
            })
            .collect();
        holding(&cash.to_string(), &lines)
    }
}

proptest! {
    #[test]
    fn a_purchase_of_what_is_excluded_never_passes(
        before in portfolios(),
        quantity in 1i64..1_000,
        cents in 1i64..50_000,
        classified in any::<bool>(),
        priced in any::<bool>(),
        more in prop::collection::vec((1u8..6, sides(), 1i64..100), 0..4),
    ) {
        let price = Decimal::new(cents, 2).to_string();
        let excluded = planned(9, "NINE", Side::Buy, Size::Units(quantity.into()), priced.then_some(price.as_str()));
        let mut trades = vec![excluded];
        trades.extend(more.iter().map(|(number, side, quantity)| {
            units(*number, &format!("S{number}"), side.clone(), &quantity.to_string(), "10")
        }));
        let case = Case::of(before, trades)
            .with(|profile| profile.exclusions = vec![exclusion(Dimension::Sector, "tobacco")]);
        let case = if classified { case.sector(9, "tobacco") } else { case };
        let finding = case.finding("exclusion:sector:tobacco");
        prop_assert!(matches!(finding.verdict, Verdict::Block | Verdict::Unknown), "{finding:?}");
        prop_assert!(overall(&case.findings()).holds_back());
    }

    #[test]
    fn without_trades_the_portfolio_after_them_is_the_portfolio(before in portfolios()) {
        let (after, sized) = before.after(&[], Decimal::ZERO, &|_| None).unwrap();
        prop_assert!(sized.is_empty());
        prop_assert_eq!(after, before);
    }

    #[test]
    fn weights_and_cash_sum_to_one_and_trades_at_the_days_prices_leave_equity(
        before in portfolios(),
        trades in prop::collection::vec((1u8..6, sides(), 1i64..100), 0..5),
    ) {
        let trades: Vec<PlannedTrade> = trades
            .iter()
            .map(|(number, side, quantity)| {
                let price = before.lines.get(&instrument(*number)).and_then(|line| line.price).unwrap_or(d("10"));
                units(*number, &format!("S{number}"), side.clone(), &quantity.to_string(), &price.to_string())
            })
            .collect();
        let (after, _) = before.after(&trades, Decimal::ZERO, &|_| None).unwrap();
        prop_assert_eq!(after.equity(), before.equity());
        if before.equity().unwrap() > Decimal::ZERO {
            let cash = after.part(after.cash_value().unwrap()).unwrap();
            let sum = after.lines.values().map(|line| after.share(line).unwrap()).fold(cash, |sum, share| sum + share);
            prop_assert!((sum - Decimal::ONE).abs() < d("0.00000000001"), "{}", sum);
        }
    }
}
