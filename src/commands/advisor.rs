//! `daybook advisor`: registering advisors and listing them.

use super::{CommandError, Context, Outcome, Place, TextOrJson, terminal};
use crate::journal::{Access, Author, JournalError, NewAdvisor, Terms};
use clap::Subcommand;
use daybook_schemas::events::Contact;
use daybook_schemas::{Day, Event};
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::str::FromStr;

/// What a list says of each advisor.
const LISTED: [&str; 5] = ["id", "name", "licence", "from", "until"];

/// Register advisors, and list them.
#[derive(Subcommand, Debug)]
pub(super) enum Advisor {
    /// Register an advisor who joins, and print the id.
    Add(Add),
    /// List the advisors who work for the firm.
    List(List),
}

/// Register an advisor who joins, and print the id.
#[derive(clap::Args, Debug)]
pub(super) struct Add {
    /// The advisor's name.
    name: String,
    /// The number with the regulator.
    #[arg(long)]
    licence: Option<String>,
    #[command(flatten)]
    contact: Reachable,
    /// The first day; today (UTC) if not said.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
}

/// List the advisors who work for the firm.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// How somebody can be reached.
#[derive(clap::Args, Debug)]
pub(super) struct Reachable {
    /// E-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Telephone number.
    #[arg(long)]
    telephone: Option<String>,
    /// Postal address.
    #[arg(long)]
    address: Option<String>,
}

impl Reachable {
    /// The contact, if anything was said of it.
    pub(super) fn contact(&self) -> Option<Contact> {
        let said = self.email.is_some() || self.telephone.is_some() || self.address.is_some();
        said.then(|| Contact {
            email: self.email.clone(),
            telephone: self.telephone.clone(),
            address: self.address.clone(),
        })
    }
}

/// Reads an option's text; what is wrong with it is named by the option.
pub(super) fn read<T: FromStr<Err: Display>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>, JournalError> {
    let parse =
        |text: &str| text.parse().map_err(|error: T::Err| JournalError::field(field, error.to_string()));
    text.map(parse).transpose()
}

/// A body of what was said: what was not is left out.
pub(super) fn said(fields: &[(&str, Value)]) -> Value {
    let given = fields.iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>())
}

impl Advisor {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        match self {
            Self::Add(add) => add.run(context),
            Self::List(list) => list.run(context),
        }
    }
}

impl Add {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let contact = self.contact.contact();
        let from: Option<Day> = read("from", self.from.as_deref())?;
        let id = match context.place(Access::Create)? {
            Place::Here(journal) => {
                let new = NewAdvisor { name: self.name, contact, licence: self.licence, from };
                let stated = journal.register_advisor(&Author::operator(), &new, &Terms::default())?;
                journal.close()?;
                match stated.event {
                    Event::AdvisorRegistered(fact) => fact.advisor.to_string(),
                    _ => return Err(CommandError::Unusable("another event was recorded".to_owned())),
                }
            }
            Place::There(remote) => {
                let body = said(&[
                    ("name", json!(self.name)),
                    ("licence", json!(self.licence)),
                    ("contact", json!(contact)),
                    ("from", json!(from)),
                ]);
                remote.post("advisors", &body)?["id"].as_str().unwrap_or_default().to_owned()
            }
        };
        terminal::line(id)?;
        Ok(Outcome::Done)
    }
}

impl List {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let advisors: Vec<Value> = match context.place(Access::Read)? {
            Place::Here(journal) => journal.advisor_list()?,
            Place::There(remote) => super::as_listed_here(remote.list("advisors")?, &LISTED),
        };
        if self.format == TextOrJson::Json {
            terminal::line(json!({ "items": advisors, "next": null }))?;
            return Ok(Outcome::Done);
        }
        let rows = advisors
            .iter()
            .map(|advisor| LISTED.map(|key| advisor[key].as_str().unwrap_or("—").to_owned()).to_vec());
        let table = terminal::table(&["ID", "NAME", "LICENCE", "FROM", "UNTIL"], rows);
        terminal::line(terminal::lines(&table))?;
        Ok(Outcome::Done)
    }
}
