//! How portfolios are run, day after day: funds at fixed weights, income, growth, day trading, short selling.

use super::account::{Account, Terms, UNIT, price, quantity, worth};
use super::advice::{self, Fate, Idea};
use super::cast::Style;
use super::market::place;
use super::{fraction, usd};
use daybook_schemas::events::{FeeKind, Reference, Side, StrategyBaselineSet, TradeAnnotated, TradePlanned};
use daybook_schemas::{PlanId, Strategy, Timestamp, Zone};

/// Lives a portfolio's days, from its first to the market's last.
pub(super) fn live(account: &mut Account<'_>) {
    let first = account.first_day();
    for day in first..account.market.days.len() {
        account.open_day(day);
        let new_month = day > first && account.market.ends_month(day - 1);
        if day == first {
            account.deposit(day, account.plan.first_deposit_dollars * 100);
            for (symbol, shares, basis, years) in account.plan.brought {
                account.bring(day, place(symbol), *shares, *basis, *years);
            }
        } else if new_month && account.plan.monthly_deposit_dollars > 0 {
            let cents = account.plan.monthly_deposit_dollars * 100;
            if account.plan.name == "Household" && correction_is_due(account, day) {
                account.corrected = true;
                account.deposit_twice(day, cents);
            } else {
                account.deposit(day, cents);
            }
        }
        account.idea = account.idea_after.take();
        advice::morning(account, day);
        match &account.plan.style {
            Style::Core { weights, .. } => core(account, day, day == first || new_month, weights),
            Style::Income { picks, withdraw_dollars, .. } => {
                income(account, day, day - first, picks, withdraw_dollars * 100);
            }
            Style::Growth { picks, borrows } => growth(account, day, day - first, picks, *borrows),
            Style::DayTrader => day_trading(account, day, day == first, new_month),
            Style::ShortSeller { picks } => short_selling(account, day, picks),
        }
        advice::evening(account, day);
        account.close_day(day);
    }
}

/// Whether the portfolio's example of a correction belongs here.
fn correction_is_due(account: &Account<'_>, day: usize) -> bool {
    !account.corrected && account.names.correction(account.plan, account.market, day)
}

/// Buys what is most below its weight, and at a new quarter first sells what is above.
fn core(account: &mut Account<'_>, day: usize, invests: bool, weights: &[(&str, i64)]) {
    if !invests {
        return;
    }
    let equity = equity_at_open(account, day);
    if day > 0 && account.market.ends_quarter(day - 1) {
        for (step, (symbol, percent)) in (0..).zip(weights) {
            let security = place(symbol);
            let open = account.bar(security, day).open;
            let excess = worth(account.held(security), open) - equity * percent / 100;
            if excess > equity * 15 / 1_000 {
                let parts = (excess / open * UNIT).min(account.held(security) / UNIT * UNIT);
                sell(account, day, 12 + step * 4, security, parts, &Terms::default());
            }
        }
    }
    let mut wanted: Vec<(i64, usize)> = weights
        .iter()
        .map(|(symbol, percent)| {
            let security = place(symbol);
            let value = worth(account.held(security), account.bar(security, day).open);
            (equity * percent / 100 - value, security)
        })
        .collect();
    wanted.sort_by_key(|(deficit, security)| (-deficit, *security));
    for (step, (deficit, security)) in (0..).zip(wanted) {
        let spare = account.cash - equity * 15 / 1_000;
        buy(account, day, 40 + step * 5, security, deficit.min(spare), &Terms::default());
    }
}

/// Everything at the day's opening prices, in cents: what is known when the day's orders are given.
fn equity_at_open(account: &Account<'_>, day: usize) -> i64 {
    let value = |(security, parts): (&usize, &i64)| worth(*parts, account.bar(*security, day).open);
    account.cash + account.holdings.iter().map(value).sum::<i64>()
}

/// Buys for at most so many cents; the key of the fill, unless that is too little.
fn buy(
    account: &mut Account<'_>,
    day: usize,
    minutes: i64,
    security: usize,
    cents: i64,
    terms: &Terms,
) -> Option<String> {
    let at = account.at(day, minutes);
    let price_cents = account.price_within(security, day);
    let parts = account.affordable(cents, price_cents);
    if cents < 20_000 || parts <= 0 {
        return None;
    }
    Some(account.trade((day, at), security, &Side::Buy, parts, price_cents, terms))
}

