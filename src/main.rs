//! Daybook: an event-sourced trade journal ledger.
fn main() {}
