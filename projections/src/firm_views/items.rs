//! One portfolio and one client as lists show them, with what needs attention.

use super::office::{Adding, Called, Office, Sum, part};
use super::standing::{Drawdown, OffRule, RateUsed, Since, Standing};
use crate::exact;
use daybook_schemas::events::{AssignmentRole, PartyKind};
use daybook_schemas::{Currency, Day, ModelId, PartyId, PortfolioId};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

/// A review that is due within so many days is announced.
pub(super) const REVIEW_AHEAD_DAYS: i32 = 30;

/// What somebody should look at; the order of kinds is that of urgency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionKind {
    /// A rule of the profile is not kept.
    OffProfile,
    /// The drawdown is deeper than the profile allows.
    Drawdown,
    /// A review is overdue.
    ReviewOverdue,
    /// An exception waits for a decision.
    Exception,
    /// A weight is off its target by more than it may be.
    Drift,
    /// A rule cannot be measured.
    Unmeasured,
    /// A figure is not known.
    Unknown,
    /// A review comes up.
    ReviewDue,
}

/// One thing to look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Attention {
    /// What.
    pub kind: AttentionKind,
    /// In words.
    pub detail: String,
    /// For how many days it has been so, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i32>,
}

/// How urgent something is beside others: by its most urgent kind, then by how many there are, then by for how long.
pub(super) fn urgency(attention: &[Attention]) -> (Option<AttentionKind>, usize, i32) {
    let days = attention.iter().filter_map(|one| one.days).max().unwrap_or(0);
    (attention.iter().map(|one| one.kind).min(), attention.len(), days)
}

/// Orders by urgency, the most urgent first; what needs nobody comes last.
pub(super) fn by_urgency<T>(
    items: &mut [T],
    attention: impl Fn(&T) -> &[Attention],
    name: impl Fn(&T) -> String,
) {
    items.sort_by_cached_key(|item| {
        let (kind, count, days) = urgency(attention(item));
        (kind.is_none(), kind, usize::MAX - count, -days, name(item))
    });
}

/// The weight that is furthest from its target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WorstDrift {
    /// What it is called: a symbol, a sleeve, cash.
    pub name: String,
    /// The weight as it is, as a part of one.
    #[serde(with = "exact")]
    pub weight: Decimal,
    /// The weight to aim for.
    #[serde(with = "exact")]
    pub target: Decimal,
    /// How far it may be off.
    #[serde(with = "exact")]
    pub band: Decimal,
    /// Whether it is off by more.
    pub alert: bool,
}

/// How far a portfolio is from its targets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DriftSummary {
    /// Half the sum of all differences: the part of equity that would have to move.
    #[serde(with = "exact")]
    pub distance: Decimal,
    /// How many weights are off by more than they may be.
    pub alerts: usize,
    /// The weights with a target of their own, then what is held beside them, then cash; the furthest off its band first.
    pub sleeves: Vec<WorstDrift>,
}

/// A portfolio as it is shown in a view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PortfolioItem {
    /// The portfolio.
    pub portfolio: PortfolioId,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its base currency, in which its amounts are.
    pub currency: Currency,
    /// The part of it that the party of this list owns.
    #[serde(with = "exact")]
    pub share: Decimal,
    /// Under which mandate it is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mandate: Option<String>,
    /// The model that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Called<ModelId>>,
    /// The whole of it.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub equity: Option<Decimal>,
    /// The party's part.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub own_equity: Option<Decimal>,
    /// Rates of exchange inside these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateUsed>,
    /// What came in less what went out in the period, by currency, of the whole.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "amounts")]
    pub net_flow: Option<BTreeMap<Currency, Decimal>>,
    /// The return of the period, as a part of one.
    #[serde(rename = "return", with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub total_return: Option<Decimal>,
    /// Its drawdown.
    pub drawdown: Drawdown,
    /// Its risk class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_class: Option<u8>,
    /// The highest class that its profile allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_class_max: Option<u8>,
    /// The version of the profile by which it is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_version: Option<u32>,
    /// Rules of the profile that it does not keep.
    pub off_profile: Vec<OffRule>,
    /// Rules that cannot be measured.
    pub unmeasured: Vec<OffRule>,
    /// How far it is from its targets; absent without targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftSummary>,
    /// What needs attention, the most urgent first.
    pub attention: Vec<Attention>,
    /// The return index over the period, over its value before it; one value a day of the calendar.
    #[serde(serialize_with = "curve")]
    pub curve: Vec<Option<Decimal>>,
    /// Why figures are absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<&'static str, String>,
}

