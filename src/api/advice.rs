//! Recommendations and screenings as they are asked for and shown.

use super::body::Fields;
use super::record::record;
use super::scalar::{
    Advisor, CurrencyCode, Date, Exact, Instrument, Model, Party, Portfolio,
    Recommendation as RecommendationKey, Sequence, Time,
};
use crate::journal::{AskedTrade, CarriedOut, Screened, ScreenedPortfolio};
use daybook_projections::suitability::{
    HORIZON_DAYS, Mending, MendingWay, Outcome, OutcomeState, Risk, RiskClass, Target, Unit, outcome_of,
    overall, unit,
};
use daybook_projections::{Library, Recommendation};
use daybook_schemas::events::{ProposedTrade, RecommendationIssued, RuleFinding, Side};
use daybook_schemas::{KeyRing, Timestamp, decimal};
use rust_decimal::Decimal;

record! {
    /// What one rule says, and what it was measured by.
    Finding {
        /// The rule: `profile`, `review`, `risk_class`, `horizon`, `liquidity_reserve`, `cash`, `short_sale`, `cost`, `drift`, `mandate`, `cap:DIMENSION[:VALUE]` or `exclusion:DIMENSION:VALUE`
        rule: String,
        /// `pass`, `warn`, `block`, or `unknown` for what could not be measured, which is not passed
        verdict: String,
        /// What was measured, after the trades
        measured: Option<Exact>,
        /// The limit
        limit: Option<Exact>,
        /// What both are: `class` (1 to 7), `part` (of one), `amount` (of the base currency) or `years`
        unit: Option<String>,
        /// The evidence in words
        evidence: Option<String>,
    }
}

record! {
    /// A risk class, from 1 to 7, by the annualised volatility of weekly returns over at most five years.
    RiskItem {
        /// The class; absent where the history is too short
        class: Option<u8>,
        /// The annualised volatility, as a part of one
        volatility: Option<Exact>,
        /// How many weekly returns it rests on; a class takes 52, and at most 260 count
        weeks: u32,
        /// Why there is no class
        reason: Option<String>,
    }
}

record! {
    /// A trade that is recommended.
    ProposedTradeItem {
        /// The symbol
        symbol: Option<String>,
        /// The instrument
        instrument: Instrument,
        /// `buy` or `sell`
        side: String,
        /// Units, where it is stated in units
        quantity: Option<Exact>,
        /// Money in the portfolio's base currency, where it is stated so; beside a weight what the weight came to
        amount: Option<Exact>,
        /// The part of equity to reach, where it is stated so
        weight: Option<Exact>,
        /// The price not to go beyond
        limit: Option<Exact>,
        /// The price of the day on which the reasons rest
        reference_price: Option<Exact>,
    }
}

record! {
    /// What a trade comes to at the price of the day.
    SizedTradeItem {
        /// The symbol
        symbol: String,
        /// The instrument
        instrument: Instrument,
        /// `buy` or `sell`
        side: String,
        /// Units
        quantity: Option<Exact>,
        /// What is traded, in the portfolio's base currency
        amount: Option<Exact>,
        /// The price of the day for one unit of the underlying
        reference_price: Option<Exact>,
        /// Why the amount is absent
        reason: Option<String>,
    }
}

record! {
    /// What the rules say of a portfolio after trades; without trades, of the portfolio as it is.
    ScreeningItem {
        /// The portfolio
        portfolio: Portfolio,
        /// Its base currency
        currency: CurrencyCode,
        /// The day, in the portfolio's zone
        on: Date,
        /// The ledger's head that was seen
        sequence: Sequence,
        /// The worst of all verdicts: `pass`, `warn`, `unknown` or `block`; the last two hold a recommendation back
        overall: String,
        /// The party by whose profile the portfolio is judged
        party: Option<Party>,
        /// The version of that profile
        profile_version: Option<u32>,
        /// The model that the portfolio follows
        model: Option<Model>,
        /// What each rule says
        findings: Vec<Finding>,
        /// What each trade comes to
        trades: Vec<SizedTradeItem>,
        /// Equity before the trades, in the base currency, other currencies at the rates of the day
        equity: Option<Exact>,
        /// Cash after the trades and their cost
        cash_after: Option<Exact>,
        /// Why equity is absent
        equity_missing: Option<String>,
        /// The risk before the trades
        risk: RiskItem,
        /// The risk after the trades
        risk_after: RiskItem,
    }
}

record! {
    /// A weight beside its target.
    DriftItem {
        /// An instrument, a class or sector by its name, or `cash`
        target: String,
        /// What it is called
        name: String,
        /// The instrument, if the target is one
        instrument: Option<Instrument>,
        /// The weight to aim for
        aimed: Exact,
        /// The weight as it is
        weight: Exact,
        /// Its worth in the base currency
        value: Exact,
        /// How far it may be off
        band: Exact,
        /// Whether it is off by more
        alert: bool,
    }
}

