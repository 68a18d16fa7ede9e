//! The formats of the vocabulary, held against files that were written once.
//!
//! Goldens and JSON Schemas are only written anew with `DAYBOOK_BLESS=1 cargo test -p daybook-schemas --test formats`;
//! what that changes is a change of format, to be read line by line before it is committed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod codes;
mod events;
mod examples;
mod json_schemas;
mod layout;
mod round_trips;

use std::path::PathBuf;

/// A file of this crate.
fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The text of a file that was written once, after writing it anew where that was asked for.
fn kept(relative: &str, fresh: &str) -> String {
    let path = path(relative);
    if std::env::var_os("DAYBOOK_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, fresh).unwrap();
    }
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} cannot be read ({error}): {BLESS}", path.display()));
    text.replace("\r\n", "\n")
}

/// What to do where a fresh text is not the one that is kept.
const BLESS: &str = "if the format is meant to change, run with DAYBOOK_BLESS=1 and read what changed";

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text} is not hexadecimal");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
