//! The daemon against a broker from a seed.

pub(super) mod flaws;
mod schedules;
mod stage;

pub(in crate::sync::alpaca) use stage::order_of;
