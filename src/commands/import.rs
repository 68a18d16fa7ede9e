//! `daybook import`: files in, each row once; listing imports and taking one back.

use super::{CommandError, Context, Outcome, Place, TextOrJson, terminal};
use crate::importers::{Adjustment, Format, PriceOptions};
use crate::journal::{Access, Author, ImportReport, ImportRequest, Journal};
use clap::{Args, Subcommand, ValueEnum};
use daybook_schemas::{ImportId, PortfolioId};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file that one import takes, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// The longest line of a file that is a table, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What a list says of each import.
const LISTED: [&str; 12] = [
    "id",
    "format",
    "file",
    "file_hash",
    "portfolio",
    "rows",
    "events",
    "known",
    "quarantined",
    "warnings",
    "recorded_at",
    "state",
];

/// Import a broker's export, a generic CSV or prices; list and revert imports.
#[derive(Args, Debug)]
pub(super) struct Import {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Import the generic CSV.
    Csv(Files),
    /// Import a Schwab transaction history.
    Schwab(Files),
    /// Import a Robinhood account activity report.
    Robinhood(Files),
    /// Import an IBKR report (not yet).
    Ibkr(Files),
    /// Import Alpaca account activities, as JSON.
    Alpaca(Files),
    /// Import prices.
    Prices(PriceFiles),
    /// List the imports.
    List(List),
    /// Declare that nothing an import brought ever happened.
    Revert(Revert),
}

#[derive(Args, Debug)]
struct Files {
    /// The files, in the order they are to be read.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The portfolio they go into.
    #[arg(long, value_name = "ID")]
    portfolio: String,
    /// Say what would be recorded, and record nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct PriceFiles {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The symbol of files that have no symbol column.
    #[arg(long, value_name = "S")]
    symbol: Option<String>,
    /// How the files' prices were adjusted.
    #[arg(long, value_enum, default_value = "none")]
    adjusted: AdjustedArgument,
    /// Say what would be recorded, and record nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum AdjustedArgument {
    /// They are as traded.
    None,
    /// They are adjusted for splits: undo that.
    Splits,
}

#[derive(Args, Debug)]
struct List {
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Args, Debug)]
struct Revert {
    /// The import's id.
    id: String,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
}

/// A file to be imported, wherever the ledger is.
struct Errand<'a> {
    format: Format,
    portfolio: Option<PortfolioId>,
    prices: PriceOptions,
    dry_run: bool,
    files: &'a [PathBuf],
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        match self.what {
            What::Csv(files) => files.run(Format::Csv, context),
            What::Schwab(files) => files.run(Format::Schwab, context),
            What::Robinhood(files) => files.run(Format::Robinhood, context),
            What::Ibkr(_) => Err(not_yet("ibkr")),
            What::Alpaca(files) => files.run(Format::Alpaca, context),
            What::Prices(files) => files.run(context),
            What::List(list) => list.run(context),
            What::Revert(revert) => revert.run(context),
        }
    }
}

fn not_yet(format: &str) -> CommandError {
    CommandError::Unusable(format!(
        "the format `{format}` cannot be read yet: convert the file to the generic CSV"
    ))
}

impl Files {
    fn run(self, format: Format, context: &Context) -> Result<Outcome, CommandError> {
        let portfolio = self.portfolio.parse().map_err(|error| CommandError::Unusable(format!("{error}")))?;
        let errand = Errand {
            format,
            portfolio: Some(portfolio),
            prices: PriceOptions::default(),
            dry_run: self.dry_run,
            files: &self.files,
        };
        errand.run(context)
    }
}

impl PriceFiles {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let adjusted = match self.adjusted {
            AdjustedArgument::None => Adjustment::None,
            AdjustedArgument::Splits => Adjustment::Splits,
        };
        let errand = Errand {
            format: Format::Prices,
            portfolio: None,
            prices: PriceOptions { symbol: self.symbol, adjusted },
            dry_run: self.dry_run,
            files: &self.files,
        };
        errand.run(context)
    }
}

