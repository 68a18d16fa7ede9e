//! From Alpaca's activities to events: each row is an event, takes back another row, or is kept aside with the reason.
//!
//! Rows come from a file or from a synchronisation, and mean the same in both. An activity has an id of its own, by
//! which it is recognised; what it says may be restated or cancelled later, under the same id.

mod activity;
mod events;
mod file;
mod kinds;
mod page;
mod said;

pub(super) use file::read;
pub(crate) use page::Row;

use super::desk::Desk;
use super::kept::Origin;
use super::{Context, Draft, PortfolioFacts, Role, identity};
use activity::{Activity, Aside};
use daybook_schemas::events::{QuarantineReason, RawRow};
use daybook_schemas::{
    AccountId, Day, Phase, PortfolioId, Quantity, Sealed, Strategy, Timestamp, When, stream,
};
use kinds::Meaning;
use said::Said;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// The broker, as accounts and formats name it.
pub(crate) const BROKER: &str = "alpaca";

/// Which account rows belong to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Binding {
    /// Alpaca's id of the account; absent where nobody states it.
    pub(crate) account: Option<String>,
    /// The label of the portfolio's account. One that is linked with Alpaca's id already is found by that.
    pub(crate) label: String,
    /// The day that counts for a row that states none.
    pub(crate) today: Day,
}

/// What is known of rows beside what they say.
#[derive(Clone, Copy)]
pub(crate) struct Extras<'e> {
    /// The strategy of an order, by Alpaca's id of the order. It is no part of what recognises a row.
    pub(crate) strategy_of: &'e dyn Fn(&str) -> Option<Strategy>,
}

impl Extras<'_> {
    /// Nothing more is known.
    pub(crate) const NONE: Self = Self { strategy_of: &|_| None };
}

/// Why a row that the ledger holds otherwise is kept aside.
const RESTATED: &str = "the ledger holds another statement of this activity: reverse that event and import the file again, or let the synchronisation of the account amend it";
/// Why a row that takes another back is kept aside.
const WITHDRAWN: &str = "Alpaca took this activity back, and the ledger holds it: reverse that event, or let the synchronisation of the account do it";

/// What a row comes to.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum What {
    /// Something happened.
    Event(Draft),
    /// What stands under the row's identity never happened.
    Cancel,
    /// What stands under another identity never happened.
    CancelOf(String),
    /// The row cannot be understood.
    Quarantine(Draft),
}

/// A row, translated.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct TranslatedRow {
    /// Its place among the rows that were given.
    pub(crate) index: usize,
    /// What it is recognised by, without a revision.
    pub(crate) identity: String,
    /// Other identities under which the same row may have been recorded.
    pub(crate) aliases: Vec<String>,
    /// The hash of what it says, under the key of the portfolio's owner.
    pub(crate) content_hash: [u8; 32],
    /// When it happened, or was posted, or the end of its day.
    pub(crate) time: Option<Timestamp>,
    /// The order that it filled, by Alpaca's id, and the units of that order filled so far.
    pub(crate) order: Option<(String, Option<Quantity>)>,
    /// What it comes to.
    pub(crate) what: What,
}

/// What rows come to.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Translated {
    /// The portfolio's account; absent where there are no rows.
    pub(crate) account: Option<AccountId>,
    /// Instruments and accounts that the rows refer to and that the ledger did not know.
    pub(crate) references: Vec<Draft>,
    /// The rows by (time, order, units filled so far, id), each identity once. The fills of one order stand by the units
    /// filled so far, whatever their times say.
    pub(crate) rows: Vec<TranslatedRow>,
    /// Rows that say again what another of the rows says better: the last statement of a row stands.
    pub(crate) repeated: u64,
}

