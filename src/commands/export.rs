//! `daybook export`: everything out, in a form that others read.

use super::{CommandError, Context, Outcome, Place, terminal};
use crate::journal::{Access, to_json};
use clap::{Args, ValueEnum};
use daybook_schemas::{PortfolioId, stream};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

/// Write everything out.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The form.
    #[arg(value_enum)]
    format: Form,
    /// Only what is in this portfolio's stream.
    #[arg(long, value_name = "ID")]
    portfolio: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// One event a line, losslessly.
    Jsonl,
    /// The generic CSV (not yet).
    Csv,
    /// Apache Parquet (not yet).
    Parquet,
    /// A beancount journal (not yet).
    Beancount,
    /// An hledger journal (not yet).
    Hledger,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        if self.format != Form::Jsonl {
            let name =
                self.format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
            return Err(CommandError::Unusable(format!("`{name}` cannot be written yet: export jsonl")));
        }
        let portfolio = self
            .portfolio
            .as_deref()
            .map(str::parse::<PortfolioId>)
            .transpose()
            .map_err(|error| CommandError::Unusable(error.to_string()))?;
        let only = portfolio.map(stream::portfolio);
        let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
        let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let bar = terminal::Bar::new("exporting");
        let progress = bar.callback();
        match context.place(Access::Read)? {
            Place::Here(journal) => {
                if let Some(id) = portfolio {
                    journal.portfolio_facts(id)?;
                }
                let head = journal.ledger().head();
                let mut written = Ok(());
                journal
                    .ledger()
                    .scan(1, head, &mut |record| {
                        if record.sequence % 1024 == 0 {
                            progress(record.sequence, head);
                        }
                        if wanted(record.stream) {
                            written = write_line(&mut output, &to_json(&record.to_owned()));
                        }
                        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    })
                    .map_err(crate::journal::JournalError::from)?;
                written?;
            }
            Place::There(remote) => {
                let head = remote.head()?;
                let mut written = Ok(());
                remote.records(0, head, &mut |record, _| {
                    progress(record.sequence, head);
                    if written.is_ok() && wanted(&record.stream) {
                        written = write_line(&mut output, &to_json(&record));
                    }
                    Ok(())
                })?;
                written?;
            }
        }
        output.flush()?;
        bar.finish();
        Ok(Outcome::Done)
    }
}

fn write_line(output: &mut impl Write, value: &serde_json::Value) -> io::Result<()> {
    serde_json::to_writer(&mut *output, value)?;
    output.write_all(b"\n")
}