fn amounts<S: serde::Serializer>(
    amounts: &Option<BTreeMap<Currency, Decimal>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let amounts = amounts.iter().flatten();
    serializer.collect_map(amounts.map(|(currency, amount)| (currency, amount.to_string())))
}

fn curve<S: serde::Serializer>(values: &[Option<Decimal>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| value.map(|value| value.to_string())))
}

fn said(since: &Since) -> String {
    let at_least = if since.at_least { "at least " } else { "" };
    match since.days {
        0 => format!("since {at_least}today").replace("at least ", ""),
        1 => format!("for {at_least}1 day"),
        days => format!("for {at_least}{days} days"),
    }
}

/// A part of one as a percentage with one place.
pub(super) fn percent(value: Decimal) -> String {
    format!("{:.1} %", daybook_schemas::decimal::round(value * Decimal::ONE_HUNDRED, 1))
}

impl PortfolioItem {
    /// A portfolio as one of its owners' list shows it.
    pub(super) fn of(office: &Office<'_>, id: PortfolioId, party: PartyId) -> Self {
        let share = office.share(id, party);
        let mut item = Self::empty(office, id, share);
        match office.standing(id) {
            Ok(standing) => item.fill(standing),
            Err(reason) => {
                item.missing.insert("equity", reason);
            }
        }
        item.exceptions(office);
        item.attention.sort_by_key(|one| (one.kind, -one.days.unwrap_or(0)));
        item
    }

    fn empty(office: &Office<'_>, id: PortfolioId, share: Decimal) -> Self {
        let currency = office.directory.get(id).map_or(office.currency, |entry| entry.base_currency);
        Self {
            portfolio: id,
            name: office.names.portfolio(id),
            currency,
            share,
            mandate: None,
            model: None,
            equity: None,
            own_equity: None,
            rates: Vec::new(),
            net_flow: None,
            total_return: None,
            drawdown: Drawdown::default(),
            risk_class: None,
            risk_class_max: None,
            profile_version: None,
            off_profile: Vec::new(),
            unmeasured: Vec::new(),
            drift: None,
            attention: Vec::new(),
            curve: Vec::new(),
            missing: BTreeMap::new(),
        }
    }

    fn fill(&mut self, standing: &Standing) {
        let mut absent = |figure: &'static str, reason: String| {
            self.missing.insert(figure, reason);
        };
        self.currency = standing.currency;
        self.mandate = standing.mandate.as_ref().map(ToString::to_string);
        self.model =
            standing.model.as_ref().map(|(id, name)| Called { id: *id, name: Some(name.to_string()) });
        self.equity = standing.allocation.equity().map_err(|reason| absent("equity", reason)).ok();
        self.own_equity = self.equity.and_then(|equity| part(equity, self.share).ok());
        self.rates.clone_from(&standing.rates);
        self.net_flow = standing.period.net_flows.clone().map_err(|reason| absent("net_flow", reason)).ok();
        self.total_return =
            standing.period.total_return.clone().map_err(|reason| absent("return", reason)).ok();
        if let Some(reason) = &standing.drawdown_missing {
            absent("drawdown", reason.clone());
        }
        if let Some(reason) = &standing.risk.reason {
            absent("risk_class", reason.clone());
        }
        self.drift = match &standing.drift {
            None => None,
            Some(Err(reason)) => {
                absent("drift", reason.clone());
                None
            }
            Some(Ok(drift)) => Some(summarised(drift)),
        };
        self.drawdown = standing.drawdown.clone();
        self.risk_class = standing.risk.class.map(crate::suitability::RiskClass::get);
        self.risk_class_max = standing.class_max;
        self.profile_version = standing.profile.map(|(_, version)| version);
        self.off_profile.clone_from(&standing.off_profile);
        self.unmeasured.clone_from(&standing.unmeasured);
        self.curve.clone_from(&standing.curve);
        self.look(standing);
    }

    /// What needs attention about where it stands.
    fn look(&mut self, standing: &Standing) {
        let mut note = |kind, detail: String, days| self.attention.push(Attention { kind, detail, days });
        for rule in &standing.off_profile {
            let evidence = rule.evidence.as_deref().unwrap_or_default();
            let detail = format!("{} {}: {evidence}", rule.rule, said(&rule.since));
            note(AttentionKind::OffProfile, detail, Some(rule.since.days));
        }
        let drawdown = &standing.drawdown;
        if let (Some(breach), Some(now), Some(limit)) = (drawdown.breach, drawdown.now, drawdown.limit) {
            let detail = format!(
                "{} below its peak, and {} is the limit, {}",
                percent(-now),
                percent(limit),
                said(&breach)
            );
            note(AttentionKind::Drawdown, detail, Some(breach.days));
        }
        for rule in &standing.unmeasured {
            let detail = rule.evidence.as_deref().unwrap_or(&rule.rule).to_owned();
            note(AttentionKind::Unmeasured, detail, Some(rule.since.days));
        }
        if let Some(drift) = self.drift.as_ref().filter(|drift| drift.alerts > 0)
            && let Some(worst) = drift.sleeves.first()
        {
            let detail = format!("{} is {} for {}", worst.name, percent(worst.weight), percent(worst.target));
            note(AttentionKind::Drift, detail, None);
        }
        if let Some(reason) = self.missing.get("equity") {
            note(AttentionKind::Unknown, format!("its equity is not known: {reason}"), None);
        }
    }

    /// Exceptions that wait for a decision.
    fn exceptions(&mut self, office: &Office<'_>) {
        for advice in office.waiting_for(self.portfolio) {
            let days = office.days_since(advice.issued.occurred_at);
            let detail = format!("an exception is asked for recommendation {}", advice.id);
            self.attention.push(Attention { kind: AttentionKind::Exception, detail, days: Some(days) });
        }
    }
}