/// Why rows cannot be bound to an account.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Unbound {
    /// The label belongs to another account at Alpaca, as after a reset of a paper account.
    #[error("`{label}` is the account {known} at Alpaca and not {stated}: link {stated} under another label")]
    LabelTaken {
        /// The label.
        label: String,
        /// Alpaca's id of the account that has it.
        known: String,
        /// Alpaca's id of the account that was to have it.
        stated: String,
    },
    /// The key of the portfolio's owner is not at hand.
    #[error("{0}")]
    NoKey(String),
}

/// The identity of a row, without a revision: the id of the account, or that of the portfolio where no account is
/// stated, the type and the id.
pub(crate) fn identity_of(
    portfolio: PortfolioId,
    account: Option<&str>,
    activity_type: &str,
    id: &str,
) -> String {
    let code = if is_plain(activity_type) { activity_type.to_owned() } else { hashed(activity_type) };
    format!("{BROKER}:{}:{code}:{}", account_part(portfolio, account), identity::of_id(id))
}

/// Other identities under which the same row may have been recorded: by an import that did not know the account, and,
/// for a row that states none, for each of the portfolio's accounts at Alpaca, given by Alpaca's ids.
pub(crate) fn aliases(identity: &str, portfolio: PortfolioId, accounts: &[String]) -> Vec<String> {
    let row = identity.strip_prefix(BROKER).and_then(|rest| rest.strip_prefix(':'));
    let Some((part, row)) = row.and_then(|rest| rest.split_once(':')) else { return Vec::new() };
    let unstated = account_part(portfolio, None);
    let under = |part: &str| format!("{BROKER}:{part}:{row}");
    if part != unstated {
        return vec![under(&unstated)];
    }
    accounts.iter().map(|account| under(&account_part(portfolio, Some(account)))).collect()
}

fn account_part(portfolio: PortfolioId, account: Option<&str>) -> String {
    match account {
        None => format!("unstated-{portfolio}"),
        Some(account) if is_plain(account) && !account.starts_with("unstated-") => account.to_owned(),
        Some(account) => hashed(account),
    }
}

/// Whether a text can be a part of an identity as it is.
fn is_plain(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    letters && text.len() <= 64 && !text.starts_with("id-")
}

fn hashed(text: &str) -> String {
    format!("id-{}", blake3::hash(text.as_bytes()).to_hex())
}

/// The stream of what concerns the synchronisation of an account, and not its books.
pub(crate) fn sync_stream(portfolio: PortfolioId, account: Option<&str>) -> String {
    stream::sync(BROKER, &account_part(portfolio, account))
}

