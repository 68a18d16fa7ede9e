//! The people of the firm: advisors who come and go, clients with their profiles, reviews, and who serves whom.

use super::cast::{ADVISORS, CLIENTS, Client, DEPARTURE, HANDOVER, PORTFOLIOS, SUPPORTED, limits};
use super::log::Log;
use super::market::Market;
use super::{Names, fraction, usd};
use daybook_schemas::events::{
    AdvisorDeparted, AdvisorRegistered, Assignee, AssignmentRole, Cap, ClientAssigned, Contact, Dimension,
    Exclusion, HouseholdFormed, InvestmentProfileSet, PartyOnboarded, ProfileDetails, ReviewHeld,
    ReviewOutcome, TargetWeight, TeamFormed,
};
use daybook_schemas::{Day, HouseholdId, KeyId, PortfolioId, ReviewId, TeamId, Zone, stream};

/// The day so far into the two years.
fn at_percent(market: &Market, percent: usize) -> Day {
    market.date(market.days.len() * percent / 100)
}

/// Who answers for a client on a day, by place in [`ADVISORS`].
pub(super) fn lead(market: &Market, client: usize, day: Day) -> usize {
    let (handed_over, to, percent) = HANDOVER;
    let first = CLIENTS[client].advisor;
    let advisor = if client == handed_over && day >= at_percent(market, percent) { to } else { first };
    let (left, successor, percent) = DEPARTURE;
    if advisor == left && day > at_percent(market, percent) { successor } else { advisor }
}

/// Advisors join, form a team, and one of them leaves.
pub(super) fn register_advisors(names: &Names, market: &Market, log: &mut Log) {
    let start = market.date(0);
    let at = start.at_in(5, 10, Zone::NEW_YORK);
    for (place, advisor) in ADVISORS.iter().enumerate() {
        let id = names.advisor(place);
        let key = KeyId::Advisor(id);
        let contact = Contact { email: Some(advisor.email.to_owned()), telephone: None, address: None };
        let registered = AdvisorRegistered {
            advisor: id,
            name: names.sealed(key, &advisor.name.to_owned()),
            contact: Some(names.sealed(key, &contact)),
            licence: None,
            from: start,
        };
        log.note(stream::advisor(id), at, registered);
    }
    let (left, successor, percent) = DEPARTURE;
    let on = at_percent(market, percent);
    let team = |members: Vec<usize>, from: Day| TeamFormed {
        team: team_of(names),
        name: "Harbourlight".into(),
        members: members.into_iter().map(|place| names.advisor(place)).collect(),
        from,
    };
    log.note(stream::FIRM.to_owned(), at, team((0..ADVISORS.len()).collect(), start));
    let departed =
        AdvisorDeparted { advisor: names.advisor(left), on, successor: Some(names.advisor(successor)) };
    log.note(stream::advisor(names.advisor(left)), on.at_in(17, 30, Zone::NEW_YORK), departed);
    let staying = (0..ADVISORS.len()).filter(|place| *place != left).collect();
    log.note(stream::FIRM.to_owned(), on.at_in(17, 31, Zone::NEW_YORK), team(staying, on.plus_days(1)));
}

fn team_of(names: &Names) -> TeamId {
    TeamId::derive(&names.parts("Harbourlight"))
}

/// Clients come when their first portfolio is opened, or with the first household they belong to.
pub(super) fn onboard_clients(names: &Names, market: &Market, log: &mut Log) {
    for (place, client) in CLIENTS.iter().enumerate() {
        let owned = PORTFOLIOS.iter().filter(|plan| plan.client == place);
        let first = owned.map(|plan| market.days.len() * plan.opened_percent / 100).min().unwrap_or(0);
        let day = market.date(first);
        let at = day.at_in(6, 30, Zone::NEW_YORK);
        let party = names.party(place);
        let onboarded = PartyOnboarded {
            party,
            kind: client.kind.clone(),
            name: names.seal(place, client.name),
            contact: None,
            members: client.members.iter().map(|member| names.party(*member)).collect(),
            tax_country: Some("US".into()),
            on: day,
        };
        log.note(stream::party(party), at, onboarded);
        let assigned = |to: Assignee, role: AssignmentRole, from: Day| ClientAssigned {
            party,
            to,
            role,
            from,
            until: None,
        };
        let lead = Assignee::Advisor(names.advisor(client.advisor));
        log.note(stream::party(party), at, assigned(lead, AssignmentRole::Lead, day));
        if place == SUPPORTED {
            let team = Assignee::Team(team_of(names));
            log.note(stream::party(party), at, assigned(team, AssignmentRole::Support, day));
        }
        let (handed_over, to, percent) = HANDOVER;
        if place == handed_over {
            // It is said a week ahead.
            let from = at_percent(market, percent);
            let at = from.plus_days(-7).at_in(11, 20, Zone::NEW_YORK);
            let lead = Assignee::Advisor(names.advisor(to));
            log.note(stream::party(party), at, assigned(lead, AssignmentRole::Lead, from));
        }
        log.note(stream::party(party), at, profile(names, place, 1, day, day));
        review(names, market, place, client, log);
    }
    let start = market.date(0);
    let lindholms = HouseholdFormed {
        household: HouseholdId::derive(&names.parts("Lindholm")),
        name: names.seal(2, "Lindholm"),
        members: vec![names.party(0), names.party(1), names.party(2)],
        from: start,
    };
    log.note(stream::FIRM.to_owned(), start.at_in(6, 45, Zone::NEW_YORK), lindholms);
}

