//! A table of the configuration file while it is read: key by key, each remembered with its origin, what is left over
//! refused by name.

use super::faults::{ConfigFault, Spot};
use super::provenance::{Origin, Setting};
use super::{Secret, secrets};
use crate::importers::nearest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What variables of the environment hold.
pub(crate) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Keys whose values would be secrets, and what is written instead.
const SECRETS: [&str; 6] = ["key_id", "secret_key", "api_key", "private_key", "secret", "previous_secret"];

/// What has been read so far, and what is wrong with it.
pub(super) struct Reading<'e> {
    pub(super) environment: Environment<'e>,
    pub(super) faults: Vec<ConfigFault>,
    pub(super) settings: Vec<Setting>,
    pub(super) remarks: Vec<String>,
}

impl Reading<'_> {
    /// What a variable holds; an empty one is as good as none.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|text| !text.is_empty())
    }

    pub(super) fn fault(&mut self, spot: Spot, key: Option<&str>, why: impl Into<String>) {
        self.faults.push(ConfigFault { spot, key: key.map(str::to_owned), why: why.into() });
    }

    /// Remembers a value and where it came from.
    pub(super) fn set(&mut self, key: String, value: impl Into<Value>, origin: Origin) {
        self.settings.push(Setting { key, value: Some(value.into()), secret: false, origin });
    }

    /// Remembers that a secret is set, and where it came from.
    pub(super) fn set_secret(&mut self, key: String, origin: Origin) {
        self.settings.push(Setting { key, value: None, secret: true, origin });
    }
}

/// The text of the configuration file, and where its lines begin.
pub(super) struct Document {
    path: PathBuf,
    starts: Vec<usize>,
}

impl Document {
    pub(super) fn new(path: PathBuf, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { path, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The line that holds a byte, counted from 1, and the byte's place in it, counted from 1.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at);
        (line, at - self.starts[line - 1] + 1)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn spot(&self, at: usize) -> Spot {
        Spot::Line(self.path.clone(), self.position(at).0)
    }

    fn origin(&self, at: usize) -> Origin {
        Origin::Line(self.path.clone(), self.position(at).0)
    }
}

/// A table while it is read.
pub(super) struct Section<'d, 'i> {
    document: Option<&'d Document>,
    table: DeTable<'i>,
    /// Where its header is, as a byte of the text.
    at: usize,
    /// What its keys are shown under.
    prefix: String,
    /// What it is called in a fault: `[prices]`.
    title: &'static str,
    known: Vec<&'static str>,
}

impl<'d, 'i> Section<'d, 'i> {
    /// The table of a document, at the byte where it begins.
    pub(super) fn new(
        document: &'d Document,
        table: DeTable<'i>,
        at: usize,
        title: &'static str,
        prefix: String,
    ) -> Self {
        Self { document: Some(document), table, at, prefix, title, known: Vec::new() }
    }

    /// A table that nobody wrote: every value is its default.
    pub(super) fn absent(title: &'static str, prefix: &str) -> Self {
        Self {
            document: None,
            table: DeTable::new(),
            at: 0,
            prefix: prefix.to_owned(),
            title,
            known: Vec::new(),
        }
    }

    /// Names what its keys are shown under from now on.
    pub(super) fn shown_under(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    /// The key as it is shown.
    pub(super) fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}.{key}", self.prefix) }
    }

    fn spot_at(&self, at: usize) -> Spot {
        self.document.map_or(Spot::File(PathBuf::new()), |document| document.spot(at))
    }

    /// Where its header is.
    pub(super) fn spot(&self) -> Spot {
        self.spot_at(self.at)
    }

    /// Takes a value out, with its place.
    fn take(&mut self, key: &'static str) -> Option<(usize, DeValue<'i>)> {
        self.known.push(key);
        let (_, value) = self.table.remove_entry(key)?;
        Some((value.span().start, value.into_inner()))
    }

    /// Where a key is, if it is said.
    pub(super) fn spot_of(&self, key: &str) -> Option<Spot> {
        self.table.get(key).map(|value| self.spot_at(value.span().start))
    }

    /// A value that is written as text; none if it is not said or cannot be read, which is a fault.
    pub(super) fn text<T>(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (at, value) = self.take(key)?;
        let read = match &value {
            DeValue::String(text) => read(text).map(|read| (read, text.as_ref().to_owned())),
            other => Err(format!("it is text: write it in quotes, not {}", kind_of(other))),
        };
        match read {
            Ok((read, text)) => {
                let origin = self.document.map_or(Origin::Default, |document| document.origin(at));
                reading.set(self.key(key), text, origin);
                Some(read)
            }
            Err(why) => {
                reading.fault(self.spot_at(at), Some(key), why);
                None
            }
        }
    }

    /// A value that is written as text, else its default.
    pub(super) fn text_or<T>(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        default: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.table.contains_key(key) {
            return self.text(reading, key, read);
        }
        self.known.push(key);
        reading.set(self.key(key), default, Origin::Default);
        read(default).ok()
    }

    /// A value that must be said.
    pub(super) fn needed<T>(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            reading.fault(self.spot(), Some(key), format!("{} needs it: write `{key} = {what}`", self.title));
            return None;
        }
        self.text(reading, key, read)
    }

