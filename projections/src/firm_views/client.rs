//! What a client sees: own portfolios, who serves, the profile in force, and what can be accepted or declined.

use super::advising::OutcomeItem;
use super::items::PortfolioItem;
use super::office::{Adding, Called, Office, Sum};
use crate::library::{AdviceState, Recommendation};
use daybook_schemas::events::{Assignee, InvestmentProfileSet, PartyKind, RuleFinding};
use daybook_schemas::{AdvisorId, Day, PartyId, PortfolioId, RecommendationId, TeamId, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One who serves a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Served {
    /// The advisor, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advisor: Option<Called<AdvisorId>>,
    /// The team, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<Called<TeamId>>,
    /// In what role.
    pub role: String,
    /// Since when.
    pub from: Day,
}

/// A profile in force, as far as rules are computed from it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProfileItem {
    /// Whose.
    pub party: PartyId,
    /// The version.
    pub version: u32,
    /// The portfolio that it is for; absent for all of the party's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portfolio: Option<PortfolioId>,
    /// What the party wants.
    pub objectives: Vec<String>,
    /// How much risk it will bear.
    pub risk_tolerance: String,
    /// How much loss it can bear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_capacity: Option<String>,
    /// For how many years the money is not needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon_years: Option<u16>,
    /// The largest drawdown to be borne, as a positive part of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawdown_max: Option<String>,
    /// When it is to be looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_due: Option<Day>,
    /// The first day on which it holds.
    pub from: Day,
}

/// What the event of a recommendation says beside what is folded: the reasons, opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offered {
    /// Why; absent where the key was erased.
    pub rationale: Option<String>,
    /// What the rules said on the day, frozen.
    pub screening: Vec<RuleFinding>,
    /// Expected cost of following it.
    pub expected_cost: Option<daybook_schemas::Money>,
    /// Why it cannot be accepted although it is issued; absent where it can.
    pub refused: Option<String>,
}

/// A trade that is recommended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TradeItem {
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The instrument.
    pub instrument: daybook_schemas::InstrumentId,
    /// Which way.
    pub side: String,
    /// Units, where it is stated in units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// The amount in the portfolio's currency, where it is stated in money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// The weight to reach, where it is stated so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// The price of the day on which the reasons rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_price: Option<String>,
}

/// What a rule said on the day of a recommendation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FindingItem {
    /// The rule.
    pub rule: String,
    /// `pass`, `warn`, `block` or `unknown`.
    pub verdict: String,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// A recommendation as the client sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RecommendationItem {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// For which portfolio.
    pub portfolio: Called<PortfolioId>,
    /// By whom.
    pub advisor: Called<AdvisorId>,
    /// Where it stands.
    pub state: &'static str,
    /// Whether the client may accept or decline it.
    pub answerable: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What is recommended.
    pub trades: Vec<TradeItem>,
    /// Why; absent where the key was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// What the rules said on the day.
    pub screening: Vec<FindingItem>,
    /// Expected cost of following it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_cost: Option<String>,
    /// How it did against the benchmark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeItem>,
}

/// A portfolio as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OwnPortfolio {
    /// Who of those that the client stands for owns it.
    pub owner: Called<PartyId>,
    /// Its figures.
    #[serde(flatten)]
    pub item: PortfolioItem,
}

/// What a client sees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClientView {
    /// The client.
    pub client: Called<PartyId>,
    /// What it is.
    pub kind: String,
    /// Who serves it, the one who answers for it first.
    pub serving: Vec<Served>,
    /// The profiles in force, its own first, then those of single portfolios and of those that it stands for.
    pub profiles: Vec<ProfileItem>,
    /// When it is to be looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_due: Option<Day>,
    /// Its own parts of portfolios.
    pub assets: Sum,
    /// What those own that it stands for: joint holders, its trust, its company. Its own is not in it.
    pub assets_together: Sum,
    /// Its own part of net flows in the period.
    pub net_flow: Sum,
    /// Its portfolios, then those of the others it stands for.
    pub portfolios: Vec<OwnPortfolio>,
    /// What was recommended and reached the client; what can be answered first, then the newest.
    pub recommendations: Vec<RecommendationItem>,
}

/// A party and those that it stands for, itself first.
fn owners(office: &Office<'_>, party: PartyId) -> Vec<PartyId> {
    let mut all: Vec<PartyId> =
        office.firm.stands_for(party, office.at).into_iter().filter(|id| office.reach.party(*id)).collect();
    all.sort_by_key(|id| (*id != party, *id));
    all
}

/// The portfolios that must be looked at for a client's view.
#[must_use]
pub fn client_portfolios(office: &Office<'_>, party: PartyId) -> BTreeSet<PortfolioId> {
    owners(office, party).into_iter().flat_map(|owner| office.portfolios_of(owner)).collect()
}

/// The recommendations that a client's view shows: those that reached the client.
#[must_use]
pub fn client_recommendations<'o>(office: &'o Office<'_>, party: PartyId) -> Vec<&'o Recommendation> {
    let portfolios = client_portfolios(office, party);
    office
        .recommendations
        .list()
        .filter(|advice| portfolios.contains(&advice.portfolio))
        .filter(|advice| {
            advice.issued.sequence <= office.at.known && advice.issued.occurred_at <= office.instant
        })
        .filter(|advice| advice.reached_client(office.instant, office.at.known))
        .collect()
}

