//! What views look like, for the document.

use super::record::schema;
use super::scalar::{
    Advisor, CurrencyCode, Date, Exact, Instrument, Model, Party, Portfolio, Recommendation, Sequence, Team,
    Time,
};
use poem_openapi::types::Any;
use std::collections::BTreeMap;

schema! {
    /// A sum of money: by currency, and all of it in one.
    MoneySum {
        /// The currency of `total`
        currency: CurrencyCode,
        /// All of it; absent where a part is not known or has no rate
        total: Option<Exact>,
        /// What is known, by currency, nothing converted
        by_currency: BTreeMap<String, Exact>,
        /// The rates at which `total` was converted
        rates: Option<Vec<RateUsed>>,
        /// Why `total` is absent
        missing: Option<String>,
    }
}

schema! {
    /// A rate of exchange that was used.
    RateUsed {
        /// The currency that was converted
        from: CurrencyCode,
        /// The currency it was stated in
        to: CurrencyCode,
        /// Units of the second for one of the first
        rate: Exact,
        /// When it was observed
        at: Time,
    }
}

schema! {
    /// An advisor by id and name.
    NamedAdvisor {
        /// The advisor
        id: Advisor,
        /// The name; absent where its key was erased
        name: Option<String>,
    }
}

schema! {
    /// A party by id and name.
    NamedParty {
        /// The party
        id: Party,
        /// The name; absent where its key was erased
        name: Option<String>,
    }
}

schema! {
    /// A portfolio by id and name.
    NamedPortfolio {
        /// The portfolio
        id: Portfolio,
        /// The name; absent where its key was erased
        name: Option<String>,
    }
}

schema! {
    /// A team by id and name.
    NamedTeam {
        /// The team
        id: Team,
        /// The name
        name: Option<String>,
    }
}

schema! {
    /// A model by id and name.
    NamedModel {
        /// The model
        id: Model,
        /// The name
        name: Option<String>,
    }
}

schema! {
    /// Something to look at.
    AttentionItem {
        /// What: `off_profile`, `drawdown`, `review_overdue`, `exception`, `drift`, `unmeasured`, `unknown` or `review_due`, in the order of urgency
        kind: String,
        /// In words
        detail: String,
        /// For how many days it has been so, where that is known
        days: Option<u32>,
    }
}

schema! {
    /// A rule of the profile that a portfolio does not keep, or that cannot be measured.
    OffRule {
        /// The rule
        rule: String,
        /// What was measured
        measured: Option<Exact>,
        /// The limit
        limit: Option<Exact>,
        /// What these figures are: `class`, `part`, `amount` (in the portfolio's currency) or `years`
        unit: Option<String>,
        /// In words, of the portfolio as it is
        evidence: Option<String>,
        /// The first of the days on which it held without a break, by the profile in force on each of them
        since: Date,
        /// Days from then to the day of the view
        days: u32,
        /// Whether it may have held for longer: nobody looked further back than a year and a day
        at_least: bool,
    }
}

schema! {
    /// Since when a drawdown is deeper than the profile allows.
    BreachSince {
        /// The first of the days
        since: Date,
        /// Days from then to the day of the view
        days: u32,
        /// Whether it may have held for longer
        at_least: bool,
    }
}

schema! {
    /// How far a portfolio's return index is below its peak.
    DrawdownNow {
        /// At the moment of the view, as a part of one; never positive
        now: Option<Exact>,
        /// The deepest so far; absent where a day since the beginning cannot be valued
        worst: Option<Exact>,
        /// The day of the deepest
        worst_on: Option<Date>,
        /// The largest that the profile in force allows, as a positive part of one
        limit: Option<Exact>,
        /// Since when it is deeper than that
        breach: Option<BreachSince>,
    }
}

schema! {
    /// A weight beside its target.
    DriftSleeve {
        /// What it is called: a symbol, a sleeve, cash
        name: String,
        /// The weight as it is, as a part of one
        weight: Exact,
        /// The weight to aim for
        target: Exact,
        /// How far it may be off
        band: Exact,
        /// Whether it is off by more
        alert: bool,
    }
}

