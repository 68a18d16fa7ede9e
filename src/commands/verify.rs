//! `daybook verify`: every byte and every hash is checked, and nothing is changed.

use super::terminal::{self, Progress};
use super::{CommandError, Context, Outcome, explain_held};
use crate::journal::{JournalError, decode};
use crate::remote::Remote;
use clap::Args;
use daybook_ledger::{IndexVerified, Ledger, Options, Record, VerifyError};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Check every byte and every hash; change nothing.
#[derive(Args, Debug)]
pub(super) struct Verify {}

/// Why an event is at fault.
struct Found {
    sequence: u64,
    what: String,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let bar = terminal::Bar::new("verifying");
        let progress = bar.callback();
        let checked = match &context.server {
            None => check_directory(context, &progress),
            Some(url) => check_service(&Remote::connect(url)?, &*progress),
        };
        bar.finish();
        match checked? {
            Ok(summary) => {
                terminal::line(summary)?;
                Ok(Outcome::Done)
            }
            Err(found) => {
                terminal::line(format_args!("fault at event {}: {}", found.sequence, found.what))?;
                Ok(Outcome::No)
            }
        }
    }
}

fn check_directory(context: &Context, progress: &Progress) -> Result<Result<String, Found>, CommandError> {
    let told = progress.clone();
    let options = || Options {
        read_only: true,
        progress: Some(Arc::new({
            let told = told.clone();
            move |step: daybook_ledger::Progress| told(step.done, step.total)
        })),
        ..Options::default()
    };
    let verified = match daybook_ledger::verify(&context.data, &options()) {
        Ok(verified) => verified,
        Err(VerifyError::Damaged(fault)) => {
            return Ok(Err(Found { sequence: fault.sequence, what: fault.to_string() }));
        }
        Err(VerifyError::IndexDisagrees { sequence, what }) => {
            return Ok(Err(Found {
                sequence,
                what: format!(
                    "the index says otherwise: {what}; delete the directory `index` to have it rebuilt"
                ),
            }));
        }
        Err(VerifyError::Open(error)) => return Err(explain_held(error.into(), &context.data)),
        Err(VerifyError::Read(error)) => return Err(CommandError::Journal(error.into())),
    };
    // The ledger knows no event: that each payload can be read is for us to say.
    let (ledger, _) =
        Ledger::open(&context.data, options()).map_err(|error| explain_held(error.into(), &context.data))?;
    let mut unreadable = None;
    ledger
        .scan(1, verified.head, &mut |record| match decode(record) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                unreadable = Some(Found { sequence: record.sequence, what: error.to_string() });
                ControlFlow::Break(())
            }
        })
        .map_err(JournalError::from)?;
    if let Some(unreadable) = unreadable {
        return Ok(Err(unreadable));
    }
    if let Some(cut) = &verified.torn {
        terminal::remark(format_args!(
            "a commit that was never acknowledged is torn at the end ({} at byte {}): the next start cuts it off",
            cut.file.display(),
            cut.offset
        ));
    }
    let index = match &verified.index {
        IndexVerified::Agrees => "the index agrees".to_owned(),
        IndexVerified::Lags { applied } => format!("the index agrees as far as it goes, to event {applied}"),
        IndexVerified::Unusable { reason } => {
            format!("the index will be rebuilt at the next start ({reason})")
        }
    };
    Ok(Ok(format!(
        "{} events in {} streams and {} segments, {} of them sealed: all sound; {index}",
        verified.head, verified.streams, verified.segments, verified.sealed
    )))
}

/// Checks what a service gives out: that every canonical record is whole, that sequences and versions are dense,
/// that the ledger's clock never goes back, that no key stands twice, and that every payload can be read.
fn check_service(
    remote: &Remote,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Result<String, Found>, CommandError> {
    let head = remote.head()?;
    let mut checks = Checks::default();
    let mut found = None;
    remote.records(head, &mut |record| {
        progress(record.sequence, head);
        if found.is_none() {
            found = checks.check(&record).err().map(|what| Found { sequence: record.sequence, what });
        }
        Ok(())
    })?;
    Ok(match found {
        Some(found) => Err(found),
        None => Ok(format!(
            "{head} events in {} streams, fetched and computed here: all sound",
            checks.versions.len()
        )),
    })
}

#[derive(Default)]
struct Checks {
    versions: HashMap<Box<str>, u64>,
    keys: HashSet<[u8; 16]>,
    recorded_at: i64,
}

impl Checks {
    fn check(&mut self, record: &Record) -> Result<(), String> {
        let version = self.versions.entry((*record.stream).into()).or_insert(0);
        *version += 1;
        if record.version != *version {
            return Err(format!(
                "version {} of stream {} where {version} should be",
                record.version, record.stream
            ));
        }
        if record.recorded_at < self.recorded_at {
            return Err("it was recorded before the event that precedes it".to_owned());
        }
        self.recorded_at = record.recorded_at;
        if let Some(key) = &record.key
            && let Some(hash) = blake3::hash(key.as_bytes()).as_bytes().first_chunk::<16>()
            && !self.keys.insert(*hash)
        {
            return Err(format!("its key {key} stands twice"));
        }
        decode(&record.view()).map(drop).map_err(|error: JournalError| error.to_string())
    }
}
