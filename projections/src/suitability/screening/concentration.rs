//! The rules about parts of a portfolio: what is excluded, and how much of one thing there may be.

use super::{Screening, at_most, finding, named};
use crate::suitability::words::percent;
use crate::suitability::{Allocation, Line};
use daybook_schemas::events::{Cap, Dimension, Exclusion, InvestmentProfileSet, RuleFinding, Side, Verdict};
use daybook_schemas::{InstrumentId, decimal};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// What stands behind a share: its instruments by size.
struct Group<'a> {
    name: String,
    value: Decimal,
    lines: Vec<&'a Line>,
}

/// The parts that a dimension divides a portfolio into, the largest first, and what it cannot place.
struct Groups<'a> {
    known: Vec<Group<'a>>,
    unplaced: Vec<&'a Line>,
}

impl Screening<'_> {
    /// What an instrument counts as in a dimension; several names where it goes by several.
    fn names(&self, line: &Line, dimension: &Dimension) -> Option<Vec<String>> {
        let classification = (self.classify)(line.instrument);
        let one = |name: Option<&str>| name.map(|name| vec![name.to_owned()]);
        match dimension {
            Dimension::Instrument => Some(vec![line.symbol.clone(), line.instrument.to_string()]),
            Dimension::Issuer => one(classification.issuer.as_deref()),
            Dimension::Sector => one(classification.sector.as_deref()),
            Dimension::Currency => Some(vec![line.currency.to_string()]),
            Dimension::Class => classification.class.map(|class| vec![class.to_string()]),
            Dimension::Country => one(classification.country.as_deref()),
            Dimension::Other(_) => None,
        }
    }

    fn is(&self, line: &Line, dimension: &Dimension, value: &str) -> Option<bool> {
        if *dimension == Dimension::Instrument
            && let Ok(id) = value.parse::<InstrumentId>()
            && (self.canonical)(id) == line.instrument
        {
            return Some(true);
        }
        let names = self.names(line, dimension)?;
        Some(names.iter().any(|name| name.eq_ignore_ascii_case(value.trim())))
    }

    pub(super) fn exclusion(&self, profile: &InvestmentProfileSet, exclusion: &Exclusion) -> RuleFinding {
        let rule = format!("exclusion:{}:{}", exclusion.dimension, exclusion.value);
        let limit = Some(Decimal::ZERO);
        let excluded = format!("{} {}", exclusion.dimension, exclusion.value);
        let split = |allocation: &'_ Allocation| -> (Vec<InstrumentId>, Vec<InstrumentId>) {
            let (mut matched, mut unplaced) = (Vec::new(), Vec::new());
            for line in allocation.lines.values().filter(|line| line.is_held()) {
                match self.is(line, &exclusion.dimension, &exclusion.value) {
                    Some(true) => matched.push(line.instrument),
                    Some(false) => {}
                    None => unplaced.push(line.instrument),
                }
            }
            (matched, unplaced)
        };
        let (matched, unplaced) = split(self.after);
        let lines = |ids: &[InstrumentId]| -> Vec<&Line> {
            ids.iter().filter_map(|id| self.after.lines.get(id)).collect()
        };
        let version = profile.version;
        if matched.is_empty() {
            if unplaced.is_empty() {
                let words = format!(
                    "nothing of {excluded} is held after the trades, as profile version {version} demands"
                );
                return finding(rule, Verdict::Pass, limit, limit, words);
            }
            let words = format!(
                "whether {} fall under {excluded}, which profile version {version} excludes, is not known: classify them",
                named(&lines(&unplaced))
            );
            return finding(rule, Verdict::Unknown, None, limit, words);
        }
        let size = |allocation: &Allocation, ids: &[InstrumentId]| -> Option<Decimal> {
            let held = ids.iter().try_fold(Decimal::ZERO, |sum, id| {
                let value = allocation.lines.get(id)?.value.as_ref().ok()?;
                decimal::add(sum, value.abs()).ok()
            })?;
            allocation.part(held).ok()
        };
        let measured = size(self.after, &matched);
        let before = size(self.before, &split(self.before).0);
        let bought =
            self.trades.iter().any(|trade| trade.side == Side::Buy && matched.contains(&trade.instrument));
        let verdict = match (measured, before) {
            (Some(after), Some(before)) if after < before && !bought => Verdict::Warn,
            _ => Verdict::Block,
        };
        let words = format!(
            "{} {} after the trades, {} of equity; profile version {version} excludes {excluded}",
            named(&lines(&matched)),
            if matched.len() == 1 { "is held" } else { "are held" },
            measured.map_or_else(|| "a part that is not known".to_owned(), percent)
        );
        finding(rule, verdict, measured, limit, words)
    }

    /// What a cap is about, by size.
    fn groups<'l>(&self, allocation: &'l Allocation, cap: &Cap) -> Result<Groups<'l>, String> {
        let mut groups: BTreeMap<String, Group<'l>> = BTreeMap::new();
        let mut unplaced = Vec::new();
        for line in allocation.lines.values().filter(|line| line.is_held()) {
            let name = match &cap.value {
                Some(value) => match self.is(line, &cap.dimension, value) {
                    Some(true) => value.to_string(),
                    Some(false) => continue,
                    None => {
                        unplaced.push(line);
                        continue;
                    }
                },
                None => match self.names(line, &cap.dimension) {
                    Some(names) => names.into_iter().next().unwrap_or_default(),
                    None => {
                        unplaced.push(line);
                        continue;
                    }
                },
            };
            let value = line.value.clone()?.abs();
            let key = name.to_ascii_lowercase();
            let group = groups.entry(key).or_insert(Group { name, value: Decimal::ZERO, lines: Vec::new() });
            group.value = decimal::add(group.value, value).map_err(|error| error.to_string())?;
            group.lines.push(line);
        }
        // Cash is held in a currency, and in nothing else.
        if cap.dimension == Dimension::Currency {
            for (currency, value) in allocation.cash.as_ref().map_err(Clone::clone)? {
                let name = currency.to_string();
                if value.is_zero()
                    || cap.value.as_ref().is_some_and(|wanted| !name.eq_ignore_ascii_case(wanted))
                {
                    continue;
                }
                let key = name.to_ascii_lowercase();
                let group =
                    groups.entry(key).or_insert(Group { name, value: Decimal::ZERO, lines: Vec::new() });
                group.value = decimal::add(group.value, value.abs()).map_err(|error| error.to_string())?;
            }
        }
        let mut known: Vec<Group<'l>> = groups.into_values().collect();
        known.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
        for group in &mut known {
            let size = |line: &Line| line.value.as_ref().map(Decimal::abs).unwrap_or_default();
            group.lines.sort_by(|a, b| size(b).cmp(&size(a)).then(a.instrument.cmp(&b.instrument)));
        }
        Ok(Groups { known, unplaced })
    }

    pub(super) fn cap(&self, profile: &InvestmentProfileSet, cap: &Cap) -> RuleFinding {
        let rule = match &cap.value {
            Some(value) => format!("cap:{}:{value}", cap.dimension),
            None => format!("cap:{}", cap.dimension),
        };
        let limit = cap.share_max.get();
        let version = profile.version;
        let unknown = |reason: &str| {
            let words = format!("the share of {} after the trades is not known: {reason}", about(cap));
            finding(rule.clone(), Verdict::Unknown, None, Some(limit), words)
        };
        let groups = match self.groups(self.after, cap) {
            Ok(groups) => groups,
            Err(reason) => return unknown(&reason),
        };
        // The same part before the trades, not whatever was the largest then.
        let earlier = self.groups(self.before, cap);
        let before = |group: &Group<'_>| -> Option<Decimal> {
            let groups = earlier.as_ref().ok()?;
            let same = groups.known.iter().find(|other| other.name.eq_ignore_ascii_case(&group.name));
            self.before.part(same.map_or(Decimal::ZERO, |same| same.value)).ok()
        };
        let mut judged = Vec::with_capacity(groups.known.len());
        for group in &groups.known {
            match self.after.part(group.value) {
                Ok(share) => judged.push((at_most(share, before(group), limit), share, group)),
                Err(reason) => return unknown(&reason),
            }
        }
        // Of several that are over the limit, one that did not shrink is told before one that did.
        let worst = judged.iter().find(|(verdict, ..)| *verdict == Verdict::Block).or_else(|| judged.first());
        let (verdict, share, largest) = match worst {
            Some((verdict, share, group)) => (verdict.clone(), *share, Some(*group)),
            None => match self.after.part(Decimal::ZERO) {
                Ok(share) => (Verdict::Pass, share, None),
                Err(reason) => return unknown(&reason),
            },
        };
        if verdict == Verdict::Pass && !groups.unplaced.is_empty() {
            return unknown(&format!(
                "nobody said what {} count as in this respect; classify them",
                named(&groups.unplaced)
            ));
        }
        let before = match largest {
            Some(group) => before(group),
            None => self.before.part(Decimal::ZERO).ok(),
        };
        let name = largest
            .map_or_else(|| cap.value.as_deref().unwrap_or("nothing").to_owned(), |group| group.name.clone());
        let of = largest.filter(|group| !group.lines.is_empty() && cap.dimension != Dimension::Instrument);
        let of = of.map_or_else(String::new, |group| format!(" ({})", named(&group.lines)));
        let words = format!(
            "{} {name}{of} is {} of equity after the trades (before {}); profile version {version} allows {}",
            cap.dimension,
            percent(share),
            before.map_or_else(|| "not known".to_owned(), percent),
            percent(limit)
        );
        finding(rule, verdict, Some(share), Some(limit), words)
    }
}

fn about(cap: &Cap) -> String {
    match &cap.value {
        Some(value) => format!("{} {value}", cap.dimension),
        None => format!("the largest {}", cap.dimension),
    }
}