fn sell(
    account: &mut Account<'_>,
    day: usize,
    minutes: i64,
    security: usize,
    parts: i64,
    terms: &Terms,
) -> Option<String> {
    let at = account.at(day, minutes);
    let price_cents = account.price_within(security, day);
    if parts <= 0 {
        return None;
    }
    Some(account.trade((day, at), security, &Side::Sell, parts, price_cents, terms))
}

/// Sells from the largest holding shortly before the close, so that there is cash enough for what is due.
fn raise(account: &mut Account<'_>, day: usize, needed: i64) {
    if account.cash >= needed {
        return;
    }
    let missing = needed - account.cash + 20_000;
    let largest = account.holdings.iter().map(|(security, parts)| {
        let low = account.bar(*security, day).low;
        (worth(*parts, low), *security, low)
    });
    if let Some((_, security, low)) = largest.max() {
        let parts = ((missing / low + 1) * UNIT).min(account.held(security));
        sell(account, day, 380, security, parts, &Terms::default());
    }
}

fn income(account: &mut Account<'_>, day: usize, age: usize, picks: &[&str], withdrawal: i64) {
    if let Some(symbol) = picks.get(age) {
        let shares = i64::try_from(picks.len() - age).unwrap_or(1);
        let reserve = account.plan.first_deposit_dollars * 4;
        let cents = (account.cash - reserve) / shares;
        let minutes = 30 + account.draw.below(120);
        buy(account, day, minutes, place(symbol), cents, &Terms::default());
    } else if account.draw.chance(9) {
        swap(account, day, picks);
    }
    if !account.market.ends_month(day) {
        return;
    }
    let fee = if account.market.ends_quarter(day) { account.advisory_fee(day) } else { 0 };
    raise(account, day, withdrawal + fee * 11 / 10);
    if withdrawal > 0 && account.cash >= withdrawal {
        account.withdraw(day, withdrawal);
    }
}

/// Moves a third of the largest holding into the smallest.
fn swap(account: &mut Account<'_>, day: usize, picks: &[&str]) {
    let values = picks.iter().map(|symbol| {
        let security = place(symbol);
        (worth(account.held(security), account.bar(security, day).open), security)
    });
    let (Some((_, smallest)), Some((_, largest))) = (values.clone().min(), values.max()) else { return };
    let parts = account.held(largest) / 3 / UNIT * UNIT;
    if smallest == largest || parts == 0 {
        return;
    }
    let before = account.cash;
    sell(account, day, 45, largest, parts, &Terms::default());
    buy(account, day, 60, smallest, account.cash - before, &Terms::default());
}

fn growth(account: &mut Account<'_>, day: usize, age: usize, picks: &[&str], borrows: bool) {
    let settling = age < 25;
    if account.plan.changes_euros && age == 200 {
        account.change_euros(day, 1_200_000);
    }
    if account.draw.chance(if settling { 500 } else { 170 }) {
        let equity = equity_at_open(account, day);
        let spare = if borrows { account.cash + equity * 42 / 100 } else { account.cash - equity * 3 / 100 };
        let cents = (equity * account.draw.between(4, 12) / 100).min(spare);
        let security = account.draw.pick(picks).map_or(0, |symbol| place(symbol));
        if cents > equity / 50 {
            decide(account, day, 25, security, &Side::Buy, cents);
        }
    }
    if !settling && account.draw.chance(85) {
        let held: Vec<usize> = account.holdings.keys().copied().collect();
        if let Some(security) = account.draw.pick(&held).copied() {
            let parts = account.held(security);
            let parts =
                if parts > 30 * UNIT && account.draw.chance(450) { parts / 2 / UNIT * UNIT } else { parts };
            decide(account, day, 200, security, &Side::Sell, parts);
        }
    }
    // A loan beyond half of everything is called: the largest holding pays it back.
    if borrows && account.cash < -account.equity(day) / 2 {
        let needed = -account.equity(day) * 35 / 100;
        raise(account, day, needed);
    }
}

