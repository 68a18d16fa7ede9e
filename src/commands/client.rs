//! `daybook client`: onboarding clients, listing them, and saying who serves them.

use super::advisor::{Reachable, read, said};
use super::{CommandError, Context, Outcome, Place, TextOrJson, terminal};
use crate::journal::{Access, Author, JournalError, NewAssignment, NewParty, Terms};
use clap::Subcommand;
use daybook_schemas::events::{Assignee, AssignmentRole, PartyKind};
use daybook_schemas::{AdvisorId, Day, Event, PartyId, TeamId};
use serde_json::{Value, json};
use std::fmt::Display;

/// What a list says of each client.
const LISTED: [&str; 7] =
    ["party", "kind", "name", "advisors", "portfolios", "profile_version", "review_due"];

/// Onboard clients, list them, and say who serves them.
#[derive(Subcommand, Debug)]
pub(super) enum Client {
    /// Onboard a client and print the id of the party.
    Add(Add),
    /// List the clients, and who serves them.
    List(List),
    /// Assign a client to an advisor or a team, and print the sequence of the event.
    Assign(Assign),
}

/// Onboard a client and print the id of the party.
#[derive(clap::Args, Debug)]
pub(super) struct Add {
    /// The client's name.
    name: String,
    /// What it is: person, joint, trust or entity.
    #[arg(long, default_value = "person")]
    kind: String,
    /// A party behind it, by its id; may be repeated. Joint holders are two persons at least.
    #[arg(long, value_name = "ID")]
    member: Vec<String>,
    /// The country it pays taxes in, ISO 3166, such as US.
    #[arg(long, value_name = "CODE")]
    tax_country: Option<String>,
    /// The advisor who answers for it.
    #[arg(long, value_name = "ID")]
    advisor: Option<String>,
    #[command(flatten)]
    contact: Reachable,
    /// The first day; today (UTC) if not said.
    #[arg(long, value_name = "DAY")]
    on: Option<String>,
    /// The party that comes back, by the id under which it was a client before; a new id if not said.
    #[arg(long, value_name = "ID")]
    party: Option<String>,
}

/// List the clients, and who serves them.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// Assign a client to an advisor or a team, and print the sequence of the event.
#[derive(clap::Args, Debug)]
pub(super) struct Assign {
    /// The client, by the id of the party.
    client: String,
    /// The advisor.
    #[arg(long, value_name = "ID", required_unless_present = "team", conflicts_with = "team")]
    to: Option<String>,
    /// The team, in the place of an advisor.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// In what role: lead, support or deputy.
    #[arg(long, default_value = "lead")]
    role: String,
    /// The first day; today (UTC) if not said.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, where it has one.
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
}

/// One of some words.
fn choice<T: Display + Clone>(field: &str, text: &str, coded: &[T]) -> Result<T, JournalError> {
    coded.iter().find(|one| one.to_string() == text).cloned().ok_or_else(|| {
        let words: Vec<String> = coded.iter().map(ToString::to_string).collect();
        JournalError::field(field, format!("`{text}` is not one of {}", words.join(", ")))
    })
}

impl Client {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        match self {
            Self::Add(add) => add.run(context),
            Self::List(list) => list.run(context),
            Self::Assign(assign) => assign.run(context),
        }
    }
}

