//! What the firm sees: every advisor, how alike what is run alike does, exceptions, outliers, and what all of it rests on.

use super::advising::{AdviceSummary, PendingException};
use super::advisor::{Counts, counted, owned_parts, sums};
use super::items::ClientItem;
use super::office::{Called, Office, Sum, part};
use super::spread::{GROUP_MIN, Spread};
use crate::exact;
use crate::library::AdviceStep;
use daybook_schemas::decimal::{self, QUOTIENT_SCALE};
use daybook_schemas::events::AssignmentRole;
use daybook_schemas::{AdvisorId, InstrumentId, ModelId, PartyId, PortfolioId, RecommendationId, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// At most so many names stand in a list of concentrations.
const TOP: usize = 10;

/// One advisor beside the others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AdvisorRow {
    /// The advisor.
    pub advisor: Called<AdvisorId>,
    /// What the clients own that the advisor answers for, alone or in a team.
    pub assets: Sum,
    /// What came in less what went out in the period, of the same.
    pub net_flow: Sum,
    /// How many need attention.
    pub counts: Counts,
    /// The advisor's recommendations.
    pub recommendations: AdviceSummary,
}

/// Portfolios that are run alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReturnGroup {
    /// The model that they follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Called<ModelId>>,
    /// The mandate under which they are run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mandate: Option<String>,
    /// How many were there for the whole period and have a return.
    pub count: usize,
    /// How many were not, or have none.
    pub left_out: usize,
    /// How their returns of the period spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<Spread>,
    /// Why that is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A decision on an exception, or a request for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverrideSaid {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// What was said.
    pub step: AdviceStep,
    /// When.
    pub at: Timestamp,
    /// By whom: the advisor who asks, the name of whoever decides.
    pub by: String,
}

/// How often somebody decided on exceptions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Decider {
    /// Who.
    pub name: String,
    /// How many were approved.
    pub approved: usize,
    /// How many were refused.
    pub refused: usize,
}

/// Exceptions in the period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Overrides {
    /// How many were asked for.
    pub asked: usize,
    /// How many were approved.
    pub approved: usize,
    /// How many were refused.
    pub refused: usize,
    /// How many wait for a decision now.
    pub pending: usize,
    /// Who decided, by name.
    pub deciders: Vec<Decider>,
}

/// A portfolio whose figure lies far outside of the others'.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Outlier {
    /// The portfolio.
    pub portfolio: Called<PortfolioId>,
    /// Its figure, as a part of its mean equity.
    #[serde(with = "exact")]
    pub value: Decimal,
}

/// A figure of all portfolios, and which lie far outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Outliers {
    /// How many portfolios have the figure.
    pub count: usize,
    /// How many have it not.
    pub left_out: usize,
    /// How it spreads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Above it a figure is an outlier: the upper quartile and one and a half times the distance of the quartiles.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub fence: Option<Decimal>,
    /// Those above it, the highest first.
    pub outliers: Vec<Outlier>,
    /// Why none can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What a part of all assets rests on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Concentration {
    /// What it is called.
    pub name: String,
    /// What is held of it, in the currency of the view; short positions count against long ones.
    #[serde(with = "exact")]
    pub value: Decimal,
    /// As a part of all assets.
    #[serde(with = "exact")]
    pub share: Decimal,
    /// In how many portfolios.
    pub portfolios: usize,
}

