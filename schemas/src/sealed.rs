//! Personal data, sealed under a key per person, so that erasing the key makes it unreadable while every hash stays valid.
//!
//! The encryption is AES-256-SIV (RFC 5297), deterministic: the same text under the same key gives the same bytes,
//! so that an import done twice is recognised. The id of the key is authenticated with the text.

use crate::{PartyId, PortfolioId, codec};
use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Whose key seals something: a person's, or that of a portfolio which nobody owns yet.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum KeyId {
    /// A portfolio's own key.
    Portfolio(PortfolioId),
    /// A party's key.
    Party(PartyId),
    /// An advisor's key.
    Advisor(crate::AdvisorId),
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Portfolio(id) => write!(f, "portfolio-{id}"),
            Self::Party(id) => write!(f, "party-{id}"),
            Self::Advisor(id) => write!(f, "advisor-{id}"),
        }
    }
}

impl FromStr for KeyId {
    type Err = SealedError;
    fn from_str(text: &str) -> Result<Self, SealedError> {
        let unreadable = || SealedError::KeyFile(format!("`{}` names no key", crate::decimal::shorten(text)));
        let (kind, id) = text.split_once('-').ok_or_else(unreadable)?;
        match kind {
            "portfolio" => id.parse().map(Self::Portfolio).map_err(|_| unreadable()),
            "party" => id.parse().map(Self::Party).map_err(|_| unreadable()),
            "advisor" => id.parse().map(Self::Advisor).map_err(|_| unreadable()),
            _ => Err(unreadable()),
        }
    }
}

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// The key is not (or no longer) in the key file: it was erased, or the file is another ledger's.
    #[error("the key {0} is not in the key file: it was erased, or the file belongs to another ledger")]
    NoKey(KeyId),
    /// The bytes were altered, or sealed under another key of the same name.
    #[error(
        "what is sealed under {0} cannot be opened: it was altered, or the key file belongs to another ledger"
    )]
    NotAuthentic(KeyId),
    /// The key file has a line that is not a key.
    #[error("the key file cannot be read: {0}")]
    KeyFile(String),
    /// The text is too long.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
}

/// A key: 64 bytes, half for authentication, half for encryption.
#[derive(Clone, PartialEq, Eq)]
struct Key([u8; 64]);

/// The keys of a ledger, as its key file holds them.
///
/// The file is text: a first line `daybook-keys v1`, then a line for each key: its name, a space, base64.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyRing {
    keys: BTreeMap<KeyId, Key>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.keys.len())
    }
}

impl KeyRing {
    /// The first line of a key file.
    pub const HEADER: &'static str = "daybook-keys v1";

    /// Reads the text of a key file. An empty text is an empty ring.
    ///
    /// # Errors
    /// [`SealedError::KeyFile`], naming the line.
    pub fn parse(text: &str) -> Result<Self, SealedError> {
        let mut ring = Self::default();
        let mut lines = text.lines();
        match lines.next() {
            None => return Ok(ring),
            Some(Self::HEADER) => {}
            Some(_) => {
                return Err(SealedError::KeyFile(format!("line 1 is not `{}`", Self::HEADER)));
            }
        }
        for (number, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |what: &str| SealedError::KeyFile(format!("line {}: {what}", number + 2));
            let (id, key) = line.split_once(' ').ok_or_else(|| wrong("no space between name and key"))?;
            let id: KeyId = id.parse().map_err(|_| wrong("the name is not a key's"))?;
            let key = STANDARD.decode(key.trim()).map_err(|_| wrong("the key is not base64"))?;
            let key: [u8; 64] = key.try_into().map_err(|_| wrong("the key has not 64 bytes"))?;
            if ring.keys.insert(id, Key(key)).is_some_and(|earlier| earlier.0 != key) {
                return Err(wrong("a second key of this name"));
            }
        }
        Ok(ring)
    }

    /// The line of the key file for one key, without its end.
    #[must_use]
    pub fn line(id: KeyId, key: &[u8; 64]) -> String {
        format!("{id} {}", STANDARD.encode(key))
    }

    /// Adds a key; the caller draws it at random and writes it to the file first.
    pub fn insert(&mut self, id: KeyId, key: [u8; 64]) {
        self.keys.insert(id, Key(key));
    }

    /// Whether the ring holds the key.
    #[must_use]
    pub fn contains(&self, id: KeyId) -> bool {
        self.keys.contains_key(&id)
    }

