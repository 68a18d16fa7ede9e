//! `daybook portfolio`: opening portfolios and listing them.

use super::{CommandError, Context, Outcome, Place, terminal};
use crate::journal::{Access, Author, JournalError, NewPortfolio};
use clap::Subcommand;
use daybook_schemas::events::{Calendar, LotMethod};
use daybook_schemas::{Currency, PartyId, Zone};
use serde_json::{Value, json};

/// What a list says of each portfolio.
const LISTED: [&str; 7] = ["id", "name", "currency", "zone", "calendar", "lots", "opened_at"];

/// Open a portfolio, or list them.
#[derive(Subcommand, Debug)]
pub(super) enum Portfolio {
    /// Open a portfolio and print its id.
    Open(Open),
    /// List the portfolios.
    List(List),
}

/// Open a portfolio and print its id.
#[derive(clap::Args, Debug)]
pub(super) struct Open {
    /// The portfolio's name.
    name: String,
    /// The currency its figures are stated in.
    #[arg(long, default_value = "USD")]
    currency: String,
    /// How disposals relieve lots.
    #[arg(long, default_value = "fifo")]
    lots: String,
    /// The time zone that bounds its days.
    #[arg(long, default_value = "America/New_York")]
    zone: String,
    /// The days of its series: weekdays, daily or xnys.
    #[arg(long, default_value = "weekdays")]
    calendar: String,
    /// The client who owns it from today on, by the id of the party; nobody yet, if not said.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
}

/// List the portfolios.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    format: super::TextOrJson,
}

impl Portfolio {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        match self {
            Self::Open(open) => open.run(context),
            Self::List(list) => list.run(context),
        }
    }
}

impl Open {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let new = NewPortfolio::parse(&self.name, &self.currency, &self.lots, &self.zone, &self.calendar)?
            .owned_by(self.client.as_deref())?;
        let id = match context.place(Access::Create)? {
            Place::Here(journal) => {
                let id = journal.open_portfolio(&Author::operator(), &new, None)?.to_string();
                journal.close()?;
                id
            }
            Place::There(remote) => {
                let body = json!({
                    "name": self.name, "currency": self.currency, "lots": self.lots, "zone": self.zone,
                    "calendar": self.calendar, "client": self.client,
                });
                remote.post("portfolios", &body)?["id"].as_str().unwrap_or_default().to_owned()
            }
        };
        terminal::line(id)?;
        Ok(Outcome::Done)
    }
}

impl List {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let portfolios: Vec<Value> = match context.place(Access::Read)? {
            Place::Here(journal) => journal.portfolio_list()?,
            Place::There(remote) => super::as_listed_here(remote.list("portfolios")?, &LISTED),
        };
        if self.format == super::TextOrJson::Json {
            terminal::line(json!({ "items": portfolios, "next": null }))?;
            return Ok(Outcome::Done);
        }
        let rows = portfolios.iter().map(|portfolio| {
            ["id", "name", "currency", "zone", "calendar", "lots"]
                .map(|key| portfolio[key].as_str().unwrap_or("—").to_owned())
                .to_vec()
        });
        terminal::line(terminal::lines(&terminal::table(
            &["ID", "NAME", "CURRENCY", "ZONE", "CALENDAR", "LOTS"],
            rows,
        )))?;
        Ok(Outcome::Done)
    }
}

impl NewPortfolio {
    /// Reads what a person wrote.
    pub(crate) fn parse(
        name: &str,
        currency: &str,
        lots: &str,
        zone: &str,
        calendar: &str,
    ) -> Result<Self, JournalError> {
        let coded = |field: &str, text: &str, known: &str| {
            JournalError::field(field, format!("`{text}` is not one of {known}"))
        };
        Ok(Self {
            name: name.to_owned(),
            currency: Currency::parse(currency).map_err(|error| JournalError::field("currency", error))?,
            lots: LotMethod::from_name(lots)
                .filter(|method| method.code() != 0)
                .ok_or_else(|| coded("lots", lots, "fifo, lifo, hifo, average, specific"))?,
            zone: Zone::parse(zone).map_err(|error| JournalError::field("zone", error.to_string()))?,
            calendar: Calendar::from_name(calendar)
                .filter(|calendar| calendar.code() != 0)
                .ok_or_else(|| coded("calendar", calendar, "weekdays, daily, xnys"))?,
            client: None,
        })
    }

    /// With the client who owns it.
    pub(crate) fn owned_by(self, client: Option<&str>) -> Result<Self, JournalError> {
        let id = |text: &str| {
            text.parse::<PartyId>().map_err(|error| JournalError::field("client", error.to_string()))
        };
        Ok(Self { client: client.map(id).transpose()?, ..self })
    }
}
