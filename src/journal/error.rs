//! What can go wrong in the journal, as its callers can act on it.

use daybook_ledger::{AppendError, CloseError, NotaryError, OpenError, ReadError, TreeError};
use std::io;
use std::path::{Path, PathBuf};

/// Why the journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `portfolio`, `import`, `event`…
        what: &'static str,
        /// As it was asked for.
        id: String,
    },
    /// The input cannot be used; nothing was recorded.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Invalid>),
    /// It contradicts what the ledger holds; nothing was recorded.
    #[error("{detail}")]
    Conflict {
        /// What contradicts what, and what to do.
        detail: String,
        /// The sequence of what the ledger holds, where it is one event.
        sequence: Option<u64>,
    },
    /// The Idempotency-Key was used for another request; nothing was recorded.
    #[error(
        "this Idempotency-Key was used for another request, which ended in event {sequence}: use a new key"
    )]
    KeyReused {
        /// The last event of that request.
        sequence: u64,
    },
    /// It is not for this person to do; nothing was recorded.
    #[error("{0}")]
    Forbidden(String),
    /// The ledger did not take the append.
    #[error("{0}")]
    Append(AppendError),
    /// The ledger took the first parts of a large append and not the last. None of it counts.
    #[error(
        "{0}; what was recorded of this before does not count: do the same again to finish it, or leave it, and the next import takes it back"
    )]
    Unfinished(AppendError),
    /// The ledger could not be read.
    #[error("the ledger cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The ledger could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The ledger could not be vouched for, or proven from.
    #[error("{0}")]
    Notary(#[from] NotaryError),
    /// The tree over the log does not go that far, or did not answer.
    #[error("{0}")]
    Tree(#[from] TreeError),
    /// The ledger could not be closed as it should; nothing that was acknowledged is lost.
    #[error("the ledger did not close cleanly: {0}")]
    Close(#[from] CloseError),
    /// An event cannot be read by this version, or is damaged.
    #[error("event {sequence} cannot be read: {detail}")]
    Event {
        /// Its sequence.
        sequence: u64,
        /// Why.
        detail: String,
    },
    /// The key file cannot be used.
    #[error("{}: {detail}", path.display())]
    KeyFile {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The ledger was opened for reading alone.
    #[error("the ledger was opened for reading alone")]
    ReadOnly,
    /// A view names a sequence or a time that the ledger has not reached.
    #[error("{0}")]
    Unreachable(String),
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The file, where there is one.
    pub(crate) file: Option<String>,
    /// The line, from 1.
    pub(crate) line: Option<u64>,
    /// The column or field.
    pub(crate) field: Option<String>,
    /// What is wrong, and what to do.
    pub(crate) detail: String,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if let Some(field) = &self.field {
            write!(f, "`{field}`: ")?;
        }
        f.write_str(&self.detail)
    }
}

impl JournalError {
    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }

    pub(crate) fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what, id: format!("{id}") }
    }

    /// One field that cannot be used.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid {
            file: None,
            line: None,
            field: Some(field.to_owned()),
            detail: detail.into(),
        }])
    }
}

impl From<AppendError> for JournalError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::KeyConflict { ref key, sequence } => Self::Conflict {
                detail: format!(
                    "`{}` is recorded already as event {sequence} with another content: reverse that event first, or use another id",
                    key.rsplit_once('#').map_or(&**key, |(key, _)| key)
                ),
                sequence: Some(sequence),
            },
            AppendError::CommitKeyConflict { sequence, .. } => Self::KeyReused { sequence },
            other => Self::Append(other),
        }
    }
}