/// Translates rows of one account.
///
/// # Errors
/// [`Unbound`], where no account can be told. A row that is not understood is no error.
pub(crate) fn activities(
    rows: &[Row<'_>],
    binding: &Binding,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    extras: &Extras<'_>,
) -> Result<Translated, Unbound> {
    let mut desk = Desk::new(context, Some(portfolio), Some(BROKER));
    let (mut translated, _) = translate(rows, binding, portfolio, extras, &mut desk, false)?;
    translated.references = desk.take_drafts();
    Ok(translated)
}

/// Translates rows of one account; the references are left with the desk. For each row what is to be recorded where
/// the ledger holds another statement of it, if `guarded`.
fn translate(
    rows: &[Row<'_>],
    binding: &Binding,
    portfolio: &PortfolioFacts,
    extras: &Extras<'_>,
    desk: &mut Desk<'_>,
    guarded: bool,
) -> Result<(Translated, Vec<Option<Draft>>), Unbound> {
    let mut read: Vec<Read> = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let said = Read::of(index, row, binding, portfolio, desk.context)?;
        // A correction that names what it corrects says two things.
        read.extend(said.withdrawal());
        read.push(said);
    }
    let given = read.len();
    keep_last(&mut read);
    let repeated = (given - read.len()) as u64;
    in_order(&mut read);
    let Some(first) = read.first() else {
        return Ok((Translated { repeated, ..Translated::default() }, Vec::new()));
    };
    let since = first.time.unwrap_or_else(|| binding.today.end_in(portfolio.zone));
    let account = bind(desk, binding, since, rows.get(first.index).map_or(0, |row| row.line))?;
    let accounts: Vec<String> = desk
        .context
        .linked(portfolio.id)
        .into_iter()
        .filter(|linked| linked.broker.as_deref() == Some(BROKER))
        .filter_map(|linked| linked.external_id.map(Into::into))
        .collect();
    let split = split_in_two(&read);
    let mut translation =
        Translation { portfolio, binding, extras, account, split: &split, numbered: BTreeSet::new(), desk };
    let (mut translated, mut asides) = (Vec::with_capacity(read.len()), Vec::new());
    for said in read {
        let row = rows.get(said.index).copied().unwrap_or(Row { text: "", line: 0 });
        let what = translation.what(&said, &row)?;
        asides.push(match &what {
            What::Quarantine(_) => None,
            _ if !guarded => None,
            What::Event(_) => Some(translation.aside(&said, &row, &contradiction(RESTATED))?),
            What::Cancel | What::CancelOf(_) => {
                Some(translation.aside(&said, &row, &contradiction(WITHDRAWN))?)
            }
        });
        translated.push(TranslatedRow {
            index: said.index,
            aliases: aliases(&said.identity, portfolio.id, &accounts),
            identity: said.identity,
            content_hash: said.content,
            time: said.time,
            order: said.order,
            what,
        });
    }
    let translated =
        Translated { account: Some(account), references: Vec::new(), rows: translated, repeated };
    Ok((translated, asides))
}

/// The portfolio's account, linked where it is new.
fn bind(desk: &mut Desk<'_>, binding: &Binding, since: Timestamp, line: u64) -> Result<AccountId, Unbound> {
    use super::desk::LinkError;
    desk.link(&binding.label, binding.account.as_deref(), since, line).map_err(|error| match error {
        LinkError::Taken(known) => Unbound::LabelTaken {
            label: binding.label.clone(),
            known,
            stated: binding.account.clone().unwrap_or_default(),
        },
        LinkError::Sealing(text) => Unbound::NoKey(text),
    })
}

/// What a row does to the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Act {
    Happened(Box<Said>),
    Cancelled,
    CancelOf(String),
}

/// A row as far as it says anything without knowing instruments.
struct Read {
    index: usize,
    identity: String,
    id: String,
    content: [u8; 32],
    time: Option<Timestamp>,
    order: Option<(String, Option<Quantity>)>,
    day: Option<Day>,
    /// Executed, corrected, cancelled: which of several statements of a row stands.
    standing: u8,
    /// The identity of the row that this one corrects.
    corrects: Option<String>,
    act: Result<Act, Aside>,
}

