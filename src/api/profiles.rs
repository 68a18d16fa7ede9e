//! Investment profiles, version by version, and the reviews held with clients.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::body::Fields;
use super::changes::{Asked, changes};
use super::firm::{self, About, ReversedItem, Seen};
use super::page::{Limit, List, Page};
use super::parties;
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{
    Advisor as AdvisorKey, CurrencyCode, Date, Exact, Instrument as InstrumentKey, Party as PartyKey,
    Portfolio as PortfolioKey, Review as ReviewKey, Sequence, Time, TimeOrDate, Version,
};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read, choice};
use crate::journal::{HistoricFact, Journal, NewProfile, NewReview, NewTarget, OneOf, Stated, Subject};
use daybook_projections::Said;
use daybook_schemas::events::{
    Dimension, InvestmentProfileSet, Objective, ProfileDetails, ReviewHeld, ReviewOutcome, RiskLevel, Role,
    TargetWeight,
};
use daybook_schemas::{Currency, Event, Fraction, InstrumentId, Money, PartyId, decimal, stream};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

record! {
    /// The personal part of an investment profile, in words.
    DetailsItem {
        /// Date of birth
        born: Option<Date>,
        /// Investments elsewhere
        other_investments: Option<String>,
        /// Income, wealth, obligations
        financial_situation: Option<String>,
        /// What the party needs
        needs: Option<String>,
        /// Tax status
        tax_status: Option<String>,
        /// Experience with investments
        experience: Option<String>,
    }
}

record! {
    /// What is not to be held.
    ExclusionItem {
        /// `instrument`, `issuer`, `sector`, `currency`, `class` or `country`
        dimension: String,
        /// Which one: an instrument's id (a request may name its symbol), a currency, a class, a country of ISO 3166, or a name
        value: String,
        /// What the instrument is called, where it is one
        symbol: Option<String>,
    }
}

record! {
    /// A limit on a part of a portfolio.
    CapItem {
        /// `instrument`, `issuer`, `sector`, `currency`, `class` or `country`
        dimension: String,
        /// Which one: an instrument's id (a request may name its symbol), a currency, a class, a country of ISO 3166, or a name; absent for each
        value: Option<String>,
        /// What the instrument is called, where it is one
        symbol: Option<String>,
        /// The most, as a part of equity: 0.25 is a quarter
        share_max: Exact,
    }
}

record! {
    /// A weight to aim for: of an instrument or of a sleeve.
    TargetItem {
        /// The instrument's id; a request may name its symbol
        instrument: Option<InstrumentKey>,
        /// What the instrument is called
        symbol: Option<String>,
        /// The class or another name, where it is no instrument
        sleeve: Option<String>,
        /// The part of equity to aim for
        weight: Exact,
        /// How far it may be off before somebody is told; absent for the rule of the house
        band: Option<Exact>,
    }
}

record! {
    /// Cash to be kept at hand.
    LiquidityReserve {
        /// The amount, not negative
        amount: Exact,
        /// The currency
        currency: CurrencyCode,
    }
}

