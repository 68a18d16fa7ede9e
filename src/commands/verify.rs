//! `daybook verify`: every byte, every hash and every checkpoint is checked, and nothing is changed.

use super::terminal::{self, Progress};
use super::{CommandError, Context, Outcome, explain_held};
use crate::journal::{JournalError, decode};
use crate::remote::Remote;
use clap::Args;
use daybook_ledger::merkle::note::NOTE_BYTES_MAX;
use daybook_ledger::merkle::proof::check_consistency;
use daybook_ledger::merkle::{Hash, Peaks, TiledTree};
use daybook_ledger::{IndexVerified, Ledger, Options, Record, SignedCheckpoint, VerifyError};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Check every byte, every hash and every checkpoint; change nothing.
#[derive(Args, Debug)]
pub(super) struct Verify {
    /// A checkpoint that you trust: what it covers is only compared with its root, all that follows is checked.
    #[arg(long, value_name = "CHECKPOINT_FILE")]
    since: Option<PathBuf>,
}

/// What was found to be wrong.
struct Found {
    /// The event at fault; none where it is the key or a checkpoint.
    sequence: Option<u64>,
    what: String,
}

impl Found {
    fn at(sequence: u64, what: String) -> Self {
        Self { sequence: Some(sequence), what }
    }
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let since = self.since.as_deref().map(read).transpose()?;
        let bar = terminal::Bar::new("verifying");
        let progress = bar.callback();
        let checked = match &context.server {
            None => check_directory(context, since.as_deref(), &progress),
            Some(url) => check_service(&Remote::connect(url)?, since.as_deref(), &*progress),
        };
        bar.finish();
        match checked? {
            Ok(summary) => {
                for line in summary {
                    terminal::line(line)?;
                }
                Ok(Outcome::Done)
            }
            Err(Found { sequence: Some(sequence), what }) => {
                terminal::line(format_args!("fault at event {sequence}: {what}"))?;
                Ok(Outcome::No)
            }
            Err(Found { sequence: None, what }) => {
                terminal::line(format_args!("fault: {what}"))?;
                Ok(Outcome::No)
            }
        }
    }
}

/// A checkpoint's file.
fn read(path: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(NOTE_BYTES_MAX as u64 + 1).read_to_string(&mut text))
        .map_err(|error| JournalError::file(path, error))?;
    Ok(text)
}

/// The lines of a ledger in which nothing is wrong, or what is.
type Checked = Result<Vec<String>, Found>;

