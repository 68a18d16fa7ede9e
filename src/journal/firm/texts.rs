//! What persons write of persons and instruments: checked before it is recorded, every fault named by its field.

use crate::importers::invisible;
use crate::journal::{Invalid, JournalError};
use crate::sync::instruments::nearest_said;
use daybook_projections::{Library, Resolution};
use daybook_schemas::events::{Contact, IdentifierScheme};
use daybook_schemas::{Fraction, InstrumentId};
use rust_decimal::Decimal;

/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 200;
/// The most bytes of words: a note, a need, an address.
const WORDS_BYTES_MAX: usize = 4_000;

/// What is wrong with what was asked for, field by field.
#[derive(Default)]
pub(super) struct Faults(Vec<Invalid>);

impl Faults {
    pub(super) fn note(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Invalid { file: None, line: None, field: Some(field.into()), detail: detail.into() });
    }

    /// The value, or a note of what is wrong with it.
    pub(super) fn taken<T>(&mut self, field: impl Into<String>, read: Result<T, String>) -> Option<T> {
        read.map_err(|detail| self.note(field, detail)).ok()
    }

    pub(super) fn finish(self) -> Result<(), JournalError> {
        if self.0.is_empty() { Ok(()) } else { Err(JournalError::Invalid(self.0)) }
    }

    /// A name, trimmed: what stands in a heading.
    pub(super) fn name(&mut self, field: &str, text: &str) -> String {
        let text = text.trim();
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(invisible::is) {
            self.note(field, format!("write 1 to {NAME_BYTES_MAX} bytes, all of them printable"));
        }
        text.to_owned()
    }

    /// Words of one or several lines.
    pub(super) fn words(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        let text = text?.trim();
        let strange = |character: char| invisible::is(character) && !matches!(character, '\n' | '\t');
        if text.is_empty() || text.len() > WORDS_BYTES_MAX || text.chars().any(strange) {
            self.note(
                field,
                format!("write 1 to {WORDS_BYTES_MAX} bytes, all of them printable, or leave the field out"),
            );
        }
        Some(text.to_owned())
    }

    /// How somebody can be reached: in at least one way.
    pub(super) fn contact(&mut self, contact: Option<&Contact>) -> Option<Contact> {
        let contact = contact?;
        let email = contact.email.as_deref().map(str::trim);
        if let Some(email) = email
            && !is_address(email)
        {
            self.note("contact.email", "write one address, such as ann@example.org");
        }
        let telephone = contact.telephone.as_deref().map(str::trim);
        if let Some(telephone) = telephone
            && !is_telephone(telephone)
        {
            self.note("contact.telephone", "write digits, with spaces, +, -, / and brackets if you like");
        }
        let address = self.words("contact.address", contact.address.as_deref());
        if email.is_none() && telephone.is_none() && address.is_none() {
            self.note("contact", "say email, telephone or address, or leave the field out");
        }
        Some(Contact { email: email.map(str::to_owned), telephone: telephone.map(str::to_owned), address })
    }

    /// A part of one.
    pub(super) fn fraction(&mut self, field: impl Into<String>, value: Fraction) {
        if value.get() < Decimal::ZERO || value.get() > Decimal::ONE {
            self.note(field, format!("{value} is no part of one: write 0 to 1, such as 0.25 for a quarter"));
        }
    }

    /// A part of one that is more than nothing.
    pub(super) fn share(&mut self, field: impl Into<String>, value: Fraction) {
        if value.get() <= Decimal::ZERO || value.get() > Decimal::ONE {
            self.note(
                field,
                format!("{value} is no share: write more than 0 and at most 1, such as 0.25 for a quarter"),
            );
        }
    }
}

fn is_address(text: &str) -> bool {
    let sound = text.len() <= 254 && !text.chars().any(|c| c.is_whitespace() || invisible::is(c));
    sound
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && !host.contains('@')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && !host.is_empty()
        })
}

fn is_telephone(text: &str) -> bool {
    let sign = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '+' | '-' | '/' | '(' | ')' | '.');
    text.len() <= 40 && text.chars().all(sign) && text.bytes().filter(u8::is_ascii_digit).count() >= 3
}

/// The instrument of an id or of a symbol.
///
/// # Errors
/// A sentence that names the nearest known symbols.
pub(super) fn instrument_of(library: &Library, text: &str) -> Result<InstrumentId, String> {
    let registry = &library.instruments;
    let text = text.trim();
    if let Some(found) = text.parse().ok().and_then(|id: InstrumentId| registry.get(id)) {
        return Ok(found.id);
    }
    let shown: String = text.chars().take(60).collect();
    match registry.resolve(&IdentifierScheme::Symbol, text, None, None, None) {
        Resolution::One(id) => Ok(id),
        Resolution::Ambiguous(ids) => {
            let ids: Vec<String> = ids.iter().take(10).map(ToString::to_string).collect();
            Err(format!(
                "several instruments are called `{shown}`: write the id of one of {}",
                ids.join(", ")
            ))
        }
        Resolution::Unknown => {
            let hint = nearest_said(library, text, |_| true)
                .unwrap_or_else(|| "look it up in /instruments".to_owned());
            Err(format!("there is no instrument with the id or symbol `{shown}`: {hint}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_sign_in_its_middle() {
        assert!(is_address("ann@example.org") && is_address("a.b+c@d"));
        for wrong in ["ann", "@example.org", "ann@", "a@b@c", "a b@c", "ann@.org", "ann@org."] {
            assert!(!is_address(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_telephone_number_is_made_of_digits() {
        assert!(is_telephone("+1 (555) 010-0100") && is_telephone("110"));
        for wrong in ["", "+", "12", "call me", "0800 REALTY"] {
            assert!(!is_telephone(wrong), "{wrong}");
        }
    }
}