/// What all assets rest on, the largest parts first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Book {
    /// Instruments.
    pub instruments: Vec<Concentration>,
    /// Issuers.
    pub issuers: Vec<Concentration>,
    /// Sectors.
    pub sectors: Vec<Concentration>,
    /// Why it cannot be told, or what was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What the firm sees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FirmView {
    /// What all portfolios are worth, each counted once.
    pub assets: Sum,
    /// What came in less what went out in the period.
    pub net_flow: Sum,
    /// How many need attention.
    pub counts: Counts,
    /// The advisors at work, those with the most clients off profile first. A team's clients count for each member.
    pub advisors: Vec<AdvisorRow>,
    /// Clients whom nobody answers for.
    pub unassigned: Vec<Called<PartyId>>,
    /// Portfolios that nobody owns.
    pub unowned: Vec<Called<PortfolioId>>,
    /// All recommendations.
    pub recommendations: AdviceSummary,
    /// How alike what is run alike does.
    pub dispersion: Vec<ReturnGroup>,
    /// What waits for a decision on an exception, or is held back without one being asked for; the oldest first.
    pub exceptions: Vec<PendingException>,
    /// Exceptions in the period.
    pub overrides: Overrides,
    /// The lesser of purchases and sales in the period, as a part of mean equity.
    pub turnover: Outliers,
    /// Charges and standalone costs in the period, taxes left out, as a part of mean equity.
    pub costs: Outliers,
    /// What all assets rest on.
    pub concentration: Book,
}

/// What was bought and what was sold in a period, in the portfolio's base currency; or why it is not known.
pub type Traded = BTreeMap<PortfolioId, Result<(Decimal, Decimal), String>>;

/// The portfolios that must be looked at for the firm's view.
#[must_use]
pub fn firm_portfolios(office: &Office<'_>) -> BTreeSet<PortfolioId> {
    let all = office.directory.list().map(|entry| entry.id);
    all.filter(|id| office.reach.portfolio(*id) && office.is_open(*id)).collect()
}

/// What the firm sees.
#[must_use]
pub fn firm_view(office: &Office<'_>, traded: &Traded, said: &[OverrideSaid]) -> FirmView {
    let firm = office.firm;
    let all = firm_portfolios(office);
    let whole: BTreeMap<PortfolioId, Decimal> = all.iter().map(|id| (*id, Decimal::ONE)).collect();
    let (assets, net_flow) = sums(office, &whole);
    let clients: Vec<PartyId> = firm
        .parties(office.at)
        .map(|party| party.id)
        .filter(|id| firm.is_client(*id, office.at) && office.reach.party(*id))
        .collect();
    let items: BTreeMap<PartyId, ClientItem> =
        clients.iter().map(|party| (*party, ClientItem::of(office, *party, &AssignmentRole::Lead))).collect();
    let mut advisors: Vec<AdvisorRow> = firm
        .advisors(office.at)
        .map(|advisor| advisor.id)
        .filter(|id| firm.is_at_work(*id, office.at) && office.reach.advisor(*id))
        .map(|id| advisor_row(office, id, &items))
        .collect();
    advisors.sort_by_key(|row| (usize::MAX - row.counts.clients_off_profile, row.advisor.id));
    let leads = |party: &PartyId| {
        firm.serving(*party, office.at).iter().any(|serving| serving.role == AssignmentRole::Lead)
    };
    let exceptions = office.exceptions(None);
    let owned = |id: &PortfolioId| firm.owners(*id, office.at).is_some();
    FirmView {
        assets,
        net_flow,
        counts: counted(items.values()),
        advisors,
        unassigned: clients
            .iter()
            .filter(|party| !leads(party))
            .map(|party| Called { id: *party, name: office.names.party(*party) })
            .collect(),
        unowned: all
            .iter()
            .filter(|id| !owned(id))
            .map(|id| Called { id: *id, name: office.names.portfolio(*id) })
            .collect(),
        recommendations: office.advised(None),
        dispersion: dispersion(office, &all),
        overrides: overrides(office, said, &exceptions),
        exceptions,
        turnover: outliers(office, &all, |id| {
            let (bought, sold) =
                traded.get(&id).cloned().unwrap_or_else(|| Err("not looked at".to_owned()))?;
            Ok(bought.min(sold))
        }),
        costs: outliers(office, &all, |id| office.standing(id)?.period.costs.clone()),
        concentration: concentration(office, &all),
    }
}

