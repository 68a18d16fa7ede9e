//! `daybook check-proof`: what evidence for one event shows, with nothing but the evidence and the log's public key.

use super::{CommandError, Outcome, terminal};
use crate::journal::{JournalError, to_json};
use clap::Args;
use daybook_ledger::merkle::evidence::EVIDENCE_BYTES_MAX;
use daybook_ledger::{Evidence, EvidenceError, Proven, VerifierKey};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is shown of the record, in this order.
const SHOWN: [&str; 12] = [
    "sequence",
    "stream",
    "version",
    "type",
    "occurred_at",
    "recorded_at",
    "actor",
    "source",
    "key",
    "import",
    "correlation",
    "content_hash",
];

/// Check evidence for one event; needs no ledger.
#[derive(Args, Debug)]
pub(super) struct CheckProof {
    /// The evidence, as `daybook prove` wrote it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The log's public key, as `daybook verify` prints it and the service gives it at /v1/checkpoint/key.
    #[arg(long, value_name = "VKEY")]
    key: String,
}

impl CheckProof {
    pub(super) fn run(self) -> Result<Outcome, CommandError> {
        let key: VerifierKey =
            self.key.trim().parse().map_err(|error| CommandError::Unusable(format!("--key: {error}")))?;
        let text = read(&self.file)?;
        let proven = Evidence::parse(&text).and_then(|evidence| evidence.check(&key));
        match proven {
            Ok(proven) => {
                show(&proven)?;
                Ok(Outcome::Done)
            }
            Err(EvidenceError::Foreign) => {
                Err(CommandError::Unusable(format!("{}: {}", self.file.display(), EvidenceError::Foreign)))
            }
            Err(error) => {
                terminal::line(format_args!("not proven: {error}"))?;
                Ok(Outcome::No)
            }
        }
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(EVIDENCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| JournalError::file(path, error))?;
    String::from_utf8(bytes).map_err(|_| CommandError::Unusable(format!("{}: it is no text", path.display())))
}

fn show(proven: &Proven) -> Result<(), CommandError> {
    let stated = &proven.checkpoint.checkpoint;
    terminal::line(format_args!(
        "proven: event {} is in the log {} of {} events",
        proven.record.sequence, stated.origin, stated.size
    ))?;
    let json = to_json(&proven.record);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for name in SHOWN {
        if !json[name].is_null() {
            terminal::line(format_args!("{name:<13} {}", text(&json[name])))?;
        }
    }
    terminal::line(format_args!("{:<13} {}", "leaf", proven.leaf))?;
    terminal::line(format_args!("{:<13} {}", "root", stated.root))?;
    for name in ["payload", "payload_base64"] {
        if !json[name].is_null() {
            terminal::line(format_args!("{name:<13} {}", text(&json[name])))?;
        }
    }
    Ok(())
}
