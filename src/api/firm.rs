//! The firm as its routes show it: on a day, as known at a sequence, people by their names where the keys are at hand.

use super::access::Caller;
use super::answer::{Found, Question, Tag};
use super::attempt;
use super::page::{List, Page, Pin};
use super::precondition::{Precondition, Standing};
use super::problem::Problem;
use super::record::record;
use super::scalar::{
    Advisor as AdvisorKey, Date, Household as HouseholdKey, Party as PartyKey,
    Recommendation as RecommendationKey, Sequence, Team as TeamKey, Time,
};
use super::service::Service;
use crate::journal::{HistoricFact, Journal, JournalError, Moment, Stated, Subject, Terms, decode, today};
use daybook_ledger::CommitKey;
use daybook_projections::{AsOf, At, Library, Serving};
use daybook_schemas::events::{Assignee, Contact};
use daybook_schemas::{AdvisorId, Day, Event, KeyRing, PartyId, PortfolioId, Zone};
use poem_openapi::types::{Any, ToJSON};
use serde_json::Value;

record! {
    /// How somebody can be reached.
    ContactItem {
        /// E-mail address
        email: Option<String>,
        /// Telephone number
        telephone: Option<String>,
        /// Postal address
        address: Option<String>,
    }
}

record! {
    /// An advisor, by name.
    AdvisorRef {
        /// The advisor
        advisor: AdvisorKey,
        /// The name; absent where its key is erased
        name: Option<String>,
    }
}

record! {
    /// A party, by name.
    PartyRef {
        /// The party
        party: PartyKey,
        /// Its name; absent where its key is erased
        name: Option<String>,
    }
}

record! {
    /// A team, by name.
    TeamRef {
        /// The team
        team: TeamKey,
        /// Its name
        name: String,
    }
}

record! {
    /// A household, by name.
    HouseholdRef {
        /// The household
        household: HouseholdKey,
        /// Its name; absent where its key is erased
        name: Option<String>,
    }
}

record! {
    /// One who serves a client: an advisor or a team.
    ServingItem {
        /// The advisor
        advisor: Option<AdvisorKey>,
        /// The team, where it is one
        team: Option<TeamKey>,
        /// The name; absent where its key is erased
        name: Option<String>,
        /// `lead`, `support` or `deputy`
        role: String,
        /// The first day
        from: Date,
        /// The last day, where it has one
        until: Option<Date>,
    }
}

record! {
    /// The event that took a fact back.
    ReversedItem {
        /// The event
        event: Sequence,
        /// When it was recorded
        recorded_at: Time,
        /// Who recorded it
        actor: String,
        /// Why; absent where its key is erased
        reason: Option<String>,
    }
}

record! {
    /// A fact as it was recorded.
    HistoryItem {
        /// The event that states it
        event: Sequence,
        /// What kind of event it is
        type_name = "type": String,
        /// The first day on which it holds
        from: Date,
        /// When it happened in the world
        occurred_at: Time,
        /// When it was recorded
        recorded_at: Time,
        /// Who recorded it
        actor: String,
        /// What it says, as the payload of the event does; names and words are opened, and absent where their key is erased
        fact: Any<Value>,
        /// The event that took it back, where one did
        reversed: Option<ReversedItem>,
    }
}

/// What a read is about, as far as something can be written to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// What one stream tells.
    Stream(String),
    /// Something that shares its stream with others.
    Subject(Subject),
    /// A portfolio.
    Portfolio(PortfolioId),
    /// Many things at once: nothing is written on the strength of it.
    Many,
}

/// The firm at a moment.
pub(super) struct Seen<'a> {
    pub(super) journal: &'a Journal,
    pub(super) library: &'a Library,
    pub(super) keys: &'a KeyRing,
    pub(super) at: At,
    pub(super) pin: Pin,
    /// Whether whoever asks said how much is to be known.
    fixed: bool,
}