fn advisor_row(office: &Office<'_>, advisor: AdvisorId, items: &BTreeMap<PartyId, ClientItem>) -> AdvisorRow {
    let led: Vec<PartyId> = office
        .served_by(advisor)
        .into_iter()
        .filter(|(_, role)| *role == AssignmentRole::Lead)
        .map(|(party, _)| party)
        .collect();
    let (assets, net_flow) = sums(office, &owned_parts(office, led.iter().copied()));
    AdvisorRow {
        advisor: Called { id: advisor, name: office.names.advisor(advisor) },
        assets,
        net_flow,
        counts: counted(led.iter().filter_map(|party| items.get(party))),
        recommendations: office.advised(Some(advisor)),
    }
}

/// Model and mandate: what portfolios that are run alike have in common.
type Likeness = (Option<(ModelId, Box<str>)>, Option<String>);

fn dispersion(office: &Office<'_>, all: &BTreeSet<PortfolioId>) -> Vec<ReturnGroup> {
    let mut groups: BTreeMap<Likeness, (Vec<Decimal>, usize)> = BTreeMap::new();
    for standing in all.iter().filter_map(|id| office.standing(*id).ok()) {
        let likeness = (standing.model.clone(), standing.mandate.as_ref().map(ToString::to_string));
        let (returns, left_out) = groups.entry(likeness).or_default();
        match &standing.period.total_return {
            Ok(total) if standing.period.whole => returns.push(*total),
            _ => *left_out += 1,
        }
    }
    groups
        .into_iter()
        .map(|((model, mandate), (returns, left_out))| {
            let count = returns.len();
            let (returns, missing) = if count < GROUP_MIN {
                let reason = format!(
                    "{count} portfolios have a return of the whole period: the spread of fewer than {GROUP_MIN} is not shown"
                );
                (None, Some(reason))
            } else {
                match Spread::of(&returns) {
                    Ok(spread) => (spread, None),
                    Err(error) => (None, Some(error.to_string())),
                }
            };
            let model = model.map(|(id, name)| Called { id, name: Some(name.to_string()) });
            ReturnGroup { model, mandate, count, left_out, returns, missing }
        })
        .collect()
}

fn overrides(office: &Office<'_>, said: &[OverrideSaid], exceptions: &[PendingException]) -> Overrides {
    let mut overrides = Overrides {
        asked: 0,
        approved: 0,
        refused: 0,
        pending: exceptions.iter().filter(|one| one.state == "awaiting_override").count(),
        deciders: Vec::new(),
    };
    let mut deciders: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for one in said.iter().filter(|one| office.from <= one.at.day_in(office.zone)) {
        match one.step {
            AdviceStep::OverrideRequested => overrides.asked += 1,
            AdviceStep::OverrideApproved => {
                overrides.approved += 1;
                deciders.entry(&one.by).or_default().0 += 1;
            }
            AdviceStep::OverrideRefused => {
                overrides.refused += 1;
                deciders.entry(&one.by).or_default().1 += 1;
            }
            _ => {}
        }
    }
    overrides.deciders = deciders
        .into_iter()
        .map(|(name, (approved, refused))| Decider { name: name.to_owned(), approved, refused })
        .collect();
    overrides
}

