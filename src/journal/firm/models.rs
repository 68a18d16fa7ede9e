//! Model portfolios, published version by version, and which portfolios follow them.

use super::assignments::before_it_was;
use super::profiles::{NewTarget, targets};
use super::texts::Faults;
use super::{Decision, EVER, Stated, occurs, term, today};
use crate::journal::access::id_parts;
use crate::journal::{Author, Draft, Journal, JournalError, Terms};
use daybook_projections::At;
use daybook_schemas::events::{ModelAssigned, ModelPublished};
use daybook_schemas::{Day, ModelId, PortfolioId, stream};

/// A model portfolio, or a new version of one. It says all of it anew, but for the name, which stays if it is not said.
#[derive(Clone, Debug)]
pub(crate) struct NewModel {
    /// Its name.
    pub(crate) name: Option<String>,
    /// Its weights; what is missing to one is cash.
    pub(crate) targets: Vec<NewTarget>,
    /// The first day on which it holds; today if not said.
    pub(crate) from: Option<Day>,
    /// The version that whoever decided had seen last. Not checked if not said.
    pub(crate) expects_version: Option<u32>,
}

/// A model that a portfolio is to follow.
#[derive(Clone, Debug)]
pub(crate) struct NewModelAssignment {
    /// The model; absent for none.
    pub(crate) model: Option<ModelId>,
    /// The version; absent for the newest at any time.
    pub(crate) version: Option<u32>,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
}

impl Journal {
    /// Publishes a model portfolio, or a new version of one.
    pub(crate) fn publish_model(
        &self,
        author: &Author,
        id: Option<ModelId>,
        new: &NewModel,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let mut faults = Faults::default();
        let name = new.name.as_deref().map(|name| faults.name("name", name));
        if name.is_none() && id.is_none() {
            faults.note("name", "it is required");
        }
        if new.targets.is_empty() {
            faults.note("targets", "name at least one weight to aim for");
        }
        faults.finish()?;
        let from = new.from.unwrap_or_else(today);
        let (milliseconds, bytes) = id_parts()?;
        let fresh = ModelId::new(milliseconds, bytes);
        let mut seen = new.expects_version;
        self.state(author, terms, |library| {
            let newest = id.and_then(|id| library.firm.model(id, EVER));
            if let Some(id) = id
                && newest.is_none()
            {
                return Err(JournalError::not_found("model", id));
            }
            let id = id.unwrap_or(fresh);
            let last = library.firm.last_model_version(id);
            let expected = *seen.get_or_insert(last);
            if expected != last {
                return Err(JournalError::Conflict {
                    detail: format!(
                        "the model's newest version is {last}, not {expected}: read that one and decide again"
                    ),
                    sequence: newest.map(|said| said.meta.sequence),
                });
            }
            let mut faults = Faults::default();
            let targets = targets(library, &mut faults, &new.targets);
            faults.finish()?;
            let name = name.as_deref().or(newest.map(|said| &*said.fact.name)).unwrap_or_default();
            let fact = ModelPublished { model: id, version: last + 1, name: name.into(), targets, from };
            Ok(Decision::one(Draft::new(stream::FIRM.to_owned(), occurs(from), fact)))
        })
    }

    /// Records which model a portfolio follows from a day on.
    pub(crate) fn assign_model(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        new: &NewModelAssignment,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let from = new.from.unwrap_or_else(today);
        self.state(author, terms, |library| {
            if library.directory.get(portfolio).is_none() {
                return Err(JournalError::not_found("portfolio", portfolio));
            }
            match (new.model, new.version) {
                (None, Some(_)) => {
                    return Err(JournalError::field("version", "say which model it is a version of"));
                }
                (None, None) => {}
                (Some(model), version) => {
                    if library.firm.model(model, EVER).is_none() {
                        return Err(JournalError::field(
                            "model",
                            format!("there is no model {model}: look it up in /models"),
                        ));
                    }
                    match version {
                        Some(version) => {
                            let said = library.firm.model_version(model, version, u64::MAX);
                            if said.is_none_or(|said| said.fact.from > from) {
                                return Err(JournalError::field(
                                    "version",
                                    format!("the model has no version {version} on {from}: look it up in /models/{model}/versions"),
                                ));
                            }
                        }
                        None if library.firm.model(model, At::on(from)).is_none() => {
                            return Err(before_it_was("model", from));
                        }
                        None => {}
                    }
                }
            }
            let fact = ModelAssigned { portfolio, model: new.model, version: new.version, from };
            Ok(Decision::one(term(library, portfolio, from, fact)).resting_on([stream::FIRM.to_owned()]))
        })
    }
}
