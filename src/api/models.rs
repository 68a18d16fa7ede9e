//! Model portfolios, published version by version.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::Attempt;
use super::body::{Fields, Input};
use super::changes::{Asked, changes};
use super::firm::{self, About, Seen};
use super::page::{Limit, List, Page};
use super::precondition::Standing;
use super::problem::Problem;
use super::profiles::{self, TargetItem, TargetRequest, read_target};
use super::record::{record, schema};
use super::scalar::{Date, Exact, Model as ModelKey, Sequence, Time, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read};
use crate::journal::{Author, Journal, NewModel, Stated, Subject, Terms};
use daybook_schemas::events::ModelPublished;
use daybook_schemas::{Event, ModelId, decimal};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use rust_decimal::Decimal;

record! {
    /// A version of a model portfolio.
    ModelItem {
        /// The model
        id: ModelKey,
        /// 1 for the first, then one more each time
        version: u32,
        /// Its name
        name: String,
        /// Its weights
        targets: Vec<TargetItem>,
        /// What is missing to one: cash
        cash: Exact,
        /// The first day on which it holds
        from: Date,
        /// When it was recorded
        recorded_at: Time,
        /// Whether it is the one in force on the day for which this holds
        in_force: bool,
        /// The event that took it back, where one did
        reversed_by: Option<Sequence>,
        /// The event that published it
        event: Sequence,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

schema! {
    /// A model portfolio to be published.
    ModelRequest {
        /// Its name
        name: String,
        /// Its weights, which sum to one at most; what is missing is cash
        targets: Vec<TargetRequest>,
        /// The first day on which it holds; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// A new version of a model portfolio. It says all weights anew.
    ModelVersionRequest {
        /// The version that you read last: another one published in between is a conflict
        expects_version: Option<u32>,
        /// Its name; as before if not said
        name: Option<String>,
        /// Its weights, which sum to one at most; what is missing is cash
        targets: Vec<TargetRequest>,
        /// The first day on which it holds; today (UTC) if not said
        from: Option<Date>,
    }
}

impl Read<ModelRequest> for NewModel {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.text("name");
        let targets = fields.some_objects("targets", read_target);
        Some(Self { name, targets, from: fields.day("from"), expects_version: None })
    }
}

impl Read<ModelVersionRequest> for NewModel {
    fn read(fields: &mut Fields) -> Option<Self> {
        let expects_version = fields.integer("expects_version");
        let name = fields.text("name");
        let targets = fields.some_objects("targets", read_target);
        Some(Self { name, targets, from: fields.day("from"), expects_version })
    }
}

/// The routes of models.
pub(super) struct Models(pub(super) Service);

#[OpenApi(tag = "Tag::Models")]
impl Models {
    /// List models, each in the version in force
    #[oai(path = "/models", method = "get", operation_id = "listModels")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<ModelItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Many,
            |seen| Ok(seen.library.firm.models(seen.at).map(|said| said.fact.model).collect()),
            ToString::to_string,
            present,
        )
        .await
    }

