//! Bearer tokens: issued, listed, revoked.

use super::access::Caller;
use super::answer::{Done, Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page, Pin};
use super::problem::Problem;
use super::record::record;
use super::scalar::{Date, Portfolio, Time, Token};
use super::service::Service;
use super::tags::Tag;
use crate::journal::{JournalError, NewToken, now};
use daybook_projections::Grant;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

record! {
    /// A token, without its secret.
    TokenItem {
        /// By this it is revoked
        id: Token,
        /// What its bearer may do
        role: String,
        /// On whose behalf its bearer acts
        subject: String,
        /// The portfolios it is for; empty for what the role reaches by itself
        portfolios: Vec<Portfolio>,
        /// Whether it shows percentages alone, never amounts
        percentages_only: bool,
        /// When it was issued
        issued_at: Time,
        /// When it ends
        expires: Option<Time>,
        /// `valid`, `expired` or `revoked`
        state: String,
        /// The last day, in UTC, on which it was used; recorded within a minute of the first use of a day
        last_used: Option<Date>,
    }
}

record! {
    /// A token that was issued.
    IssuedToken {
        /// By this it is revoked
        id: Token,
        /// The token itself, shown this once
        token: String,
        /// What its bearer may do
        role: String,
        /// On whose behalf its bearer acts
        subject: String,
    }
}

record! {
    /// A token to be issued.
    TokenRequest {
        /// `administrator`, `advisor`, `client`, `auditor`, `service` or `display`
        role: String,
        /// On whose behalf its bearer acts: the advisor's or the party's id; for other roles a name
        subject: Option<String>,
        /// The portfolios that the token of a service or a display is for; those that one of an advisor or a client is kept to
        portfolios: Option<Vec<String>>,
        /// Whether it shows percentages alone, never amounts; for the role `display`
        percentages_only: Option<bool>,
        /// When it ends: RFC 3339, or a date for the end of that day in UTC; never if not said
        expires: Option<String>,
    }
}

impl Form for TokenRequest {
    fn read(fields: &mut Fields) -> Self {
        Self {
            role: fields.required_text("role"),
            subject: fields.text("subject"),
            portfolios: Some(fields.texts("portfolios")),
            percentages_only: fields.flag("percentages_only"),
            expires: fields.text("expires"),
        }
    }
}

/// The routes of tokens.
pub(super) struct Tokens(pub(super) Service);

#[OpenApi(tag = "Tag::Tokens")]
impl Tokens {
    /// List tokens
    #[oai(path = "/tokens", method = "get", operation_id = "listTokens")]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<TokenItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        self.0
            .blocking(move |journal| {
                let library = journal.library()?;
                let pin = page.pinned(library.applied(), Pin::known(library.applied()))?;
                let now = now();
                let expired = library.access.list().filter(|grant| has_ended(grant, now)).count();
                let tag =
                    question.tag(&[library.access.changed_at(), library.access.used_at(), expired as u64]);
                Found::new(tag, || {
                    let grants = library.access.list().filter(|grant| grant.sequence <= pin.known);
                    page.cut(
                        pin,
                        grants,
                        |grant| grant.granted.token.to_string(),
                        |grant| Ok(item(grant, now)),
                    )
                })
            })
            .await
    }

    /// Issue a token
    ///
    /// The token is in the answer and nowhere else: what is kept is its hash.
    #[oai(path = "/tokens", method = "post", operation_id = "issueToken")]
    async fn issue(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: a repetition of one that issued a token is refused
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<TokenRequest>,
    ) -> Result<Made<IssuedToken>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let asked = input.value;
        self.0
            .blocking(move |journal| {
                attempt::earlier(journal, key.as_ref())?;
                let portfolios = asked.portfolios.unwrap_or_default();
                let new = NewToken::parse(
                    &asked.role,
                    asked.subject,
                    &portfolios,
                    asked.expires.as_deref(),
                    asked.percentages_only.unwrap_or(false),
                );
                let new = new.map_err(in_request)?;
                let (role, subject) = (new.role.to_string(), new.subject.clone());
                let issued = journal.issue_token(&caller.author(), new, key).map_err(in_request)?;
                let body = IssuedToken {
                    id: issued.id.into(),
                    token: issued.secret,
                    subject: subject.unwrap_or_else(|| role.clone()),
                    role,
                };
                Ok(Made::new(&body))
            })
            .await
    }

    /// Revoke a token
    ///
    /// A token that is revoked already stays so.
    #[oai(path = "/tokens/:id", method = "delete", operation_id = "revokeToken")]
    async fn revoke(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// The token's id
        id: Path<Token>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
    ) -> Result<Done, Problem> {
        let key = attempt.commit_key(&caller, b"");
        self.0
            .blocking(move |journal| {
                if attempt::earlier(journal, key.as_ref())?.is_none() {
                    journal.revoke_token(&caller.author(), id.0.0, None, key)?;
                }
                Ok(Done)
            })
            .await
    }
}

/// The command line names portfolios one by one; a request has a list of them.
fn in_request(error: JournalError) -> Problem {
    Problem::from(error).rename(|fault| {
        if fault.field.as_deref() == Some("portfolio") {
            fault.field = Some("portfolios".to_owned());
        }
    })
}

fn has_ended(grant: &Grant, now: daybook_schemas::Timestamp) -> bool {
    grant.granted.expires.is_some_and(|expires| expires <= now)
}

fn item(grant: &Grant, now: daybook_schemas::Timestamp) -> TokenItem {
    let state = match (grant.revoked, grant.is_valid_at(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "valid",
        (None, false) => "expired",
    };
    TokenItem {
        id: grant.granted.token.into(),
        role: grant.granted.role.to_string(),
        subject: grant.granted.subject.to_string(),
        portfolios: grant.granted.portfolios.iter().copied().map(Portfolio).collect(),
        percentages_only: grant.granted.percentages_only,
        issued_at: grant.granted_at.into(),
        expires: grant.granted.expires.map(Time),
        state: state.to_owned(),
        last_used: grant.last_used.map(Date),
    }
}