record! {
    /// A version of a party's investment profile.
    ProfileItem {
        /// The party
        party: PartyKey,
        /// 1 for the first, then one more each time
        version: u32,
        /// The portfolio it is for; absent for all of the party's
        portfolio: Option<PortfolioKey>,
        /// What the party wants: `preservation`, `income`, `balanced`, `growth`, `speculation`
        objectives: Vec<String>,
        /// How much risk it will bear: `very_low`, `low`, `medium`, `high`, `very_high`
        risk_tolerance: String,
        /// How much loss it can bear, in the same words
        loss_capacity: Option<String>,
        /// For how many years the money is not needed
        horizon_years: Option<u16>,
        /// Cash to be kept at hand
        liquidity_reserve: Option<LiquidityReserve>,
        /// The largest drawdown to be borne, as a positive part of one
        drawdown_max: Option<Exact>,
        /// Age, other investments, situation and needs, in words; absent where its key is erased
        details: Option<DetailsItem>,
        /// What is not to be held
        exclusions: Vec<ExclusionItem>,
        /// Limits on parts of the portfolio
        caps: Vec<CapItem>,
        /// Weights to aim for; what is missing to one is cash
        targets: Vec<TargetItem>,
        /// When it is to be looked at again
        review_due: Option<Date>,
        /// The first day on which it holds
        from: Date,
        /// When it was recorded
        recorded_at: Time,
        /// Whether it is in force on the day for which this holds
        in_force: bool,
        /// The event that took it back, where one did
        reversed_by: Option<Sequence>,
        /// The event that set it
        event: Sequence,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

schema! {
    /// What is not to be held.
    ExclusionRequest {
        /// `instrument`, `issuer`, `sector`, `currency`, `class` or `country`
        dimension: String,
        /// Which one: an instrument's symbol or id, a currency, a class, a country of ISO 3166, or a name
        value: String,
    }
}

schema! {
    /// A limit on a part of a portfolio.
    CapRequest {
        /// `instrument`, `issuer`, `sector`, `currency`, `class` or `country`
        dimension: String,
        /// Which one: an instrument's symbol or id, a currency, a class, a country of ISO 3166, or a name; each if not said
        value: Option<String>,
        /// The most, as a part of equity: 0.25 is a quarter
        share_max: Exact,
    }
}

schema! {
    /// A weight to aim for: of an instrument or of a sleeve.
    TargetRequest {
        /// The instrument's symbol or id
        instrument: Option<String>,
        /// The class or another name, in the place of an instrument
        sleeve: Option<String>,
        /// The part of equity to aim for
        weight: Exact,
        /// How far it may be off before somebody is told; the rule of the house if not said
        band: Option<Exact>,
    }
}

schema! {
    /// A new version of a party's investment profile. It says all of it anew: nothing of an earlier version stays.
    ProfileRequest {
        /// The version that you read last, 0 if there was none: another one set in between is a conflict
        expects_version: Option<u32>,
        /// The portfolio it is for, which the party owns; all of the party's if not said
        portfolio: Option<PortfolioKey>,
        /// What the party wants: `preservation`, `income`, `balanced`, `growth`, `speculation`
        objectives: Vec<String>,
        /// How much risk it will bear: `very_low`, `low`, `medium`, `high`, `very_high`
        risk_tolerance: String,
        /// How much loss it can bear, in the same words
        loss_capacity: Option<String>,
        /// For how many years the money is not needed
        horizon_years: Option<u16>,
        /// Cash to be kept at hand
        liquidity_reserve: Option<LiquidityReserve>,
        /// The largest drawdown to be borne, as a positive part of one
        drawdown_max: Option<Exact>,
        /// Age, other investments, situation and needs, in words; kept under the party's key
        details: Option<DetailsItem>,
        /// What is not to be held
        exclusions: Option<Vec<ExclusionRequest>>,
        /// Limits on parts of the portfolio
        caps: Option<Vec<CapRequest>>,
        /// Weights to aim for, which sum to one at most; what is missing is cash
        targets: Option<Vec<TargetRequest>>,
        /// When it is to be looked at again, after the first day
        review_due: Option<Date>,
        /// The first day on which it holds; today (UTC) if not said
        from: Option<Date>,
    }
}

record! {
    /// A review that was held with a party.
    ReviewItem {
        /// The review
        id: ReviewKey,
        /// The party
        party: PartyKey,
        /// The portfolios that were looked at; empty for all
        portfolios: Vec<PortfolioKey>,
        /// Who held it
        advisor: Option<AdvisorKey>,
        /// The advisor's name; absent where its key is erased
        advisor_name: Option<String>,
        /// The day
        on: Date,
        /// `confirmed`, `profile_changed` or `portfolio_changed`
        outcome: String,
        /// When the next is due
        next_due: Option<Date>,
        /// What was said: the firm's own note, which a client's token is not shown; absent where its key is erased
        note: Option<String>,
        /// When it was recorded
        recorded_at: Time,
        /// Who recorded it
        actor: String,
        /// The event that took it back, where one did
        reversed: Option<ReversedItem>,
        /// The event that says so
        event: Sequence,
    }
}

schema! {
    /// A review that was held.
    ReviewRequest {
        /// The portfolios that were looked at, which the party owns; all if not said
        portfolios: Option<Vec<PortfolioKey>>,
        /// Who held it; an advisor's token holds its own
        advisor: Option<AdvisorKey>,
        /// The day, not one to come; today (UTC) if not said
        on: Option<Date>,
        /// `confirmed`, `profile_changed` or `portfolio_changed`
        outcome: String,
        /// When the next is due, after the review
        next_due: Option<Date>,
        /// What was said; kept under the party's key
        note: Option<String>,
    }
}

fn read_details(fields: &mut Fields) -> ProfileDetails {
    ProfileDetails {
        born: fields.day("born"),
        other_investments: fields.text("other_investments"),
        financial_situation: fields.text("financial_situation"),
        needs: fields.text("needs"),
        tax_status: fields.text("tax_status"),
        experience: fields.text("experience"),
    }
}

fn read_money(fields: &mut Fields) -> Option<Money> {
    let amount = fields.required("amount", decimal::parse);
    let currency = fields.required("currency", Currency::parse);
    Some(Money::new(amount?, currency?))
}

fn read_exclusion(fields: &mut Fields) -> Option<OneOf> {
    let dimension = fields.required("dimension", |text| choice(text, Dimension::CODED));
    let value = Some(fields.required_text("value"));
    Some(OneOf { dimension: dimension?, value, share_max: None })
}

fn read_cap(fields: &mut Fields) -> Option<OneOf> {
    let dimension = fields.required("dimension", |text| choice(text, Dimension::CODED));
    let value = fields.text("value");
    let share_max = fields.required("share_max", Fraction::parse);
    Some(OneOf { dimension: dimension?, value, share_max })
}

/// Reads a weight to aim for.
pub(super) fn read_target(fields: &mut Fields) -> Option<NewTarget> {
    let (instrument, sleeve) = (fields.text("instrument"), fields.text("sleeve"));
    let weight = fields.required("weight", Fraction::parse);
    let band = fields.fraction("band");
    Some(NewTarget { instrument, sleeve, weight: weight?, band })
}

impl Read<ProfileRequest> for NewProfile {
    fn read(fields: &mut Fields) -> Option<Self> {
        let expects_version = fields.integer("expects_version");
        let portfolio = fields.id("portfolio");
        let objectives = fields.several_of("objectives", Objective::CODED);
        let risk_tolerance = fields.required("risk_tolerance", |text| choice(text, RiskLevel::CODED));
        let loss_capacity = fields.one_of("loss_capacity", RiskLevel::CODED);
        let horizon_years = fields.integer("horizon_years");
        let liquidity_reserve = fields.object("liquidity_reserve", read_money).flatten();
        let drawdown_max = fields.fraction("drawdown_max");
        let details = fields.object("details", read_details);
        let exclusions = fields.some_objects("exclusions", read_exclusion);
        let caps = fields.some_objects("caps", read_cap);
        let targets = fields.some_objects("targets", read_target);
        let (review_due, from) = (fields.day("review_due"), fields.day("from"));
        Some(Self {
            expects_version,
            portfolio,
            objectives,
            risk_tolerance: risk_tolerance?,
            loss_capacity,
            horizon_years,
            liquidity_reserve,
            drawdown_max,
            details,
            exclusions,
            caps,
            targets,
            review_due,
            from,
        })
    }
}

impl Read<ReviewRequest> for NewReview {
    fn read(fields: &mut Fields) -> Option<Self> {
        let portfolios = fields.ids("portfolios").unwrap_or_default();
        let advisor = fields.id("advisor");
        let on = fields.day("on");
        let outcome = fields.required("outcome", |text| choice(text, ReviewOutcome::CODED));
        let (next_due, note) = (fields.day("next_due"), fields.text("note"));
        Some(Self { portfolios, advisor, on, outcome: outcome?, next_due, note })
    }
}

/// The routes of profiles and reviews.
pub(super) struct Profiles(pub(super) Service);

#[OpenApi(tag = "Tag::Clients")]
impl Profiles {
    /// List the versions of a client's profile
    ///
    /// All of them, the newest first, those that were taken back and those that begin on a day to come among them.
    #[oai(path = "/clients/:party/profiles", method = "get", operation_id = "listProfiles")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// The client
        party: Path<PartyKey>,
        /// Only those that are for this portfolio alone
        portfolio: Query<Option<PortfolioKey>>,
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
    ) -> Result<Found<List<ProfileItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let id = party.0.0;
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Stream(stream::party(id)),
            move |seen| {
                parties::exists(seen, id)?;
                let mut versions = versions(seen, id)?;
                versions.retain(|(_, profile)| {
                    portfolio.0.is_none_or(|portfolio| profile.portfolio == Some(portfolio.0))
                });
                versions.reverse();
                Ok(versions)
            },
            |(fact, _)| fact.entered.sequence.to_string(),
            |seen, (fact, profile)| Ok(shown(seen, &fact, &profile)),
        )
        .await
    }

    /// Read a version of a client's profile
    #[oai(path = "/clients/:party/profiles/:version", method = "get", operation_id = "readProfile")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn read(
        &self,
        _caller: Caller,
        question: Question,
        /// The client
        party: Path<PartyKey>,
        /// The version
        version: Path<Version>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<ProfileItem>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let (id, version) = (party.0.0, version.0.0);
        firm::one(
            &self.0,
            question,
            moment,
            About::Stream(stream::party(id)),
            move |seen| {
                parties::exists(seen, id)?;
                // The events of a party alone say what its profiles are.
                Ok(vec![Subject::Party(id).changed_at(&seen.library.firm, seen.pin.known)])
            },
            move |seen| {
                let versions = versions(seen, id)?;
                let found = versions.iter().find(|(_, profile)| profile.version == version);
                let (fact, profile) =
                    found.ok_or_else(|| Problem::not_found("version of the profile", version))?;
                Ok(shown(seen, fact, profile))
            },
        )
        .await
    }

    /// List the reviews held with a client
    ///
    /// All of them, the newest first, those that were taken back among them. The note is the firm's own: a client's token
    /// is not shown it.
    #[oai(path = "/clients/:party/reviews", method = "get", operation_id = "listReviews")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn reviews(
        &self,
        caller: Caller,
        question: Question,
        /// The client
        party: Path<PartyKey>,
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
    ) -> Result<Found<List<ReviewItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let id = party.0.0;
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Stream(stream::party(id)),
            move |seen| {
                parties::exists(seen, id)?;
                let facts = facts(seen, id)?.into_iter().rev();
                Ok(facts
                    .filter_map(|fact| match &fact.event {
                        Event::ReviewHeld(held) if held.on <= seen.at.day => {
                            let held = held.clone();
                            Some((fact, held))
                        }
                        _ => None,
                    })
                    .collect())
            },
            |(fact, _)| fact.entered.sequence.to_string(),
            move |seen, (fact, held)| Ok(review(seen, &caller, &fact, &held)),
        )
        .await
    }
}