    /// Publish a model
    #[oai(path = "/models", method = "post", operation_id = "publishModel")]
    async fn publish(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<As<ModelRequest, NewModel>>,
    ) -> Result<Made<ModelItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let new = input.value.said()?;
        self.0
            .blocking(move |journal| {
                let stated = firm::create(journal, key, |terms| {
                    journal.publish_model(&caller.author(), None, &new, terms)
                })?;
                made(journal, &caller, &stated)
            })
            .await
    }

    /// Read a model in the version in force
    #[oai(path = "/models/:id", method = "get", operation_id = "readModel")]
    async fn read(
        &self,
        _caller: Caller,
        question: Question,
        /// The model
        id: Path<ModelKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<ModelItem>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let id = id.0.0;
        firm::one(
            &self.0,
            question,
            moment,
            About::Subject(Subject::Model(id)),
            move |seen| match seen.library.firm.model(id, seen.at) {
                Some(_) => Ok(vec![Subject::Model(id).changed_at(&seen.library.firm, seen.pin.known)]),
                None => Err(Problem::not_found("model", id)),
            },
            move |seen| present(seen, id),
        )
        .await
    }

    /// List the versions of a model
    ///
    /// All of them, the newest first, those that were taken back and those that begin on a day to come among them.
    #[oai(path = "/models/:id/versions", method = "get", operation_id = "listModelVersions")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn versions(
        &self,
        _caller: Caller,
        question: Question,
        /// The model
        id: Path<ModelKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<ModelItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let id = id.0.0;
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Subject(Subject::Model(id)),
            move |seen| {
                let facts =
                    seen.journal.firm_history(seen.library, seen.keys, Subject::Model(id), seen.pin.known)?;
                if facts.is_empty() {
                    return Err(Problem::not_found("model", id));
                }
                Ok(facts.into_iter().rev().collect())
            },
            |fact| fact.entered.sequence.to_string(),
            |seen, fact| match &fact.event {
                Event::ModelPublished(published) => {
                    let reversed = fact.reversed.as_ref().map(|entered| entered.sequence);
                    let entered = (fact.entered.sequence, fact.entered.recorded_at);
                    Ok(item(seen, published, entered, reversed))
                }
                _ => Err(Problem::internal("a model that is none")),
            },
        )
        .await
    }
}

changes! {
    /// The routes that change a model.
    Changes, "Tag::Models", id: ModelKey, "The model",
    "The ETag of a read of the model: the write is refused if anything was recorded about the model since";

    /// Publish a new version of a model
    ///
    /// Portfolios that follow the newest version follow this one from its first day on.
    publish_version(As<ModelVersionRequest, NewModel>) -> ModelItem = "post" "/models/:id/versions" "publishModelVersion";
}

async fn publish_version(
    service: &Service,
    asked: Asked<ModelId>,
    said: As<ModelVersionRequest, NewModel>,
) -> Result<Made<ModelItem>, Problem> {
    let standing = |journal: &Journal, id| Standing::of_subject(journal, Subject::Model(id));
    let write = |journal: &Journal, author: &Author, id, new: &_, terms: &Terms| {
        journal.publish_model(author, Some(id), new, terms)
    };
    asked.record(service, said.said()?, standing, write, made).await
}

fn made(journal: &Journal, _caller: &Caller, stated: &Stated) -> Result<Made<ModelItem>, Problem> {
    let Event::ModelPublished(published) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let recorded_at = daybook_schemas::Timestamp::from_nanos(journal.event(stated.sequence)?.recorded_at);
    let body = firm::recorded(journal, published.from, stated.sequence, |seen| {
        Ok(item(seen, published, (stated.sequence, recorded_at), None))
    })?;
    Ok(Made::new(&body).at(&format!("/models/{}", published.model)).replayed(stated.already))
}

fn present(seen: &Seen<'_>, id: ModelId) -> Result<ModelItem, Problem> {
    let said = seen.library.firm.model(id, seen.at).ok_or_else(|| Problem::not_found("model", id))?;
    Ok(item(seen, &said.fact, (said.meta.sequence, said.meta.recorded_at), None))
}

fn item(
    seen: &Seen<'_>,
    published: &ModelPublished,
    (event, recorded_at): (u64, daybook_schemas::Timestamp),
    reversed_by: Option<u64>,
) -> ModelItem {
    let mut weights = published.targets.iter().map(|target| target.weight.get());
    let sum = weights.try_fold(Decimal::ZERO, decimal::add).ok();
    let cash = sum.and_then(|sum| decimal::subtract(Decimal::ONE, sum).ok());
    let in_force = seen.library.firm.model(published.model, seen.at);
    ModelItem {
        id: published.model.into(),
        version: published.version,
        name: published.name.to_string(),
        targets: profiles::targets(seen, &published.targets),
        cash: cash.unwrap_or_default().normalize().into(),
        from: published.from.into(),
        recorded_at: recorded_at.into(),
        in_force: in_force.is_some_and(|said| said.meta.sequence == event),
        reversed_by: reversed_by.map(Sequence),
        event: Sequence(event),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    }
}
