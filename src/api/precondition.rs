//! Writes that hold only if nothing changed since a read: `If-Match`, checked in the commit of the write itself.

use super::problem::Problem;
use crate::journal::{Journal, JournalError, Subject};
use daybook_ledger::{AppendError, Expected};
use daybook_projections::{Firm, Library};
use daybook_schemas::{PortfolioId, stream};
use poem::http::header::IF_MATCH;
use poem::{FromRequest, Request, RequestBody};
use std::sync::Arc;
use std::time::Duration;

/// How often a write is tried while its streams gain what is no concern of the resource.
const ATTEMPTS_MAX: u32 = 32;
/// How long the second attempt waits; each further one as much longer.
const PAUSE: Duration = Duration::from_micros(250);
/// The digits of a mark.
const MARK_DIGITS: usize = 16;

/// What writes to a resource compete for, as it stands: each ETag of the resource begins with its mark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// What tells this standing from every other.
    mark: String,
    /// The last event that changed it.
    pub(super) sequence: u64,
    /// The streams that it is made of, with their versions.
    streams: Vec<(Arc<str>, u64)>,
}

impl Standing {
    /// The standing of what one stream tells, such as a party.
    pub(super) fn of_stream(journal: &Journal, name: &str) -> Result<Self, Problem> {
        let version = journal.ledger().stream_version(name).map_err(JournalError::from)?.unwrap_or(0);
        let last = journal
            .ledger()
            .read_stream(name, version.max(1), 1, daybook_ledger::Direction::Forward)
            .map_err(JournalError::from)?;
        let sequence = last.first().map_or(0, |record| record.sequence);
        Ok(Self { mark: mark(name, version, 0), sequence, streams: vec![(name.into(), version)] })
    }

    /// The standing of a portfolio as a read of the present sees it.
    pub(super) fn seen(library: &Library, portfolio: PortfolioId) -> Self {
        let visibility = library.imports.changed_at_of(portfolio);
        let sequence = library.directory.last_sequence(portfolio).max(visibility);
        let name = stream::portfolio(portfolio);
        let mark = mark(&name, library.directory.events(portfolio), visibility);
        Self { mark, sequence, streams: Vec::new() }
    }

    /// The standing of something of the firm that shares its stream with others, such as a team.
    pub(super) fn of_subject(journal: &Journal, subject: Subject) -> Result<Self, Problem> {
        // It is read before the library, so that what the library does not know refuses the commit.
        let version = journal.ledger().stream_version(stream::FIRM).map_err(JournalError::from)?;
        let library = journal.library()?;
        let streams = vec![(stream::FIRM.into(), version.unwrap_or(0))];
        Ok(Self { streams, ..Self::subject_seen(&library.firm, subject, u64::MAX) })
    }

    /// The same as a read sees it.
    pub(super) fn subject_seen(firm: &Firm, subject: Subject, known: u64) -> Self {
        let sequence = subject.changed_at(firm, known);
        Self { mark: mark(&format!("{subject:?}"), 0, sequence), sequence, streams: Vec::new() }
    }

    /// The standing of what a read saw that says by itself how much is known: it never changes, so that nothing can be
    /// written on the strength of it.
    pub(super) fn fixed(known: u64) -> Self {
        Self { mark: mark("", 0, known), sequence: known, streams: Vec::new() }
    }

    /// The standing of a portfolio for a write to it. Imports are streams of their own: what becomes visible or is taken
    /// back with them changes the portfolio too.
    pub(super) fn of_portfolio(journal: &Journal, portfolio: PortfolioId) -> Result<Self, Problem> {
        Self::for_writing(journal, portfolio, true)
    }

    /// The same for an import, which itself takes back what interrupted ones left behind.
    pub(super) fn for_import(journal: &Journal, portfolio: PortfolioId) -> Result<Self, Problem> {
        Self::for_writing(journal, portfolio, false)
    }

    fn for_writing(journal: &Journal, portfolio: PortfolioId, pending: bool) -> Result<Self, Problem> {
        let library = journal.library()?;
        let imports = library.imports.list().filter(|import| match &import.file {
            Some(file) => file.portfolio == Some(portfolio),
            None => pending,
        });
        let names: Vec<String> = imports.map(|import| stream::import(import.id)).collect();
        let own = (Arc::from(stream::portfolio(portfolio)), library.directory.events(portfolio));
        let mut streams = vec![own];
        for name in names {
            let version = journal.ledger().stream_version(&name).map_err(JournalError::from)?;
            streams.push((name.into(), version.unwrap_or(0)));
        }
        // The versions were read under a library that may not know the last of them: then the commit is refused.
        Ok(Self { streams, ..Self::seen(&library, portfolio) })
    }

    /// What tells this standing from every other.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }
}

