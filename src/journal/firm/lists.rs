//! Advisors and clients as they are listed on the command line, with the members that the service's lists have.

use super::today;
use crate::journal::{Journal, JournalError};
use daybook_projections::{At, Serving};
use daybook_schemas::events::Assignee;
use serde_json::{Value, json};

impl Journal {
    /// The advisors who work for the firm today.
    pub(crate) fn advisor_list(&self) -> Result<Vec<Value>, JournalError> {
        let at = At::on(today());
        let library = self.library()?;
        let keys = self.keys();
        let working =
            library.firm.advisors(at).filter(|advisor| advisor.until.is_none_or(|until| at.day <= until));
        Ok(working
            .map(|advisor| {
                json!({
                    "id": advisor.id,
                    "name": advisor.name.open(&keys).ok(),
                    "licence": advisor.licence.and_then(|licence| licence.open(&keys).ok()),
                    "from": advisor.from,
                    "until": advisor.until,
                })
            })
            .collect())
    }

    /// The clients of today, and who serves each.
    pub(crate) fn client_list(&self) -> Result<Vec<Value>, JournalError> {
        let at = At::on(today());
        let library = self.library()?;
        let keys = self.keys();
        let firm = &library.firm;
        let clients = firm.parties(at).filter(|party| party.until.is_none_or(|until| at.day <= until));
        Ok(clients
            .map(|party| {
                let serving = firm.serving(party.id, at).into_iter();
                let advisors: Vec<Value> = serving
                    .map(|serving| {
                        let name = match &serving.to {
                            Assignee::Advisor(id) => {
                                firm.advisor(*id, at).and_then(|advisor| advisor.name.open(&keys).ok())
                            }
                            Assignee::Team(id) => firm.team(*id, at).map(|said| said.fact.name.to_string()),
                        };
                        listed(&serving, name)
                    })
                    .collect();
                json!({
                    "party": party.id,
                    "kind": party.kind,
                    "name": party.name.open(&keys).ok(),
                    "advisors": advisors,
                    "portfolios": firm.owned(party.id, at),
                    "profile_version": firm.profile(party.id, None, at).map(|said| said.fact.version),
                    "review_due": firm.review_due(party.id, at),
                })
            })
            .collect())
    }
}

fn listed(serving: &Serving, name: Option<String>) -> Value {
    let mut json = json!({ "role": serving.role, "from": serving.from });
    match &serving.to {
        Assignee::Advisor(id) => json["advisor"] = json!(id),
        Assignee::Team(id) => json["team"] = json!(id),
    }
    if let Some(name) = name {
        json["name"] = name.into();
    }
    if let Some(until) = serving.until {
        json["until"] = json!(until);
    }
    json
}