/// What a client sees.
#[must_use]
pub fn client_view(
    office: &Office<'_>,
    party: PartyId,
    offered: &BTreeMap<RecommendationId, Offered>,
) -> ClientView {
    let firm = office.firm;
    let owners = owners(office, party);
    let (mut own, mut together, mut flows) = (Adding::default(), Adding::default(), Adding::default());
    let mut portfolios = Vec::new();
    for owner in &owners {
        for id in office.portfolios_of(*owner) {
            let mut item = PortfolioItem::of(office, id, *owner);
            // Who is to be looked at, and why, is the firm's business.
            item.attention.clear();
            let assets = if *owner == party { &mut own } else { &mut together };
            office.add_equity(assets, id, item.share);
            if *owner == party {
                office.add_flows(&mut flows, id, item.share);
            }
            portfolios
                .push(OwnPortfolio { owner: Called { id: *owner, name: office.names.party(*owner) }, item });
        }
    }
    let mut recommendations: Vec<RecommendationItem> = client_recommendations(office, party)
        .into_iter()
        .map(|advice| recommendation(office, advice, &owners, offered.get(&advice.id)))
        .collect();
    recommendations.sort_by(|a, b| {
        b.answerable
            .cmp(&a.answerable)
            .then(b.issued_at.cmp(&a.issued_at))
            .then(a.recommendation.cmp(&b.recommendation))
    });
    let kind = firm.party(party, office.at).map_or(PartyKind::Person, |party| party.kind.clone());
    ClientView {
        client: Called { id: party, name: office.names.party(party) },
        kind: kind.to_string(),
        serving: serving(office, party),
        profiles: profiles(office, &owners, &portfolios),
        review_due: firm.review_due(party, office.at),
        assets: own.sum(office),
        assets_together: together.sum(office),
        net_flow: flows.sum(office),
        portfolios,
        recommendations,
    }
}

fn serving(office: &Office<'_>, party: PartyId) -> Vec<Served> {
    let all = office.firm.serving(party, office.at).into_iter();
    all.map(|serving| {
        let (advisor, team) = match serving.to {
            Assignee::Advisor(id) => (Some(Called { id, name: office.names.advisor(id) }), None),
            Assignee::Team(id) => (None, Some(Called { id, name: office.names.team(id) })),
        };
        Served { advisor, team, role: serving.role.to_string(), from: serving.from }
    })
    .collect()
}

/// The profiles by which the portfolios shown are judged, and the client's own.
fn profiles(office: &Office<'_>, owners: &[PartyId], portfolios: &[OwnPortfolio]) -> Vec<ProfileItem> {
    let firm = office.firm;
    let general = owners.iter().filter_map(|owner| firm.profile(*owner, None, office.at));
    let governing = portfolios
        .iter()
        .filter_map(|own| firm.governing_profile(own.item.portfolio, office.at))
        .filter(|(party, _)| owners.contains(party))
        .map(|(_, said)| said);
    let mut seen = BTreeSet::new();
    general
        .chain(governing)
        .filter(|said| seen.insert(said.meta.sequence))
        .map(|said| profile_item(&said.fact))
        .collect()
}

fn profile_item(profile: &InvestmentProfileSet) -> ProfileItem {
    ProfileItem {
        party: profile.party,
        version: profile.version,
        portfolio: profile.portfolio,
        objectives: profile.objectives.iter().map(ToString::to_string).collect(),
        risk_tolerance: profile.risk_tolerance.to_string(),
        loss_capacity: profile.loss_capacity.as_ref().map(ToString::to_string),
        horizon_years: profile.horizon_years,
        drawdown_max: profile.drawdown_max.map(|limit| limit.get().to_string()),
        review_due: profile.review_due,
        from: profile.from,
    }
}

fn recommendation(
    office: &Office<'_>,
    advice: &Recommendation,
    answering: &[PartyId],
    offered: Option<&Offered>,
) -> RecommendationItem {
    let state = office.state_of(advice);
    let is_refused = offered.is_some_and(|offered| offered.refused.is_some());
    let trades = advice.trades.iter().map(|trade| TradeItem {
        symbol: office.names.instrument(trade.instrument),
        instrument: trade.instrument,
        side: trade.side.to_string(),
        quantity: trade.quantity.map(|quantity| quantity.get().to_string()),
        amount: trade.amount.map(|amount| amount.amount().to_string()),
        weight: trade.weight.map(|weight| weight.get().to_string()),
        reference_price: trade.reference_price.map(|price| price.get().to_string()),
    });
    let finding = |finding: &RuleFinding| FindingItem {
        rule: finding.rule.to_string(),
        verdict: finding.verdict.to_string(),
        evidence: finding.evidence.as_ref().map(ToString::to_string),
    };
    RecommendationItem {
        recommendation: advice.id,
        portfolio: Called { id: advice.portfolio, name: office.names.portfolio(advice.portfolio) },
        advisor: Called { id: advice.advisor, name: office.names.advisor(advice.advisor) },
        state: state.name(),
        answerable: state == AdviceState::Issued && answering.contains(&advice.party) && !is_refused,
        issued_at: advice.issued.occurred_at,
        expires: advice.expires,
        trades: trades.collect(),
        rationale: offered.and_then(|offered| offered.rationale.clone()),
        screening: offered.map(|offered| offered.screening.iter().map(finding).collect()).unwrap_or_default(),
        expected_cost: offered
            .and_then(|offered| offered.expected_cost)
            .map(|cost| cost.amount().to_string()),
        outcome: office.looked_up.outcomes.get(&advice.id).map(OutcomeItem::from),
    }
}