changes! {
    /// The routes that change a client's profile.
    ProfileChanges, "Tag::Clients", party: PartyKey, "The client",
    "The ETag of a read of the client or of its profiles: the write is refused if anything was recorded about the party since";

    /// Set a client's profile
    ///
    /// Each version says all of it anew. The server numbers them; `expects_version` makes sure that nobody set another
    /// one since you read it.
    set(As<ProfileRequest, NewProfile>) -> ProfileItem = "post" "/clients/:party/profiles" "setProfile";
}

changes! {
    /// The routes that change the reviews held with a client.
    ReviewChanges, "Tag::Clients", party: PartyKey, "The client",
    "The ETag of a read of the client or of its reviews: the write is refused if anything was recorded about the party since";

    /// Record a review that was held with a client
    hold(As<ReviewRequest, NewReview>) -> ReviewItem = "post" "/clients/:party/reviews" "holdReview";
}

async fn set(
    service: &Service,
    asked: Asked<PartyId>,
    said: As<ProfileRequest, NewProfile>,
) -> Result<Made<ProfileItem>, Problem> {
    asked.record(service, said.said()?, parties::standing, Journal::set_profile, made).await
}

async fn hold(
    service: &Service,
    asked: Asked<PartyId>,
    said: As<ReviewRequest, NewReview>,
) -> Result<Made<ReviewItem>, Problem> {
    let mut new = said.said()?;
    if *asked.caller.role() == Role::Advisor {
        let own = asked.caller.advisor();
        if new.advisor.is_some() && new.advisor != own {
            return Err(Problem::forbidden(
                "an advisor records reviews of their own: leave `advisor` out, or ask an administrator",
            ));
        }
        new.advisor = own;
    }
    asked.record(service, new, parties::standing, Journal::hold_review, made_review).await
}