/// The profile of all of a client's portfolios; the first version knows neither caps on sectors nor exclusions.
fn profile(names: &Names, place: usize, version: u32, from: Day, reviewed: Day) -> InvestmentProfileSet {
    let client = &CLIENTS[place];
    let party = names.party(place);
    let details = ProfileDetails {
        born: None,
        other_investments: None,
        financial_situation: None,
        needs: Some(client.needs.to_owned()),
        tax_status: None,
        experience: None,
    };
    let instrument = Cap {
        dimension: Dimension::Instrument,
        value: None,
        share_max: fraction(client.instrument_max_percent, 2),
    };
    let mut profile = InvestmentProfileSet {
        party,
        version,
        portfolio: None,
        objectives: vec![client.objective.clone()],
        risk_tolerance: client.risk.clone(),
        loss_capacity: None,
        horizon_years: Some(client.horizon_years),
        liquidity_reserve: (client.reserve_dollars > 0).then(|| usd(client.reserve_dollars * 100)),
        drawdown_max: Some(fraction(client.drawdown_max_percent, 2)),
        details: Some(names.sealed(KeyId::Party(party), &details)),
        exclusions: Vec::new(),
        caps: vec![instrument],
        targets: Vec::new(),
        review_due: Some(reviewed.plus_days(365)),
        from,
    };
    if version > 1 {
        let limits = limits(place);
        profile.exclusions = limits
            .excluded_sectors
            .iter()
            .map(|sector| Exclusion { dimension: Dimension::Sector, value: (*sector).into() })
            .collect();
        let sector = |(sector, percent): &(&str, i64)| Cap {
            dimension: Dimension::Sector,
            value: Some((*sector).into()),
            share_max: fraction(*percent, 2),
        };
        profile.caps.extend(limits.sector_caps.iter().map(sector));
        profile.caps.extend(limits.issuer_max_percent.map(|percent| Cap {
            dimension: Dimension::Issuer,
            value: None,
            share_max: fraction(percent, 2),
        }));
    }
    profile
}

/// The review that the advisor held last, some of them too long ago, and the profiles that came of it.
fn review(names: &Names, market: &Market, place: usize, client: &Client, log: &mut Log) {
    let mut day = market.date(0).plus_days(client.reviewed_after_months * 30);
    while day.is_weekend() {
        day = day.plus_days(1);
    }
    if market.days.last().is_none_or(|last| day > *last) {
        return;
    }
    let party = names.party(place);
    let at = day.at_in(17, 15, Zone::NEW_YORK);
    let held = ReviewHeld {
        review: ReviewId::derive(&names.parts(client.name)),
        party,
        portfolios: Vec::new(),
        advisor: Some(names.advisor(lead(market, place, day))),
        on: day,
        outcome: ReviewOutcome::ProfileChanged,
        next_due: Some(day.plus_days(365)),
        note: Some(names.seal(place, client.needs)),
    };
    log.note(stream::party(party), at, held);
    let general = profile(names, place, 2, day, day);
    log.note(stream::party(party), at, general.clone());
    if let Some((name, targets)) = limits(place).targets {
        let target = |(sleeve, percent): &(&str, i64)| TargetWeight {
            instrument: None,
            sleeve: Some((*sleeve).into()),
            weight: fraction(*percent, 2),
            band: None,
        };
        let own = InvestmentProfileSet {
            version: 3,
            portfolio: Some(PortfolioId::derive(&names.parts(name))),
            targets: targets.iter().map(target).collect(),
            ..general
        };
        log.note(stream::party(party), at, own);
    }
}
