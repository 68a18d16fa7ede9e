//! Metrics: what the service counts while it works, and the page on which whoever watches it reads that.
//!
//! What is counted on the way of a request is counted in atomics. Everything else is asked for when the page is read, so
//! that nothing is kept twice.

mod exposition;
mod page;
mod process;
mod requests;

pub(crate) use page::{MEDIA_TYPE, Metrics};
pub(crate) use requests::Requests;
