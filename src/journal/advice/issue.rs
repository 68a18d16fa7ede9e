//! Issuing: what was seen on the day goes into the event, and is never computed again.

use super::screening::{AskedTrade, Screened};
use super::words;
use crate::journal::access::id_parts;
use crate::journal::{Author, Draft, Journal, JournalError, Moment, Terms, now, scope};
use daybook_ledger::{CommitKey, Expected};
use daybook_projections::{AdviceState, Library};
use daybook_schemas::events::{Ownership, RecommendationIssued, RecommendationWithdrawn};
use daybook_schemas::{
    AdvisorId, KeyId, Money, PartyId, PortfolioId, RecommendationId, Sealed, SealedError, Timestamp, Zone,
    stream,
};
use rust_decimal::Decimal;

/// For how many days a recommendation stands that does not say for how long.
const STANDS_DAYS: i32 = 30;

/// A recommendation to be issued.
#[derive(Clone, Debug)]
pub(crate) struct NewAdvice {
    /// For which portfolio.
    pub(crate) portfolio: PortfolioId,
    /// To which of its owners; the one by whose profile it is judged, or its only owner, if not said.
    pub(crate) party: Option<PartyId>,
    /// By whom.
    pub(crate) advisor: AdvisorId,
    /// What is recommended; none for holding still.
    pub(crate) trades: Vec<AskedTrade>,
    /// The version of the profile that the advisor has before him.
    pub(crate) profile_version: Option<u32>,
    /// Why.
    pub(crate) rationale: String,
    /// Expected cost in the base currency.
    pub(crate) cost: Option<Decimal>,
    /// When it runs out; in thirty days if not said.
    pub(crate) expires: Option<Timestamp>,
    /// The one that it replaces.
    pub(crate) replaces: Option<RecommendationId>,
}

impl Journal {
    /// Issues a recommendation; one that a rule holds back is recorded all the same, and the client does not see it.
    /// Gives its id and the sequence of its event.
    pub(crate) fn issue_recommendation(
        &self,
        author: &Author,
        new: &NewAdvice,
        commit_key: Option<CommitKey>,
    ) -> Result<(RecommendationId, u64), JournalError> {
        let rationale = words("rationale", &new.rationale)?;
        if new.cost.is_some_and(|cost| cost < Decimal::ZERO) {
            return Err(JournalError::field("expected_cost", "a cost is not negative"));
        }
        let (zone, replaced) = {
            let library = self.library()?;
            let portfolio = library
                .directory
                .get(new.portfolio)
                .ok_or_else(|| JournalError::not_found("portfolio", new.portfolio))?;
            if let Some(closed) = portfolio.closed {
                let detail = format!("the portfolio is closed since {closed}: nothing is recommended for it");
                return Err(JournalError::Conflict { detail, sequence: None });
            }
            (portfolio.zone, new.replaces.map(|id| replaceable(&library, new, id)).transpose()?)
        };
        let now = now();
        let expires = new.expires.unwrap_or_else(|| now.day_in(zone).plus_days(STANDS_DAYS).end_in(zone));
        if expires <= now {
            return Err(JournalError::field("expires", "a recommendation cannot run out in the past"));
        }
        // What is seen from here on must still stand when it is recorded.
        let judge = self.judge(new.portfolio, zone, now)?;
        let mut watched = vec![self.watched(stream::advisor(new.advisor))?];
        watched.extend(judge.map(|party| self.watched(stream::party(party))).transpose()?);
        let screened = self.screen(new.portfolio, &new.trades, new.cost, &Moment::default())?;
        check_profile(new, &screened)?;
        let party = self.addressee(new, &screened)?;
        let expires = self.runs_out(new, party, screened.on, expires)?;
        let key = KeyId::Party(party);
        let rationale = Sealed::seal(&self.keys(), key, &rationale.to_owned()).map_err(unsealed)?;
        let (milliseconds, bytes) = id_parts()?;
        let id = RecommendationId::new(milliseconds, bytes);
        let issued = RecommendationIssued {
            recommendation: id,
            portfolio: new.portfolio,
            party,
            advisor: new.advisor,
            profile_version: screened.profile.as_ref().map(|(_, profile)| profile.version),
            model: screened.model,
            trades: screened.trades.clone(),
            rationale,
            seen_sequence: screened.seen_sequence,
            seen_equity: screened.seen_equity(),
            expected_cost: new.cost.map(|cost| Money::new(cost, screened.currency)),
            expires: Some(expires),
            replaces: new.replaces,
            screening: screened.findings,
        };
        let name = stream::advice(id);
        let mut expected = vec![(name.as_str().into(), Expected::NoStream)];
        expected.extend(watched);
        let mut drafts = vec![Draft::new(name, now, issued)];
        if let Some((replaced, version)) = replaced {
            let name = stream::advice(replaced);
            expected.push((name.as_str().into(), Expected::Exactly(version)));
            let withdrawn = RecommendationWithdrawn { recommendation: replaced, reason: None };
            drafts.push(Draft::new(name, now, withdrawn));
        }
        let recorded = self.record(author, drafts, Terms { commit_key, expected, ..Terms::default() })?;
        let sequence = recorded.sequences.first().copied().unwrap_or(0);
        let id = if recorded.already { self.issued_by(sequence)? } else { id };
        Ok((id, sequence))
    }