record! {
    /// Something that brings a portfolio nearer to its targets.
    ProposalItem {
        /// An instrument's id, a class or sector by its name, or `cash`
        target: String,
        /// What it is called
        name: String,
        /// `buy` or `sell`
        side: String,
        /// For how much, in the base currency
        amount: Exact,
        /// `cash_flow` for what flows in or out or lies idle, `trade` for what only the drift calls for
        way: String,
    }
}

record! {
    /// How a portfolio suits its owner as it is: rules, risk, weights beside their targets, and what brings it back.
    SuitabilityItem {
        /// What the rules say
        screening: ScreeningItem,
        /// The part of equity that would have to move to reach every target; absent without targets
        distance: Option<Exact>,
        /// Weights beside their targets; empty without targets
        drift: Vec<DriftItem>,
        /// Why the drift is absent although there are targets
        drift_missing: Option<String>,
        /// What to do, in this order: cash that flows first, then trades
        proposals: Vec<ProposalItem>,
        /// Whether weights would still be off by more than they may be
        leaves_alerts: Option<bool>,
        /// What a withdrawal still lacks once all that is beyond its target is sold
        lacking: Option<Exact>,
    }
}

record! {
    /// What became of a recommendation, a fixed time after its issue.
    OutcomeItem {
        /// `known`, `pending` until the horizon is reached, or `absent`
        state: String,
        /// The day on which it is judged: 90 days after the issue
        judged_on: Date,
        /// What the trades returned, a sale the opposite of its instrument
        trades: Option<Exact>,
        /// What the portfolio's benchmark returned over the same days, on the same sides
        benchmark: Option<Exact>,
        /// The first less the second
        difference: Option<Exact>,
        /// Why it is absent
        reason: Option<String>,
    }
}

record! {
    /// How much of a recommended trade was carried out.
    CarriedOutItem {
        /// The symbol
        symbol: Option<String>,
        /// The instrument
        instrument: Instrument,
        /// `buy` or `sell`
        side: String,
        /// What the two are: `units`, or `amount` in the portfolio's base currency
        unit: String,
        /// What was recommended
        advised: Option<Exact>,
        /// What the fills come to
        carried_out: Option<Exact>,
        /// The second as a part of the first: below 1 for a trade that was carried out in part
        part: Option<Exact>,
        /// Why what the fills come to is absent
        reason: Option<String>,
    }
}

record! {
    /// A recommendation, with what was seen on its day.
    RecommendationItem {
        /// Its id
        id: RecommendationKey,
        /// The event that issued it
        sequence: Sequence,
        /// The portfolio
        portfolio: Portfolio,
        /// To whom
        party: Party,
        /// By whom
        advisor: Advisor,
        /// `blocked` or `awaiting_override` (the client does not see it), `issued`, `accepted`, `declined`, `expired`, `withdrawn`, `executed` or `replaced`
        state: String,
        /// When it was issued
        issued_at: Time,
        /// When it runs out
        expires: Option<Time>,
        /// The version of the profile that it was screened against
        profile_version: Option<u32>,
        /// The model that it follows
        model: Option<Model>,
        /// What is recommended; empty for holding still
        trades: Vec<ProposedTradeItem>,
        /// Why; absent where the key that it is sealed under was erased
        rationale: Option<String>,
        /// The worst of all verdicts on the day of issue
        overall: String,
        /// What the rules said on the day of issue
        screening: Vec<Finding>,
        /// The head of the ledger that the screening saw
        seen_sequence: Sequence,
        /// The equity that it saw, in the currency
        seen_equity: Option<Exact>,
        /// Expected cost, in the currency
        expected_cost: Option<Exact>,
        /// The portfolio's base currency
        currency: CurrencyCode,
        /// The recommendation that it replaces
        replaces: Option<RecommendationKey>,
        /// The recommendation in its place; a client is told of one that reached them
        replaced_by: Option<RecommendationKey>,
        /// The fills that carried it out; empty for none
        fills: Vec<Sequence>,
        /// Fills that were said to have carried it out and never were: they were reversed since, and it is `accepted` again
        reversed_fills: Vec<Sequence>,
        /// How much of each trade the fills carried out; empty without fills
        carried_out: Vec<CarriedOutItem>,
        /// What became of it at the horizon
        outcome: OutcomeItem,
        /// The event that changed it last
        changed: Sequence,
        /// What the rules would say today, where that was asked for
        today: Option<ScreeningItem>,
    }
}

