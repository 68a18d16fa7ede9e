//! The file importer: activities as they were downloaded, of one account or of several.

use super::activity::Activity;
use super::page::{Row, split_file};
use super::{BROKER, Binding, Extras, What, translate};
use crate::importers::desk::Desk;
use crate::importers::{Context, Fault, LinkedAccount, Parsed, PortfolioFacts, Restated, Withdrawn};
use daybook_schemas::{Day, Zone};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// The label of the only account.
const LABEL: &str = "alpaca";
/// The label of rows of which nobody can say whose they are, where the portfolio has several accounts at Alpaca.
const LABEL_UNSTATED: &str = "alpaca unstated";

/// What a row says at a glance.
#[derive(Default)]
struct Glance {
    is_activity: bool,
    account: Option<String>,
    day: Option<Day>,
}

impl Glance {
    fn of(row: &Row<'_>) -> Self {
        let Ok(activity) = Activity::read(row.text) else { return Self::default() };
        let text = |name| activity.text(name).ok().flatten();
        let day = activity.day("date").ok().flatten();
        let time = activity.instant("transaction_time").ok().flatten();
        Self {
            is_activity: text("activity_type").is_some(),
            account: text("account_id"),
            day: day.or_else(|| time.map(|time| time.day_in(Zone::NEW_YORK))),
        }
    }
}

pub(in crate::importers) fn read(
    file_name: &str,
    mut input: impl Read,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    let mut bytes = Vec::new();
    let fault = |text: String| vec![Fault::of_file(file_name, text)];
    input.read_to_end(&mut bytes).map_err(|error| fault(format!("the file cannot be read: {error}")))?;
    let text = text_of(file_name, &bytes).map_err(|fault| vec![fault])?;
    let rows = split_file(file_name, text).map_err(|fault| vec![fault])?;
    progress(bytes.len() as u64);
    let glances: Vec<Glance> = rows.iter().map(Glance::of).collect();
    if !glances.iter().any(|glance| glance.is_activity) {
        let text = "no activity is in the file: it is to hold what Alpaca answers at /v2/account/activities, \
                    a JSON list of objects with an `activity_type`";
        return Err(fault(text.to_owned()));
    }
    let linked: Vec<LinkedAccount> = context
        .linked(portfolio.id)
        .into_iter()
        .filter(|account| account.broker.as_deref() == Some(BROKER))
        .collect();
    // Rows that state no account belong to the portfolio's only one.
    let mut open = linked.iter().filter(|account| !account.unlinked && account.external_id.is_some());
    let only = match (open.next(), open.next()) {
        (Some(only), None) => only.external_id.as_deref().map(str::to_owned),
        _ => None,
    };
    let mut accounts: BTreeMap<Option<String>, Vec<Row<'_>>> = BTreeMap::new();
    for (row, glance) in rows.iter().zip(&glances) {
        accounts.entry(glance.account.clone().or_else(|| only.clone())).or_default().push(*row);
    }
    let labels = labels(accounts.keys(), portfolio, context);
    let today = glances.iter().filter_map(|glance| glance.day).max().unwrap_or_default();
    let mut desk = Desk::new(context, Some(portfolio), Some(BROKER));
    let mut parsed = Parsed { rows: rows.len() as u64, ..Parsed::default() };
    let mut entries = Vec::new();
    for ((account, rows), label) in accounts.into_iter().zip(labels) {
        let binding = Binding { account, label, today };
        let (translated, asides) = translate(&rows, &binding, portfolio, &Extras::NONE, &mut desk, true)
            .map_err(|error| fault(error.to_string()))?;
        // What a bust in the file takes back never happened, also where the file still has it.
        let busted: BTreeSet<String> = translated
            .rows
            .iter()
            .filter_map(|row| match &row.what {
                What::CancelOf(previous) => Some(previous.clone()),
                _ => None,
            })
            .collect();
        for (row, aside) in translated.rows.into_iter().zip(asides) {
            let restated = aside.map(|aside| Restated { aliases: row.aliases, aside });
            let withdrawn = |identity| Withdrawn { identity, content_hash: row.content_hash, restated: None };
            match (row.what, restated) {
                (What::Event(_), _) if busted.contains(&row.identity) => {}
                (What::Event(draft), Some(restated)) => {
                    parsed.restated.insert(row.identity, restated);
                    entries.push(draft);
                }
                (What::Event(draft), None) => entries.push(draft),
                (What::Quarantine(draft), _) => {
                    parsed.quarantined += 1;
                    entries.push(draft);
                }
                (What::Cancel, restated) => {
                    parsed.withdrawn.push(Withdrawn { restated, ..withdrawn(row.identity) });
                }
                (What::CancelOf(previous), restated) => {
                    let restated = restated.map(|restated| Restated {
                        aliases: super::aliases(&previous, portfolio.id, &[]),
                        ..restated
                    });
                    parsed.withdrawn.push(Withdrawn { restated, ..withdrawn(previous) });
                }
            }
        }
    }
    parsed.drafts = desk.take_drafts();
    parsed.drafts.extend(entries);
    Ok(parsed)
}

/// The text of a file.
fn text_of<'b>(file_name: &str, bytes: &'b [u8]) -> Result<&'b str, Fault> {
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return Fault::of_file(file_name, "the file is UTF-16: save it as UTF-8");
        }
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        Fault::of_line(file_name, line, "the line holds bytes that are not UTF-8: save the file as UTF-8")
    })
}

/// The label of each account: short, and no other account's.
fn labels<'a>(
    accounts: impl Iterator<Item = &'a Option<String>>,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
) -> Vec<String> {
    let accounts: Vec<&Option<String>> = accounts.collect();
    let several = accounts.iter().filter(|account| account.is_some()).count() > 1;
    let linked = context.linked(portfolio.id);
    let owner = |label: &str| {
        let id = context.account(portfolio.id, label)?;
        linked.iter().find(|account| account.id == id)?.external_id.as_deref()
    };
    let mut given: BTreeSet<String> = BTreeSet::new();
    let mut labels = Vec::new();
    for account in accounts {
        let candidates = match account {
            None => vec![LABEL.to_owned(), LABEL_UNSTATED.to_owned()],
            Some(id) => {
                let end = id.char_indices().rev().nth(3).map_or(id.as_str(), |(at, _)| &id[at..]);
                let long = vec![format!("{LABEL} {end}"), format!("{LABEL} {id}")];
                if several { long } else { [vec![LABEL.to_owned()], long].concat() }
            }
        };
        let free = |label: &&String| {
            let others = owner(label).is_some_and(|owner| Some(owner) != account.as_deref());
            !others && !given.contains(*label)
        };
        let label = candidates.iter().find(free).or(candidates.last()).cloned().unwrap_or_default();
        given.insert(label.clone());
        labels.push(label);
    }
    labels
}
