//! Which rows belong to one happening: the two sides of a reverse split, an assigned option and its shares.

use super::codes::Meaning;
use super::line::Line;
use super::{Kept, identity};
use crate::importers::symbols::Form;
use daybook_schemas::events::{ContentHash, OptionSettlement};
use daybook_schemas::{Day, decimal};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// The shares of an option are booked so many days around its settlement, at most.
const SETTLED_WITHIN_DAYS: i32 = 4;
/// The sides of an exchange are booked so many days around each other, at most.
const EXCHANGED_WITHIN_DAYS: i32 = 3;
/// Shares of one contract.
const CONTRACT: u32 = 100;

/// The name of each row's group, by its index, where it is in one.
pub(super) fn join(rows: &[Kept]) -> HashMap<usize, String> {
    let lines: Vec<(usize, &Line)> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((index, row.line.as_ref().ok()?))).collect();
    let mut groups: Vec<[usize; 2]> = Vec::new();
    exchanges(&lines, &mut groups);
    settlements(&lines, &mut groups);
    let mut names = HashMap::new();
    for group in groups {
        let name = name(rows, group);
        names.extend(group.map(|index| (index, name.clone())));
    }
    names
}

/// A name that the same rows have in every file that holds them.
fn name(rows: &[Kept], group: [usize; 2]) -> String {
    let mut identities = group.map(|index| identity::of_content(&rows[index].content, rows[index].ordinal));
    identities.sort();
    let mut hash = ContentHash::of(identities.join("\n").as_bytes()).to_string();
    hash.truncate(16);
    format!("robinhood:{hash}")
}

/// Rows by what they have to agree in, and their day; a row is given out once.
struct Waiting<K>(BTreeMap<(K, i32), VecDeque<usize>>);

impl<K: Ord + Clone> Waiting<K> {
    fn of(rows: impl Iterator<Item = (K, Day, usize)>) -> Self {
        let mut waiting: BTreeMap<(K, i32), VecDeque<usize>> = BTreeMap::new();
        for (key, day, index) in rows {
            waiting.entry((key, day.number())).or_default().push_back(index);
        }
        Self(waiting)
    }

    /// Takes the row nearest to a day, the earlier of two.
    fn take(&mut self, key: &K, day: Day, within_days: i32) -> Option<usize> {
        (0..=within_days).find_map(|apart| {
            [-apart, apart].into_iter().find_map(|apart| {
                self.0.get_mut(&(key.clone(), day.number().saturating_add(apart)))?.pop_front()
            })
        })
    }
}

/// Joins what went to what came in its place: of one code, the same instrument first, else the nearest.
fn exchanges(lines: &[(usize, &Line)], groups: &mut Vec<[usize; 2]>) {
    let sides = lines.iter().filter(|(_, line)| {
        matches!(&line.meaning, Some(Meaning::Exchange(_) | Meaning::OptionExchange(_)))
            && line.quantity.is_some()
    });
    let (gave, received): (Vec<_>, Vec<_>) = sides.partition(|(_, line)| line.removed);
    let mut joined = BTreeSet::new();
    for same in [true, false] {
        let key = |line: &Line| {
            let symbol = line.symbol().map(|symbol| symbol.text.clone()).filter(|_| same);
            (line.code.to_uppercase(), symbol)
        };
        let open = received.iter().filter(|(index, _)| !joined.contains(index));
        let mut waiting = Waiting::of(open.map(|(index, line)| (key(line), line.activity, *index)));
        for (went, line) in &gave {
            if joined.contains(went) {
                continue;
            }
            if let Some(came) = waiting.take(&key(line), line.activity, EXCHANGED_WITHIN_DAYS) {
                joined.extend([*went, came]);
                groups.push([*went, came]);
            }
        }
    }
}

/// Joins an exercised or assigned option to the trade of its shares at the strike.
fn settlements(lines: &[(usize, &Line)], groups: &mut Vec<[usize; 2]>) {
    let trades = lines.iter().filter_map(|(index, line)| {
        let traded = matches!(&line.meaning, Some(Meaning::Trade(..)));
        let symbol = line.instrument.as_ref().filter(|_| traded)?.text.replace(['/', '.', '-'], "");
        Some(((symbol, line.price?, line.quantity?), line.activity, *index))
    });
    let mut waiting = Waiting::of(trades);
    for (index, line) in lines {
        let settled = matches!(
            &line.meaning,
            Some(Meaning::Option(OptionSettlement::Assigned | OptionSettlement::Exercised))
        );
        let Some(Form::Option(terms)) = line.option.as_ref().map(|option| &option.form).filter(|_| settled)
        else {
            continue;
        };
        let shares = line.quantity.and_then(|quantity| decimal::multiply(quantity, CONTRACT.into()).ok());
        let Some(shares) = shares else { continue };
        let key = (terms.root.clone(), terms.strike.get(), shares);
        if let Some(trade) = waiting.take(&key, line.activity, SETTLED_WITHIN_DAYS) {
            groups.push([*index, trade]);
        }
    }
}