impl Errand<'_> {
    fn run(&self, context: &Context) -> Result<Outcome, CommandError> {
        // Every file is read before the first is imported, so that a name mistyped in the middle changes nothing.
        let contents = self
            .files
            .iter()
            .map(|path| Ok((path, read(path, self.format)?)))
            .collect::<Result<Vec<_>, CommandError>>()?;
        // Prices may be the first thing that a ledger holds; a portfolio must be there already.
        let access = match (self.dry_run, self.portfolio) {
            (true, _) => Access::Read,
            (false, Some(_)) => Access::Write,
            (false, None) => Access::Create,
        };
        match context.place(access)? {
            Place::Here(journal) => {
                for (path, bytes) in &contents {
                    self.import_here(&journal, path, bytes)?;
                }
                journal.close()?;
            }
            Place::There(remote) => {
                for (path, bytes) in &contents {
                    let mut fields = vec![("format", self.format.name().to_owned())];
                    fields.push(("dry_run", self.dry_run.to_string()));
                    if let Some(symbol) = &self.prices.symbol {
                        fields.push(("symbol", symbol.clone()));
                    }
                    if self.prices.adjusted == Adjustment::Splits {
                        fields.push(("adjusted", "splits".to_owned()));
                    }
                    let route = match self.portfolio {
                        Some(portfolio) => format!("portfolios/{portfolio}/imports"),
                        None => "prices/imports".to_owned(),
                    };
                    print(path, &remote.upload(&route, &fields, &name(path), bytes)?, self.dry_run)?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    fn import_here(&self, journal: &Journal, path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
        let name = name(path);
        let request = ImportRequest {
            format: self.format,
            file_name: &name,
            bytes,
            portfolio: self.portfolio,
            prices: self.prices.clone(),
            dry_run: self.dry_run,
        };
        let bar = terminal::Bar::new("importing");
        let progress = bar.callback();
        let report = journal.import(&Author::operator(), &request, None, &*progress);
        bar.finish();
        print(path, &report?.to_json(), self.dry_run)
    }
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Reads a file. A table with a line that goes on and on, or that never ends, is given up early, and so is JSON that
/// does not begin as such; a list of JSON may be one line.
fn read(path: &Path, format: Format) -> Result<Vec<u8>, CommandError> {
    let unusable = |what: String| CommandError::Unusable(format!("{}: {what}", path.display()));
    let mut file = std::fs::File::open(path).map_err(|error| unusable(error.to_string()))?;
    let mut bytes = Vec::new();
    let mut block = vec![0; 1 << 16];
    // The line at hand, and where it begins.
    let (mut line, mut start) = (1u64, 0);
    loop {
        let read = match file.read(&mut block) {
            Ok(0) => return Ok(bytes),
            Ok(read) => &block[..read],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unusable(error.to_string())),
        };
        for (place, _) in read.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            line += 1;
            start = bytes.len() + place + 1;
        }
        if (bytes.len() + read.len()) as u64 > FILE_BYTES_MAX {
            return Err(unusable(format!("the file is larger than {} MiB: split it", FILE_BYTES_MAX >> 20)));
        }
        let json = format == Format::Alpaca;
        let begins = !bytes.is_empty() || read.iter().any(|byte| matches!(byte, b'[' | b'{'));
        if json && (!begins || read.contains(&0)) {
            return Err(unusable(
                "the file does not begin with a list or an object, or holds bytes that no text has, so this is no JSON: check that it is the right file"
                    .to_owned(),
            ));
        }
        bytes.extend_from_slice(read);
        if !json && bytes.len() - start > LINE_BYTES_MAX {
            return Err(CommandError::Unusable(format!(
                "{}:{line}: the line is longer than {LINE_BYTES_MAX} bytes, so this is no table of rows: check that it is the right file",
                path.display()
            )));
        }
    }
}

impl ImportReport {
    /// The report as programs read it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "import": self.import.map(|id| id.to_string()),
            "rows": self.rows,
            "events": self.events,
            "known": self.known,
            "quarantined": self.quarantined.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}

/// What happened goes to stderr; the import's id is the result.
fn print(path: &Path, report: &Value, dry_run: bool) -> Result<(), CommandError> {
    let file = name(path);
    for warning in report["warnings"].as_array().into_iter().flatten() {
        terminal::remark(format_args!("warning: {}", warning.as_str().unwrap_or_default()));
    }
    let quarantined = report["quarantined"].as_array().map_or(&[][..], Vec::as_slice);
    for item in quarantined {
        terminal::remark(format_args!(
            "quarantined: {file}:{}: {}",
            item["line"],
            item["reason"].as_str().unwrap_or_default()
        ));
    }
    let would = if dry_run { "would be " } else { "" };
    terminal::remark(format_args!(
        "{file}: {} rows, {} known already, {} {would}quarantined",
        report["rows"],
        report["known"],
        quarantined.len()
    ));
    let events = report["events"].as_object();
    let rows = events
        .into_iter()
        .flatten()
        .map(|(event, count)| vec![event.clone(), count.to_string()])
        .collect::<Vec<_>>();
    if rows.is_empty() {
        terminal::remark("nothing new");
    } else {
        let heading = if dry_run { ">WOULD BE NEW" } else { ">NEW" };
        terminal::remark(terminal::lines(&terminal::table(&["EVENT", heading], rows)));
    }
    if let Some(id) = report["import"].as_str()
        && !dry_run
    {
        terminal::line(format_args!("import {id}"))?;
    }
    Ok(())
}

impl List {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let imports: Vec<Value> = match context.place(Access::Read)? {
            Place::Here(journal) => journal.import_list()?,
            Place::There(remote) => super::as_listed_here(remote.list("imports")?, &LISTED),
        };
        if self.format == TextOrJson::Json {
            terminal::line(json!({ "items": imports, "next": null }))?;
            return Ok(Outcome::Done);
        }
        let rows = imports.iter().map(|import| {
            let text = |key: &str| import[key].as_str().unwrap_or("—").to_owned();
            vec![
                text("id"),
                text("format"),
                text("file"),
                text("portfolio"),
                import["events"].to_string(),
                import["quarantined"].to_string(),
                text("recorded_at"),
                text("state"),
            ]
        });
        terminal::line(terminal::lines(&terminal::table(
            &["ID", "FORMAT", "FILE", "PORTFOLIO", ">EVENTS", ">QUARANTINED", "RECORDED", "STATE"],
            rows,
        )))?;
        Ok(Outcome::Done)
    }
}

impl Revert {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let id: ImportId = self.id.parse().map_err(|error| CommandError::Unusable(format!("{error}")))?;
        match context.place(Access::Write)? {
            Place::Here(journal) => {
                journal.revert_import(&Author::operator(), id, self.reason.as_deref(), None)?;
                journal.close()?;
            }
            Place::There(remote) => {
                remote.post(&format!("imports/{id}/revert"), &json!({ "reason": self.reason }))?;
            }
        }
        terminal::remark(format_args!("reverted {id}"));
        Ok(Outcome::Done)
    }
}