schema! {
    /// How far a portfolio is from its targets.
    DriftSummary {
        /// Half the sum of all differences: the part of equity that would have to move
        distance: Exact,
        /// How many weights are off by more than they may be
        alerts: u32,
        /// The weights, the furthest off its band first
        sleeves: Vec<DriftSleeve>,
    }
}

macro_rules! portfolio_schema {
    ($(#[doc = $about:literal])+ $name:ident { $($more:tt)* }) => {
        schema! {
            $(#[doc = $about])+
            $name {
                $($more)*
                /// The portfolio
                portfolio: Portfolio,
                /// Its name; absent where its key was erased
                name: Option<String>,
                /// Its base currency, in which its amounts are
                currency: CurrencyCode,
                /// The part of it that the party of this list owns
                share: Exact,
                /// Under which mandate it is run
                mandate: Option<String>,
                /// The model that it follows
                model: Option<NamedModel>,
                /// The whole of it
                equity: Option<Exact>,
                /// The party's part of it
                own_equity: Option<Exact>,
                /// Rates of exchange inside these
                rates: Option<Vec<RateUsed>>,
                /// What came in less what went out in the period, by currency, of the whole
                net_flow: Option<BTreeMap<String, Exact>>,
                /// The return of the period, as a part of one
                total_return = "return": Option<Exact>,
                /// Its drawdown
                drawdown: DrawdownNow,
                /// Its risk class, 1 to 7: its weights of the day applied to five years of weekly returns
                risk_class: Option<u32>,
                /// The highest class that its profile allows
                risk_class_max: Option<u32>,
                /// The version of the profile by which it is judged
                profile_version: Option<u32>,
                /// Rules of the profile that it does not keep
                off_profile: Vec<OffRule>,
                /// Rules that cannot be measured
                unmeasured: Vec<OffRule>,
                /// How far it is from its targets; absent without targets
                drift: Option<DriftSummary>,
                /// What needs attention, the most urgent first
                attention: Vec<AttentionItem>,
                /// The return index over the period, over its value before it, day by day; null where it is not known
                curve: Vec<Any<Option<Exact>>>,
                /// Figure by figure, why it is absent
                missing: Option<BTreeMap<String, String>>,
            }
        }
    };
}

portfolio_schema! {
    /// A portfolio as it is shown in a view.
    ViewedPortfolio {}
}

portfolio_schema! {
    /// A portfolio as its owner sees it.
    ClientPortfolio {
        /// Who of those that the client stands for owns it
        owner: NamedParty,
    }
}

schema! {
    /// A client as an advisor sees it.
    ViewedClient {
        /// The party
        party: Party,
        /// Its name; absent where its key was erased
        name: Option<String>,
        /// What it is: `person`, `joint`, `trust` or `entity`
        kind: String,
        /// In what role it is served: `lead` for those that the advisor answers for
        role: String,
        /// Whether it counts in the advisor's sums
        leads: bool,
        /// Its parts of its portfolios
        assets: MoneySum,
        /// Its parts of their net flows in the period
        net_flow: MoneySum,
        /// When it is to be looked at again
        review_due: Option<Date>,
        /// What needs attention about the client and its portfolios, the most urgent first
        attention: Vec<AttentionItem>,
        /// Its portfolios, those that need attention first
        portfolios: Vec<ViewedPortfolio>,
    }
}

schema! {
    /// How many need attention.
    AttentionCounts {
        /// Clients
        clients: u32,
        /// Portfolios
        portfolios: u32,
        /// Clients with a portfolio that does not keep a rule of its profile
        clients_off_profile: u32,
        /// Portfolios that do not keep a rule of their profile
        portfolios_off_profile: u32,
        /// Portfolios that are further below their peak than their profile allows
        drawdown_breaches: u32,
        /// Portfolios with a weight off its target by more than it may be
        drifting: u32,
        /// Clients whose review is overdue
        reviews_overdue: u32,
        /// Clients whose review is due within thirty days
        reviews_due: u32,
    }
}

schema! {
    /// How recommendations did on the average.
    MeanOutcome {
        /// How many outcomes are known
        count: u32,
        /// The mean of what the recommended trades returned beyond the benchmark, as a part of what was traded
        mean: Option<Exact>,
        /// The lower bound of the mean, with a confidence of 95 %
        low: Option<Exact>,
        /// The upper bound
        high: Option<Exact>,
        /// Why a figure is absent
        missing: Option<String>,
    }
}

schema! {
    /// How all recommendations did that ever reached a client, a fixed time after their issue.
    OutcomesOfAdvice {
        /// After how many days
        horizon_days: u32,
        /// Over all that were issued
        issued: MeanOutcome,
        /// Over those that were accepted
        accepted: MeanOutcome,
        /// How many wait for their horizon
        pending: u32,
        /// How many cannot be judged
        absent: u32,
    }
}

schema! {
    /// Recommendations of a period, by where they stand at its end.
    AdviceOfPeriod {
        /// How many were issued in the period, those that were held back among them
        issued: u32,
        /// Of these: by where they stand at the moment of the view
        by_state: BTreeMap<String, u32>,
        /// Of these: how many the client accepted, whatever was done since
        accepted: u32,
        /// Of these: how many the client declined
        declined: u32,
        /// Of these: how many ran out unanswered
        expired: u32,
        /// How many of all that were ever issued wait for the client's answer
        open: u32,
        /// How all of them did, whenever they were issued
        outcome: OutcomesOfAdvice,
    }
}

schema! {
    /// A recommendation that the rules hold back.
    PendingException {
        /// The recommendation
        recommendation: Recommendation,
        /// `awaiting_override`, or `blocked` where nobody asked for an exception
        state: String,
        /// For which portfolio
        portfolio: NamedPortfolio,
        /// To whom
        party: NamedParty,
        /// By whom
        advisor: NamedAdvisor,
        /// When the exception was asked for; for one that is blocked, when it was issued
        since: Time,
        /// For how many days
        days: u32,
        /// When it runs out
        expires: Option<Time>,
    }
}

schema! {
    /// What an advisor sees.
    AdvisorView {
        /// The advisor
        advisor: NamedAdvisor,
        /// The moment: a day is meant to its end
        as_of: String,
        /// The first day of the period
        from: Date,
        /// Its last day: that of the view
        to: Date,
        /// The ledger's head that the view reflects
        sequence: Sequence,
        /// What the clients own that the advisor answers for, alone or in a team
        assets: MoneySum,
        /// What came in less what went out in the period, of the same
        net_flow: MoneySum,
        /// How many need attention
        counts: AttentionCounts,
        /// The advisor's own recommendations
        recommendations: AdviceOfPeriod,
        /// The advisor's recommendations that are held back
        exceptions: Vec<PendingException>,
        /// All who are served, those that need attention first
        clients: Vec<ViewedClient>,
        /// Figure by figure, why it is absent
        missing: BTreeMap<String, String>,
    }
}

schema! {
    /// One advisor beside the others.
    AdvisorRow {
        /// The advisor
        advisor: NamedAdvisor,
        /// What the clients own that the advisor answers for, alone or in a team
        assets: MoneySum,
        /// What came in less what went out in the period, of the same
        net_flow: MoneySum,
        /// How many need attention
        counts: AttentionCounts,
        /// The advisor's recommendations
        recommendations: AdviceOfPeriod,
    }
}

schema! {
    /// How figures spread.
    Spread {
        /// The lowest
        lowest: Exact,
        /// A quarter of them are not above it
        lower_quartile: Exact,
        /// Half of them are not above it
        median: Exact,
        /// Three quarters of them are not above it
        upper_quartile: Exact,
        /// The highest
        highest: Exact,
    }
}

schema! {
    /// Portfolios that are run alike.
    ReturnGroup {
        /// The model that they follow
        model: Option<NamedModel>,
        /// The mandate under which they are run
        mandate: Option<String>,
        /// How many were there for the whole period and have a return
        count: u32,
        /// How many were not, or have none
        left_out: u32,
        /// How their returns of the period spread; absent under six
        returns: Option<Spread>,
        /// Why that is not shown
        missing: Option<String>,
    }
}

schema! {
    /// How often somebody decided on exceptions.
    OverrideDecider {
        /// Who, as the grant names the person
        name: String,
        /// How many were approved
        approved: u32,
        /// How many were refused
        refused: u32,
    }
}

schema! {
    /// Exceptions in the period.
    OverridesOfPeriod {
        /// How many were asked for
        asked: u32,
        /// How many were approved
        approved: u32,
        /// How many were refused
        refused: u32,
        /// How many wait for a decision now
        pending: u32,
        /// Who decided, by name
        deciders: Vec<OverrideDecider>,
    }
}

schema! {
    /// A portfolio whose figure lies far outside of the others'.
    Outlier {
        /// The portfolio
        portfolio: NamedPortfolio,
        /// Its figure, as a part of its mean equity in the period
        value: Exact,
    }
}

schema! {
    /// A figure of all portfolios, and which lie far above the others.
    OutlyingFigure {
        /// How many portfolios have the figure
        count: u32,
        /// How many have it not
        left_out: u32,
        /// How it spreads
        spread: Option<Spread>,
        /// Above it a figure is an outlier: the upper quartile and one and a half times the distance of the quartiles
        fence: Option<Exact>,
        /// Those above it, the highest first
        outliers: Vec<Outlier>,
        /// Why none can be told
        missing: Option<String>,
    }
}

schema! {
    /// What a part of all assets rests on.
    Concentration {
        /// What it is called
        name: String,
        /// What is held of it, in the currency of the view; short positions count against long ones
        value: Exact,
        /// As a part of all assets
        share: Exact,
        /// In how many portfolios; of an issuer or a sector, those that hold its most widely held instrument
        portfolios: u32,
    }
}

schema! {
    /// What all assets rest on, the ten largest parts first.
    ConcentrationOfBook {
        /// Instruments
        instruments: Vec<Concentration>,
        /// Issuers
        issuers: Vec<Concentration>,
        /// Sectors
        sectors: Vec<Concentration>,
        /// Why it cannot be told, or what was left out
        missing: Option<String>,
    }
}

schema! {
    /// What the firm sees.
    FirmView {
        /// The moment: a day is meant to its end
        as_of: String,
        /// The first day of the period
        from: Date,
        /// Its last day: that of the view
        to: Date,
        /// The ledger's head that the view reflects
        sequence: Sequence,
        /// What all portfolios are worth, each counted once
        assets: MoneySum,
        /// What came in less what went out in the period
        net_flow: MoneySum,
        /// How many need attention
        counts: AttentionCounts,
        /// The advisors at work, those with the most clients off profile first; a team's clients count for each member
        advisors: Vec<AdvisorRow>,
        /// Clients whom nobody answers for
        unassigned: Vec<NamedParty>,
        /// Portfolios that nobody owns
        unowned: Vec<NamedPortfolio>,
        /// All recommendations
        recommendations: AdviceOfPeriod,
        /// How alike what is run alike does
        dispersion: Vec<ReturnGroup>,
        /// What is held back by the rules, the oldest first
        exceptions: Vec<PendingException>,
        /// Exceptions in the period
        overrides: OverridesOfPeriod,
        /// The lesser of purchases and sales in the period, as a part of mean equity
        turnover: OutlyingFigure,
        /// Charges and standalone costs in the period, taxes left out, as a part of mean equity
        costs: OutlyingFigure,
        /// What all assets rest on
        concentration: ConcentrationOfBook,
        /// Figure by figure, why it is absent
        missing: BTreeMap<String, String>,
    }
}

schema! {
    /// One who serves a client.
    ServedBy {
        /// The advisor, where it is one
        advisor: Option<NamedAdvisor>,
        /// The team, where it is one
        team: Option<NamedTeam>,
        /// In what role: `lead`, `support` or `deputy`
        role: String,
        /// Since when
        from: Date,
    }
}

schema! {
    /// A profile in force.
    ProfileInForce {
        /// Whose
        party: Party,
        /// The version
        version: u32,
        /// The portfolio that it is for; absent for all of the party's
        portfolio: Option<Portfolio>,
        /// What the party wants
        objectives: Vec<String>,
        /// How much risk it will bear
        risk_tolerance: String,
        /// How much loss it can bear
        loss_capacity: Option<String>,
        /// For how many years the money is not needed
        horizon_years: Option<u32>,
        /// The largest drawdown to be borne, as a positive part of one
        drawdown_max: Option<Exact>,
        /// When it is to be looked at again
        review_due: Option<Date>,
        /// The first day on which it holds
        from: Date,
    }
}

schema! {
    /// A trade that is recommended.
    OfferedTrade {
        /// What it is called
        symbol: Option<String>,
        /// The instrument
        instrument: Instrument,
        /// `buy` or `sell`
        side: String,
        /// Units, where it is stated in units
        quantity: Option<Exact>,
        /// The amount in the portfolio's currency, where it is stated in money
        amount: Option<Exact>,
        /// The weight to reach, where it is stated so
        weight: Option<Exact>,
        /// The price of the day on which the reasons rest
        reference_price: Option<Exact>,
    }
}

schema! {
    /// What a rule said on the day of a recommendation.
    OfferedFinding {
        /// The rule
        rule: String,
        /// `pass`, `warn`, `block` or `unknown`
        verdict: String,
        /// In words
        evidence: Option<String>,
    }
}

schema! {
    /// What became of a recommendation a fixed time after its issue.
    OfferedOutcome {
        /// The day on which it is judged
        judged_on: Date,
        /// `known`, `pending` or `absent`
        state: String,
        /// What the trades returned, as a part of what was traded
        trades: Option<Exact>,
        /// What the benchmark returned on the same sides
        benchmark: Option<Exact>,
        /// The first less the second
        difference: Option<Exact>,
        /// Why it is absent
        missing: Option<String>,
    }
}

schema! {
    /// A recommendation as the client sees it.
    OfferedRecommendation {
        /// The recommendation
        recommendation: Recommendation,
        /// For which portfolio
        portfolio: NamedPortfolio,
        /// By whom
        advisor: NamedAdvisor,
        /// Where it stands
        state: String,
        /// Whether the client may answer it: it was made to them, they own the portfolio, and no profile that came into force since holds it back
        answerable: bool,
        /// When it was issued
        issued_at: Time,
        /// When it runs out
        expires: Option<Time>,
        /// What is recommended
        trades: Vec<OfferedTrade>,
        /// Why; absent where the key was erased
        rationale: Option<String>,
        /// What the rules said on the day
        screening: Vec<OfferedFinding>,
        /// Expected cost of following it, in the portfolio's currency
        expected_cost: Option<Exact>,
        /// How it did against the benchmark
        outcome: Option<OfferedOutcome>,
    }
}

schema! {
    /// What a client sees.
    ClientView {
        /// The client
        client: NamedParty,
        /// What it is: `person`, `joint`, `trust` or `entity`
        kind: String,
        /// The moment: a day is meant to its end
        as_of: String,
        /// The first day of the period
        from: Date,
        /// Its last day: that of the view
        to: Date,
        /// The ledger's head that the view reflects
        sequence: Sequence,
        /// Who serves it, the one who answers for it first
        serving: Vec<ServedBy>,
        /// The profiles in force: its own first, then those of others it stands for and of single portfolios
        profiles: Vec<ProfileInForce>,
        /// When it is to be looked at again
        review_due: Option<Date>,
        /// Its own parts of portfolios
        assets: MoneySum,
        /// What those own that it stands for: joint holders, its trust, its company; its own is not in it
        assets_together: MoneySum,
        /// Its own part of net flows in the period
        net_flow: MoneySum,
        /// Its portfolios, then those of the others it stands for; what the firm should look at is left out of them
        portfolios: Vec<ClientPortfolio>,
        /// What was recommended and reached the client; what can be answered first, then the newest
        recommendations: Vec<OfferedRecommendation>,
        /// Figure by figure, why it is absent
        missing: BTreeMap<String, String>,
    }
}
