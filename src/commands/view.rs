//! `daybook view`: what an advisor, the firm and a client see, drawn.

use super::{CommandError, Context, Outcome, Place, TextOrJson, terminal};
use crate::journal::{Access, JournalError, Moment, ViewRequest, Viewer, instant};
use clap::{Args, Subcommand};
use daybook_projections::Reach;
use daybook_schemas::{Currency, Day, decimal};
use rust_decimal::Decimal;
use serde_json::Value;

/// Show what an advisor, the firm or a client sees.
#[derive(Args, Debug)]
pub(super) struct View {
    #[command(subcommand)]
    of: Of,
}

#[derive(Subcommand, Debug)]
enum Of {
    /// Clients off profile, drift, drawdowns, reviews and recommendations of an advisor.
    Advisor {
        /// The advisor's id.
        id: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Every advisor beside the others, exceptions, outliers and what all assets rest on.
    Firm {
        #[command(flatten)]
        asked: Asked,
    },
    /// A client's portfolios, who serves, and what was recommended.
    Client {
        /// The party's id.
        id: String,
        #[command(flatten)]
        asked: Asked,
    },
}

/// From where it is seen.
#[derive(Args, Debug)]
struct Asked {
    /// Only what had occurred by then: a day or an instant; today if not said.
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
    /// Only what had been recorded by then.
    #[arg(long, value_name = "T", conflicts_with = "at_sequence")]
    known_at: Option<String>,
    /// Only what had been recorded up to this event.
    #[arg(long, value_name = "N")]
    at_sequence: Option<u64>,
    /// The first day of the period; that of the quarter if not said.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The currency of sums over several currencies.
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

impl View {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let (kind, id, asked) = match self.of {
            Of::Advisor { id, asked } => ("advisor", Some(id), asked),
            Of::Firm { asked } => ("firm", None, asked),
            Of::Client { id, asked } => ("client", Some(id), asked),
        };
        let view = match context.place(Access::Read)? {
            Place::Here(journal) => {
                let unreadable = |field: &str, why: String| JournalError::field(field, why);
                let named = id.as_deref().unwrap_or_default();
                let viewer = match kind {
                    "advisor" => Viewer::Advisor(
                        named.parse().map_err(|error| unreadable("ID", format!("`{named}`: {error}")))?,
                    ),
                    "client" => Viewer::Client(
                        named.parse().map_err(|error| unreadable("ID", format!("`{named}`: {error}")))?,
                    ),
                    _ => Viewer::Firm,
                };
                let moment =
                    Moment::parse(asked.as_of.as_deref(), asked.known_at.as_deref(), asked.at_sequence)?;
                let from = asked
                    .from
                    .as_deref()
                    .map(|text| Day::parse(text).map_err(|error| unreadable("from", error.to_string())))
                    .transpose()?;
                let currency = asked
                    .currency
                    .as_deref()
                    .map(|text| Currency::parse(text).map_err(|error| unreadable("currency", error)))
                    .transpose()?;
                let request = ViewRequest { viewer, moment, from, currency, reach: Reach::Everything };
                let mut viewed = journal.firm_view(&request)?;
                viewed.body.insert("sequence".to_owned(), viewed.sequence.into());
                Value::Object(viewed.body)
            }
            Place::There(remote) => {
                let path = match &id {
                    Some(id) => format!("views/{kind}/{id}"),
                    None => format!("views/{kind}"),
                };
                let mut query = Vec::new();
                for (name, value) in [
                    ("as_of", &asked.as_of),
                    ("known_at", &asked.known_at),
                    ("from", &asked.from),
                    ("currency", &asked.currency),
                ] {
                    if let Some(value) = value {
                        query.push(format!("{name}={}", value.replace('+', "%2B").replace(' ', "%20")));
                    }
                }
                if let Some(known_at) = &asked.known_at {
                    instant("known_at", known_at)?;
                }
                query.extend(asked.at_sequence.map(|sequence| format!("at_sequence={sequence}")));
                remote.get(&format!("{path}?{}", query.join("&")))?
            }
        };
        match asked.format {
            TextOrJson::Json => terminal::line(&view)?,
            TextOrJson::Text => match kind {
                "advisor" => advisor(&view)?,
                "firm" => firm(&view)?,
                _ => client(&view)?,
            },
        }
        Ok(Outcome::Done)
    }
}

const NONE: &str = "—";

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => NONE.to_owned(),
    }
}

