//! Checkpoints that leave this machine: now and then one is signed, put into a directory and posted to an address.
//!
//! A signature that lies beside what it signs proves little: whoever can change the log can take it away. What somebody
//! else has kept cannot be taken back. A checkpoint that was not taken is not sent again for itself: the next one, which
//! stands for more, is tried sooner instead.

use crate::config::Checkpoints;
use crate::journal::Journal;
use crate::webhooks::outbound::post::{Reach, described, guarded_agent};
use daybook_ledger::SignedCheckpoint;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;

/// How soon it is tried again after a failure, where the schedule is slower than that.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Sends checkpoints as configured, until it is dropped.
pub(crate) async fn send(config: Checkpoints, journal: Arc<Journal>) {
    let config = Arc::new(config);
    let mut sent = Sent::default();
    loop {
        let pause = match round(&config, &journal, sent).await {
            Some((now, whole)) => {
                sent = now;
                if whole { config.every } else { config.every.min(TRY_AGAIN) }
            }
            None => config.every.min(TRY_AGAIN),
        };
        tokio::time::sleep(pause).await;
    }
}

/// Up to which event what was signed went where.
#[derive(Clone, Copy, Default)]
struct Sent {
    directory: u64,
    url: u64,
}

/// Signs and sends once; says what went where, and whether all of it did. None if nothing could be signed.
async fn round(config: &Arc<Checkpoints>, journal: &Arc<Journal>, mut sent: Sent) -> Option<(Sent, bool)> {
    let signing = journal.clone();
    let signed = tokio::task::spawn_blocking(move || match signing.ledger().head() {
        0 => Ok(None),
        _ => signing.ledger().checkpoint(true).map(Some),
    });
    let signed = match signed.await.ok()? {
        Ok(signed) => signed,
        Err(error) => {
            tracing::error!(%error, "no checkpoint was signed");
            return None;
        }
    };
    // Nothing was recorded yet.
    let Some(signed) = signed else { return Some((sent, true)) };
    let size = signed.checkpoint.size;
    let config = config.clone();
    // It holds nothing of the journal, so that a slow receiver keeps no ledger open.
    let sending = tokio::task::spawn_blocking(move || {
        let mut whole = true;
        if let Some(directory) = &config.directory
            && sent.directory < size
        {
            match put(directory, &signed) {
                Ok(()) => sent.directory = size,
                Err(error) => {
                    whole = false;
                    tracing::error!(size, "the checkpoint is not in {}: {error}", directory.display());
                }
            }
        }
        if config.url.is_some() && sent.url < size {
            match post(&config, &signed) {
                Ok(()) => sent.url = size,
                Err(error) => {
                    whole = false;
                    let host = config.url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
                    tracing::warn!(size, host, "the checkpoint was not taken: {error}");
                }
            }
        }
        (sent, whole)
    });
    sending.await.ok()
}

/// What a checkpoint's file is called: the log's name and the size.
fn file_name(signed: &SignedCheckpoint) -> String {
    let origin = signed.checkpoint.origin.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
    format!("{origin}-{:020}.checkpoint", signed.checkpoint.size)
}

/// Puts a checkpoint into a directory, whole or not at all. One that is there already must be the same.
fn put(directory: &Path, signed: &SignedCheckpoint) -> io::Result<()> {
    let path = directory.join(file_name(signed));
    match File::open(&path) {
        Ok(file) => {
            let mut there = String::new();
            file.take(signed.note.len() as u64 + 1).read_to_string(&mut there)?;
            if *there == *signed.note {
                return Ok(());
            }
            return Err(io::Error::other(format!("{} says something else", path.display())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(signed.note.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Posts a checkpoint: the note itself, as text.
fn post(config: &Checkpoints, signed: &SignedCheckpoint) -> Result<(), String> {
    let Some(url) = &config.url else { return Ok(()) };
    let reach = Reach { loopback_only: url.scheme() == "http", allow_link_local: config.allow_link_local };
    let agent: Agent = guarded_agent(reach, config.timeout);
    let answered = agent
        .post(url.as_str())
        .header("content-type", "text/plain; charset=utf-8")
        .send(signed.note.as_bytes());
    match answered {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) if answer.status().is_redirection() => Err(format!(
            "it answered {}, and redirects are not followed: configure the address that it points to",
            answer.status().as_u16()
        )),
        Ok(answer) => Err(format!("it answered {}", answer.status().as_u16())),
        Err(error) => Err(described(&error, config.timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daybook_ledger::merkle::{Hash, SigningKey};

    fn signed(size: u64, secret: u8) -> SignedCheckpoint {
        let key = SigningKey::from_secret("daybook/0f", &[secret; 32]).unwrap();
        SignedCheckpoint::sign(&key, size, Hash::empty())
    }

    #[test]
    fn a_checkpoint_is_put_once_and_nothing_is_put_over_another() {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), &signed(7, 1)).unwrap();
        put(directory.path(), &signed(7, 1)).unwrap();
        put(directory.path(), &signed(8, 1)).unwrap();
        let error = put(directory.path(), &signed(7, 2)).unwrap_err();
        assert!(error.to_string().contains("daybook-0f-00000000000000000007.checkpoint"), "{error}");
        let mut names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(std::fs::read_to_string(&names[0]).unwrap(), *signed(7, 1).note);
        assert!(put(&directory.path().join("absent"), &signed(7, 1)).is_err());
    }
}
