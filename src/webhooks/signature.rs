//! Signatures of deliveries, the same in both directions: HMAC-SHA256 over the timestamp, a point and the body's bytes.

use crate::config::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// The header that says when a delivery was signed: seconds since 1970-01-01T00:00:00Z, in digits.
pub(crate) const TIMESTAMP: &str = "daybook-timestamp";
/// The header that holds the signatures: `v1=` and 64 hexadecimal digits, several with commas between.
pub(crate) const SIGNATURE: &str = "daybook-signature";
/// The header that names a delivery, the same each time that it is sent.
pub(crate) const DELIVERY: &str = "daybook-delivery";

/// What stands before a signature made in the way described here.
const SCHEME: &str = "v1=";
/// The most signatures of one delivery that are looked at.
const SIGNATURES_MAX: usize = 8;

fn mac(secret: &Secret, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

/// The value of the signature header: one signature by each secret, so that a receiver that changes its secret
/// recognises one of them at any time.
pub(crate) fn header(secrets: &[Secret], timestamp: &str, body: &[u8]) -> String {
    let signed = |secret: &Secret| {
        let digest = mac(secret, timestamp, body).finalize().into_bytes();
        digest.iter().fold(SCHEME.to_owned(), |text, byte| format!("{text}{byte:02x}"))
    };
    secrets.iter().map(signed).collect::<Vec<_>>().join(",")
}

/// Whether one of the signatures in a header was made with one of the secrets. Every pair is compared in constant time,
/// and all of them are, whichever matches.
pub(crate) fn is_signed(secrets: &[Secret], timestamp: &str, body: &[u8], header: &str) -> bool {
    let stated: Vec<[u8; 32]> = header
        .split(',')
        .filter_map(|part| digest(part.trim().strip_prefix(SCHEME)?))
        .take(SIGNATURES_MAX)
        .collect();
    let mut matches = false;
    for secret in secrets {
        let expected = mac(secret, timestamp, body).finalize().into_bytes();
        for digest in &stated {
            matches |= bool::from(expected.as_slice().ct_eq(digest));
        }
    }
    matches
}

/// Whether a text is one of the secrets, told in constant time: hashes are compared, so that not even the lengths show.
pub(crate) fn is_secret(secrets: &[Secret], text: &str) -> bool {
    let presented = blake3::hash(text.as_bytes());
    let mut matches = false;
    for secret in secrets {
        let expected = blake3::hash(secret.expose().as_bytes());
        matches |= bool::from(expected.as_bytes().ct_eq(presented.as_bytes()));
    }
    matches
}

/// By how many seconds a timestamp is off from the present, of one that is written as it should be.
pub(crate) fn seconds_off(timestamp: &str, now_seconds: i64) -> Option<u64> {
    let digits = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let stated: i64 = timestamp.parse().ok().filter(|_| digits)?;
    Some(stated.abs_diff(now_seconds))
}

/// Whether so many seconds are within a window, to either side.
pub(crate) fn is_within(seconds_off: u64, window: Duration) -> bool {
    seconds_off <= window.as_secs()
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new((*text).to_owned())).collect()
    }

    #[test]
    fn a_signature_is_the_published_hmac_of_timestamp_point_and_body() {
        // As `printf '1700000000.{"fills":[]}' | openssl dgst -sha256 -hmac Jefe` prints it.
        let header = header(&secrets(&["Jefe"]), "1700000000", b"{\"fills\":[]}");
        assert_eq!(header, EXPECTED);
        assert!(is_signed(&secrets(&["Jefe"]), "1700000000", b"{\"fills\":[]}", &header));
    }

    const EXPECTED: &str = "v1=dbd1ede93ba5d8c4c0a78e82b2ed70e5837bde44eec3b99c7961a1aa3a6f1433";

    #[test]
    fn any_of_several_signatures_by_any_of_several_secrets_will_do_and_nothing_else() {
        let both = header(&secrets(&["old-secret", "new-secret"]), "1", b"body");
        for known in [&["old-secret"][..], &["new-secret"], &["other", "new-secret"]] {
            assert!(is_signed(&secrets(known), "1", b"body", &both), "{known:?}");
        }
        assert!(is_signed(
            &secrets(&["new-secret"]),
            "1",
            b"body",
            &format!("v0=00, {}", both.to_uppercase().replace("V1", "v1"))
        ));
        for (timestamp, body, known) in
            [("2", &b"body"[..], "old-secret"), ("1", b"bodY", "old-secret"), ("1", b"body", "other")]
        {
            assert!(!is_signed(&secrets(&[known]), timestamp, body, &both));
        }
        for header in ["", "v1=", "v1=zz", "v2=00", &both[3..], &both[..60], ",,,"] {
            assert!(!is_signed(&secrets(&["old-secret"]), "1", b"body", header), "{header}");
        }
        assert!(!is_signed(&[], "1", b"body", &both));
    }

    #[test]
    fn a_timestamp_is_digits_and_off_by_what_it_is_off() {
        assert_eq!(seconds_off("1000", 1_300), Some(300));
        assert_eq!(seconds_off("1300", 1_000), Some(300));
        for text in ["", "-5", "+5", " 5", "1.5", "99999999999999", "2024-01-01T00:00:00Z", "５"] {
            assert_eq!(seconds_off(text, 0), None, "{text}");
        }
        assert!(is_within(300, Duration::from_secs(300)) && !is_within(301, Duration::from_secs(300)));
    }

    #[test]
    fn a_secret_is_recognised_whole() {
        let known = secrets(&["one-secret-of-many", "another"]);
        assert!(is_secret(&known, "one-secret-of-many") && is_secret(&known, "another"));
        for text in ["", "one-secret", "one-secret-of-many ", "ONE-SECRET-OF-MANY"] {
            assert!(!is_secret(&known, text), "{text}");
        }
    }
}
