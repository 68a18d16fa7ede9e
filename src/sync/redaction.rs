//! Keys are taken out of what a broker or a feed says, before anything is done with it: what is said may be logged, shown
//! and recorded.

use crate::config::Secret;

/// What stands in the place of a key.
const HIDDEN: &str = "…";
/// The shortest key that is looked for: shorter ones are in everything.
const SHORTEST: usize = 4;

/// Takes the keys out of an answer, in one pass over it for each of them.
pub(crate) fn bytes(said: &mut Vec<u8>, keys: &[Secret]) {
    for key in sought(keys).map(str::as_bytes) {
        let (mut rest, mut shown) = (said.as_slice(), Vec::new());
        while let Some(at) = rest.windows(key.len()).position(|part| part == key) {
            shown.extend_from_slice(&rest[..at]);
            shown.extend_from_slice(HIDDEN.as_bytes());
            rest = &rest[at + key.len()..];
        }
        if rest.len() < said.len() {
            shown.extend_from_slice(rest);
            *said = shown;
        }
    }
}

/// Takes the keys out of a text.
pub(crate) fn text(mut said: String, keys: &[Secret]) -> String {
    for key in sought(keys) {
        if said.contains(key) {
            said = said.replace(key, HIDDEN);
        }
    }
    said
}

fn sought(keys: &[Secret]) -> impl Iterator<Item = &str> {
    keys.iter().map(Secret::expose).filter(|key| key.len() >= SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_the_keys_is_shown_without_them() {
        let keys = ["s3cret", "PK1234", "x"].map(|key| Secret::new(key.to_owned()));
        let said = "{\"message\":\"key PK1234 with s3cret, s3cret is revoked\"}";
        let shown = "{\"message\":\"key … with …, … is revoked\"}";
        let mut body = said.as_bytes().to_vec();
        bytes(&mut body, &keys);
        assert_eq!(String::from_utf8(body).unwrap(), shown);
        assert_eq!(text(said.to_owned(), &keys), shown);
        assert_eq!(text("x".to_owned(), &keys), "x");
    }
}
