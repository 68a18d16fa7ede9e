//! What is wrong with a file or a field, said so that its owner can put it right.

use super::invisible;
use std::fmt;

/// The most faults that are listed for one file.
pub(crate) const FAULTS_MAX: usize = 50;

/// What is wrong with a file: where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) struct Fault {
    /// The file's name.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: Option<u64>,
    /// The column, by its name in the header or its number.
    pub(crate) column: Option<String>,
    /// What is wrong and what to do.
    pub(crate) text: String,
}

impl Fault {
    /// A fault of the file as a whole.
    #[must_use]
    pub(crate) fn of_file(file: &str, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, column: None, text: printable(text.into()) }
    }

    /// A fault of one line.
    #[must_use]
    pub(crate) fn of_line(file: &str, line: u64, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(line), column: None, text: printable(text.into()) }
    }

    /// The same fault, in a column.
    #[must_use]
    pub(crate) fn in_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(printable(column.into()));
        self
    }
}

fn write_place(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    line: Option<u64>,
    column: Option<&str>,
) -> fmt::Result {
    f.write_str(file)?;
    if let Some(line) = line {
        write!(f, ":{line}")?;
    }
    if let Some(column) = column {
        write!(f, ": column `{column}`")?;
    }
    f.write_str(": ")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.line, self.column.as_deref())?;
        f.write_str(&self.text)
    }
}

/// Something that the owner of a file should know, though it can be imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Warning {
    /// The file's name.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: Option<u64>,
    /// The column.
    pub(crate) column: Option<String>,
    /// What to know.
    pub(crate) text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.line, self.column.as_deref())?;
        f.write_str(&self.text)
    }
}

/// What is wrong with a field of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{field}`: {text}")]
pub(crate) struct FieldFault {
    /// The field, by its column's name.
    pub(crate) field: &'static str,
    /// What is wrong and what to do.
    pub(crate) text: String,
}

impl FieldFault {
    /// A fault of a field.
    #[must_use]
    pub(crate) fn new(field: &'static str, text: impl Into<String>) -> Self {
        Self { field, text: printable(text.into()) }
    }
}

/// A text of which everything is seen: what a file holds must not steer the terminal that shows it.
pub(super) fn printable(text: String) -> String {
    if text.contains(invisible::is) { text.replace(invisible::is, "?") } else { text }
}

/// Faults as they are found, up to the most that are listed.
#[derive(Debug)]
pub(super) struct Faults {
    file: String,
    found: Vec<Fault>,
    beyond: u64,
}

impl Faults {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new(), beyond: 0 }
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if self.found.len() < FAULTS_MAX {
            self.found.push(fault);
        } else {
            self.beyond += 1;
        }
    }

    pub(super) fn line(&mut self, line: u64, text: impl Into<String>) {
        let fault = Fault::of_line(&self.file, line, text);
        self.push(fault);
    }

    pub(super) fn field(&mut self, line: u64, column: &str, text: impl Into<String>) {
        let fault = Fault::of_line(&self.file, line, text).in_column(column);
        self.push(fault);
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The faults by line; the last one says how many more there are.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.found.sort_by_key(|fault| fault.line);
        if self.beyond > 0 {
            let text = format!("{} more faults follow: put these right first", self.beyond);
            self.found.push(Fault::of_file(&self.file, text));
        }
        self.found
    }
}