fn made(journal: &Journal, _caller: &Caller, stated: &Stated) -> Result<Made<ProfileItem>, Problem> {
    let Event::InvestmentProfileSet(profile) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let body = firm::recorded(journal, profile.from, stated.sequence, |seen| {
        let fact = fact_of(seen, profile.party, stated.sequence)?;
        Ok(shown(seen, &fact, profile))
    })?;
    let at = format!("/clients/{}/profiles/{}", profile.party, profile.version);
    Ok(Made::new(&body).at(&at).replayed(stated.already))
}

fn made_review(journal: &Journal, caller: &Caller, stated: &Stated) -> Result<Made<ReviewItem>, Problem> {
    let Event::ReviewHeld(held) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let body = firm::recorded(journal, held.on, stated.sequence, |seen| {
        let fact = fact_of(seen, held.party, stated.sequence)?;
        Ok(review(seen, caller, &fact, held))
    })?;
    let at = format!("/clients/{}/reviews", held.party);
    Ok(Made::new(&body).at(&at).replayed(stated.already))
}

fn facts(seen: &Seen<'_>, id: PartyId) -> Result<Vec<HistoricFact>, Problem> {
    Ok(seen.journal.firm_history(seen.library, seen.keys, Subject::Party(id), seen.pin.known)?)
}