impl Add {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let member = |text: &String| read::<PartyId>("member", Some(text)).map(Option::into_iter);
        let members = self.member.iter().map(member).collect::<Result<Vec<_>, _>>()?;
        let new = NewParty {
            party: read::<PartyId>("party", self.party.as_deref())?,
            kind: choice("kind", &self.kind, PartyKind::CODED)?,
            name: self.name,
            contact: self.contact.contact(),
            members: members.into_iter().flatten().collect(),
            tax_country: self.tax_country,
            on: read::<Day>("on", self.on.as_deref())?,
            advisor: read::<AdvisorId>("advisor", self.advisor.as_deref())?,
        };
        let id = match context.place(Access::Create)? {
            Place::Here(journal) => {
                let stated = journal.onboard_party(&Author::operator(), &new, &Terms::default())?;
                journal.close()?;
                match stated.event {
                    Event::PartyOnboarded(fact) => fact.party.to_string(),
                    _ => return Err(CommandError::Unusable("another event was recorded".to_owned())),
                }
            }
            Place::There(remote) => {
                let body = said(&[
                    ("party", json!(new.party)),
                    ("kind", json!(new.kind)),
                    ("name", json!(new.name)),
                    ("contact", json!(new.contact)),
                    ("members", json!(new.members)),
                    ("tax_country", json!(new.tax_country)),
                    ("on", json!(new.on)),
                    ("advisor", json!(new.advisor)),
                ]);
                remote.post("parties", &body)?["id"].as_str().unwrap_or_default().to_owned()
            }
        };
        terminal::line(id)?;
        Ok(Outcome::Done)
    }
}

impl List {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let clients: Vec<Value> = match context.place(Access::Read)? {
            Place::Here(journal) => journal.client_list()?,
            Place::There(remote) => super::as_listed_here(remote.list("clients")?, &LISTED),
        };
        if self.format == TextOrJson::Json {
            terminal::line(json!({ "items": clients, "next": null }))?;
            return Ok(Outcome::Done);
        }
        let rows = clients.iter().map(|client| {
            let text = |key: &str| client[key].as_str().unwrap_or("—").to_owned();
            let count = client["portfolios"].as_array().map_or(0, Vec::len);
            let version = client["profile_version"].as_u64();
            vec![
                text("party"),
                text("name"),
                text("kind"),
                served_by(&client["advisors"]),
                count.to_string(),
                version.map_or_else(|| "—".to_owned(), |version| version.to_string()),
                text("review_due"),
            ]
        });
        let columns = ["ID", "NAME", "KIND", "SERVED BY", ">PORTFOLIOS", ">PROFILE", "REVIEW DUE"];
        terminal::line(terminal::lines(&terminal::table(&columns, rows)))?;
        Ok(Outcome::Done)
    }
}

/// Who serves a client, whoever answers for it first.
fn served_by(advisors: &Value) -> String {
    let named: Vec<String> = advisors
        .as_array()
        .into_iter()
        .flatten()
        .map(|serving| {
            let id = serving["advisor"].as_str().or(serving["team"].as_str()).unwrap_or("—");
            let name = serving["name"].as_str().unwrap_or(id);
            match serving["role"].as_str() {
                Some("lead") | None => name.to_owned(),
                Some(role) => format!("{name} ({role})"),
            }
        })
        .collect();
    if named.is_empty() { "—".to_owned() } else { named.join(", ") }
}

impl Assign {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let unusable = || CommandError::Unusable("say --to ADVISOR or --team TEAM".to_owned());
        let party: PartyId = read("client", Some(&self.client))?.ok_or_else(unusable)?;
        let advisor = read::<AdvisorId>("to", self.to.as_deref())?.map(Assignee::Advisor);
        let team = read::<TeamId>("team", self.team.as_deref())?.map(Assignee::Team);
        let new = NewAssignment {
            to: advisor.or(team).ok_or_else(unusable)?,
            role: choice("role", &self.role, AssignmentRole::CODED)?,
            from: read("from", self.from.as_deref())?,
            until: read("until", self.until.as_deref())?,
        };
        let sequence = match context.place(Access::Write)? {
            Place::Here(journal) => {
                let stated = journal.assign_client(&Author::operator(), party, &new, &Terms::default())?;
                journal.close()?;
                stated.sequence
            }
            Place::There(remote) => {
                let body = said(&[
                    ("advisor", json!(self.to)),
                    ("team", json!(self.team)),
                    ("role", json!(new.role)),
                    ("from", json!(new.from)),
                    ("until", json!(new.until)),
                ]);
                let made = remote.post(&format!("clients/{party}/assignments"), &body)?;
                made["event"].as_u64().unwrap_or_default()
            }
        };
        terminal::line(sequence)?;
        Ok(Outcome::Done)
    }
}