fn summarised(drift: &crate::suitability::Drift) -> DriftSummary {
    let mut sleeves: Vec<WorstDrift> = drift
        .lines
        .iter()
        .map(|line| WorstDrift {
            name: line.name.clone(),
            weight: line.weight,
            target: line.aimed,
            band: line.band,
            alert: line.alert,
        })
        .collect();
    let beyond = |line: &WorstDrift| (line.weight - line.target).abs() - line.band;
    sleeves.sort_by(|a, b| beyond(b).cmp(&beyond(a)).then_with(|| a.name.cmp(&b.name)));
    DriftSummary {
        distance: drift.distance,
        alerts: drift.lines.iter().filter(|line| line.alert).count(),
        sleeves,
    }
}

/// A client as it is shown in a view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClientItem {
    /// The party.
    pub party: PartyId,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    pub kind: String,
    /// In what role it is served: `lead` for those that the advisor answers for.
    pub role: String,
    /// Whether the advisor, alone or in a team, answers for it: only then it counts in the advisor's sums.
    pub leads: bool,
    /// Its parts of its portfolios.
    pub assets: Sum,
    /// Its parts of their net flows in the period.
    pub net_flow: Sum,
    /// When it is to be looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_due: Option<Day>,
    /// What needs attention about the client and its portfolios, the most urgent first.
    pub attention: Vec<Attention>,
    /// Its portfolios, those that need attention first.
    pub portfolios: Vec<PortfolioItem>,
}

impl ClientItem {
    /// A client as one who serves it in a role sees it.
    pub(super) fn of(office: &Office<'_>, party: PartyId, role: &AssignmentRole) -> Self {
        let mut portfolios: Vec<PortfolioItem> =
            office.portfolios_of(party).into_iter().map(|id| PortfolioItem::of(office, id, party)).collect();
        by_urgency(&mut portfolios, |item| &item.attention, |item| item.portfolio.to_string());
        let (mut assets, mut flows) = (Adding::default(), Adding::default());
        for item in &portfolios {
            office.add_equity(&mut assets, item.portfolio, item.share);
            office.add_flows(&mut flows, item.portfolio, item.share);
        }
        let review_due = office.firm.review_due(party, office.at);
        let mut attention: Vec<Attention> =
            portfolios.iter().flat_map(|item| item.attention.iter().cloned()).collect();
        attention.extend(review(office.at.day, review_due));
        attention.sort_by_key(|one| (one.kind, -one.days.unwrap_or(0)));
        let kind = office.firm.party(party, office.at).map(|party| party.kind.clone());
        Self {
            party,
            name: office.names.party(party),
            kind: kind.unwrap_or(PartyKind::Person).to_string(),
            role: role.to_string(),
            leads: *role == AssignmentRole::Lead,
            assets: assets.sum(office),
            net_flow: flows.sum(office),
            review_due,
            attention,
            portfolios,
        }
    }
}

/// What is to be said of a review on a day.
pub(super) fn review(day: Day, due: Option<Day>) -> Option<Attention> {
    let due = due?;
    let overdue = day.number() - due.number();
    if overdue > 0 {
        let detail = format!("the review was due on {due}");
        Some(Attention { kind: AttentionKind::ReviewOverdue, detail, days: Some(overdue) })
    } else if -overdue <= REVIEW_AHEAD_DAYS {
        let detail = format!("the review is due on {due}");
        Some(Attention { kind: AttentionKind::ReviewDue, detail, days: None })
    } else {
        None
    }
}