/// A trade of a growth portfolio: as it is, thought of for a recommendation where the client decides, or as one of the
/// examples of a correction.
fn decide(account: &mut Account<'_>, day: usize, minutes: i64, security: usize, side: &Side, size: i64) {
    let minutes = minutes + account.draw.below(150);
    let mut terms = Terms::default();
    let advised = matches!(account.plan.mandate, daybook_schemas::events::Mandate::Advisory);
    let buys = matches!(side, Side::Buy);
    let replacing = account.idea.as_ref().is_some_and(|idea| idea.replaces.is_some());
    if advised && !replacing && day > account.first_day() && account.draw.chance(400) {
        let parts = if buys { size / account.bar(security, day).close * UNIT } else { size };
        let fate = Fate::Drawn;
        account.idea = Some(Idea { security, side: side.clone(), parts, replaces: None, fate });
        return;
    }
    if buys && correction_is_due(account, day) {
        account.corrected = true;
        match account.plan.name {
            "Ann's shares" => {
                terms.recorded_at = Some(account.names.later(account.market, day, 6));
                account.unsettled_until = Some(day + 6);
                terms.note = Some("found on the statement");
            }
            _ => {
                let price_cents = account.price_within(security, day);
                let parts = account.affordable(size, price_cents);
                account.unsettled_until = Some(day);
                account.buy_mistyped(day, security, parts, price_cents);
                return;
            }
        }
    }
    if buys {
        buy(account, day, minutes, security, size, &terms);
    } else {
        sell(account, day, minutes, security, size, &terms);
    }
}

/// A way of trading within the day.
struct Way {
    name: &'static str,
    setup: &'static str,
    /// Winners of a thousand trips, and what they win in tenths of what was risked.
    wins_per_thousand: i64,
    reward_tenths: i64,
}

const WAYS: &[Way] = &[
    Way { name: "opening range", setup: "gap and go", wins_per_thousand: 490, reward_tenths: 16 },
    Way { name: "pullback", setup: "first pullback", wins_per_thousand: 470, reward_tenths: 13 },
    Way { name: "news fade", setup: "exhaustion", wins_per_thousand: 370, reward_tenths: 14 },
];

const LIVELY: &[&str] = &["ORVN", "KELD", "TAMQ", "NOVQ", "RUNK", "WYCK", "THRN", "VNTQ", "MRZO"];

fn day_trading(account: &mut Account<'_>, day: usize, first: bool, new_month: bool) {
    if first {
        let at = account.day(day).at_in(8, 30, Zone::NEW_YORK);
        let from = account.day(day);
        for way in WAYS {
            let baseline = StrategyBaselineSet {
                strategy: Strategy::new(way.name),
                version: 1,
                from,
                win_rate: Some(fraction(way.wins_per_thousand, 3)),
                mean_r: None,
                hold_minutes: Some(20),
                risk_max: Some(usd(40_000)),
                risk_share_max: None,
                trades_per_day_max: Some(4),
                setups: vec![way.setup.into()],
                hours: vec![(570, 960)],
                stop_required: true,
            };
            account.log.note(account.stream.clone(), at, baseline);
        }
    }
    if new_month && account.cash > 4_500 {
        account.fee(day, FeeKind::MarketData, 4_500);
    }
    if account.draw.chance(760) {
        let trips = account.draw.between(1, 4);
        for trip in 0..trips {
            round_trip(account, day, trip);
        }
    }
    let profit = account.cash - account.plan.first_deposit_dollars * 110;
    if account.market.ends_quarter(day) && profit > 200_000 {
        account.withdraw(day, profit / 100_000 * 100_000);
    }
}

