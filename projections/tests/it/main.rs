//! The projections through their public interface: worked examples by name, and the laws as properties.

mod build;
mod examples;
mod laws;
mod library;
mod series;
mod views;