    /// The recommendation that an event issued.
    pub(crate) fn issued_by(&self, sequence: u64) -> Result<RecommendationId, JournalError> {
        Ok(self.issued_event(sequence)?.recommendation)
    }

    /// The event at a sequence, which issued a recommendation.
    pub(crate) fn issued_event(&self, sequence: u64) -> Result<RecommendationIssued, JournalError> {
        match crate::journal::decode(&self.event(sequence)?.view())? {
            daybook_schemas::Event::RecommendationIssued(issued) => Ok(issued),
            _ => Err(JournalError::Conflict {
                detail: "this Idempotency-Key was used for another request: use a new key".to_owned(),
                sequence: Some(sequence),
            }),
        }
    }

    /// The party by whose profile a portfolio is judged now.
    fn judge(
        &self,
        portfolio: PortfolioId,
        zone: Zone,
        now: Timestamp,
    ) -> Result<Option<PartyId>, JournalError> {
        let library = self.library()?;
        let at = daybook_projections::At::on(now.day_in(zone));
        Ok(library.firm.governing_profile(portfolio, at).map(|(party, _)| party))
    }

    /// A stream that must not grow until something is recorded.
    pub(super) fn watched(&self, name: String) -> Result<(std::sync::Arc<str>, Expected), JournalError> {
        let version = self.ledger().stream_version(&name)?.unwrap_or(0);
        Ok((name.into(), Expected::Exactly(version)))
    }

    /// To whom it is recommended.
    fn addressee(&self, new: &NewAdvice, screened: &Screened) -> Result<PartyId, JournalError> {
        let library = self.library()?;
        let firm = &library.firm;
        let at = daybook_projections::At::on(screened.on);
        let owners: Vec<PartyId> = firm
            .owners(new.portfolio, at)
            .map(|said| said.fact.owners.iter().map(|owner| owner.party).collect())
            .unwrap_or_default();
        let party = match (new.party, &screened.profile, owners.as_slice()) {
            (Some(party), ..) if owners.contains(&party) => party,
            (Some(party), ..) => {
                let detail = format!("{party} does not own the portfolio on {}: name an owner", screened.on);
                return Err(JournalError::field("party", detail));
            }
            (None, Some((party, profile)), _) => {
                // Whose profile judges is not whom it is for, where nothing but an id puts one before the other.
                let among = if profile.portfolio.is_none() {
                    firm.owners(new.portfolio, at).map(|said| equals(&said.fact.owners, *party))
                } else {
                    None
                };
                if let Some(equals) = among.filter(|equals| equals.len() > 1) {
                    return Err(unnamed("owners with equal shares", equals));
                }
                *party
            }
            (None, None, [only]) => *only,
            (None, None, []) => {
                let detail = "nobody owns the portfolio yet: set its owners before anything is recommended";
                return Err(JournalError::field("portfolio", detail));
            }
            (None, None, several) => return Err(unnamed("owners", several.to_vec())),
        };
        if !firm.is_at_work(new.advisor, at) {
            let detail = format!("there is no advisor {} at work on {}", new.advisor, screened.on);
            return Err(JournalError::field("advisor", detail));
        }
        if !owners.iter().any(|owner| firm.advisors_of(*owner, at).contains(&new.advisor)) {
            let detail = format!("{} serves no owner of the portfolio on {}", new.advisor, screened.on);
            return Err(JournalError::field("advisor", detail));
        }
        Ok(party)
    }
}

