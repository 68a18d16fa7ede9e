//! The ledger through its public interface.

mod common;
mod damage;
mod faults;
mod model;
mod sim;