fn fact_of(seen: &Seen<'_>, id: PartyId, sequence: u64) -> Result<HistoricFact, Problem> {
    let found = facts(seen, id)?.into_iter().find(|fact| fact.entered.sequence == sequence);
    found.ok_or_else(|| Problem::internal("a fact that its history does not hold"))
}

/// All versions of a party's profile, the oldest first.
fn versions(seen: &Seen<'_>, id: PartyId) -> Result<Vec<(HistoricFact, InvestmentProfileSet)>, Problem> {
    let facts = facts(seen, id)?.into_iter();
    Ok(facts
        .filter_map(|fact| match &fact.event {
            Event::InvestmentProfileSet(profile) => {
                let profile = profile.clone();
                Some((fact, profile))
            }
            _ => None,
        })
        .collect())
}

fn shown(seen: &Seen<'_>, fact: &HistoricFact, profile: &InvestmentProfileSet) -> ProfileItem {
    let in_force = seen.library.firm.profile(profile.party, profile.portfolio, seen.at);
    let shown = Shown {
        event: fact.entered.sequence,
        recorded_at: fact.entered.recorded_at,
        reversed_by: fact.reversed.as_ref().map(|entered| entered.sequence),
        in_force: in_force.is_some_and(|said| said.meta.sequence == fact.entered.sequence),
    };
    written(seen, profile, &shown)
}

/// The profile in force.
pub(super) fn item(seen: &Seen<'_>, said: &Said<InvestmentProfileSet>) -> ProfileItem {
    let shown = Shown {
        event: said.meta.sequence,
        recorded_at: said.meta.recorded_at,
        reversed_by: None,
        in_force: true,
    };
    written(seen, &said.fact, &shown)
}

/// What the log says of a profile beside its content.
struct Shown {
    event: u64,
    recorded_at: daybook_schemas::Timestamp,
    reversed_by: Option<u64>,
    in_force: bool,
}