/// In and out again, with the money that is there.
fn round_trip(account: &mut Account<'_>, day: usize, trip: i64) {
    let (Some(way), Some(symbol)) = (account.draw.pick(WAYS), account.draw.pick(LIVELY)) else { return };
    let security = place(symbol);
    let bar = account.bar(security, day);
    let range = bar.high - bar.low;
    let risked = (range / 5).max(4);
    let entry_cents = bar.low + range * account.draw.between(30, 55) / 100;
    let shares = (30_000 / risked).min(account.cash * 45 / 100 / entry_cents);
    if range < 20 || shares < 10 {
        return;
    }
    let (stop, target) = (entry_cents - risked, entry_cents + risked * way.reward_tenths / 10);
    let wins = account.draw.chance(way.wins_per_thousand);
    let slipped = account.draw.below(risked / 10 + 1);
    let exit_cents = if wins { target - slipped } else { stop - slipped }.clamp(bar.low, bar.high);
    let minutes = 4 + trip * 92 + account.draw.below(45);
    let (enters, held) = (account.at(day, minutes), account.draw.between(3, 40));
    let leaves = account.at(day, minutes + held);
    let mut terms = Terms { strategy: Some(Strategy::new(way.name)), ..Terms::default() };
    if account.draw.chance(500) {
        terms.plan = Some(plan_trip(account, way, security, shares, [entry_cents, stop, target], enters));
    }
    account.trade((day, enters), security, &Side::Buy, shares * UNIT, entry_cents, &terms);
    let exit = account.trade((day, leaves), security, &Side::Sell, shares * UNIT, exit_cents, &terms);
    if account.draw.chance(110) {
        annotate(account, day, trip, exit, wins);
    }
}

fn plan_trip(
    account: &mut Account<'_>,
    way: &Way,
    security: usize,
    shares: i64,
    [entry_cents, stop, target]: [i64; 3],
    enters: Timestamp,
) -> PlanId {
    let plan = PlanId::derive(&account.names.parts(&format!("{security} at {enters}")));
    let planned = TradePlanned {
        plan,
        instrument: account.names.instrument(security),
        side: Side::Buy,
        strategy: Some(Strategy::new(way.name)),
        setup: Some(way.setup.into()),
        quantity: Some(quantity(shares * UNIT)),
        entry_price: Some(price(entry_cents)),
        stop: Some(price(stop)),
        target: Some(price(target)),
        risk: Some(usd((entry_cents - stop) * shares)),
        expires: None,
        note: None,
    };
    account.log.note(account.stream.clone(), enters.plus_nanos(-140_000_000_000), planned);
    plan
}

fn annotate(account: &mut Account<'_>, day: usize, trip: i64, exit: String, won: bool) {
    let minute = u32::try_from(20 + trip * 3).unwrap_or(20);
    let at = account.day(day).at_in(16, minute, Zone::NEW_YORK);
    let (words, mistake): (&[&str], &[&str]) = if won {
        (&["waited for the second candle", "clean from start to end", "left a little early"], &["early exit"])
    } else {
        (
            &["no volume behind it", "the stop was right, the entry was not", "one trade too many"],
            &["chased", "overtraded"],
        )
    };
    let note = account.draw.pick(words).map(|words| account.sealed(words));
    let erred = account.draw.chance(350);
    let mistakes = account.draw.pick(mistake).filter(|_| erred).map(|mistake| (*mistake).into());
    let annotated = TradeAnnotated {
        anchor: Reference::Key(exit.into()),
        tags: vec![if won { "winner" } else { "loser" }.into()],
        strategy: None,
        setup: None,
        mistakes: mistakes.into_iter().collect(),
        rating: u8::try_from(account.draw.between(if won { 3 } else { 1 }, if won { 5 } else { 4 })).ok(),
        note,
        attachments: Vec::new(),
    };
    account.log.note(account.stream.clone(), at, annotated);
}

fn short_selling(account: &mut Account<'_>, day: usize, picks: &[&str]) {
    let equity = equity_at_open(account, day);
    if account.holdings.len() < 4 && account.draw.chance(90) {
        let security = account.draw.pick(picks).map_or(0, |symbol| place(symbol));
        if account.held(security) == 0 {
            let at_minutes = 20 + account.draw.below(120);
            let shares = equity * account.draw.between(8, 15) / 100 / account.bar(security, day).open;
            sell(account, day, at_minutes, security, shares * UNIT, &Terms::default());
        }
    }
    if account.draw.chance(50) {
        let held: Vec<usize> = account.holdings.keys().copied().collect();
        if let Some(security) = account.draw.pick(&held).copied() {
            let open = account.held(security).abs();
            let parts =
                if open > 40 * UNIT && account.draw.chance(400) { open / 2 / UNIT * UNIT } else { open };
            let at = account.at(day, 230);
            let price_cents = account.price_within(security, day);
            account.trade((day, at), security, &Side::Buy, parts, price_cents, &Terms::default());
        }
    }
}