    /// A number within bounds; none if it is not said or is a fault.
    pub(super) fn number(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        bounds: RangeInclusive<u32>,
    ) -> Option<u32> {
        let (at, value) = self.take(key)?;
        let number = match &value {
            DeValue::Integer(number) => {
                u32::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }
            _ => None,
        };
        if let Some(number) = number.filter(|number| bounds.contains(number)) {
            let origin = self.document.map_or(Origin::Default, |document| document.origin(at));
            reading.set(self.key(key), number, origin);
            return Some(number);
        }
        let why = format!("it is a whole number from {} to {}, without quotes", bounds.start(), bounds.end());
        reading.fault(self.spot_at(at), Some(key), why);
        None
    }

    /// A number within bounds, else its default.
    pub(super) fn number_or(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        default: u32,
        bounds: RangeInclusive<u32>,
    ) -> u32 {
        if self.table.contains_key(key) {
            return self.number(reading, key, bounds).unwrap_or(default);
        }
        self.known.push(key);
        reading.set(self.key(key), default, Origin::Default);
        default
    }

    /// Yes or no; no if it is not said.
    pub(super) fn switch(&mut self, reading: &mut Reading<'_>, key: &'static str) -> bool {
        match self.take(key) {
            None => {
                reading.set(self.key(key), false, Origin::Default);
                false
            }
            Some((at, DeValue::Boolean(on))) => {
                let origin = self.document.map_or(Origin::Default, |document| document.origin(at));
                reading.set(self.key(key), on, origin);
                on
            }
            Some((at, _)) => {
                reading.fault(self.spot_at(at), Some(key), "it is `true` or `false`, without quotes");
                false
            }
        }
    }

    /// A list of texts, else its default.
    pub(super) fn texts<T>(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        default: &[&str],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let strings = |items: &[&str]| items.iter().map(|item| Value::from(*item)).collect::<Vec<_>>();
        let Some((at, value)) = self.take(key) else {
            reading.set(self.key(key), strings(default), Origin::Default);
            return default.iter().filter_map(|text| read(text).ok()).collect();
        };
        let DeValue::Array(items) = value else {
            reading.fault(self.spot_at(at), Some(key), "it is a list: write it like [\"one\", \"two\"]");
            return Vec::new();
        };
        let (mut all, mut shown) = (Vec::new(), Vec::new());
        for item in items.iter() {
            let text =
                item.get_ref().as_str().ok_or_else(|| "its items are texts: write them in quotes".to_owned());
            match text.and_then(|text| Ok((read(text)?, text))) {
                Ok((item, text)) => {
                    all.push(item);
                    shown.push(Value::from(text));
                }
                Err(why) => reading.fault(self.spot_at(item.span().start), Some(key), why),
            }
        }
        let origin = self.document.map_or(Origin::Default, |document| document.origin(at));
        reading.set(self.key(key), shown, origin);
        all
    }

    /// A path; one that is not absolute begins at the configuration file's directory.
    pub(super) fn path(&mut self, reading: &mut Reading<'_>, key: &'static str) -> Option<PathBuf> {
        let beside = self.document.and_then(|document| document.path().parent()).map(Path::to_owned);
        self.text(reading, key, |text| {
            if text.is_empty() {
                return Err("it is empty: write a path".to_owned());
            }
            Ok(beside.unwrap_or_default().join(text))
        })
    }

