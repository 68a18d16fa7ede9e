//! Which rows belong to one happening: a dividend and the shares it bought, the sides of a merger, an assigned option
//! and its shares.

use super::actions::{Meaning, Share};
use super::line::Line;
use super::{Kept, identity};
use crate::importers::symbols::{self, Form};
use daybook_schemas::events::{ContentHash, Effect, ExchangeKind, OptionSettlement, Side};
use daybook_schemas::{Day, decimal};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};

/// Shares are bought so many days after the dividend that pays for them, at most.
const REINVESTED_WITHIN_DAYS: i32 = 10;
/// The shares of an option are booked so many days around its settlement, at most.
const SETTLED_WITHIN_DAYS: i32 = 4;
/// Shares of one contract.
const CONTRACT: u32 = 100;

/// Each row's share, by its index, where it has one.
pub(super) fn join(rows: &[Kept]) -> HashMap<usize, Share> {
    let lines: Vec<(usize, &Line)> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((index, row.line.as_ref().ok()?))).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    reinvestments(&lines, &mut groups);
    exchanges(&lines, &mut groups);
    settlements(&lines, &mut groups);
    let mut shares = HashMap::new();
    for group in groups {
        let name = name(rows, &group);
        for index in &group {
            let instrument = renumbered(rows, &group, *index);
            shares.insert(*index, Share { group: name.clone(), instrument });
        }
    }
    shares
}

/// A name that the same rows have in every file that holds them.
fn name(rows: &[Kept], group: &[usize]) -> String {
    let mut identities: Vec<String> =
        group.iter().map(|index| identity::of_content(&rows[*index].content, rows[*index].ordinal)).collect();
    identities.sort();
    let mut hash = ContentHash::of(identities.join("\n").as_bytes()).to_string();
    hash.truncate(16);
    format!("schwab:{hash}")
}

/// The old number of a reverse split is the instrument that the other row names by its symbol.
fn renumbered(rows: &[Kept], group: &[usize], index: usize) -> Option<symbols::Symbol> {
    let own = rows[index].line.as_ref().ok()?;
    let is_reverse = matches!(&own.meaning, Some(Meaning::Exchange { kind: ExchangeKind::ReverseSplit, .. }));
    if !is_reverse || !symbols::is_cusip(&own.symbol_text) {
        return None;
    }
    let others = group.iter().filter_map(|other| rows[*other].line.as_ref().ok());
    others.filter(|other| !symbols::is_cusip(&other.symbol_text)).find_map(|other| other.symbol.clone())
}

/// Joins each purchase by reinvestment to the dividend of the same symbol and amount that is nearest before it.
fn reinvestments(lines: &[(usize, &Line)], groups: &mut Vec<Vec<usize>>) {
    let mut dividends: BTreeMap<(&str, Decimal), Vec<(usize, Day)>> = BTreeMap::new();
    for (index, line) in lines {
        if let (Some(Meaning::Dividend { .. }), Some(amount)) = (&line.meaning, line.amount) {
            dividends.entry((line.symbol_text.as_str(), amount)).or_default().push((*index, line.day()));
        }
    }
    for (index, line) in lines {
        let Some(amount) = line.amount.filter(|_| is_reinvestment(line)) else { continue };
        let Some(paid) = dividends.get_mut(&(line.symbol_text.as_str(), -amount)) else { continue };
        let day = line.day().number();
        let distance = |paid: Day| (day - paid.number()).abs();
        let nearest = paid
            .iter()
            .enumerate()
            .filter(|(_, (_, paid))| (-1..=REINVESTED_WITHIN_DAYS).contains(&(day - paid.number())))
            .min_by_key(|(_, (_, paid))| distance(*paid))
            .map(|(place, _)| place);
        if let Some(place) = nearest {
            let (dividend, _) = paid.remove(place);
            groups.push(vec![dividend, *index]);
        }
    }
}

fn is_reinvestment(line: &Line) -> bool {
    line.action.eq_ignore_ascii_case("reinvest shares")
        && matches!(&line.meaning, Some(Meaning::Trade { side: Side::Buy, effect: Effect::Open }))
}

/// Joins the rows of one exchange: of one day and one kind, where units came and units went, or cash for them.
fn exchanges(lines: &[(usize, &Line)], groups: &mut Vec<Vec<usize>>) {
    type Sides = (Vec<usize>, Vec<usize>, Vec<usize>);
    let mut pairs: BTreeMap<(Day, String), Sides> = BTreeMap::new();
    for (index, line) in lines {
        let Some(Meaning::Exchange { paired, .. }) = &line.meaning else { continue };
        let action = line.action.to_lowercase();
        // Cash and units of one symbol come in a row and in its adjustment; the sides of a merger have two symbols.
        let happening = if *paired {
            action
        } else {
            format!("{} {}", action.trim_end_matches(" adj"), line.symbol_text)
        };
        let (gave, received, cash) = pairs.entry((line.day(), happening)).or_default();
        match line.quantity {
            Some(quantity) if quantity < Decimal::ZERO => gave.push(*index),
            Some(quantity) if quantity > Decimal::ZERO => received.push(*index),
            _ => cash.push(*index),
        }
    }
    for ((_, _), (gave, received, cash)) in pairs {
        let count = if gave.len() > 1 && received.len() > 1 { gave.len().min(received.len()) } else { 1 };
        let sides = [!gave.is_empty(), !received.is_empty(), !cash.is_empty()];
        if sides.iter().filter(|side| **side).count() < 2 {
            continue;
        }
        // Several exchanges of one kind on one day: the first that went and the first that came, and so on.
        let mut joined: Vec<Vec<usize>> = vec![Vec::new(); count];
        for side in [gave, received, cash] {
            for (place, index) in side.into_iter().enumerate() {
                joined[place.min(count - 1)].push(index);
            }
        }
        groups.extend(joined);
    }
}

/// Joins an exercised or assigned option to the trade of its shares at the strike.
fn settlements(lines: &[(usize, &Line)], groups: &mut Vec<Vec<usize>>) {
    let mut used = Vec::new();
    for (index, line) in lines {
        let settled = matches!(
            &line.meaning,
            Some(Meaning::Option(OptionSettlement::Assigned | OptionSettlement::Exercised))
        );
        let Some(Form::Option(terms)) = line.symbol.as_ref().map(|symbol| &symbol.form).filter(|_| settled)
        else {
            continue;
        };
        let shares =
            line.quantity.and_then(|quantity| decimal::multiply(quantity.abs(), CONTRACT.into()).ok());
        let trade = lines
            .iter()
            .filter(|(place, trade)| {
                let near = (trade.day().number() - line.day().number()).abs() <= SETTLED_WITHIN_DAYS;
                near && !used.contains(place)
                    && matches!(&trade.meaning, Some(Meaning::Trade { .. }))
                    && trade.symbol_text.replace(['/', '.'], "") == terms.root
                    && trade.price == Some(terms.strike.get())
                    && trade.quantity.map(|quantity| quantity.abs()) == shares
            })
            .min_by_key(|(_, trade)| (trade.day().number() - line.day().number()).abs());
        if let Some((place, _)) = trade {
            used.push(*place);
            groups.push(vec![*index, *place]);
        }
    }
}
