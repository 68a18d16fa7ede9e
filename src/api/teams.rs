//! Teams: which advisors serve clients together, from which day on.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::Attempt;
use super::body::{Fields, Input};
use super::changes::{Asked, changes};
use super::firm::{self, About, AdvisorRef, Seen};
use super::page::{Limit, List, Page};
use super::precondition::Standing;
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{Advisor as AdvisorKey, Date, Sequence, Team as TeamKey, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read};
use crate::journal::{Author, Journal, NewTeam, Stated, Subject, Terms};
use daybook_schemas::{Event, TeamId};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

record! {
    /// A team at a moment.
    TeamItem {
        /// The team
        id: TeamKey,
        /// Its name
        name: String,
        /// Its members, as far as the caller may know of them; none if it was dissolved
        members: Vec<AdvisorRef>,
        /// The day from which it is so
        from: Date,
        /// The event that says so
        last_event: Sequence,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

schema! {
    /// A team that is formed.
    TeamRequest {
        /// Its name
        name: String,
        /// All its members, who work for the firm on the first day
        members: Vec<AdvisorKey>,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// How a team is from a day on. A field that is left out stays as it is.
    TeamAmendment {
        /// Its name
        name: Option<String>,
        /// All its members from then on; none dissolves it
        members: Option<Vec<AdvisorKey>>,
        /// The first day on which this holds; today (UTC) if not said
        from: Option<Date>,
    }
}

fn read(fields: &mut Fields) -> NewTeam {
    NewTeam { name: fields.text("name"), members: fields.ids("members"), from: fields.day("from") }
}

impl Read<TeamRequest> for NewTeam {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(read(fields))
    }
}

impl Read<TeamAmendment> for NewTeam {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(read(fields))
    }
}

/// The routes of teams.
pub(super) struct Teams(pub(super) Service);

#[OpenApi(tag = "Tag::Advisors")]
impl Teams {
    /// List teams
    ///
    /// An advisor sees the teams they are in, a client those that serve them.
    #[oai(path = "/teams", method = "get", operation_id = "listTeams")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Only those that this advisor is in
        advisor: Query<Option<AdvisorKey>>,
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
    ) -> Result<Found<List<TeamItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let known = caller.clone();
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Many,
            move |seen| {
                let all = seen.library.firm.teams(seen.at);
                Ok(all
                    .filter(|said| advisor.0.is_none_or(|advisor| said.fact.members.contains(&advisor.0)))
                    .map(|said| said.fact.team)
                    .filter(|id| knows(seen, &known, *id))
                    .collect())
            },
            ToString::to_string,
            move |seen, id| item(seen, &caller, id),
        )
        .await
    }

    /// Form a team
    #[oai(path = "/teams", method = "post", operation_id = "formTeam")]
    async fn form(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<As<TeamRequest, NewTeam>>,
    ) -> Result<Made<TeamItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let new = input.value.said()?;
        self.0
            .blocking(move |journal| {
                let stated = firm::create(journal, key, |terms| {
                    journal.form_team(&caller.author(), None, &new, terms)
                })?;
                made(journal, &caller, &stated)
            })
            .await
    }

    /// Read a team
    #[oai(path = "/teams/:id", method = "get", operation_id = "readTeam")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The team
        id: Path<TeamKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<TeamItem>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let id = id.0.0;
        let known = caller.clone();
        firm::one(
            &self.0,
            question,
            moment,
            About::Subject(Subject::Team(id)),
            move |seen| match seen.library.firm.team(id, seen.at) {
                Some(_) if knows(seen, &known, id) => Ok(vec![seen.library.firm.changed_at()]),
                _ => Err(Problem::not_found("team", id)),
            },
            move |seen| item(seen, &caller, id),
        )
        .await
    }
}

changes! {
    /// The routes that change a team.
    Changes, "Tag::Advisors", id: TeamKey, "The team",
    "The ETag of a read of the team: the write is refused if anything was recorded about the team since";

    /// Change a team
    ///
    /// What is changed holds from a day on. A team without members is dissolved: nobody serves a client in it.
    amend(As<TeamAmendment, NewTeam>) -> TeamItem = "patch" "/teams/:id" "amendTeam";
}

async fn amend(
    service: &Service,
    asked: Asked<TeamId>,
    said: As<TeamAmendment, NewTeam>,
) -> Result<Made<TeamItem>, Problem> {
    let standing = |journal: &Journal, id| Standing::of_subject(journal, Subject::Team(id));
    let write = |journal: &Journal, author: &Author, id, new: &_, terms: &Terms| {
        journal.form_team(author, Some(id), new, terms)
    };
    asked.record(service, said.said()?, standing, write, made).await
}

/// Refuses a team of which nothing was recorded that the caller may know of.
pub(super) fn exists(seen: &Seen<'_>, caller: &Caller, id: TeamId) -> Result<(), Problem> {
    match seen.library.firm.team_history(id).first() {
        Some(first) if first.sequence <= seen.pin.known && knows(seen, caller, id) => Ok(()),
        _ => Err(Problem::not_found("team", id)),
    }
}

/// Whether a caller may know of a team: of one that holds somebody they may know of.
fn knows(seen: &Seen<'_>, caller: &Caller, id: TeamId) -> bool {
    let of = |at| {
        let team = seen.library.firm.team(id, at);
        team.is_some_and(|said| said.fact.members.iter().any(|member| caller.knows_advisor(*member)))
    };
    caller.knows_of(None) || of(seen.at) || of(seen.ever())
}

fn made(journal: &Journal, caller: &Caller, stated: &Stated) -> Result<Made<TeamItem>, Problem> {
    let Event::TeamFormed(fact) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let body = firm::recorded(journal, fact.from, stated.sequence, |seen| item(seen, caller, fact.team))?;
    Ok(Made::new(&body).at(&format!("/teams/{}", fact.team)).replayed(stated.already))
}

fn item(seen: &Seen<'_>, caller: &Caller, id: TeamId) -> Result<TeamItem, Problem> {
    let said = seen.library.firm.team(id, seen.at).ok_or_else(|| Problem::not_found("team", id))?;
    let members = said.fact.members.iter().copied().filter(|member| caller.knows_advisor(*member));
    Ok(TeamItem {
        id: id.into(),
        name: said.fact.name.to_string(),
        members: members.map(|member| seen.advisor_ref(member)).collect(),
        from: said.fact.from.into(),
        last_event: Sequence(said.meta.sequence),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    })
}