    /// Whether a secret is said, in whichever way.
    pub(super) fn says_secret(&self, names: &SecretKeys) -> bool {
        [names.plain, names.variable, names.file].iter().any(|key| self.table.contains_key(*key))
    }

    /// A secret, by the name of a variable or of a file that holds it; none if it is not said or is a fault.
    pub(super) fn secret(&mut self, reading: &mut Reading<'_>, names: &SecretKeys) -> Option<Secret> {
        let SecretKeys { plain, variable, file } = *names;
        if let Some((at, _)) = self.take(plain) {
            let why = format!(
                "a secret is not written here: write `{variable} = \"NAME\"`, the name of an environment variable that \
                 holds it, or `{file} = \"PATH\"`, a file that only you can read"
            );
            reading.fault(self.spot_at(at), Some(plain), why);
        }
        let text = |value: DeValue<'_>| match value {
            DeValue::String(text) if !text.is_empty() => Ok(text.into_owned()),
            _ => Err("it is text: write it in quotes".to_owned()),
        };
        let (in_variable, in_file) = (self.take(variable), self.take(file));
        if let (Some(_), Some((at, _))) = (&in_variable, &in_file) {
            reading.fault(
                self.spot_at(*at),
                Some(file),
                format!("`{variable}` says it already: leave one of them out"),
            );
            return None;
        }
        let (at, key, read) = match (in_variable, in_file) {
            (Some((at, name)), _) => {
                let read = text(name).and_then(|name| {
                    let secret = reading.variable(&name).ok_or_else(|| {
                        format!("the environment variable {name} is not set: export it, or name a file with `{file}`")
                    })?;
                    Ok((secrets::of_text(&secret)?, Origin::Variable(name)))
                });
                (at, variable, read)
            }
            (None, Some((at, path))) => {
                let beside = self.document.and_then(|document| document.path().parent()).map(Path::to_owned);
                let read = text(path).and_then(|path| {
                    let path = beside.unwrap_or_default().join(path);
                    Ok((secrets::of_file(&path)?, Origin::SecretFile(path)))
                });
                (at, file, read)
            }
            (None, None) => return None,
        };
        match read {
            Ok((secret, origin)) => {
                reading.set_secret(self.key(plain), origin);
                Some(secret)
            }
            Err(why) => {
                reading.fault(self.spot_at(at), Some(key), why);
                None
            }
        }
    }

    /// A secret that must be said.
    pub(super) fn needed_secret(&mut self, reading: &mut Reading<'_>, names: &SecretKeys) -> Option<Secret> {
        if self.says_secret(names) {
            return self.secret(reading, names);
        }
        self.known.extend([names.variable, names.file]);
        let why = format!(
            "{} needs a key: write `{} = \"NAME\"` (an environment variable) or `{} = \"PATH\"` (a file)",
            self.title, names.variable, names.file
        );
        reading.fault(self.spot(), Some(names.plain), why);
        None
    }

    /// A table within.
    pub(super) fn table(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        title: &'static str,
    ) -> Option<Self> {
        let (at, value) = self.take(key)?;
        match value {
            DeValue::Table(table) => Some(Self {
                document: self.document,
                table,
                at,
                prefix: self.key(key),
                title,
                known: Vec::new(),
            }),
            _ => {
                reading.fault(
                    self.spot_at(at),
                    Some(key),
                    format!("it is a section: write {title} on a line"),
                );
                None
            }
        }
    }

    /// The tables within, by their names.
    pub(super) fn named_tables(self, reading: &mut Reading<'_>, title: &'static str) -> Vec<(String, Self)> {
        let (document, prefix) = (self.document, self.prefix);
        let mut all = Vec::new();
        for (name, value) in self.table {
            let (at, name) = (name.span().start, name.into_inner());
            match value.into_inner() {
                DeValue::Table(table) => {
                    let prefix = format!("{prefix}.{name}");
                    let section = Self { document, table, at, prefix, title, known: Vec::new() };
                    all.push((name.into_owned(), section));
                }
                _ => {
                    let spot = document.map_or(Spot::File(PathBuf::new()), |document| document.spot(at));
                    reading.fault(spot, Some(&name), format!("it is a section: write {title} on a line"));
                }
            }
        }
        all
    }

    /// Every key with its text, read in the order of the keys; what is no text is a fault.
    pub(super) fn pairs<T>(
        self,
        reading: &mut Reading<'_>,
        read: impl Fn(&str, &str) -> Result<T, String>,
    ) -> BTreeMap<String, T> {
        let mut all = BTreeMap::new();
        for (key, value) in self.table {
            let (at, key) = (value.span().start, key.into_inner());
            let said = match value.get_ref() {
                DeValue::String(text) => read(&key, text).map(|item| (item, text.as_ref().to_owned())),
                other => Err(format!("it is text: write it in quotes, not {}", kind_of(other))),
            };
            match (said, self.document) {
                (Ok((item, text)), document) => {
                    let origin = document.map_or(Origin::Default, |document| document.origin(at));
                    reading.set(format!("{}.{key}", self.prefix), text, origin);
                    all.insert(key.into_owned(), item);
                }
                (Err(why), document) => {
                    let spot = document.map_or(Spot::File(PathBuf::new()), |document| document.spot(at));
                    reading.fault(spot, Some(&key), why);
                }
            }
        }
        all
    }

    /// The tables of a list, each with its own header.
    pub(super) fn tables(
        &mut self,
        reading: &mut Reading<'_>,
        key: &'static str,
        title: &'static str,
    ) -> Vec<Self> {
        let Some((at, value)) = self.take(key) else { return Vec::new() };
        let refuse = |reading: &mut Reading<'_>, at| {
            reading.fault(
                self.spot_at(at),
                Some(key),
                format!("there can be several: write {title} on a line, in double brackets, for each"),
            );
        };
        let DeValue::Array(items) = value else {
            refuse(reading, at);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let at = item.span().start;
            match item.into_inner() {
                DeValue::Table(table) => all.push(Self {
                    document: self.document,
                    table,
                    at,
                    prefix: self.key(&format!("{key}[{}]", index + 1)),
                    title,
                    known: Vec::new(),
                }),
                _ => refuse(reading, at),
            }
        }
        all
    }

    /// Takes keys out without reading them: what is wrong with them was told already.
    pub(super) fn forgive(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self, reading: &mut Reading<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            let meant = nearest::of(name, &self.known).map(|known| format!(" (did you mean `{known}`?)"));
            let shown = daybook_schemas::decimal::shorten(name);
            let why = if SECRETS.contains(&name) {
                "this takes no key".to_owned()
            } else {
                format!(
                    "there is no such key in {}{}; there are {}",
                    self.title,
                    meant.unwrap_or_default(),
                    self.known
                        .iter()
                        .filter(|known| !SECRETS.contains(known))
                        .copied()
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            };
            reading.fault(self.spot_at(key.span().start), Some(&shown), why);
        }
    }
}