impl Read {
    fn of(
        index: usize,
        row: &Row<'_>,
        binding: &Binding,
        portfolio: &PortfolioFacts,
        context: &dyn Context,
    ) -> Result<Self, Unbound> {
        let keyed = |content| {
            identity::under_key(content, context.keys(), portfolio)
                .map_err(|error| Unbound::NoKey(error.to_string()))
        };
        let account = binding.account.as_deref();
        let unread = |content: [u8; 32], aside: Aside| {
            let part = account_part(portfolio.id, account);
            Self {
                index,
                identity: format!("quarantine:{BROKER}:{part}:{}", identity::of_content(&content, 0)),
                id: String::new(),
                content,
                time: None,
                order: None,
                day: None,
                standing: 0,
                corrects: None,
                act: Err(aside),
            }
        };
        let activity = match Activity::read(row.text) {
            Ok(activity) => activity,
            Err(aside) => {
                let content = identity::content([("raw", row.text.trim())].into_iter());
                return Ok(unread(keyed(content)?, aside));
            }
        };
        let whole = keyed(activity.whole())?;
        let head = match said::Head::of(&activity) {
            Ok(head) => head,
            Err(aside) => return Ok(unread(whole, aside)),
        };
        let of = |id: &str| identity_of(portfolio.id, account, &head.activity_type, id);
        let mut read = unread(whole, Aside::of_row(""));
        read.identity = of(&head.id);
        read.id.clone_from(&head.id);
        // What a row that is kept aside says of its time still tells where it belongs.
        let instant = |name| activity.instant(name).ok().flatten();
        read.day = activity.day("date").ok().flatten();
        read.time = instant("transaction_time")
            .or_else(|| instant("created_at"))
            .or_else(|| read.day.map(|day| day.end_in(portfolio.zone)));
        read.order = match (activity.text("order_id"), activity.number("cum_qty")) {
            (Ok(Some(order)), Ok(filled)) => Some((order, filled.map(Quantity::new))),
            _ => None,
        };
        read.act = match said::act(&activity, &head, account) {
            Ok(said::Stated::Happened { said, corrects }) => {
                read.standing = u8::from(said.corrected);
                read.content = keyed(said.content())?;
                read.corrects = corrects.map(|previous| of(&previous));
                Ok(Act::Happened(said))
            }
            Ok(said::Stated::Cancelled) => {
                read.standing = 2;
                read.content = keyed(identity::content([("status", "canceled")].into_iter()))?;
                Ok(Act::Cancelled)
            }
            Ok(said::Stated::CancelOf(previous)) => {
                let previous = of(&previous);
                read.content = keyed(identity::content([("cancels", previous.as_str())].into_iter()))?;
                Ok(Act::CancelOf(previous))
            }
            Err(aside) => Err(aside),
        };
        Ok(read)
    }

    /// The part of a correction that takes back what it corrects.
    fn withdrawal(&self) -> Option<Self> {
        let previous = self.corrects.clone()?;
        Some(Self {
            index: self.index,
            identity: format!("{}:previous", self.identity),
            id: self.id.clone(),
            content: self.content,
            time: self.time,
            order: self.order.clone(),
            day: self.day,
            standing: 0,
            corrects: None,
            act: Ok(Act::CancelOf(previous)),
        })
    }
}

/// Keeps of several statements of one row the one that stands: pages overlap, and a row may be restated between them.
fn keep_last(rows: &mut Vec<Read>) {
    let mut stands: BTreeMap<&str, (u8, usize)> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        let best = stands.entry(row.identity.as_str()).or_insert((row.standing, place));
        *best = (*best).max((row.standing, place));
    }
    let kept: BTreeSet<usize> = stands.into_values().map(|(_, place)| place).collect();
    let mut place = 0;
    rows.retain(|_| {
        place += 1;
        kept.contains(&(place - 1))
    });
}

/// Sorts rows as they are to be recorded.
fn in_order(rows: &mut Vec<Read>) {
    // The fills of one order stand by the units filled so far: each counts at the latest time up to it.
    let mut orders: BTreeMap<&str, Vec<(Quantity, Timestamp, usize)>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        if let (Some((order, Some(filled))), Some(time)) = (&row.order, row.time) {
            orders.entry(order.as_str()).or_default().push((*filled, time, place));
        }
    }
    let mut times: Vec<Option<Timestamp>> = rows.iter().map(|row| row.time).collect();
    for fills in orders.values_mut() {
        fills.sort();
        let mut latest = None;
        for (_, time, place) in fills.iter() {
            latest = latest.max(Some(*time));
            times[*place] = latest;
        }
    }
    let mut timed: Vec<(Option<Timestamp>, Read)> = times.into_iter().zip(rows.drain(..)).collect();
    timed.sort_by(|(time_a, a), (time_b, b)| {
        // What states no time comes last.
        (time_a.is_none(), time_a, &a.order, &a.id, a.index).cmp(&(
            time_b.is_none(),
            time_b,
            &b.order,
            &b.id,
            b.index,
        ))
    });
    rows.extend(timed.into_iter().map(|(_, row)| row));
}

