//! What a row is recognised by when it comes again.

use daybook_schemas::{KeyRing, SealedError};

use super::PortfolioFacts;
use blake3::Hasher;

/// The longest id of a source that stands in a key as it is.
const ID_BYTES_MAX: usize = 96;

/// The hash of what a row says: its filled columns by name, each in its normal form.
pub(crate) fn content<'a>(columns: impl Iterator<Item = (&'a str, &'a str)>) -> [u8; 32] {
    let mut hasher = Hasher::new();
    for (name, text) in columns {
        for part in [name, text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    *hasher.finalize().as_bytes()
}

/// The hash of a row of a portfolio, under the key of its owner: without the key nobody can tell a guessed account, name
/// or amount by it, also after the key was erased.
///
/// # Errors
/// [`SealedError::NoKey`].
pub(super) fn under_key(
    content: [u8; 32],
    keys: &KeyRing,
    portfolio: &PortfolioFacts,
) -> Result<[u8; 32], SealedError> {
    keys.keyed_hash(portfolio.key, &format!("row {}", blake3::Hash::from_bytes(content).to_hex()))
}

/// The identity of a row with an id of its source: the id itself, or its hash where it cannot stand in a key.
pub(crate) fn of_id(id: &str) -> String {
    let plain = id.len() <= ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
        && !id.starts_with("row:")
        && !id.starts_with("id:");
    if plain { id.to_owned() } else { format!("id:{}", short(blake3::hash(id.as_bytes()).as_bytes())) }
}

/// The identity of a row without an id: what it says, and its number among equal rows.
pub(super) fn of_content(content: &[u8; 32], ordinal: u64) -> String {
    format!("row:{}:{ordinal}", short(content))
}

/// The first half of a hash, enough to tell rows apart.
fn short(hash: &[u8; 32]) -> String {
    let mut text = blake3::Hash::from_bytes(*hash).to_hex().to_string();
    text.truncate(32);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_as_it_is_unless_it_could_be_taken_for_something_else() {
        assert_eq!(of_id("T-1"), "T-1");
        for odd in ["a#1", "row:x:0", "id:x", "a b", "é", &"x".repeat(97)] {
            assert!(of_id(odd).starts_with("id:") && of_id(odd).len() == 35, "{odd}");
        }
    }

    #[test]
    fn content_depends_on_every_column_and_on_their_borders() {
        let of = |columns: &[(&'static str, &'static str)]| content(columns.iter().copied());
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("a", "1"), ("b", "2")]));
        assert_ne!(of(&[("a", "1"), ("b", "2")]), of(&[("a", "12"), ("b", "")]));
        assert_ne!(of_content(&[0; 32], 0), of_content(&[0; 32], 1));
    }
}