    /// The names of the keys, in order.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.keys().copied()
    }

    /// A hash under a key, for ids that only the key's holder can derive from a name.
    ///
    /// # Errors
    /// [`SealedError::NoKey`].
    pub fn keyed_hash(&self, id: KeyId, text: &str) -> Result<[u8; 32], SealedError> {
        let key = self.keys.get(&id).ok_or(SealedError::NoKey(id))?;
        let subkey = blake3::derive_key("daybook 2026 name to id under a person's key", &key.0);
        Ok(*blake3::keyed_hash(&subkey, text.as_bytes()).as_bytes())
    }

    fn cipher(&self, id: KeyId) -> Result<Aes256Siv, SealedError> {
        let key = self.keys.get(&id).ok_or(SealedError::NoKey(id))?;
        Ok(Aes256Siv::new((&key.0).into()))
    }
}

/// A value that only the holder of a person's key can read.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[serde(bound = "", deny_unknown_fields)]
#[schemars(bound = "")]
pub struct Sealed<T> {
    /// Whose key.
    key: KeyId,
    /// The authenticated ciphertext, base64 in JSON.
    #[serde(with = "ciphertext")]
    #[schemars(with = "String")]
    sealed: Box<[u8]>,
    #[serde(skip)]
    #[schemars(skip)]
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self { key: self.key, sealed: self.sealed.clone(), value: PhantomData }
    }
}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.sealed == other.sealed
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.key, self.sealed.len())
    }
}

impl<T: Serialize + DeserializeOwned> Sealed<T> {
    /// Seals a value.
    ///
    /// # Errors
    /// [`SealedError::NoKey`], or [`SealedError::Codec`] when the value is too long.
    pub fn seal(ring: &KeyRing, key: KeyId, value: &T) -> Result<Self, SealedError> {
        let plain = codec::encode(value)?;
        let sealed = ring
            .cipher(key)?
            .encrypt([key.to_string().as_bytes()], &plain)
            .map_err(|_| SealedError::NotAuthentic(key))?;
        Ok(Self { key, sealed: sealed.into(), value: PhantomData })
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`SealedError::NoKey`] after the key was erased, [`SealedError::NotAuthentic`] after the bytes were altered.
    pub fn open(&self, ring: &KeyRing) -> Result<T, SealedError> {
        let plain = ring
            .cipher(self.key)?
            .decrypt([self.key.to_string().as_bytes()], &self.sealed)
            .map_err(|_| SealedError::NotAuthentic(self.key))?;
        Ok(codec::decode(&plain)?)
    }

    /// Whose key seals it.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }
}

mod ciphertext {
    use super::STANDARD;
    use base64::Engine;
    use serde::de::{self, Deserializer, Visitor};
    use serde::ser::Serializer;
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(bytes))
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Box<[u8]>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("sealed bytes in base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                STANDARD.decode(text).map(Into::into).map_err(E::custom)
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(bytes.into())
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Bytes)
        } else {
            deserializer.deserialize_bytes(Bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (KeyRing, KeyId) {
        let id = KeyId::Portfolio(PortfolioId::from_bytes([1; 16]));
        let mut ring = KeyRing::default();
        ring.insert(id, [9; 64]);
        (ring, id)
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_and_is_the_same_bytes_each_time() {
        let (ring, id) = ring();
        let note = Sealed::seal(&ring, id, &"call Ann".to_owned()).unwrap();
        assert_eq!(note.open(&ring).unwrap(), "call Ann");
        assert_eq!(note, Sealed::seal(&ring, id, &"call Ann".to_owned()).unwrap());
        assert!(!format!("{note:?}").contains("Ann"));
    }

    #[test]
    fn an_erased_key_makes_it_unreadable_and_an_altered_byte_is_found() {
        let (ring, id) = ring();
        let mut note = Sealed::seal(&ring, id, &"call Ann".to_owned()).unwrap();
        assert_eq!(note.open(&KeyRing::default()), Err(SealedError::NoKey(id)));
        for at in 0..note.sealed.len() {
            note.sealed[at] ^= 1;
            assert_eq!(note.open(&ring), Err(SealedError::NotAuthentic(id)));
            note.sealed[at] ^= 1;
        }
        let json = serde_json::to_string(&note).unwrap();
        assert_eq!(serde_json::from_str::<Sealed<String>>(&json).unwrap(), note);
    }

    #[test]
    fn a_key_file_reads_as_it_was_written_and_a_bad_line_is_named() {
        let (ring, id) = ring();
        let text = format!("{}\n{}\n", KeyRing::HEADER, KeyRing::line(id, &[9; 64]));
        assert_eq!(KeyRing::parse(&text).unwrap(), ring);
        assert_eq!(KeyRing::parse("").unwrap(), KeyRing::default());
        assert!(KeyRing::parse("hello\n").unwrap_err().to_string().contains("line 1"));
        let error = KeyRing::parse(&format!("{text}portfolio-x abc\n")).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