/// Shows the firm at a moment, or as the first page of a list saw it.
pub(super) fn see<T>(
    journal: &Journal,
    moment: &Moment,
    page: Option<&Page>,
    show: impl FnOnce(&Seen<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let fixed = moment.known_at.is_some()
        || moment.at_sequence.is_some()
        || page.is_some_and(|page| page.pin.is_some());
    let known = if fixed { Some(journal.known(moment)?) } else { None };
    let library = journal.library()?;
    let day = moment.as_of.map_or_else(today, |as_of| as_of.day(Zone::UTC));
    let present = Pin { known: known.unwrap_or_else(|| library.applied()), as_of: AsOf::Day(day) };
    let pin = page.map_or(Ok(present), |page| page.pinned(library.applied(), present))?;
    let keys = journal.keys();
    let at = At { day: pin.as_of.day(Zone::UTC), known: pin.known };
    show(&Seen { journal, library: &library, keys: &keys, at, pin, fixed })
}

/// Answers a read at a moment, unless the caller has the answer already. `find` refuses what is not there, and says what
/// the answer depends on beside the moment.
pub(super) async fn one<T: ToJSON + Send + 'static>(
    service: &Service,
    question: Question,
    moment: Moment,
    about: About,
    find: impl FnOnce(&Seen<'_>) -> Result<Vec<u64>, Problem> + Send + 'static,
    show: impl FnOnce(&Seen<'_>) -> Result<T, Problem> + Send + 'static,
) -> Result<Found<T>, Problem> {
    service
        .blocking(move |journal| {
            see(journal, &moment, None, |seen| {
                let depends = find(seen)?;
                let tag = seen.tag(&question, &about, &depends)?;
                Found::new(tag, || show(seen))
            })
        })
        .await
}

/// Answers a page of a list at a moment, unless the caller has the answer already.
#[expect(clippy::too_many_arguments, reason = "what every change of the firm needs, from its route")]
pub(super) async fn list<I, T: ToJSON + Send + 'static>(
    service: &Service,
    question: Question,
    moment: Moment,
    page: Page,
    about: About,
    items: impl FnOnce(&Seen<'_>) -> Result<Vec<I>, Problem> + Send + 'static,
    key: impl Fn(&I) -> String + Send + 'static,
    show: impl Fn(&Seen<'_>, I) -> Result<T, Problem> + Send + 'static,
) -> Result<Found<List<T>>, Problem>
where
    List<T>: ToJSON,
{
    service
        .blocking(move |journal| {
            see(journal, &moment, Some(&page), |seen| {
                let items = items(seen)?;
                let tag = seen.tag(&question, &about, &[seen.library.firm.changed_at()])?;
                Found::new(tag, || page.cut(seen.pin, items, key, |item| show(seen, item)))
            })
        })
        .await
}

/// Answers a page of somebody's history, the oldest fact first.
pub(super) async fn history(
    service: &Service,
    question: Question,
    moment: Moment,
    page: Page,
    subject: Subject,
    find: impl FnOnce(&Seen<'_>) -> Result<(), Problem> + Send + 'static,
) -> Result<Found<List<HistoryItem>>, Problem> {
    let bounded = moment.as_of.is_some();
    list(
        service,
        question,
        moment,
        page,
        About::Many,
        move |seen| {
            find(seen)?;
            let mut facts = seen.journal.firm_history(seen.library, seen.keys, subject, seen.pin.known)?;
            // Without a bound on what had occurred, what is known of the future belongs to the history too.
            facts.retain(|fact| !bounded || fact.from <= seen.at.day);
            Ok(facts)
        },
        |fact| fact.entered.sequence.to_string(),
        |seen, fact| Ok(seen.history_item(&fact)),
    )
    .await
}

impl Seen<'_> {
    /// What an answer depends on: the moment, what instruments are called, and what else is given; of a view whose
    /// knowledge is fixed, that alone.
    fn dependencies(&self, depends: &[u64]) -> Vec<u64> {
        let day = u64::from_le_bytes(i64::from(self.at.day.number()).to_le_bytes());
        let mut all = vec![day, self.library.instruments.changed_at()];
        if self.fixed {
            all.push(self.pin.known);
        } else {
            all.extend(depends);
        }
        all
    }

    /// The tag of an answer. It begins with a mark of what the answer is about, which `If-Match` compares.
    fn tag(&self, question: &Question, about: &About, depends: &[u64]) -> Result<Tag, Problem> {
        let standing = match about {
            About::Many => return Ok(question.tag(&self.dependencies(depends))),
            _ if self.fixed => Standing::fixed(self.pin.known),
            About::Portfolio(id) => Standing::seen(self.library, *id),
            About::Subject(subject) => Standing::subject_seen(&self.library.firm, *subject, self.pin.known),
            About::Stream(name) => {
                let present = Standing::of_stream(self.journal, name)?;
                // What was recorded since is not in the answer.
                if present.sequence > self.pin.known { Standing::fixed(self.pin.known) } else { present }
            }
        };
        Ok(question.tag_of(&standing, &self.dependencies(depends)))
    }

    /// Whether somebody is there on the day whose last day, if there is one, is this.
    pub(super) fn is_there(&self, until: Option<Day>) -> bool {
        until.is_none_or(|until| self.at.day <= until)
    }

    /// The head that the answer reflects.
    pub(super) fn sequence(&self) -> Sequence {
        Sequence(self.pin.known)
    }

    /// The day for which the answer holds.
    pub(super) fn as_of(&self) -> Date {
        Date(self.at.day)
    }

    /// An advisor's name; also of one who joins later.
    pub(super) fn advisor_name(&self, id: AdvisorId) -> Option<String> {
        let firm = &self.library.firm;
        let found = firm.advisor(id, self.at).or_else(|| firm.advisor(id, self.ever()));
        found?.name.open(self.keys).ok()
    }

    /// A party's name; also of one that comes later.
    pub(super) fn party_name(&self, id: PartyId) -> Option<String> {
        let firm = &self.library.firm;
        let found = firm.party(id, self.at).or_else(|| firm.party(id, self.ever()));
        found?.name.open(self.keys).ok()
    }

    /// All days, as far as is known.
    pub(super) fn ever(&self) -> At {
        At { day: Day::from_number(i32::MAX), known: self.at.known }
    }

    pub(super) fn advisor_ref(&self, id: AdvisorId) -> AdvisorRef {
        AdvisorRef { advisor: id.into(), name: self.advisor_name(id) }
    }

    pub(super) fn party_ref(&self, id: PartyId) -> PartyRef {
        PartyRef { party: id.into(), name: self.party_name(id) }
    }

    /// Who serves a client, whoever answers for it first.
    pub(super) fn serving(&self, party: PartyId) -> Vec<ServingItem> {
        self.library
            .firm
            .serving(party, self.at)
            .into_iter()
            .map(|serving| self.serving_item(&serving))
            .collect()
    }

    fn serving_item(&self, serving: &Serving) -> ServingItem {
        let (advisor, team, name) = match serving.to {
            Assignee::Advisor(id) => (Some(id), None, self.advisor_name(id)),
            Assignee::Team(id) => {
                let team = self.library.firm.team(id, self.at);
                (None, Some(id), team.map(|said| said.fact.name.to_string()))
            }
        };
        ServingItem {
            advisor: advisor.map(AdvisorKey),
            team: team.map(TeamKey),
            name,
            role: serving.role.to_string(),
            from: serving.from.into(),
            until: serving.until.map(Date),
        }
    }

    /// The household that a party belongs to.
    pub(super) fn household_ref(&self, party: PartyId) -> Option<HouseholdRef> {
        let said = self.library.firm.household_of(party, self.at)?;
        let name = said.fact.name.open(self.keys).ok();
        Some(HouseholdRef { household: said.fact.household.into(), name })
    }

    /// A fact of a history.
    pub(super) fn history_item(&self, fact: &HistoricFact) -> HistoryItem {
        HistoryItem {
            event: Sequence(fact.entered.sequence),
            type_name: fact.event.event_type().name().to_owned(),
            from: fact.from.into(),
            occurred_at: fact.occurred_at.into(),
            recorded_at: fact.entered.recorded_at.into(),
            actor: fact.entered.actor.clone(),
            fact: Any(fact.opened(self.keys)),
            reversed: reversed(fact),
        }
    }
}

/// The event that took a fact back.
pub(super) fn reversed(fact: &HistoricFact) -> Option<ReversedItem> {
    fact.reversed.as_ref().map(|entered| ReversedItem {
        event: Sequence(entered.sequence),
        recorded_at: entered.recorded_at.into(),
        actor: entered.actor.clone(),
        reason: fact.reason.clone(),
    })
}

/// How somebody can be reached.
pub(super) fn contact(contact: Option<Contact>) -> Option<ContactItem> {
    contact.map(|contact| ContactItem {
        email: contact.email,
        telephone: contact.telephone,
        address: contact.address,
    })
}

/// Records something new, once under one key.
pub(super) fn create(
    journal: &Journal,
    key: Option<CommitKey>,
    write: impl Fn(&Terms) -> Result<Stated, JournalError>,
) -> Result<Stated, Problem> {
    self::write(
        journal,
        &Precondition::default(),
        key,
        || Err(Problem::internal("nothing stands yet")),
        write,
    )
}

/// Records a change, once under one key, if what it changes stands as the precondition says.
pub(super) fn write(
    journal: &Journal,
    precondition: &Precondition,
    key: Option<CommitKey>,
    present: impl Fn() -> Result<Standing, Problem>,
    write: impl Fn(&Terms) -> Result<Stated, JournalError>,
) -> Result<Stated, Problem> {
    // What the same request recorded before stands, whatever changed since.
    attempt::earlier(journal, key.as_ref())?;
    if let Some(stated) = journal.stated_before(key.as_ref())? {
        return Ok(stated);
    }
    let mut terms = Terms::from(key);
    let written = precondition.guard(present, |expected| {
        terms.expected = expected;
        write(&terms)
    });
    attempt::done(journal, terms.commit_key.as_ref(), written)
}

/// The recommendations that were taken back with what was recorded.
pub(super) fn withdrawn(journal: &Journal, stated: &Stated) -> Result<Vec<RecommendationKey>, Problem> {
    let mut all = Vec::new();
    for sequence in &stated.rest {
        if let Event::RecommendationWithdrawn(fact) = decode(&journal.event(*sequence)?.view())? {
            all.push(fact.recommendation.into());
        }
    }
    Ok(all)
}

/// Shows what a write recorded: as of the day from which it holds, as known when it was recorded.
pub(super) fn recorded<T>(
    journal: &Journal,
    day: Day,
    sequence: u64,
    show: impl FnOnce(&Seen<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let moment = Moment { as_of: Some(AsOf::Day(day)), known_at: None, at_sequence: Some(sequence) };
    see(journal, &moment, None, show)
}

/// Which of those who come and go are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    present: bool,
    past: bool,
}

impl Wanted {
    /// Reads what is wanted: those who are there unless another state is said.
    pub(super) fn read(
        state: Option<&str>,
        present: &'static str,
        past: &'static str,
    ) -> Result<Self, Problem> {
        match state {
            None => Ok(Self { present: true, past: false }),
            Some(state) if state == present => Ok(Self { present: true, past: false }),
            Some(state) if state == past => Ok(Self { present: false, past: true }),
            Some("all") => Ok(Self { present: true, past: true }),
            Some(_) => Err(Problem::parameter("state", format!("write {present}, {past} or all"))),
        }
    }

    /// Whether somebody is wanted whose last day, if there is one, is this.
    pub(super) fn takes(self, seen: &Seen<'_>, until: Option<Day>) -> bool {
        if seen.is_there(until) { self.present } else { self.past }
    }
}

/// The words for what one may not know of are those for what is not there.
pub(super) fn check_party(caller: &Caller, party: PartyId) -> Result<(), Problem> {
    if caller.knows_party(party) { Ok(()) } else { Err(Problem::not_found("party", party)) }
}