fn mark(name: &str, version: u64, more: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&version.to_le_bytes());
    hasher.update(&more.to_le_bytes());
    hasher.finalize().to_hex()[..MARK_DIGITS].to_owned()
}

/// What must hold for a write to be done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Condition {
    /// Nothing.
    #[default]
    None,
    /// The resource exists.
    Exists,
    /// The resource stands as one of these tags says.
    Marks(Vec<String>),
}

/// The precondition of a write.
#[derive(Clone, Debug, Default)]
pub(super) struct Precondition(Condition);

impl<'a> FromRequest<'a> for Precondition {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let mut texts = Vec::new();
        for value in request.headers().get_all(IF_MATCH) {
            texts.push(value.to_str().map_err(|_| malformed())?);
        }
        Ok(if texts.is_empty() { Self::default() } else { Self::read(&texts.join(","))? })
    }
}

fn malformed() -> Problem {
    Problem::parameter(
        "If-Match",
        "send the ETag as a read gave it, quotation marks and all, several separated by commas, or *",
    )
}

impl Precondition {
    /// What the header says. One that says nothing is no precondition left out: whoever sends it wants one.
    fn read(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self(Condition::Exists));
        }
        let marks = text
            .split(',')
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .map(|tag| {
                // Weak and strong tags are compared by what is between the quotation marks.
                let opaque = tag.strip_prefix("W/").unwrap_or(tag);
                let opaque = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                // What follows the mark tells answers apart, not what was written.
                opaque.map(|opaque| opaque.split('.').next().unwrap_or(opaque).to_owned())
            })
            .collect::<Option<Vec<_>>>();
        let marks = marks.filter(|marks| !marks.is_empty());
        marks.map(|marks| Self(Condition::Marks(marks))).ok_or_else(malformed)
    }

    /// What the streams of the commit must look like so that the precondition holds in it; a problem if it does not hold
    /// already.
    pub(super) fn holds(&self, present: &Standing) -> Result<Vec<(Arc<str>, Expected)>, Problem> {
        match &self.0 {
            Condition::None => Ok(Vec::new()),
            Condition::Exists => {
                let first = present.streams.first().map(|(name, _)| Arc::clone(name));
                Ok(first.into_iter().map(|name| (name, Expected::StreamExists)).collect())
            }
            Condition::Marks(marks) if marks.contains(&present.mark) => Ok(present
                .streams
                .iter()
                .map(|(name, version)| (Arc::clone(name), Expected::Exactly(*version)))
                .collect()),
            Condition::Marks(_) => Err(Problem::precondition_failed(present)),
        }
    }

    /// Does a write under the precondition: `write` is given what the streams of its commit must look like. Whatever
    /// changed the resource by then refuses it, even in the last moment; what else its streams gained does not.
    pub(super) fn guard<T>(
        &self,
        present: impl Fn() -> Result<Standing, Problem>,
        mut write: impl FnMut(Vec<(Arc<str>, Expected)>) -> Result<T, JournalError>,
    ) -> Result<T, Problem> {
        if self.0 == Condition::None {
            return Ok(write(Vec::new())?);
        }
        for attempt in 1..=ATTEMPTS_MAX {
            match write(self.holds(&present()?)?) {
                // What was in the way may not be durable yet, and is not seen before it is.
                Err(JournalError::Append(AppendError::VersionConflict { .. })) => {
                    std::thread::sleep(PAUSE * attempt);
                }
                other => return Ok(other?),
            }
        }
        Err(Problem::precondition_failed(&present()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(version: u64) -> Standing {
        let name = "party-x";
        Standing { mark: mark(name, version, 0), sequence: 9, streams: vec![(name.into(), version)] }
    }

    #[test]
    fn tags_are_compared_by_their_mark_weak_or_strong_one_of_many() {
        let present = standing(3);
        let exactly: Vec<(Arc<str>, Expected)> = vec![("party-x".into(), Expected::Exactly(3))];
        for text in [
            format!("W/\"{}.0123\"", present.mark()),
            format!("\"{}\"", present.mark()),
            format!("\"other.1\" , W/\"{}.77\"", present.mark()),
        ] {
            assert_eq!(Precondition::read(&text).unwrap().holds(&present).unwrap(), exactly, "{text}");
        }
        let stale = format!("W/\"{}.0123\"", standing(2).mark());
        assert!(Precondition::read(&stale).unwrap().holds(&present).is_err());
        assert_eq!(Precondition::default().holds(&present).unwrap(), Vec::new());
        let any = Precondition::read("*").unwrap().holds(&present).unwrap();
        assert_eq!(any, vec![("party-x".into(), Expected::StreamExists)]);
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for text in ["", " ", " , ", "abc", "W/abc", "\"a", "\"a\",b", "*,\"a\""] {
            assert!(Precondition::read(text).is_err(), "{text}");
        }
    }
}
