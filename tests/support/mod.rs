//! What every test stands on: a directory of its own, the executable at work in it, and the service that it runs.

mod client;
mod directory;
mod figures;
mod files;
mod service;
mod tracing;

pub(crate) use client::{Answer, Client};
pub(crate) use directory::{Directory, Ran};
pub(crate) use figures::{d, decimal, figures, identity_holds, position, without};
pub(crate) use files::{files_below, flip, tree};
pub(crate) use service::Service;
pub(crate) use tracing::{Call, strace, traced};
