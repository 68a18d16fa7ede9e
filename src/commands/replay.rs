//! `daybook replay`: everything folded anew from the log alone, printed as statements, or checked three ways.

use super::{CommandError, Context, Outcome, Place, terminal};
use crate::journal::{Access, Checked, Journal, JournalError, Moment, PortfolioView, Rebuilt, Stored};
use clap::{Args, ValueEnum};
use daybook_projections::{Position, Summary, Way};
use daybook_schemas::{Currency, KeyRing, PortfolioId};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;

/// How wide a statement's curve is drawn, in characters.
const CURVE_WIDTH: usize = 60;

/// Rebuild from the log alone and print the statement.
#[derive(Args, Debug)]
pub(super) struct Replay {
    /// Only this portfolio; all of them, if not said.
    #[arg(long, value_name = "ID")]
    portfolio: Option<String>,
    /// Only what had occurred by then: RFC 3339, or a date for the end of that day in the portfolio's zone.
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
    /// Only what had been recorded by then: RFC 3339, or a date for the end of that day in UTC.
    #[arg(long, value_name = "T", conflicts_with = "at_sequence")]
    known_at: Option<String>,
    /// Only what had been recorded up to this sequence.
    #[arg(long, value_name = "N")]
    at_sequence: Option<u64>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Fold three ways (stored snapshot, order of arrival, sorted) and compare; 1 at a difference.
    #[arg(long)]
    check: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// Positions and cash, a line each.
    Csv,
}

/// What was rebuilt, and from where.
struct Source {
    rebuilt: Rebuilt,
    /// The directory's journal, where it was read here.
    journal: Option<Journal>,
    /// Names by portfolio, where a service told them.
    names: BTreeMap<String, String>,
}

/// A portfolio's statement.
struct Statement {
    id: PortfolioId,
    name: Option<String>,
    summary: Summary,
    positions: Vec<(Position, String)>,
    sequence: u64,
    curve: Vec<Option<Decimal>>,
}

impl Replay {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let wanted = self
            .portfolio
            .as_deref()
            .map(str::parse::<PortfolioId>)
            .transpose()
            .map_err(|error| CommandError::Unusable(error.to_string()))?;
        let moment = Moment::parse(self.as_of.as_deref(), self.known_at.as_deref(), self.at_sequence)?;
        let Source { rebuilt, journal, names } = self.rebuild(context, wanted)?;
        if rebuilt.head() == 0 {
            return Err(CommandError::Unusable("the ledger holds no event".to_owned()));
        }
        let portfolios = match wanted {
            Some(id) => vec![id],
            None => rebuilt.portfolios(),
        };
        if self.check {
            let stored = if journal.is_some() { Stored::read(&context.data) } else { Stored::nothing() };
            return check(&rebuilt, &stored, &portfolios);
        }
        let ledger = journal.as_ref().map(Journal::ledger);
        let mut statements = Vec::new();
        for id in portfolios {
            match rebuilt
                .portfolio(id, &moment, ledger, |view| Statement::of(view, self.format == Format::Text))
            {
                Ok(mut statement) => {
                    statement.name = statement.name.or_else(|| names.get(&id.to_string()).cloned());
                    statements.push(statement);
                }
                // It was opened later than the moment knows.
                Err(JournalError::NotFound { .. }) if wanted.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
        if statements.is_empty() {
            terminal::remark("no portfolio was known then");
        }
        match self.format {
            Format::Text => print_text(&statements)?,
            Format::Json if wanted.is_some() => {
                for statement in &statements {
                    terminal::line(statement.to_json()?)?;
                }
            }
            Format::Json => {
                let items = statements.iter().map(Statement::to_json).collect::<Result<Vec<_>, _>>()?;
                terminal::line(json!({ "items": items, "next": null }))?;
            }
            Format::Csv => print_csv(&statements)?,
        }
        Ok(Outcome::Done)
    }

    fn rebuild(&self, context: &Context, wanted: Option<PortfolioId>) -> Result<Source, CommandError> {
        let place = context.place(Access::Read)?;
        let bar = terminal::Bar::new("replaying");
        let progress = bar.callback();
        let rebuilt = match place {
            Place::Here(journal) => {
                let rebuilt = journal.rebuild(wanted, self.check, &*progress)?;
                Source { rebuilt, journal: Some(*journal), names: BTreeMap::new() }
            }
            Place::There(remote) => {
                let mut rebuilt = Rebuilt::new(wanted, self.check, KeyRing::default());
                let head = remote.head()?;
                let mut fault = None;
                remote.records(0, head, &mut |record, _| {
                    progress(record.sequence, head);
                    if fault.is_none() {
                        fault = rebuilt.take(&record.view()).err();
                    }
                    Ok(())
                })?;
                if let Some(fault) = fault {
                    return Err(fault.into());
                }
                rebuilt.finish();
                // The keys stay where the directory is; the names are what the service says they are.
                let text = |portfolio: &Value, key: &str| portfolio[key].as_str().map(str::to_owned);
                let listed = remote.list("portfolios")?;
                let names = listed.iter().filter_map(|one| Some((text(one, "id")?, text(one, "name")?)));
                Source { rebuilt, journal: None, names: names.collect() }
            }
        };
        bar.finish();
        Ok(rebuilt)
    }
}

impl Statement {
    fn of(view: &PortfolioView<'_>, curve: bool) -> Self {
        let positions = view.positions().into_iter().map(|position| {
            let account = view.account_name(position.account);
            (position, account)
        });
        Self {
            id: view.portfolio.id,
            name: view.name(),
            summary: view.summary(),
            positions: positions.collect(),
            sequence: view.view.known,
            curve: if curve {
                view.equity(None, None).days.iter().map(|day| day.equity).collect()
            } else {
                Vec::new()
            },
        }
    }

