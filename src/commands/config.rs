//! `daybook config`: what is in effect, and where each value came from; secrets are never printed.

use super::{CommandError, Configured, Context, Edges, Outcome, TextOrJson, terminal};
use crate::config::EXAMPLE;
use clap::Args;

/// Print the effective configuration and where each value came from.
#[derive(Args, Debug)]
pub(super) struct Configuration {
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
    /// Print a complete, commented configuration file instead.
    #[arg(long, conflicts_with_all = ["format", "config"])]
    example: bool,
    #[command(flatten)]
    configured: Configured,
    #[command(flatten)]
    edges: Edges,
}

impl Configuration {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        context.refuse_server("config")?;
        if self.example {
            terminal::line(EXAMPLE.trim_end())?;
            return Ok(Outcome::Done);
        }
        let provenance = self.configured.load_with(context, None, self.edges.into())?.provenance;
        if self.format == TextOrJson::Json {
            terminal::line(provenance.to_json())?;
            return Ok(Outcome::Done);
        }
        let rows = provenance
            .settings
            .iter()
            .map(|setting| vec![setting.key.clone(), setting.shown(), setting.origin.to_string()]);
        terminal::line(terminal::lines(&terminal::table(&["KEY", "VALUE", "FROM"], rows)))?;
        for remark in &provenance.remarks {
            terminal::remark(remark);
        }
        Ok(Outcome::Done)
    }
}
