//! Signed notes (C2SP `signed-note`): text with Ed25519 signatures under it, and the keys in the form that others
//! exchange them in.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer};
use sha2::{Digest, Sha256};

/// What says that a key is one for Ed25519.
const ED25519: u8 = 1;
/// The most bytes that a note may have: sixteen signatures of any scheme fit.
pub const NOTE_BYTES_MAX: usize = 128 << 10;
/// What begins the text of a signing key.
const PRIVATE: &str = "PRIVATE+KEY+";

/// Why text is no note or no key, or a note is not signed by a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not a note.
    #[error("it is no signed note: {0}")]
    Malformed(&'static str),
    /// It is not a verifier key.
    #[error("it is no verifier key (`name+hash+key`): {0}")]
    Key(&'static str),
    /// It is not a signing key. What it says is not repeated.
    #[error("it is no signing key: {0}")]
    SigningKey(&'static str),
    /// No signature is by the key.
    #[error("it is not signed by {0}")]
    Unsigned(Box<str>),
    /// A signature says that it is by the key, and is not.
    #[error("its signature by {0} is wrong: the text or the signature was changed")]
    Forged(Box<str>),
}

/// What tells a key's signatures from others, beside its name.
type KeyId = [u8; 4];

fn key_id(name: &str, key: &[u8; 32]) -> KeyId {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|char: char| char.is_whitespace() || char.is_control() || char == '+')
}

/// Takes a name, a key id in hexadecimal and the base64 of a type byte and 32 bytes apart. Base64 may have a `+` too.
fn parse_key(text: &str) -> Result<(&str, KeyId, [u8; 32]), &'static str> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it does not have three parts");
    };
    if !is_name(name) {
        return Err("its name is empty or holds a space");
    }
    let id = Some(id)
        .filter(|id| id.len() == 8 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    let id = id
        .and_then(|id| u32::from_str_radix(id, 16).ok())
        .ok_or("its hash is not eight hexadecimal digits")?;
    let bytes = STANDARD.decode(key).map_err(|_| "its key is not base64")?;
    let Some((kind, key)) = bytes.split_first() else { return Err("its key is empty") };
    if *kind != ED25519 {
        return Err("its key is not one for Ed25519");
    }
    let key = key.try_into().map_err(|_| "its key does not have 32 bytes")?;
    Ok((name, id.to_be_bytes(), key))
}

/// A public key with its name, as `name+hash+key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: Box<str>,
    id: KeyId,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<VerifierKey, NoteError> {
        let (name, id, key) = parse_key(text).map_err(NoteError::Key)?;
        if key_id(name, &key) != id {
            return Err(NoteError::Key("its hash is not that of its name and key"));
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or(NoteError::Key("it is no point that a key can be"))?;
        Ok(VerifierKey { name: name.into(), id, key })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(out, &self.name, self.id, self.key.as_bytes())
    }
}

fn write_key(out: &mut impl fmt::Write, name: &str, id: KeyId, key: &[u8; 32]) -> fmt::Result {
    let mut bytes = [ED25519; 33];
    bytes[1..].copy_from_slice(key);
    write!(out, "{name}+{:08x}+{}", u32::from_be_bytes(id), STANDARD.encode(bytes))
}

/// A key that signs. It is never shown but by [`SigningKey::secret_text`].
#[derive(Clone)]
pub struct SigningKey {
    verifier: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.verifier.name)
    }
}

impl SigningKey {
    /// The key that a secret makes.
    ///
    /// # Errors
    ///
    /// The name cannot be one of a key.
    pub fn from_secret(name: &str, secret: &[u8; 32]) -> Result<SigningKey, NoteError> {
        if !is_name(name) {
            return Err(NoteError::SigningKey("its name is empty or holds a space"));
        }
        let key = ed25519_dalek::SigningKey::from_bytes(secret);
        let public = key.verifying_key();
        let id = key_id(name, public.as_bytes());
        Ok(SigningKey { verifier: VerifierKey { name: name.into(), id, key: public }, key })
    }

    /// Reads what [`secret_text`](Self::secret_text) wrote.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that do not repeat it.
    pub fn from_secret_text(text: &str) -> Result<SigningKey, NoteError> {
        let text = text.strip_prefix(PRIVATE).ok_or(NoteError::SigningKey("it does not begin as one"))?;
        let (name, id, secret) = parse_key(text).map_err(NoteError::SigningKey)?;
        let key = SigningKey::from_secret(name, &secret)?;
        if key.verifier.id != id {
            return Err(NoteError::SigningKey("its hash is not that of its name and key"));
        }
        Ok(key)
    }

