//! The ledger through its public interface.

#![expect(clippy::panic, reason = "what tests share fails as tests do, with what it knows of the case")]

mod checkpoints;
mod common;
mod damage;
mod faults;
mod formats;
mod golden;
mod limits;
mod model;
mod opening;
mod sim;
mod together;
mod tree;
