//! The ledger through its public interface.

mod common;
mod model;