/// The keys under which one secret may be said.
pub(super) struct SecretKeys {
    /// The secret itself, which is refused.
    plain: &'static str,
    variable: &'static str,
    file: &'static str,
}

pub(super) const KEY_ID: SecretKeys =
    SecretKeys { plain: "key_id", variable: "key_id_env", file: "key_id_file" };
pub(super) const SECRET_KEY: SecretKeys =
    SecretKeys { plain: "secret_key", variable: "secret_key_env", file: "secret_key_file" };
pub(super) const API_KEY: SecretKeys =
    SecretKeys { plain: "api_key", variable: "api_key_env", file: "api_key_file" };
pub(super) const PRIVATE_KEY: SecretKeys =
    SecretKeys { plain: "private_key", variable: "private_key_env", file: "private_key_file" };
pub(super) const SECRET: SecretKeys =
    SecretKeys { plain: "secret", variable: "secret_env", file: "secret_file" };
pub(super) const PREVIOUS_SECRET: SecretKeys =
    SecretKeys { plain: "previous_secret", variable: "previous_secret_env", file: "previous_secret_file" };

/// Reads a text as a document's table; else what is wrong, at which byte.
pub(super) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<(usize, String)>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(table);
    }
    Err(errors
        .iter()
        .map(|error| (error.span().map_or(0, |span| span.start), error.message().replace('\n', ", ")))
        .collect())
}

/// What a value is, for a fault; never what it says.
fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a bare number",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a bare date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