fn check_directory(
    context: &Context,
    since: Option<&str>,
    progress: &Progress,
) -> Result<Checked, CommandError> {
    let told = progress.clone();
    let options = || Options {
        read_only: true,
        progress: Some(Arc::new({
            let told = told.clone();
            move |step: daybook_ledger::Progress| told(step.done, step.total)
        })),
        ..Options::default()
    };
    let verified = match since {
        None => daybook_ledger::verify(&context.data, &options()),
        Some(note) => daybook_ledger::verify_since(&context.data, &options(), note),
    };
    let verified = match verified {
        Ok(verified) => verified,
        Err(VerifyError::Damaged(fault)) => {
            return Ok(Err(Found::at(fault.sequence, fault.to_string())));
        }
        Err(VerifyError::IndexDisagrees { sequence, what }) => {
            let what =
                format!("the index says otherwise: {what}; delete the directory `index` to have it rebuilt");
            return Ok(Err(Found::at(sequence, what)));
        }
        Err(error @ (VerifyError::Notary(_) | VerifyError::Since(_))) => {
            return Ok(Err(Found { sequence: None, what: error.to_string() }));
        }
        Err(VerifyError::Open(error)) => return Err(explain_held(error.into(), &context.data)),
        Err(VerifyError::Read(error)) => return Err(CommandError::Journal(error.into())),
    };
    // The ledger knows no event: that each payload can be read is for us to say.
    let (ledger, _) =
        Ledger::open(&context.data, options()).map_err(|error| explain_held(error.into(), &context.data))?;
    let mut unreadable = None;
    ledger
        .scan(verified.after + 1, verified.head, &mut |record| match decode(record) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                unreadable = Some(Found::at(record.sequence, error.to_string()));
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
    let counted = if verified.after == 0 {
        format!("{} events in {} streams", verified.head, verified.streams)
    } else {
        format!("{} events behind event {}", verified.head - verified.after, verified.after)
    };
    let mut lines = vec![format!(
        "{counted} and {} segments, {} of them sealed: all sound; {index}",
        verified.segments, verified.sealed
    )];
    if let Some(key) = &verified.key {
        lines.push(format!(
            "{} checkpoints, each with the root that it was signed with; the tree of {} events has the root {}",
            verified.checkpoints, verified.head, verified.root
        ));
        lines.push(format!("key {key}"));
    }
    Ok(Ok(lines))
}

/// Checks what a service gives out: that every canonical record is whole, that sequences and versions are dense,
/// that the ledger's clock never goes back, that no key stands twice, that every payload can be read, and that the
/// records have the root that its checkpoint states.
fn check_service(
    remote: &Remote,
    since: Option<&str>,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Checked, CommandError> {
    let key = remote.verifier_key()?;
    let signed = remote.checkpoint(&key)?.checkpoint;
    let fault = |what: String| Ok(Err(Found { sequence: None, what }));
    let mut peaks = Peaks::default();
    if let Some(note) = since {
        let since = match SignedCheckpoint::open(note, &key) {
            Ok(since) => since.checkpoint,
            Err(error) => return fault(format!("the checkpoint given is refused: {error}")),
        };
        if since.size > signed.size {
            return fault(format!(
                "the checkpoint given is of {} events, and the service's of {}",
                since.size, signed.size
            ));
        }
        let mut tree = TiledTree::new(signed.size, |tile| remote.tile(tile));
        let path = tree.consistency(since.size)?;
        if let Err(error) = check_consistency(since.size, &since.root, signed.size, &signed.root, &path) {
            return fault(format!("the log does not go on from the checkpoint given: {error}"));
        }
        peaks = tree.peaks(since.size)?;
        if peaks.root() != since.root {
            return fault("the tiles do not lead to the root of the checkpoint given".to_owned());
        }
    }
    let after = peaks.size();
    let mut checks = Checks { after, ..Checks::default() };
    let mut found = None;
    remote.records(after, signed.size, &mut |record, bytes| {
        progress(record.sequence, signed.size);
        peaks.push(Hash::leaf(bytes));
        if found.is_none() {
            found = checks.check(&record).err().map(|what| Found::at(record.sequence, what));
        }
        Ok(())
    })?;
    if let Some(found) = found {
        return Ok(Err(found));
    }
    if peaks.root() != signed.root {
        return fault(format!(
            "the {} events have the root {}, and the checkpoint states {}",
            signed.size,
            peaks.root(),
            signed.root
        ));
    }
    let counted = if after == 0 {
        format!("{} events in {} streams", signed.size, checks.versions.len())
    } else {
        format!("{} events behind event {after}", signed.size - after)
    };
    Ok(Ok(vec![
        format!("{counted}, fetched and computed here: all sound"),
        format!("the checkpoint of {} events has their root {}", signed.size, signed.root),
        format!("key {key}"),
    ]))
}

#[derive(Default)]
struct Checks {
    /// Events that a checkpoint covers and that are not seen here.
    after: u64,
    versions: HashMap<Box<str>, u64>,
    keys: HashSet<[u8; 16]>,
    recorded_at: i64,
}

impl Checks {
    fn check(&mut self, record: &Record) -> Result<(), String> {
        let before = if self.after == 0 { 0 } else { record.version.saturating_sub(1) };
        let version = self.versions.entry((*record.stream).into()).or_insert(before);
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
