//! What is wrong with a configuration, and where it stands.

use std::fmt;
use std::path::PathBuf;

/// Where a value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Spot {
    /// On a line of the configuration file, counted from 1.
    Line(PathBuf, usize),
    /// In the configuration file as a whole.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
    /// In a flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{spot}: {}{why}", key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default())]
pub(crate) struct ConfigFault {
    /// Where it stands.
    pub(crate) spot: Spot,
    /// The key, where it is one's.
    pub(crate) key: Option<String>,
    /// What is wrong and what to do. Never the text of a secret.
    pub(crate) why: String,
}

/// All that is wrong, one to a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ConfigFaults(pub(crate) Vec<ConfigFault>);