/// What is split by two rows, of which one takes the old units and one brings the new: symbol and day.
fn split_in_two(rows: &[Read]) -> BTreeSet<(String, Day)> {
    let splits = rows.iter().filter_map(|row| match &row.act {
        Ok(Act::Happened(said)) if said.meaning == Meaning::Split => Some(said),
        _ => None,
    });
    splits
        .filter(|said| said.quantity.is_some_and(|quantity| quantity.is_sign_negative()))
        .filter_map(|said| Some((said.symbol.clone().or_else(|| said.cusip.clone())?, said.day?)))
        .collect()
}

/// The translation of rows of one account.
struct Translation<'t, 'c> {
    portfolio: &'t PortfolioFacts,
    binding: &'t Binding,
    extras: &'t Extras<'t>,
    account: AccountId,
    split: &'t BTreeSet<(String, Day)>,
    /// Instruments whose CUSIP was noted.
    numbered: BTreeSet<String>,
    desk: &'t mut Desk<'c>,
}

impl Translation<'_, '_> {
    fn what(&mut self, read: &Read, row: &Row<'_>) -> Result<What, Unbound> {
        let said = match &read.act {
            Ok(Act::Cancelled) => return Ok(What::Cancel),
            Ok(Act::CancelOf(previous)) => return Ok(What::CancelOf(previous.clone())),
            Ok(Act::Happened(said)) => said,
            Err(aside) => return Ok(What::Quarantine(self.aside(read, row, aside)?)),
        };
        let raw = self.seal(&RawRow::keep(row.text))?;
        Ok(match self.event(said, &read.id, raw, row.line) {
            Ok(event) => {
                let when = event.entry().map_or(When::At(Timestamp::default()), |entry| entry.when);
                What::Event(Draft {
                    event,
                    stream: stream::portfolio(self.portfolio.id),
                    occurred_at: when.occurs(self.portfolio.zone),
                    identity: Some(read.identity.clone()),
                    content_hash: read.content,
                    line: row.line,
                    role: Role::Entry,
                })
            }
            Err(aside) => What::Quarantine(self.aside(read, row, &aside)?),
        })
    }

    /// A row kept aside, with its bytes and the reason.
    fn aside(&self, read: &Read, row: &Row<'_>, aside: &Aside) -> Result<Draft, Unbound> {
        let day = read.day.or_else(|| read.time.map(|time| time.day_in(self.portfolio.zone)));
        let counted = day.unwrap_or(self.binding.today);
        let when = When::On { day: counted, phase: Phase::Close, rank: 0 };
        let origin = Origin {
            format: BROKER,
            portfolio: self.portfolio,
            account: self.account,
            line: (row.line > 0).then_some(row.line),
            day,
        };
        let raw = self.seal(&RawRow::keep(row.text))?;
        let event = origin.aside(self.desk.context.keys(), aside.clone(), raw);
        let event = event.map_err(|error| Unbound::NoKey(error.to_string()))?;
        // One row may be kept aside for what it says today and again for what it says tomorrow.
        let identity = if read.id.is_empty() {
            read.identity.clone()
        } else {
            format!("quarantine:{}:{}", read.identity, identity::of_content(&read.content, 0))
        };
        Ok(Draft {
            event,
            stream: sync_stream(self.portfolio.id, self.binding.account.as_deref()),
            occurred_at: when.occurs(self.portfolio.zone),
            identity: Some(identity),
            content_hash: read.content,
            line: row.line,
            role: Role::Quarantine,
        })
    }

    fn seal<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<Sealed<T>, Unbound> {
        Sealed::seal(self.desk.context.keys(), self.portfolio.key, value)
            .map_err(|error| Unbound::NoKey(error.to_string()))
    }
}

/// Why a row is kept aside that contradicts what the ledger holds under its id.
fn contradiction(detail: &str) -> Aside {
    Aside { reason: QuarantineReason::ConflictingContent, column: Some("id"), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