    /// The whole key as text, the secret included: `PRIVATE+KEY+name+hash+key`.
    #[must_use]
    pub fn secret_text(&self) -> String {
        let mut text = PRIVATE.to_owned();
        // Writing to a string does not fail.
        let _ = write_key(&mut text, &self.verifier.name, self.verifier.id, self.key.as_bytes());
        text
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// A note over `text`, which ends in a newline.
    pub(crate) fn sign(&self, text: &str) -> String {
        debug_assert!(text.ends_with('\n'), "the text of a note ends in a newline");
        let mut bytes = self.verifier.id.to_vec();
        bytes.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n— {} {}\n", self.verifier.name, STANDARD.encode(bytes))
    }
}

/// Text with the signatures under it, nothing of which is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The text, its last newline included.
    pub text: &'a str,
    signatures: Vec<(&'a str, KeyId, Vec<u8>)>,
}

impl<'a> Note<'a> {
    /// Takes a note apart; all of `note` must be it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(note: &'a str) -> Result<Note<'a>, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is longer than 128 KiB"));
        }
        if note.contains(|char: char| char.is_ascii_control() && char != '\n') {
            return Err(NoteError::Malformed("it holds a control character"));
        }
        let end =
            note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line stands before its signatures"))?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        if text.len() == 1 {
            return Err(NoteError::Malformed("it has no text"));
        }
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("its last line does not end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            let rest = line.strip_prefix("— ").ok_or(NoteError::Malformed("a line is not a signature"))?;
            let (name, bytes) =
                rest.split_once(' ').ok_or(NoteError::Malformed("a signature has no name"))?;
            if !is_name(name) {
                return Err(NoteError::Malformed("a signature has no name that a key can have"));
            }
            let bytes =
                STANDARD.decode(bytes).map_err(|_| NoteError::Malformed("a signature is not base64"))?;
            let (id, bytes) =
                bytes.split_first_chunk().ok_or(NoteError::Malformed("a signature is too short"))?;
            signatures.push((name, *id, bytes.to_vec()));
        }
        Ok(Note { text, signatures })
    }

    /// Checks that the key signed the text. Signatures by others are not looked at.
    ///
    /// # Errors
    ///
    /// It did not, or its signature is wrong.
    pub fn check(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let own = |(name, id, _): &&(&str, KeyId, Vec<u8>)| **name == *key.name && *id == key.id;
        let mut signed = false;
        for (_, _, bytes) in self.signatures.iter().filter(own) {
            let signature = bytes.as_slice().try_into().map(|bytes| Signature::from_bytes(&bytes));
            signature
                .ok()
                .and_then(|signature| key.key.verify_strict(self.text.as_bytes(), &signature).ok())
                .ok_or_else(|| NoteError::Forged(key.name.clone()))?;
            signed = true;
        }
        if signed { Ok(()) } else { Err(NoteError::Unsigned(key.name.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_secret("example.com/log", &[7; 32]).unwrap()
    }

    #[test]
    fn keys_come_back_from_their_text_and_are_refused_when_a_part_is_changed() {
        let (signing, verifier) = (key(), key().verifier().to_string());
        assert_eq!(verifier.parse::<VerifierKey>().as_ref(), Ok(signing.verifier()));
        let back = SigningKey::from_secret_text(&signing.secret_text()).unwrap();
        assert_eq!(back.verifier(), signing.verifier());
        assert!(!format!("{signing:?}").contains(signing.secret_text().rsplit('+').next().unwrap()));
        let other = verifier.replace("example.com/log", "example.com/other");
        assert_eq!(
            other.parse::<VerifierKey>(),
            Err(NoteError::Key("its hash is not that of its name and key"))
        );
        for bad in
            ["", "a", "a+b", "a+00000000+", "a+0000000g+AQ==", "a b+00000000+AQ==", "a+00000000+AQ==", "+0+0"]
        {
            assert!(matches!(bad.parse::<VerifierKey>(), Err(NoteError::Key(_))), "{bad}");
            assert!(SigningKey::from_secret_text(&format!("{PRIVATE}{bad}")).is_err(), "{bad}");
        }
        assert!(SigningKey::from_secret_text(&verifier).is_err());
    }

    #[test]
    fn a_note_is_believed_only_as_it_was_signed() {
        let note = key().sign("a text\n\nof two parts\n");
        let parsed = Note::parse(&note).unwrap();
        assert_eq!(parsed.text, "a text\n\nof two parts\n");
        assert_eq!(parsed.check(key().verifier()), Ok(()));
        let other = SigningKey::from_secret("example.com/log", &[8; 32]).unwrap();
        assert_eq!(parsed.check(other.verifier()), Err(NoteError::Unsigned("example.com/log".into())));
        let changed = note.replace("two", "few");
        let forged = Err(NoteError::Forged("example.com/log".into()));
        assert_eq!(Note::parse(&changed).unwrap().check(key().verifier()), forged);
        // A stranger's signature beside it changes nothing.
        let line = other.sign("x\n").lines().last().unwrap().replace("example.com", "elsewhere.org");
        let both = format!("{note}{line}\n");
        assert_eq!(Note::parse(&both).unwrap().check(key().verifier()), Ok(()));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let note = key().sign("a text\n");
        for bad in [
            String::new(),
            "a text\n".to_owned(),
            "\n\n".to_owned(),
            note.trim_end().to_owned(),
            format!("{note}\n"),
            format!("{note}more\n"),
            note.replace("— ", "- "),
            note.replace("a text", "a\ttext"),
            note.replace("a text", "a\r\ntext"),
            format!("\n{}", note.split_once("\n\n").unwrap().1),
            "text\n\n— name AAAA\n".to_owned(),
            "text\n\n— name !!!!\n".to_owned(),
            "text\n\n— name\n".to_owned(),
            "a".repeat(NOTE_BYTES_MAX) + &note,
        ] {
            assert!(matches!(Note::parse(&bad), Err(NoteError::Malformed(_))), "{bad:.60}");
        }
    }
}
