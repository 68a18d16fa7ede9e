//! The ledger through its public interface.

mod common;
mod damage;
mod faults;
mod formats;
mod golden;
mod model;
mod opening;
mod sim;
mod together;