fn written(seen: &Seen<'_>, profile: &InvestmentProfileSet, shown: &Shown) -> ProfileItem {
    let details = profile.details.as_ref().and_then(|details| details.open(seen.keys).ok());
    let named = |dimension: &Dimension, value: &str| {
        let id: Option<InstrumentId> =
            if *dimension == Dimension::Instrument { value.parse().ok() } else { None };
        id.and_then(|id| symbol(seen, id))
    };
    ProfileItem {
        party: profile.party.into(),
        version: profile.version,
        portfolio: profile.portfolio.map(PortfolioKey),
        objectives: profile.objectives.iter().map(ToString::to_string).collect(),
        risk_tolerance: profile.risk_tolerance.to_string(),
        loss_capacity: profile.loss_capacity.as_ref().map(ToString::to_string),
        horizon_years: profile.horizon_years,
        liquidity_reserve: profile.liquidity_reserve.map(|reserve| LiquidityReserve {
            amount: reserve.amount().into(),
            currency: CurrencyCode(reserve.currency()),
        }),
        drawdown_max: profile.drawdown_max.map(|most| most.get().into()),
        details: details.map(|details| DetailsItem {
            born: details.born.map(Date),
            other_investments: details.other_investments,
            financial_situation: details.financial_situation,
            needs: details.needs,
            tax_status: details.tax_status,
            experience: details.experience,
        }),
        exclusions: profile
            .exclusions
            .iter()
            .map(|exclusion| ExclusionItem {
                dimension: exclusion.dimension.to_string(),
                value: exclusion.value.to_string(),
                symbol: named(&exclusion.dimension, &exclusion.value),
            })
            .collect(),
        caps: profile
            .caps
            .iter()
            .map(|cap| CapItem {
                dimension: cap.dimension.to_string(),
                value: cap.value.as_deref().map(str::to_owned),
                symbol: cap.value.as_deref().and_then(|value| named(&cap.dimension, value)),
                share_max: cap.share_max.get().into(),
            })
            .collect(),
        targets: targets(seen, &profile.targets),
        review_due: profile.review_due.map(Date),
        from: profile.from.into(),
        recorded_at: shown.recorded_at.into(),
        in_force: shown.in_force,
        reversed_by: shown.reversed_by.map(Sequence),
        event: Sequence(shown.event),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    }
}

/// What an instrument is called on the day.
pub(super) fn symbol(seen: &Seen<'_>, id: InstrumentId) -> Option<String> {
    let registry = &seen.library.instruments;
    let symbol = registry.symbol(id, Some(seen.at.day)).or_else(|| registry.symbol(id, None));
    symbol.map(str::to_owned)
}

/// Weights to aim for.
pub(super) fn targets(seen: &Seen<'_>, targets: &[TargetWeight]) -> Vec<TargetItem> {
    targets
        .iter()
        .map(|target| TargetItem {
            instrument: target.instrument.map(InstrumentKey),
            symbol: target.instrument.and_then(|id| symbol(seen, id)),
            sleeve: target.sleeve.as_deref().map(str::to_owned),
            weight: target.weight.get().into(),
            band: target.band.map(|band| band.get().into()),
        })
        .collect()
}

fn review(seen: &Seen<'_>, caller: &Caller, fact: &HistoricFact, held: &ReviewHeld) -> ReviewItem {
    let note = held.note.as_ref().filter(|_| *caller.role() != Role::Client);
    let portfolios = held.portfolios.iter().copied().filter(|portfolio| caller.knows(*portfolio));
    ReviewItem {
        id: held.review.into(),
        party: held.party.into(),
        portfolios: portfolios.map(PortfolioKey).collect(),
        advisor: held.advisor.map(AdvisorKey),
        advisor_name: held.advisor.and_then(|id| seen.advisor_name(id)),
        on: held.on.into(),
        outcome: held.outcome.to_string(),
        next_due: held.next_due.map(Date),
        note: note.and_then(|note| note.open(seen.keys).ok()),
        recorded_at: fact.entered.recorded_at.into(),
        actor: fact.entered.actor.clone(),
        reversed: firm::reversed(fact),
        event: Sequence(fact.entered.sequence),
    }
}
