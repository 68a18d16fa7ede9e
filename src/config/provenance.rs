//! Where each value of the configuration came from, and how that is shown.

use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A line of the configuration file, counted from 1.
    Line(PathBuf, usize),
    /// A file that holds nothing but a secret.
    SecretFile(PathBuf),
    /// Another value of the configuration, by its key.
    Inferred(String),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::SecretFile(file) => write!(f, "file {}", file.display()),
            Self::Inferred(key) => write!(f, "inferred from {key}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    fn to_json(&self) -> Value {
        match self {
            Self::Flag(name) => json!({ "kind": "flag", "name": name }),
            Self::Variable(name) => json!({ "kind": "variable", "name": name }),
            Self::Line(file, line) => {
                json!({ "kind": "file", "path": file.display().to_string(), "line": line })
            }
            Self::SecretFile(file) => json!({ "kind": "secret_file", "path": file.display().to_string() }),
            Self::Inferred(key) => json!({ "kind": "inferred", "key": key }),
            Self::Default => json!({ "kind": "default" }),
        }
    }
}

/// A value that is in effect.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Setting {
    /// Its key: the section, the name of what it belongs to, and its own, with points between.
    pub(crate) key: String,
    /// The value; absent for a secret, which is never shown, and for what is not set.
    pub(crate) value: Option<Value>,
    /// Whether it is a secret.
    pub(crate) secret: bool,
    /// Where it came from.
    pub(crate) origin: Origin,
}

impl Setting {
    /// The value as a person reads it.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            _ if self.secret => "set".to_owned(),
            None => "—".to_owned(),
            Some(Value::Array(items)) if items.is_empty() => "—".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().unwrap_or_default()).collect::<Vec<_>>().join(", ")
            }
            Some(other) => other.to_string(),
        }
    }
}

/// Every value that is in effect, in the order in which it was read, with where it came from.
#[derive(Clone, Default, Debug)]
pub(crate) struct Provenance {
    /// The configuration file that was read, if one was.
    pub(crate) file: Option<PathBuf>,
    /// The values.
    pub(crate) settings: Vec<Setting>,
    /// What a person should know beside: what is ignored, what is unsafe.
    pub(crate) remarks: Vec<String>,
}

impl Provenance {
    /// The whole as JSON, of a shape that does not change.
    pub(crate) fn to_json(&self) -> Value {
        let settings: Vec<Value> = self
            .settings
            .iter()
            .map(|setting| {
                json!({
                    "key": setting.key,
                    "value": setting.value,
                    "secret": setting.secret,
                    "from": setting.origin.to_json(),
                })
            })
            .collect();
        json!({
            "file": self.file.as_ref().map(|file| file.display().to_string()),
            "settings": settings,
            "remarks": self.remarks,
        })
    }
}
