//! `daybook token`: issuing, listing and revoking bearer tokens.

use super::{CommandError, Context, Outcome, Place, TextOrJson, terminal};
use crate::journal::{Access, Author, JournalError, NewToken, ROLES, instant};
use clap::Subcommand;
use daybook_schemas::events::Role;
use daybook_schemas::{PortfolioId, TokenId};
use serde_json::{Value, json};

/// What a list says of each token.
const LISTED: [&str; 9] =
    ["id", "role", "subject", "portfolios", "percentages_only", "issued_at", "expires", "state", "last_used"];

/// Issue, list and revoke bearer tokens.
#[derive(Subcommand, Debug)]
pub(super) enum Token {
    /// Issue a token and print it; it is shown this once.
    Issue(Issue),
    /// List the tokens that were issued.
    List(List),
    /// Revoke a token by its id.
    Revoke(Revoke),
}

/// Issue a token and print it; it is shown this once.
#[derive(clap::Args, Debug)]
pub(super) struct Issue {
    /// What its bearer may do: administrator, advisor, client, auditor, service or display.
    #[arg(long)]
    role: String,
    /// On whose behalf: the advisor's or the client's id; for other roles a name, by role and id if not said.
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// A portfolio it is for; may be repeated.
    #[arg(long, value_name = "ID")]
    portfolio: Vec<String>,
    /// When it ends: RFC 3339, or a date for the end of that day in UTC.
    #[arg(long, value_name = "T")]
    expires: Option<String>,
    /// Show percentages alone, never amounts; for the role display.
    #[arg(long)]
    percentages_only: bool,
}

/// List the tokens that were issued.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// Revoke a token by its id.
#[derive(clap::Args, Debug)]
pub(super) struct Revoke {
    /// The token's id, as `token list` prints it.
    id: String,
}

impl Token {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        match self {
            Self::Issue(issue) => issue.run(context),
            Self::List(list) => list.run(context),
            Self::Revoke(revoke) => revoke.run(context),
        }
    }
}

impl NewToken {
    /// Reads what a person wrote.
    pub(crate) fn parse(
        role: &str,
        subject: Option<String>,
        portfolios: &[String],
        expires: Option<&str>,
        percentages_only: bool,
    ) -> Result<Self, JournalError> {
        let portfolios = portfolios
            .iter()
            .map(|id| {
                id.parse::<PortfolioId>().map_err(|error| JournalError::field("portfolio", error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            role: Role::from_name(role)
                .filter(|role| role.code() != 0)
                .ok_or_else(|| JournalError::field("role", format!("`{role}` is not one of {ROLES}")))?,
            subject,
            portfolios,
            expires: expires.map(|time| instant("expires", time)).transpose()?,
            percentages_only,
        })
    }
}

impl Issue {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let (id, secret) = match context.place(Access::Create)? {
            Place::Here(journal) => {
                let new = NewToken::parse(
                    &self.role,
                    self.subject,
                    &self.portfolio,
                    self.expires.as_deref(),
                    self.percentages_only,
                )?;
                let issued = journal.issue_token(&Author::operator(), new, None)?;
                journal.close()?;
                (issued.id.to_string(), issued.secret)
            }
            Place::There(remote) => {
                let body = json!({
                    "role": self.role, "subject": self.subject, "portfolios": self.portfolio, "expires": self.expires,
                    "percentages_only": self.percentages_only,
                });
                let issued = remote.post("tokens", &body)?;
                let text = |key: &str| issued[key].as_str().unwrap_or_default().to_owned();
                (text("id"), text("token"))
            }
        };
        terminal::remark(format_args!("issued {id}; the token is shown this once"));
        terminal::line(secret)?;
        Ok(Outcome::Done)
    }
}

impl List {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let tokens: Vec<Value> = match context.place(Access::Read)? {
            Place::Here(journal) => journal.token_list()?,
            Place::There(remote) => super::as_listed_here(remote.list("tokens")?, &LISTED),
        };
        if self.format == TextOrJson::Json {
            terminal::line(json!({ "items": tokens, "next": null }))?;
            return Ok(Outcome::Done);
        }
        let rows = tokens.iter().map(|token| {
            let text = |key: &str| token[key].as_str().unwrap_or("—").to_owned();
            let portfolios = token["portfolios"].as_array().map_or(0, Vec::len);
            let reach = match (portfolios, token["role"].as_str()) {
                (0, Some("advisor" | "client")) => "own".to_owned(),
                (0, _) => "all".to_owned(),
                (named, _) => named.to_string(),
            };
            vec![
                text("id"),
                text("role"),
                text("subject"),
                reach,
                text("issued_at"),
                text("expires"),
                text("state"),
                text("last_used"),
            ]
        });
        terminal::line(terminal::lines(&terminal::table(
            &["ID", "ROLE", "SUBJECT", ">PORTFOLIOS", "ISSUED", "EXPIRES", "STATE", "LAST USED"],
            rows,
        )))?;
        Ok(Outcome::Done)
    }
}

impl Revoke {
    fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let id: TokenId = self.id.parse().map_err(|error| CommandError::Unusable(format!("{error}")))?;
        match context.place(Access::Write)? {
            Place::Here(journal) => {
                journal.revoke_token(&Author::operator(), id, None, None)?;
                journal.close()?;
            }
            Place::There(remote) => {
                remote.delete(&format!("tokens/{id}"))?;
            }
        }
        terminal::remark(format_args!("revoked {id}"));
        Ok(Outcome::Done)
    }
}
