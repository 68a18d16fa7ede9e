//! What an advisor sees: assets, flows, who is off profile since when, drift, drawdowns, reviews, and own advice.

use super::advising::{AdviceSummary, PendingException};
use super::items::{AttentionKind, ClientItem, by_urgency};
use super::office::{Adding, Called, Office, Sum};
use daybook_schemas::{AdvisorId, PartyId, PortfolioId};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How many of the clients and portfolios that an advisor answers for need attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// Clients.
    pub clients: usize,
    /// Portfolios.
    pub portfolios: usize,
    /// Clients with a portfolio that does not keep a rule of its profile.
    pub clients_off_profile: usize,
    /// Portfolios that do not keep a rule of their profile.
    pub portfolios_off_profile: usize,
    /// Portfolios that are further below their peak than their profile allows.
    pub drawdown_breaches: usize,
    /// Portfolios with a weight off its target by more than it may be.
    pub drifting: usize,
    /// Clients whose review is overdue.
    pub reviews_overdue: usize,
    /// Clients whose review is due within thirty days.
    pub reviews_due: usize,
}

/// What an advisor sees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AdvisorView {
    /// The advisor.
    pub advisor: Called<AdvisorId>,
    /// What the clients own that the advisor answers for.
    pub assets: Sum,
    /// What came in less what went out in the period, of the same.
    pub net_flow: Sum,
    /// How many need attention.
    pub counts: Counts,
    /// The advisor's own recommendations.
    pub recommendations: AdviceSummary,
    /// The advisor's recommendations that are held back.
    pub exceptions: Vec<PendingException>,
    /// All who are served, those that need attention first.
    pub clients: Vec<ClientItem>,
}

/// The portfolios of some parties with the part of each that these parties own together.
pub(super) fn owned_parts(
    office: &Office<'_>,
    parties: impl Iterator<Item = PartyId>,
) -> BTreeMap<PortfolioId, Decimal> {
    let mut parts: BTreeMap<PortfolioId, Decimal> = BTreeMap::new();
    for party in parties {
        for id in office.portfolios_of(party) {
            *parts.entry(id).or_default() += office.share(id, party);
        }
    }
    parts
}

/// Counts what needs attention among clients.
pub(super) fn counted<'c>(clients: impl Iterator<Item = &'c ClientItem>) -> Counts {
    let mut counts = Counts::default();
    let mut seen = BTreeSet::new();
    for client in clients {
        counts.clients += 1;
        let has = |kind| client.attention.iter().any(|one| one.kind == kind);
        counts.clients_off_profile += usize::from(has(AttentionKind::OffProfile));
        counts.reviews_overdue += usize::from(has(AttentionKind::ReviewOverdue));
        counts.reviews_due += usize::from(has(AttentionKind::ReviewDue));
        // What several clients own together is one portfolio.
        for item in client.portfolios.iter().filter(|item| seen.insert(item.portfolio)) {
            counts.portfolios += 1;
            counts.portfolios_off_profile += usize::from(!item.off_profile.is_empty());
            counts.drawdown_breaches += usize::from(item.drawdown.breach.is_some());
            counts.drifting += usize::from(item.drift.as_ref().is_some_and(|drift| drift.alerts > 0));
        }
    }
    counts
}

/// The assets and the flows of parts of portfolios.
pub(super) fn sums(office: &Office<'_>, parts: &BTreeMap<PortfolioId, Decimal>) -> (Sum, Sum) {
    let (mut assets, mut flows) = (Adding::default(), Adding::default());
    for (id, share) in parts {
        office.add_equity(&mut assets, *id, *share);
        office.add_flows(&mut flows, *id, *share);
    }
    (assets.sum(office), flows.sum(office))
}

/// The portfolios that must be looked at for an advisor's view.
#[must_use]
pub fn advisor_portfolios(office: &Office<'_>, advisor: AdvisorId) -> BTreeSet<PortfolioId> {
    office.served_by(advisor).into_keys().flat_map(|party| office.portfolios_of(party)).collect()
}

/// What an advisor sees.
#[must_use]
pub fn advisor_view(office: &Office<'_>, advisor: AdvisorId) -> AdvisorView {
    let served = office.served_by(advisor);
    let mut clients: Vec<ClientItem> =
        served.iter().map(|(party, role)| ClientItem::of(office, *party, role)).collect();
    by_urgency(&mut clients, |client| &client.attention, |client| client.party.to_string());
    let led = clients.iter().filter(|client| client.leads);
    let parts = owned_parts(office, led.clone().map(|client| client.party));
    let (assets, net_flow) = sums(office, &parts);
    AdvisorView {
        advisor: Called { id: advisor, name: office.names.advisor(advisor) },
        assets,
        net_flow,
        counts: counted(led),
        recommendations: office.advised(Some(advisor)),
        exceptions: office.exceptions(Some(advisor)),
        clients,
    }
}
