//! Records that could not be understood: listed, and dealt with.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page, Pin};
use super::problem::Problem;
use super::record::record;
use super::scalar::{Account, Date, Import, Portfolio, Sequence, Time};
use super::service::Service;
use super::tags::Tag;
use daybook_projections::QuarantinedItem;
use daybook_schemas::KeyRing;
use daybook_schemas::events::QuarantineResolution;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

record! {
    /// A record that was kept aside because it could not be understood.
    QuarantineItem {
        /// The event that kept it aside
        sequence: Sequence,
        /// When that was recorded
        recorded_at: Time,
        /// The format or source it came from
        format: String,
        /// The import it came with
        import: Option<Import>,
        /// The portfolio it was meant for
        portfolio: Option<Portfolio>,
        /// The account it was meant for
        account: Option<Account>,
        /// The line in its file, from 1
        line: Option<u64>,
        /// The column at fault
        column: Option<String>,
        /// Why, as a code
        reason: String,
        /// Why, in words; absent after the key of its owner was erased
        detail: Option<String>,
        /// The day it speaks of, where that could be read
        day: Option<Date>,
        /// `open` or `resolved`
        state: String,
        /// How it was dealt with
        resolution: Option<String>,
        /// The event that says so
        resolved_by: Option<Sequence>,
    }
}

record! {
    /// How a record that was kept aside is dealt with.
    ResolutionRequest {
        /// `dismissed`: it needs no event; `recorded`: it was recorded by hand
        resolution: String,
        /// The person's own words
        note: Option<String>,
    }
}

impl Form for ResolutionRequest {
    fn read(fields: &mut Fields) -> Self {
        let resolution = fields.required_text("resolution");
        if !resolution.is_empty() && parse(&resolution).is_none() {
            fields.fault("resolution", "write `dismissed` or `recorded`");
        }
        Self { resolution, note: fields.text("note") }
    }
}

fn parse(text: &str) -> Option<QuarantineResolution> {
    match text {
        "dismissed" => Some(QuarantineResolution::Dismissed),
        "recorded" => Some(QuarantineResolution::Recorded),
        _ => None,
    }
}

record! {
    /// A record that was dealt with.
    Resolution {
        /// The event that says so
        sequence: Sequence,
        /// The event that kept the record aside
        target: Sequence,
    }
}

/// The routes of the quarantine.
pub(super) struct Quarantine(pub(super) Service);

#[OpenApi(tag = "Tag::Imports")]
impl Quarantine {
    /// List the records that were kept aside
    #[oai(path = "/quarantine", method = "get", operation_id = "listQuarantine")]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Only those of this portfolio
        portfolio: Query<Option<Portfolio>>,
        /// `open` (the default), `resolved` or `all`
        state: Query<Option<String>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<QuarantineItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let (open, resolved) = match state.0.as_deref() {
            None | Some("open") => (true, false),
            Some("resolved") => (false, true),
            Some("all") => (true, true),
            Some(_) => return Err(Problem::parameter("state", "write open, resolved or all")),
        };
        self.0
            .blocking(move |journal| {
                let (library, keys) = (journal.library()?, journal.keys());
                if let Some(portfolio) = portfolio.0
                    && (library.directory.get(portfolio.0).is_none() || !caller.knows(portfolio.0))
                {
                    return Err(Problem::not_found("portfolio", portfolio.0));
                }
                let pin = page.pinned(library.applied(), Pin::known(library.applied()))?;
                let items: Vec<&QuarantinedItem> = library
                    .quarantine
                    .list(&library.imports)
                    .filter(|item| item.meta.sequence <= pin.known)
                    .filter(|item| caller.knows_of(item.record.portfolio))
                    .filter(|item| portfolio.0.is_none_or(|id| item.record.portfolio == Some(id.0)))
                    .filter(|item| if resolution(item, pin.known).is_some() { resolved } else { open })
                    .collect();
                // All that changes in the list: which items there are, and who resolved them.
                let dependencies: Vec<u64> = items
                    .iter()
                    .flat_map(|item| {
                        [item.meta.sequence, resolution(item, pin.known).map_or(0, |(by, _)| *by)]
                    })
                    .collect();
                Found::new(question.tag(&dependencies), || {
                    page.cut(
                        pin,
                        items,
                        |item| item.meta.sequence.to_string(),
                        |item| Ok(shown(item, pin.known, &keys)),
                    )
                })
            })
            .await
    }

    /// Say how a record that was kept aside was dealt with
    #[oai(path = "/quarantine/:sequence/resolve", method = "post", operation_id = "resolveQuarantined")]
    async fn resolve(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// The event that kept it aside
        sequence: Path<Sequence>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<ResolutionRequest>,
    ) -> Result<Made<Resolution>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let target = sequence.0.0;
        let resolution = parse(&input.value.resolution).unwrap_or(QuarantineResolution::Dismissed);
        let note = input.value.note;
        self.0
            .blocking(move |journal| {
                let about = journal.library()?.quarantine.get(target).and_then(|item| item.record.portfolio);
                if !caller.knows_of(about) {
                    return Err(Problem::not_found("quarantined record", target));
                }
                let replayed = attempt::earlier(journal, key.as_ref())?.is_some();
                let sequence = journal.resolve_quarantined(
                    &caller.author(),
                    target,
                    resolution,
                    note.as_deref(),
                    key,
                )?;
                let body = Resolution { sequence: Sequence(sequence), target: Sequence(target) };
                Ok(Made::new(&body).at(&format!("/events/{sequence}")).replayed(replayed))
            })
            .await
    }
}

fn resolution(
    item: &QuarantinedItem,
    known: u64,
) -> Option<&(u64, daybook_schemas::events::QuarantineResolved)> {
    item.resolved.as_ref().filter(|(sequence, _)| *sequence <= known)
}

fn shown(item: &QuarantinedItem, known: u64, keys: &KeyRing) -> QuarantineItem {
    let resolved = resolution(item, known);
    QuarantineItem {
        sequence: Sequence(item.meta.sequence),
        recorded_at: item.meta.recorded_at.into(),
        format: item.record.format.to_string(),
        import: item.meta.import.map(Import),
        portfolio: item.record.portfolio.map(Portfolio),
        account: item.record.account.map(Account),
        line: item.record.line,
        column: item.record.column.as_ref().map(ToString::to_string),
        reason: item.record.reason.to_string(),
        detail: item.record.detail.open(keys).ok(),
        day: item.record.day.map(Date),
        state: if resolved.is_some() { "resolved" } else { "open" }.to_owned(),
        resolution: resolved.map(|(_, resolved)| resolved.resolution.to_string()),
        resolved_by: resolved.map(|(sequence, _)| Sequence(*sequence)),
    }
}