record! {
    /// A trade to be screened or recommended: in units, in money, or as the weight to reach.
    TradeRequest {
        /// The symbol, or the instrument's id
        symbol: String,
        /// `buy` or `sell`
        side: String,
        /// Units, positive
        quantity: Option<String>,
        /// Money in the portfolio's base currency, positive
        amount: Option<String>,
        /// The part of equity that the instrument is to have afterwards, 0 to 1
        weight: Option<String>,
        /// The price not to go beyond
        limit: Option<String>,
    }
}

/// A decimal, or a fault of its field.
pub(super) fn number(fields: &mut Fields, name: &str) -> Option<Decimal> {
    let text = fields.text(name)?;
    decimal::parse(&text).map_err(|fault| fields.fault(name, fault)).ok()
}

/// The trades of a request.
pub(super) fn trades(fields: &mut Fields) -> Vec<AskedTrade> {
    fields.objects("trades", |fields| {
        let symbol = fields.required_text("symbol");
        let side = match fields.required_text("side").as_str() {
            "sell" => Side::Sell,
            "buy" | "" => Side::Buy,
            _ => {
                fields.fault("side", "write buy or sell");
                Side::Buy
            }
        };
        AskedTrade {
            symbol,
            side,
            quantity: number(fields, "quantity"),
            amount: number(fields, "amount"),
            weight: number(fields, "weight"),
            limit: number(fields, "limit"),
        }
    })
}

pub(super) fn finding(finding: &RuleFinding) -> Finding {
    let of = match unit(&finding.rule) {
        Unit::Class => Some("class"),
        Unit::Part => Some("part"),
        Unit::Amount => Some("amount"),
        Unit::Years => Some("years"),
        Unit::None => None,
    };
    Finding {
        rule: finding.rule.to_string(),
        verdict: finding.verdict.to_string(),
        measured: finding.measured.map(|value| Exact(value.get())),
        limit: finding.limit.map(|value| Exact(value.get())),
        unit: of.map(str::to_owned),
        evidence: finding.evidence.as_deref().map(str::to_owned),
    }
}

pub(super) fn risk(risk: &Risk) -> RiskItem {
    RiskItem {
        class: risk.class.map(RiskClass::get),
        volatility: risk.volatility.map(Exact),
        weeks: risk.weeks,
        reason: risk.reason.clone(),
    }
}

pub(super) fn screening(portfolio: daybook_schemas::PortfolioId, screened: &Screened) -> ScreeningItem {
    let equity = screened.before.allocation.equity();
    ScreeningItem {
        portfolio: portfolio.into(),
        currency: screened.currency.into(),
        on: screened.on.into(),
        sequence: Sequence(screened.seen_sequence),
        overall: overall(&screened.findings).verdict().to_string(),
        party: screened.profile.as_ref().map(|(party, _)| Party(*party)),
        profile_version: screened.profile.as_ref().map(|(_, profile)| profile.version),
        model: screened.model.map(Model),
        findings: screened.findings.iter().map(finding).collect(),
        trades: screened
            .sized
            .iter()
            .zip(&screened.trades)
            .map(|(sized, trade)| SizedTradeItem {
                symbol: sized.symbol.clone(),
                instrument: sized.instrument.into(),
                side: sized.side.to_string(),
                quantity: sized.quantity.map(Exact),
                amount: sized.amount.clone().ok().map(Exact),
                reference_price: trade.reference_price.map(|price| Exact(price.get())),
                reason: sized.amount.clone().err(),
            })
            .collect(),
        equity: equity.clone().ok().map(Exact),
        cash_after: screened.after.allocation.cash_value().ok().map(Exact),
        equity_missing: equity.err(),
        risk: risk(&screened.before.risk),
        risk_after: risk(&screened.after.risk),
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Instrument(id) => id.to_string(),
        Target::Sleeve(name) => name.to_string(),
        Target::Cash => "cash".to_owned(),
    }
}

/// The weights of a portfolio beside their targets.
pub(super) fn drift(portfolio: &ScreenedPortfolio) -> Vec<DriftItem> {
    let Some(Ok(drift)) = &portfolio.drift else { return Vec::new() };
    drift
        .lines
        .iter()
        .map(|line| DriftItem {
            target: target(&line.target),
            name: line.name.clone(),
            instrument: match line.target {
                Target::Instrument(id) => Some(Instrument(id)),
                Target::Sleeve(_) | Target::Cash => None,
            },
            aimed: line.aimed.into(),
            weight: line.weight.into(),
            value: line.value.into(),
            band: line.band.into(),
            alert: line.alert,
        })
        .collect()
}