/// The owners whose share is that of one of them.
fn equals(owners: &[Ownership], one: PartyId) -> Vec<PartyId> {
    let share = owners.iter().find(|owner| owner.party == one).map(|owner| owner.share);
    owners.iter().filter(|owner| Some(owner.share) == share).map(|owner| owner.party).collect()
}

/// That one of several owners is to be named, of whom those are told that the caller may know of.
fn unnamed(what: &str, mut owners: Vec<PartyId>) -> JournalError {
    owners.sort_unstable();
    let reach = scope::current();
    owners.retain(|owner| reach.as_ref().is_none_or(|reach| reach.party(*owner)));
    let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
    JournalError::field(
        "party",
        format!("the portfolio has several {what}: name one of {}", names.join(", ")),
    )
}

/// The version that is in force must be the one that the advisor has before him.
fn check_profile(new: &NewAdvice, screened: &Screened) -> Result<(), JournalError> {
    let present = screened.profile.as_ref().map(|(_, profile)| profile.version);
    match (new.profile_version, present) {
        (given, present) if given == present => Ok(()),
        (None, Some(present)) => Err(JournalError::field(
            "profile_version",
            format!(
                "say which version of the profile the recommendation rests on: version {present} is in force"
            ),
        )),
        (Some(given), Some(present)) => Err(JournalError::Conflict {
            detail: format!(
                "the recommendation rests on version {given} of the profile, and version {present} is in force: read it and decide again"
            ),
            sequence: screened.profile_sequence,
        }),
        (Some(given), None) => Err(JournalError::Conflict {
            detail: format!(
                "the recommendation rests on version {given} of a profile, and none is in force for the portfolio: leave `profile_version` out"
            ),
            sequence: None,
        }),
        (None, None) => Ok(()),
    }
}

/// The one that is replaced, and the version of its stream.
fn replaceable(
    library: &Library,
    new: &NewAdvice,
    id: RecommendationId,
) -> Result<(RecommendationId, u64), JournalError> {
    let replaced =
        library.recommendations.get(id).filter(|replaced| replaced.portfolio == new.portfolio).ok_or_else(
            || {
                let detail = format!("there is no recommendation {id} for this portfolio");
                JournalError::field("replaces", detail)
            },
        )?;
    let state = replaced.state(now(), u64::MAX);
    if !matches!(state, AdviceState::Blocked | AdviceState::AwaitingOverride | AdviceState::Issued) {
        return Err(JournalError::Conflict {
            detail: format!(
                "{id} is {state}, and only one that waits for an answer can be replaced: leave `replaces` out"
            ),
            sequence: Some(replaced.last_sequence),
        });
    }
    Ok((id, replaced.version))
}

/// Why words cannot be sealed.
pub(super) fn unsealed(error: SealedError) -> JournalError {
    match error {
        SealedError::NoKey(_) => JournalError::Conflict {
            detail: "the party's key was erased, so that nothing personal can be recorded of it any more"
                .to_owned(),
            sequence: None,
        },
        other => JournalError::Internal(other.to_string()),
    }
}
