//! `daybook prove`: evidence for one event, which anybody checks offline with the log's public key.

use super::{CommandError, Context, Outcome, explain_held, terminal};
use crate::journal::{Access, JournalError};
use crate::remote::{Remote, RemoteError};
use clap::Args;
use daybook_ledger::merkle::tile::TILE_WIDTH;
use daybook_ledger::merkle::{TiledError, TiledTree};
use daybook_ledger::{
    Evidence, Ledger, Options, Progress, SignedCheckpoint, TilePath, Tiled, TreeError, VerifierKey,
};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a service may take until its checkpoint covers an event that it holds.
const COVERED_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Write evidence for one event that anybody checks offline.
#[derive(Args, Debug)]
pub(super) struct Prove {
    /// The event's sequence.
    #[arg(value_name = "SEQUENCE")]
    sequence: u64,
    /// Where the evidence is written to, instead of to the standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Prove {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let (evidence, key) = match &context.server {
            None => at_directory(context, self.sequence)?,
            Some(url) => through_service(&Remote::connect(url)?, self.sequence)?,
        };
        // Nothing is handed out that a stranger would refuse.
        evidence.check(&key).map_err(|error| {
            CommandError::Unusable(format!("event {} cannot be proven: {error}", self.sequence))
        })?;
        let text = evidence.to_text();
        match &self.output {
            None => std::io::stdout().lock().write_all(text.as_bytes())?,
            Some(path) => {
                std::fs::write(path, text).map_err(|error| JournalError::file(path, error))?;
                terminal::remark(format_args!(
                    "evidence for event {} is in {}; check it with:\ndaybook check-proof {} --key {key}",
                    self.sequence,
                    path.display(),
                    path.display()
                ));
            }
        }
        Ok(Outcome::Done)
    }
}

/// Proves from the records in the directory, under the last checkpoint if that covers the event. Otherwise the
/// directory is opened for writing and a checkpoint signed that does.
fn at_directory(context: &Context, sequence: u64) -> Result<(Evidence, VerifierKey), CommandError> {
    let bar = terminal::Bar::new("hashing the log");
    let told = bar.callback();
    let options = Options {
        read_only: true,
        progress: Some(Arc::new(move |step: Progress| told(step.done, step.total))),
        ..Options::default()
    };
    let (ledger, _) =
        Ledger::open(&context.data, options).map_err(|error| explain_held(error.into(), &context.data))?;
    if sequence == 0 || sequence > ledger.head() {
        return Err(JournalError::not_found("event", sequence).into());
    }
    let covers = |signed: &SignedCheckpoint| signed.checkpoint.size >= sequence;
    if let (Some(signed), Some(key)) = (ledger.latest_checkpoint().filter(covers), ledger.verifier_key()) {
        let evidence = ledger.evidence(sequence, &signed).map_err(|error| unproven(sequence, &error))?;
        bar.finish();
        return Ok((evidence, key.clone()));
    }
    drop(ledger);
    bar.finish();
    let journal = context.open(Access::Write)?;
    let ledger = journal.ledger();
    let signed = ledger.checkpoint(true).map_err(JournalError::from)?;
    let evidence = ledger.evidence(sequence, &signed).map_err(|error| unproven(sequence, &error))?;
    let key = ledger.verifier_key().cloned();
    journal.close()?;
    let key =
        key.ok_or_else(|| JournalError::Internal("a checkpoint was signed without a key".to_owned()))?;
    Ok((evidence, key))
}

fn unproven(sequence: u64, error: &TreeError) -> CommandError {
    CommandError::Unusable(format!("event {sequence} cannot be proven: {error}"))
}

/// Fetches the record and the tiles on its way to the root, and proves from them here.
fn through_service(remote: &Remote, sequence: u64) -> Result<(Evidence, VerifierKey), CommandError> {
    let head = remote.head()?;
    if sequence == 0 || sequence > head {
        return Err(JournalError::not_found("event", sequence).into());
    }
    let key = remote.verifier_key()?;
    let began = Instant::now();
    let signed = loop {
        let signed = remote.checkpoint(&key)?;
        if signed.checkpoint.size >= sequence {
            break signed;
        }
        if began.elapsed() > COVERED_WITHIN {
            return Err(CommandError::Unusable(format!(
                "the service's checkpoint covers {} events, not event {sequence}: see its log",
                signed.checkpoint.size
            )));
        }
        std::thread::sleep(ASK_AGAIN);
    };
    let (index, size) = (sequence - 1, signed.checkpoint.size);
    let bundle = TilePath::within(Tiled::Entries, index / TILE_WIDTH, size);
    let entries = bundle.map(|bundle| remote.entries(bundle)).transpose()?.unwrap_or_default();
    let place = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
    let record = entries.into_iter().nth(place).unwrap_or_default();
    let path =
        TiledTree::new(size, |tile| remote.tile(tile)).inclusion(index).map_err(|error| match error {
            TiledError::Fetch(error) => CommandError::Remote(error),
            other => CommandError::Unusable(format!("event {sequence} cannot be proven: {other}")),
        })?;
    Ok((Evidence { record, index, path, checkpoint: signed.note }, key))
}

impl From<TiledError<RemoteError>> for CommandError {
    fn from(error: TiledError<RemoteError>) -> Self {
        match error {
            TiledError::Fetch(error) => Self::Remote(error),
            other => Self::Unusable(other.to_string()),
        }
    }
}
