//! Bodies that are described as one thing and read as another: fields as ids, days, fractions and coded words.

use super::body::{Fields, Form, kind};
use super::problem::Problem;
use daybook_schemas::{Day, Fraction};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

/// A body that the document describes as `S` and that is read as `T`.
pub(super) struct As<S, T> {
    read: Option<T>,
    described: PhantomData<fn() -> S>,
}

/// What is read from a body that is described as `S`.
pub(super) trait Read<S>: Sized {
    /// Reads the fields; none if something is wrong with them, which the reader notes.
    fn read(fields: &mut Fields) -> Option<Self>;
}

impl<S, T> As<S, T> {
    /// What was read. A body with faults was refused before.
    pub(super) fn said(self) -> Result<T, Problem> {
        self.read.ok_or_else(|| Problem::internal("a body without faults from which nothing was read"))
    }
}

impl<S: Type, T: Send + Sync> Type for As<S, T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        S::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        S::schema_ref()
    }

    fn register(registry: &mut Registry) {
        S::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<S: Type, T: Read<S> + Send + Sync> Form for As<S, T> {
    fn read(fields: &mut Fields) -> Self {
        Self { read: T::read(fields), described: PhantomData }
    }
}

impl Fields {
    /// A text that reads as something; absent if the field is, or is null.
    pub(super) fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        read(&text).map_err(|detail| self.fault(name, detail)).ok()
    }

    /// A text that must be there and reads as something.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.required_text(name);
        if text.is_empty() && !self.is_sound() {
            return None;
        }
        read(&text).map_err(|detail| self.fault(name, detail)).ok()
    }

    /// A day.
    pub(super) fn day(&mut self, name: &str) -> Option<Day> {
        self.read(name, |text| Day::parse(text).map_err(|error| error.to_string()))
    }

    /// An id.
    pub(super) fn id<I: FromStr<Err: Display>>(&mut self, name: &str) -> Option<I> {
        self.read(name, id)
    }

    /// A list of ids; absent if the field is, or is null.
    pub(super) fn ids<I: FromStr<Err: Display>>(&mut self, name: &str) -> Option<Vec<I>> {
        let Value::Array(items) = self.take(name)? else {
            self.fault(name, "write a list of ids");
            return None;
        };
        let mut ids = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let place = format!("{name}[{at}]");
            match item.as_str().map(id) {
                Some(Ok(id)) => ids.push(id),
                Some(Err(detail)) => self.fault(&place, detail),
                None => self.fault(&place, format!("write an id, not {}", kind(item))),
            }
        }
        Some(ids)
    }

    /// A part of one.
    pub(super) fn fraction(&mut self, name: &str) -> Option<Fraction> {
        self.read(name, Fraction::parse)
    }

    /// One of some words.
    pub(super) fn one_of<T: Display + Clone>(&mut self, name: &str, coded: &[T]) -> Option<T> {
        self.read(name, |text| choice(text, coded))
    }

    /// A list of words, each one of some; empty if the field is absent.
    pub(super) fn several_of<T: Display + Clone>(&mut self, name: &str, coded: &[T]) -> Vec<T> {
        let texts = self.texts(name);
        let mut all = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            match choice(text, coded) {
                Ok(one) => all.push(one),
                Err(detail) => self.fault(&format!("{name}[{at}]"), detail),
            }
        }
        all
    }

    /// A whole number that fits; absent if the field is, or is null.
    pub(super) fn integer<N: TryFrom<u64>>(&mut self, name: &str) -> Option<N> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| N::try_from(number).ok());
        if number.is_none() {
            let shown = if value.is_number() { value.to_string() } else { kind(&value).to_owned() };
            self.fault(name, format!("write a whole number from 0, not {shown}"));
        }
        number
    }

    /// A list of objects, each read by its fields; empty if the field is absent.
    pub(super) fn some_objects<T>(&mut self, name: &str, read: impl FnMut(&mut Self) -> Option<T>) -> Vec<T> {
        if self.says(name) { self.objects(name, read).into_iter().flatten().collect() } else { Vec::new() }
    }
}

/// An id from its text.
pub(super) fn id<I: FromStr<Err: Display>>(text: &str) -> Result<I, String> {
    text.parse().map_err(|error: I::Err| error.to_string())
}

/// One of some words from its text.
pub(super) fn choice<T: Display + Clone>(text: &str, coded: &[T]) -> Result<T, String> {
    coded.iter().find(|one| one.to_string() == text).cloned().ok_or_else(|| {
        let words: Vec<String> = coded.iter().map(ToString::to_string).collect();
        let shown: String = text.chars().take(60).collect();
        format!("`{shown}` is not one of {}", words.join(", "))
    })
}