/// The name of something that has one; its id, where the key was erased.
fn called(value: &Value) -> String {
    text(value.get("name").unwrap_or(&value["id"]))
}

fn number(value: &Value) -> Option<Decimal> {
    decimal::parse(value.as_str()?).ok()
}

fn percent(value: &Value) -> String {
    number(value).map_or_else(
        || NONE.to_owned(),
        |value| format!("{} %", terminal::grouped(value * Decimal::ONE_HUNDRED, 1)),
    )
}

fn amount(value: &Value, currency: &Value) -> String {
    match (number(value), currency.as_str().and_then(|code| Currency::parse(code).ok())) {
        (Some(value), Some(currency)) => terminal::amount(value, currency),
        _ => NONE.to_owned(),
    }
}

/// A sum in the currency of the view; what it is made of by currency, where it cannot be told.
fn sum(value: &Value) -> String {
    if value.get("total").is_some() {
        return format!("{} {}", amount(&value["total"], &value["currency"]), text(&value["currency"]));
    }
    let parts = value["by_currency"].as_object().into_iter().flatten();
    let parts: Vec<String> =
        parts.map(|(code, part)| format!("{} {code}", amount(part, &Value::from(code.as_str())))).collect();
    if parts.is_empty() { NONE.to_owned() } else { format!("{} and what is not known", parts.join(" + ")) }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn curve(value: &Value) -> String {
    let values: Vec<Option<Decimal>> = items(value).iter().map(number).collect();
    terminal::sparkline(&values, 24)
}

fn table(columns: &[&str], rows: Vec<Vec<String>>) -> Result<(), CommandError> {
    if !rows.is_empty() {
        terminal::line("")?;
        terminal::line(terminal::lines(&terminal::table(columns, rows)))?;
    }
    Ok(())
}

fn heading(title: &str, view: &Value) -> Result<(), CommandError> {
    terminal::line(title)?;
    terminal::line(format_args!(
        "as of {}, from {}, reflecting event {}",
        text(&view["as_of"]),
        text(&view["from"]),
        text(&view["sequence"])
    ))?;
    for (figure, reason) in view["missing"].as_object().into_iter().flatten() {
        terminal::line(format_args!("{figure} is not complete: {}", text(reason)))?;
    }
    Ok(())
}

fn sums(view: &Value) -> Result<(), CommandError> {
    terminal::line(format_args!("assets {}, net flow {}", sum(&view["assets"]), sum(&view["net_flow"])))?;
    Ok(())
}

fn counts(counts: &Value) -> Result<(), CommandError> {
    terminal::line(format_args!(
        "{} clients with {} portfolios: {} clients off profile, {} drawdown breaches, {} portfolios drifting, {} reviews overdue, {} due",
        text(&counts["clients"]),
        text(&counts["portfolios"]),
        text(&counts["clients_off_profile"]),
        text(&counts["drawdown_breaches"]),
        text(&counts["drifting"]),
        text(&counts["reviews_overdue"]),
        text(&counts["reviews_due"]),
    ))?;
    Ok(())
}

fn outcome(mean: &Value) -> String {
    if mean.get("mean").is_none() {
        return text(&mean["missing"]);
    }
    let interval = match mean.get("low") {
        Some(low) => format!(" ({} to {})", percent(low), percent(&mean["high"])),
        None => String::new(),
    };
    format!("{}{interval} over {}", percent(&mean["mean"]), text(&mean["count"]))
}

fn advice(advice: &Value) -> Result<(), CommandError> {
    let outcome_of = &advice["outcome"];
    terminal::line(format_args!(
        "recommendations of the period: {} issued, {} accepted, {} declined, {} expired; {} open",
        text(&advice["issued"]),
        text(&advice["accepted"]),
        text(&advice["declined"]),
        text(&advice["expired"]),
        text(&advice["open"]),
    ))?;
    terminal::line(format_args!(
        "beyond the benchmark after {} days: all {}; accepted {}",
        text(&outcome_of["horizon_days"]),
        outcome(&outcome_of["issued"]),
        outcome(&outcome_of["accepted"]),
    ))?;
    Ok(())
}

fn exceptions(view: &Value) -> Result<(), CommandError> {
    let rows = items(&view["exceptions"])
        .iter()
        .map(|one| {
            vec![
                text(&one["state"]),
                text(&one["days"]),
                called(&one["party"]),
                called(&one["portfolio"]),
                called(&one["advisor"]),
                text(&one["recommendation"]),
            ]
        })
        .collect();
    table(&["EXCEPTION", ">DAYS", "CLIENT", "PORTFOLIO", "ADVISOR", "RECOMMENDATION"], rows)
}

fn portfolio_row(owner: String, item: &Value) -> Vec<String> {
    let class = match (item.get("risk_class"), item.get("risk_class_max")) {
        (Some(class), Some(most)) => format!("{class}/{most}"),
        (Some(class), None) => text(class),
        _ => NONE.to_owned(),
    };
    let drawdown = &item["drawdown"];
    let worst = items(&item["drift"]["sleeves"]).first();
    vec![
        owner,
        text(item.get("name").unwrap_or(&item["portfolio"])),
        amount(&item["equity"], &item["currency"]),
        percent(&item["return"]),
        curve(&item["curve"]),
        percent(&drawdown["now"]),
        percent(&drawdown["limit"]),
        class,
        worst.map_or_else(
            || NONE.to_owned(),
            |worst| {
                format!(
                    "{} {} for {}",
                    text(&worst["name"]),
                    percent(&worst["weight"]),
                    percent(&worst["target"])
                )
            },
        ),
    ]
}

const PORTFOLIOS: [&str; 9] =
    ["CLIENT", "PORTFOLIO", ">EQUITY", ">RETURN", "CURVE", ">DRAWDOWN", ">LIMIT", ">CLASS", "WORST DRIFT"];

fn advisor(view: &Value) -> Result<(), CommandError> {
    heading(&called(&view["advisor"]), view)?;
    sums(view)?;
    counts(&view["counts"])?;
    advice(&view["recommendations"])?;
    let mut rows = Vec::new();
    for client in items(&view["clients"]) {
        for one in items(&client["attention"]) {
            let days = one.get("days").map_or_else(String::new, text);
            let name = text(client.get("name").unwrap_or(&client["party"]));
            rows.push(vec![name, text(&one["kind"]).replace('_', " "), days, text(&one["detail"])]);
        }
    }
    table(&["CLIENT", "LOOK AT", ">DAYS", "WHAT"], rows)?;
    let mut rows = Vec::new();
    for client in items(&view["clients"]) {
        for item in items(&client["portfolios"]) {
            rows.push(portfolio_row(text(client.get("name").unwrap_or(&client["party"])), item));
        }
    }
    table(&PORTFOLIOS, rows)?;
    exceptions(view)
}

fn outliers(name: &str, found: &Value) -> Result<(), CommandError> {
    match found.get("missing") {
        Some(reason) => terminal::line(format_args!("{name}: {}", text(reason)))?,
        None => {
            let all: Vec<String> = items(&found["outliers"])
                .iter()
                .map(|one| format!("{} {}", called(&one["portfolio"]), percent(&one["value"])))
                .collect();
            terminal::line(format_args!(
                "{name}: median {} over {} portfolios, outliers above {}: {}",
                percent(&found["spread"]["median"]),
                text(&found["count"]),
                percent(&found["fence"]),
                if all.is_empty() { "none".to_owned() } else { all.join(", ") }
            ))?;
        }
    }
    Ok(())
}

fn firm(view: &Value) -> Result<(), CommandError> {
    heading("The firm", view)?;
    sums(view)?;
    counts(&view["counts"])?;
    advice(&view["recommendations"])?;
    let overrides = &view["overrides"];
    let deciders: Vec<String> = items(&overrides["deciders"])
        .iter()
        .map(|one| {
            format!(
                "{} approved {} and refused {}",
                text(&one["name"]),
                text(&one["approved"]),
                text(&one["refused"])
            )
        })
        .collect();
    terminal::line(format_args!(
        "exceptions of the period: {} asked, {} approved, {} refused, {} pending{}{}",
        text(&overrides["asked"]),
        text(&overrides["approved"]),
        text(&overrides["refused"]),
        text(&overrides["pending"]),
        if deciders.is_empty() { "" } else { "; " },
        deciders.join("; ")
    ))?;
    outliers("turnover", &view["turnover"])?;
    outliers("costs", &view["costs"])?;
    let rows = items(&view["advisors"])
        .iter()
        .map(|row| {
            let (counts, advice) = (&row["counts"], &row["recommendations"]);
            vec![
                called(&row["advisor"]),
                sum(&row["assets"]),
                sum(&row["net_flow"]),
                text(&counts["clients"]),
                text(&counts["clients_off_profile"]),
                text(&counts["drawdown_breaches"]),
                text(&counts["reviews_overdue"]),
                text(&advice["issued"]),
                text(&advice["accepted"]),
                outcome(&advice["outcome"]["issued"]),
            ]
        })
        .collect();
    table(
        &[
            "ADVISOR",
            ">ASSETS",
            ">NET FLOW",
            ">CLIENTS",
            ">OFF PROFILE",
            ">DRAWDOWN",
            ">OVERDUE",
            ">ISSUED",
            ">ACCEPTED",
            "BEYOND THE BENCHMARK",
        ],
        rows,
    )?;
    let rows = items(&view["dispersion"])
        .iter()
        .map(|group| {
            let spread = &group["returns"];
            vec![
                called(&group["model"]),
                text(&group["mandate"]),
                text(&group["count"]),
                percent(&spread["lowest"]),
                percent(&spread["median"]),
                percent(&spread["highest"]),
                group.get("missing").map_or_else(String::new, text),
            ]
        })
        .collect();
    table(&["MODEL", "MANDATE", ">PORTFOLIOS", ">LOWEST", ">MEDIAN", ">HIGHEST", ""], rows)?;
    let mut rows = Vec::new();
    for (kind, name) in [("instruments", "instrument"), ("issuers", "issuer"), ("sectors", "sector")] {
        for one in items(&view["concentration"][kind]).iter().take(5) {
            rows.push(vec![
                name.to_owned(),
                text(&one["name"]),
                percent(&one["share"]),
                text(&one["portfolios"]),
            ]);
        }
    }
    table(&["RESTS ON", "NAME", ">OF ALL", ">PORTFOLIOS"], rows)?;
    exceptions(view)
}

fn client(view: &Value) -> Result<(), CommandError> {
    heading(&called(&view["client"]), view)?;
    sums(view)?;
    for one in items(&view["serving"]) {
        let who = one.get("advisor").unwrap_or(&one["team"]);
        terminal::line(format_args!("{} since {}: {}", text(&one["role"]), text(&one["from"]), called(who)))?;
    }
    if let Some(due) = view.get("review_due") {
        terminal::line(format_args!("the next review is due on {}", text(due)))?;
    }
    let portfolios = items(&view["portfolios"]).iter();
    table(&PORTFOLIOS, portfolios.map(|item| portfolio_row(called(&item["owner"]), item)).collect())?;
    let rows = items(&view["recommendations"])
        .iter()
        .map(|one| {
            let trades: Vec<String> = items(&one["trades"])
                .iter()
                .map(|trade| {
                    let size = [("quantity", ""), ("amount", " in money"), ("weight", " of equity")]
                        .into_iter()
                        .find_map(|(key, unit)| Some(format!("{}{unit}", text(trade.get(key)?))));
                    let symbol = text(trade.get("symbol").unwrap_or(&trade["instrument"]));
                    format!("{} {} {symbol}", text(&trade["side"]), size.unwrap_or_default())
                })
                .collect();
            vec![
                text(&one["issued_at"]).chars().take(10).collect(),
                text(&one["state"]),
                called(&one["portfolio"]),
                trades.join(", "),
                percent(&one["outcome"]["difference"]),
                text(one.get("rationale").unwrap_or(&Value::Null)),
            ]
        })
        .collect();
    table(&["ISSUED", "STATE", "PORTFOLIO", "WHAT", ">BEYOND", "WHY"], rows)
}