    fn to_json(&self) -> Result<Value, CommandError> {
        let broken = |error: serde_json::Error| CommandError::Unusable(error.to_string());
        let mut told = serde_json::to_value(&self.summary).map_err(broken)?;
        let positions = self
            .positions
            .iter()
            .map(|(position, account)| {
                let mut told = serde_json::to_value(position)?;
                told["account_name"] = account.clone().into();
                Ok(told)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(broken)?;
        told["id"] = self.id.to_string().into();
        if let Some(name) = &self.name {
            told["name"] = name.clone().into();
        }
        told["sequence"] = self.sequence.into();
        told["positions"] = positions.into();
        Ok(told)
    }
}

fn check(rebuilt: &Rebuilt, stored: &Stored, portfolios: &[PortfolioId]) -> Result<Outcome, CommandError> {
    let mut outcome = Outcome::Done;
    let mut rows = Vec::new();
    for id in portfolios {
        let snapshot = stored.of(*id);
        let Checked { report, stored } = rebuilt.check(*id, snapshot.as_deref());
        let says = |way: Way| {
            if let Some(difference) = report.differences.iter().find(|difference| difference.way == way) {
                return format!("differs from event {} on", difference.sequence);
            }
            match (way, stored, &report.snapshot_refused) {
                (Way::Snapshot, false, _) => "none".to_owned(),
                (Way::Snapshot, true, Some(_)) => "unusable, to be rebuilt".to_owned(),
                _ => "agrees".to_owned(),
            }
        };
        if !report.agrees() {
            outcome = Outcome::No;
        }
        let digest = report.digests.iter().find(|(way, _)| *way == Way::Sorted);
        rows.push(vec![
            id.to_string(),
            report.events.to_string(),
            digest.map_or_else(String::new, |(_, digest)| hex(&digest[..8])),
            says(Way::Snapshot),
            says(Way::Arrival),
        ]);
    }
    terminal::line(terminal::lines(&terminal::table(
        &["PORTFOLIO", ">EVENTS", "DIGEST", "STORED SNAPSHOT", "ORDER OF ARRIVAL"],
        rows,
    )))?;
    terminal::remark(match outcome {
        Outcome::Done => "every fold agrees with the sorted one",
        Outcome::No => {
            "the folds differ: the snapshots can be removed with the directory `index`; an order of arrival that differs is a fault of this program"
        }
    });
    Ok(outcome)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn print_text(statements: &[Statement]) -> io::Result<()> {
    for (index, statement) in statements.iter().enumerate() {
        if index > 0 {
            terminal::line("")?;
        }
        print_statement(statement)?;
    }
    Ok(())
}

fn print_statement(statement: &Statement) -> io::Result<()> {
    let summary = &statement.summary;
    let name = statement.name.as_deref().unwrap_or("(name sealed)");
    terminal::line(format_args!(
        "{name}  {}\nas of {}, known up to event {}, in {}\n",
        statement.id,
        as_of(summary),
        statement.sequence,
        summary.currency
    ))?;
    let figures: [(&str, Option<Decimal>); 13] = [
        ("equity", summary.equity),
        ("market_value", summary.market_value),
        ("net_contributions", summary.net_contributions),
        ("realised", summary.realised),
        ("unrealised", summary.unrealised),
        ("income", summary.income),
        ("costs", summary.costs),
        ("fx", summary.fx),
        ("transferred_gain", summary.transferred_gain),
        ("unaccounted_cash", summary.unaccounted_cash),
        ("trade_fees", summary.trade_fees),
        ("taxes", summary.taxes),
        ("", None),
    ];
    let mut rows: Vec<Vec<String>> = figures
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| {
            let why = summary.missing.get(name).map(|why| format!("absent: {why}")).unwrap_or_default();
            vec![(*name).to_owned(), shown(*value, summary.currency), why]
        })
        .collect();
    for (currency, amount) in &summary.cash {
        rows.push(vec![format!("cash {currency}"), terminal::amount(*amount, *currency), String::new()]);
    }
    terminal::line(terminal::lines(&terminal::table(&["FIGURE", ">AMOUNT", ""], rows)))?;
    let curve = terminal::sparkline(&statement.curve, CURVE_WIDTH);
    if !curve.is_empty() {
        terminal::line(format_args!("\nequity by day  {curve}"))?;
    }
    if !statement.positions.is_empty() {
        let rows = statement.positions.iter().map(|(position, account)| {
            let currency = position.currency;
            let note = if position.stale {
                "stale"
            } else if position.unknown_basis {
                "basis unknown"
            } else {
                ""
            };
            vec![
                position.symbol.clone().unwrap_or_else(|| position.instrument.to_string()),
                account.clone(),
                position.quantity.map_or_else(|| "—".to_owned(), |quantity| quantity.to_string()),
                shown(position.basis, currency),
                position.price.map_or_else(|| "—".to_owned(), |price| price.to_string()),
                shown(position.market_value, currency),
                shown(position.unrealised, currency),
                shown(position.realised, currency),
                currency.to_string(),
                note.to_owned(),
            ]
        });
        terminal::line("")?;
        terminal::line(terminal::lines(&terminal::table(
            &[
                "SYMBOL",
                "ACCOUNT",
                ">QUANTITY",
                ">BASIS",
                ">PRICE",
                ">VALUE",
                ">UNREALISED",
                ">REALISED",
                "",
                "",
            ],
            rows,
        )))?;
    }
    print_remarks(summary)
}

fn print_remarks(summary: &Summary) -> io::Result<()> {
    let named = |list: &[daybook_projections::Named]| {
        let names =
            list.iter().map(|item| item.symbol.clone().unwrap_or_else(|| item.instrument.to_string()));
        let mut names: Vec<String> = names.collect();
        names.dedup();
        names.join(", ")
    };
    for (what, list) in [
        ("without a price", &summary.unpriced),
        ("price older than five days", &summary.stale),
        ("basis unknown", &summary.unknown_basis),
        ("history missing before", &summary.incomplete_history),
    ] {
        if !list.is_empty() {
            terminal::line(format_args!("{what}: {}", named(list)))?;
        }
    }
    for item in &summary.unaccounted {
        terminal::line(format_args!(
            "not accounted for: event {} {}: {}",
            item.sequence, item.event_type, item.reason
        ))?;
    }
    for warning in &summary.warnings {
        terminal::line(format_args!("note: {warning}"))?;
    }
    Ok(())
}

fn as_of(summary: &Summary) -> String {
    match summary.as_of {
        daybook_projections::AsOf::Day(day) => format!("the end of {day}"),
        daybook_projections::AsOf::Instant(instant) => instant.to_string(),
    }
}

fn shown(value: Option<Decimal>, currency: Currency) -> String {
    value.map_or_else(|| "—".to_owned(), |value| terminal::amount(value, currency))
}

fn print_csv(statements: &[Statement]) -> Result<(), CommandError> {
    let mut output = csv::Writer::from_writer(io::stdout().lock());
    let header = [
        "portfolio",
        "as_of",
        "symbol",
        "instrument",
        "account",
        "quantity",
        "basis",
        "currency",
        "price",
        "price_at",
        "market_value",
        "unrealised",
        "realised",
    ];
    let broken = |error: csv::Error| CommandError::Output(error.into());
    output.write_record(header).map_err(broken)?;
    let text = |value: Option<Decimal>| value.map_or_else(String::new, |value| value.to_string());
    for statement in statements {
        let as_of = match statement.summary.as_of {
            daybook_projections::AsOf::Day(day) => day.to_string(),
            daybook_projections::AsOf::Instant(instant) => instant.to_string(),
        };
        let id = statement.id.to_string();
        for (position, _) in &statement.positions {
            output
                .write_record([
                    &id,
                    &as_of,
                    position.symbol.as_deref().unwrap_or_default(),
                    &position.instrument.to_string(),
                    &position.account.to_string(),
                    &text(position.quantity),
                    &text(position.basis),
                    position.currency.as_str(),
                    &text(position.price),
                    &position.price_at.map_or_else(String::new, |at| at.to_string()),
                    &text(position.market_value),
                    &text(position.unrealised),
                    &text(position.realised),
                ])
                .map_err(broken)?;
        }
        for (currency, amount) in &statement.summary.cash {
            let amount = amount.to_string();
            let row = [&id, &as_of, "", "", "", &amount, "", currency.as_str(), "", "", &amount, "", ""];
            output.write_record(row).map_err(broken)?;
        }
    }
    output.flush()?;
    Ok(())
}
