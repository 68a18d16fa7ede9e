//! The projections through their public interface: worked examples by name, and the laws as properties.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod advice;
mod build;
mod digits;
mod examples;
mod laws;
mod library;
mod series;
mod suitability;
mod views;
