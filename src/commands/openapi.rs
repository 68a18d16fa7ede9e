//! `daybook openapi`: the service's OpenAPI document, as it is served and as it is committed.

use super::{CommandError, Context, Outcome, terminal};
use crate::api;
use clap::Args;

/// Print the service's OpenAPI document.
#[derive(Args, Debug)]
pub(super) struct Openapi {}

impl Openapi {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        context.refuse_server("openapi")?;
        terminal::line(api::specification().trim_end())?;
        Ok(Outcome::Done)
    }
}