/// A figure of each portfolio as a part of its mean equity, and which lie far above the others.
fn outliers(
    office: &Office<'_>,
    all: &BTreeSet<PortfolioId>,
    figure: impl Fn(PortfolioId) -> Result<Decimal, String>,
) -> Outliers {
    let value = |id: PortfolioId| -> Option<Decimal> {
        let mean = office.standing(id).ok()?.period.equity_mean.filter(|mean| *mean > Decimal::ZERO)?;
        decimal::divide(figure(id).ok()?, mean, QUOTIENT_SCALE).ok()
    };
    let values: Vec<(Decimal, PortfolioId)> = all.iter().filter_map(|id| Some((value(*id)?, *id))).collect();
    let mut found = Outliers {
        count: values.len(),
        left_out: all.len() - values.len(),
        spread: None,
        fence: None,
        outliers: Vec::new(),
        missing: None,
    };
    if values.len() < GROUP_MIN {
        found.missing = Some(format!(
            "{} portfolios have the figure: with fewer than {GROUP_MIN} nothing is far outside",
            values.len()
        ));
        return found;
    }
    let figures: Vec<Decimal> = values.iter().map(|(value, _)| *value).collect();
    let spread = match Spread::of(&figures) {
        Ok(spread) => spread,
        Err(error) => {
            found.missing = Some(error.to_string());
            return found;
        }
    };
    found.fence = spread.as_ref().and_then(|spread| spread.fences().ok()).map(|(_, fence)| fence);
    found.spread = spread;
    let mut beyond: Vec<_> =
        values.into_iter().filter(|(value, _)| found.fence.is_some_and(|fence| *value > fence)).collect();
    beyond.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    found.outliers = beyond
        .into_iter()
        .map(|(value, id)| Outlier { portfolio: Called { id, name: office.names.portfolio(id) }, value })
        .collect();
    found
}

/// What is held of something, and in how many portfolios.
type Held = BTreeMap<String, (Decimal, usize)>;

fn concentration(office: &Office<'_>, all: &BTreeSet<PortfolioId>) -> Book {
    let mut missing = Vec::new();
    let mut by_instrument: BTreeMap<InstrumentId, (Decimal, usize)> = BTreeMap::new();
    let mut whole = Decimal::ZERO;
    for id in all {
        let added = office.standing(*id).and_then(|standing| {
            let rate = office.rate_into(standing.currency)?;
            let equity = part(standing.allocation.equity()?, rate)?;
            let lines = standing.allocation.lines.values().filter(|line| line.is_held());
            let lines = lines.map(|line| Ok((line.instrument, part(line.value.clone()?, rate)?)));
            Ok((equity, lines.collect::<Result<Vec<_>, String>>()?))
        });
        match added {
            Ok((equity, lines)) => {
                whole += equity;
                for (instrument, value) in lines {
                    let (sum, count) = by_instrument.entry(instrument).or_default();
                    *sum += value;
                    *count += 1;
                }
            }
            Err(reason) => missing.push(reason),
        }
    }
    let (mut issuers, mut sectors, mut instruments) = (Held::new(), Held::new(), Held::new());
    let mut unclassified = 0;
    for (id, (value, count)) in &by_instrument {
        let name = office.names.instrument(*id).unwrap_or_else(|| id.to_string());
        instruments.insert(name, (*value, *count));
        let counts = office.instruments.classification(*id, office.at.day, office.at.known);
        unclassified += usize::from(counts.issuer.is_none() || counts.sector.is_none());
        for (held, name) in [(&mut issuers, counts.issuer), (&mut sectors, counts.sector)] {
            let name = name.map_or_else(|| "not classified".to_owned(), |name| name.to_string());
            let (sum, most) = held.entry(name).or_default();
            *sum += *value;
            *most = (*most).max(*count);
        }
    }
    if unclassified > 0 {
        missing.push(format!("{unclassified} instruments have no issuer or no sector"));
    }
    if whole <= Decimal::ZERO {
        missing.push("there are no assets of which anything is a part".to_owned());
    }
    let missing = match missing.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        [first, rest @ ..] => Some(format!("{first}; and {} more", rest.len())),
    };
    Book {
        instruments: largest(instruments, whole),
        issuers: largest(issuers, whole),
        sectors: largest(sectors, whole),
        missing,
    }
}

fn largest(held: Held, whole: Decimal) -> Vec<Concentration> {
    if whole <= Decimal::ZERO {
        return Vec::new();
    }
    let mut all: Vec<Concentration> = held
        .into_iter()
        .filter_map(|(name, (value, portfolios))| {
            let share = decimal::divide(value, whole, QUOTIENT_SCALE).ok()?;
            Some(Concentration { name, value, share, portfolios })
        })
        .collect();
    all.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
    all.truncate(TOP);
    all
}