pub(super) fn proposals(mending: &Mending) -> Vec<ProposalItem> {
    mending
        .proposals
        .iter()
        .map(|proposal| ProposalItem {
            target: target(&proposal.target),
            name: proposal.name.clone(),
            side: proposal.side.to_string(),
            amount: proposal.amount.into(),
            way: match proposal.way {
                MendingWay::CashFlow => "cash_flow".to_owned(),
                MendingWay::Trade => "trade".to_owned(),
            },
        })
        .collect()
}

fn outcome(outcome: &Outcome) -> OutcomeItem {
    let item = |state: &str| OutcomeItem {
        state: state.to_owned(),
        judged_on: outcome.judged_on.into(),
        trades: None,
        benchmark: None,
        difference: None,
        reason: None,
    };
    match &outcome.state {
        OutcomeState::Known { trades, benchmark, difference } => OutcomeItem {
            trades: Some(Exact(*trades)),
            benchmark: Some(Exact(*benchmark)),
            difference: Some(Exact(*difference)),
            ..item("known")
        },
        OutcomeState::Pending => item("pending"),
        OutcomeState::Absent(reason) => OutcomeItem { reason: Some(reason.clone()), ..item("absent") },
    }
}

fn proposed(library: &Library, trade: &ProposedTrade) -> ProposedTradeItem {
    ProposedTradeItem {
        symbol: library.instruments.symbol(trade.instrument, None).map(str::to_owned),
        instrument: trade.instrument.into(),
        side: trade.side.to_string(),
        quantity: trade.quantity.map(|quantity| Exact(quantity.get())),
        amount: trade.amount.map(|amount| Exact(amount.amount())),
        weight: trade.weight.map(|weight| Exact(weight.get())),
        limit: trade.limit.map(|limit| Exact(limit.get())),
        reference_price: trade.reference_price.map(|price| Exact(price.get())),
    }
}

/// A recommendation as it stood at an instant, of what was recorded up to `known`; `issued` is its event, and
/// `carried_out` says how much of it was.
pub(super) fn recommendation(
    library: &Library,
    keys: &KeyRing,
    advice: &Recommendation,
    issued: &RecommendationIssued,
    carried_out: &[CarriedOut],
    (at, known): (Timestamp, u64),
) -> RecommendationItem {
    let (fills, reversed) = advice.fills(known);
    let base = library.directory.get(advice.portfolio).map(|portfolio| portfolio.base_currency);
    let became = outcome_of(library, advice, HORIZON_DAYS, at, known);
    RecommendationItem {
        id: advice.id.into(),
        sequence: Sequence(advice.issued.sequence),
        portfolio: advice.portfolio.into(),
        party: advice.party.into(),
        advisor: advice.advisor.into(),
        state: advice.state(at, known).to_string(),
        issued_at: advice.issued.occurred_at.into(),
        expires: advice.expires.map(Time),
        profile_version: advice.profile_version,
        model: advice.model.map(Model),
        trades: advice.trades.iter().map(|trade| proposed(library, trade)).collect(),
        rationale: issued.rationale.open(keys).ok(),
        overall: overall(&issued.screening).verdict().to_string(),
        screening: issued.screening.iter().map(finding).collect(),
        seen_sequence: Sequence(issued.seen_sequence),
        seen_equity: issued.seen_equity.map(|equity| Exact(equity.amount())),
        expected_cost: issued.expected_cost.map(|cost| Exact(cost.amount())),
        currency: issued
            .seen_equity
            .map(daybook_schemas::Money::currency)
            .or(base)
            .unwrap_or(daybook_schemas::Currency::USD)
            .into(),
        replaces: advice.replaces.map(RecommendationKey),
        replaced_by: advice
            .replaced_by
            .as_ref()
            .filter(|(meta, _)| meta.sequence <= known)
            .map(|(_, id)| RecommendationKey(*id)),
        fills: fills.into_iter().map(Sequence).collect(),
        reversed_fills: reversed.into_iter().map(Sequence).collect(),
        carried_out: carried_out.iter().map(|one| carried(library, one)).collect(),
        outcome: outcome(&became),
        changed: Sequence(advice.last_sequence),
        today: None,
    }
}

fn carried(library: &Library, one: &CarriedOut) -> CarriedOutItem {
    CarriedOutItem {
        symbol: library.instruments.symbol(one.trade.instrument, None).map(str::to_owned),
        instrument: one.trade.instrument.into(),
        side: one.trade.side.to_string(),
        unit: if one.in_units { "units".to_owned() } else { "amount".to_owned() },
        advised: one.advised.map(Exact),
        carried_out: one.done.clone().ok().map(Exact),
        part: one.part.map(Exact),
        reason: one.done.clone().err(),
    }
}
