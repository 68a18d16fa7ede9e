//! Who plays: the firm's advisors and clients, and the portfolios they own. All of them are invented.

use daybook_schemas::events::{Mandate, Objective, PartyKind, RiskLevel};

/// An advisor of the firm.
pub(super) struct Advisor {
    pub(super) name: &'static str,
    pub(super) email: &'static str,
}

pub(super) const ADVISORS: &[Advisor] = &[
    Advisor { name: "Iris Vance", email: "iris.vance@harbourlight.example" },
    Advisor { name: "Tomas Okafor", email: "tomas.okafor@harbourlight.example" },
    Advisor { name: "Nadia Ferrant", email: "nadia.ferrant@harbourlight.example" },
];

/// The advisor who leaves, who takes over, and when, in percent of the two years.
pub(super) const DEPARTURE: (usize, usize, usize) = (2, 0, 55);
/// The client who is handed over, to which advisor, and when, in percent of the two years.
pub(super) const HANDOVER: (usize, usize, usize) = (8, 1, 40);
/// The client whom the whole team supports.
pub(super) const SUPPORTED: usize = 10;

/// Who approves and refuses exceptions, as grants name the person.
pub(super) const APPROVER: &str = "petra holm, compliance";

/// A client, with the profile that the advisor keeps.
pub(super) struct Client {
    pub(super) kind: PartyKind,
    pub(super) name: &'static str,
    /// The persons behind it, by place in [`CLIENTS`].
    pub(super) members: &'static [usize],
    /// The first advisor, by place in [`ADVISORS`].
    pub(super) advisor: usize,
    pub(super) risk: RiskLevel,
    pub(super) objective: Objective,
    pub(super) horizon_years: u16,
    /// The largest drawdown to be borne, in percent.
    pub(super) drawdown_max_percent: i64,
    /// The most that one instrument may be of the whole, in percent.
    pub(super) instrument_max_percent: i64,
    /// Cash to be kept at hand, in dollars.
    pub(super) reserve_dollars: i64,
    pub(super) needs: &'static str,
    /// Months from the beginning to the day on which the profile was last reviewed.
    pub(super) reviewed_after_months: i32,
}

#[rustfmt::skip]
pub(super) const CLIENTS: &[Client] = &[
    Client { kind: PartyKind::Person, name: "Ann Lindholm", members: &[], advisor: 0, risk: RiskLevel::High, objective: Objective::Growth, horizon_years: 18, drawdown_max_percent: 25, instrument_max_percent: 60, reserve_dollars: 1_000, needs: "retires in eighteen years", reviewed_after_months: 17 },
    Client { kind: PartyKind::Person, name: "Bo Lindholm", members: &[], advisor: 0, risk: RiskLevel::Medium, objective: Objective::Balanced, horizon_years: 16, drawdown_max_percent: 20, instrument_max_percent: 60, reserve_dollars: 1_000, needs: "retires in sixteen years", reviewed_after_months: 17 },
    Client { kind: PartyKind::Joint, name: "Ann and Bo Lindholm", members: &[0, 1], advisor: 0, risk: RiskLevel::Medium, objective: Objective::Balanced, horizon_years: 6, drawdown_max_percent: 15, instrument_max_percent: 60, reserve_dollars: 500, needs: "a house in six years, two children at college", reviewed_after_months: 18 },
    Client { kind: PartyKind::Person, name: "Carla Mendes", members: &[], advisor: 0, risk: RiskLevel::VeryHigh, objective: Objective::Growth, horizon_years: 22, drawdown_max_percent: 35, instrument_max_percent: 50, reserve_dollars: 1_500, needs: "sold a practice, lives on its proceeds later", reviewed_after_months: 20 },
    Client { kind: PartyKind::Person, name: "Dev Raman", members: &[], advisor: 1, risk: RiskLevel::VeryHigh, objective: Objective::Speculation, horizon_years: 10, drawdown_max_percent: 40, instrument_max_percent: 100, reserve_dollars: 0, needs: "trades for a living", reviewed_after_months: 14 },
    Client { kind: PartyKind::Person, name: "Elsa Brandt", members: &[], advisor: 1, risk: RiskLevel::VeryLow, objective: Objective::Income, horizon_years: 4, drawdown_max_percent: 8, instrument_max_percent: 25, reserve_dollars: 5_000, needs: "monthly income beside her pension", reviewed_after_months: 9 },
    Client { kind: PartyKind::Person, name: "Felix Oduya", members: &[], advisor: 1, risk: RiskLevel::VeryHigh, objective: Objective::Speculation, horizon_years: 8, drawdown_max_percent: 50, instrument_max_percent: 60, reserve_dollars: 0, needs: "hedges what he earns in the industry", reviewed_after_months: 21 },
    Client { kind: PartyKind::Person, name: "Greta Novak", members: &[], advisor: 2, risk: RiskLevel::Medium, objective: Objective::Growth, horizon_years: 12, drawdown_max_percent: 20, instrument_max_percent: 45, reserve_dollars: 500, needs: "a sabbatical in five years", reviewed_after_months: 22 },
    Client { kind: PartyKind::Person, name: "Hiro Tanabe", members: &[], advisor: 0, risk: RiskLevel::High, objective: Objective::Growth, horizon_years: 15, drawdown_max_percent: 30, instrument_max_percent: 60, reserve_dollars: 1_000, needs: "moves to Europe next year", reviewed_after_months: 19 },
    Client { kind: PartyKind::Person, name: "Ines Castell", members: &[], advisor: 0, risk: RiskLevel::High, objective: Objective::Growth, horizon_years: 20, drawdown_max_percent: 30, instrument_max_percent: 60, reserve_dollars: 0, needs: "none before sixty", reviewed_after_months: 16 },
    Client { kind: PartyKind::Trust, name: "Castell Family Trust", members: &[9], advisor: 0, risk: RiskLevel::Medium, objective: Objective::Preservation, horizon_years: 30, drawdown_max_percent: 15, instrument_max_percent: 20, reserve_dollars: 0, needs: "grants to two schools a year", reviewed_after_months: 21 },
    Client { kind: PartyKind::Entity, name: "Brandywell Instruments Ltd.", members: &[], advisor: 1, risk: RiskLevel::Low, objective: Objective::Preservation, horizon_years: 3, drawdown_max_percent: 10, instrument_max_percent: 70, reserve_dollars: 5_000, needs: "three months of wages at any time", reviewed_after_months: 12 },
];

/// What a client's profile limits beside one instrument's part, from the last review on.
pub(super) struct Limits {
    /// Sectors that are not to be held.
    pub(super) excluded_sectors: &'static [&'static str],
    /// The most that a sector may be of the whole, in percent.
    pub(super) sector_caps: &'static [(&'static str, i64)],
    /// The most that one issuer may be of the whole, in percent.
    pub(super) issuer_max_percent: Option<i64>,
    /// The portfolio that aims at weights of its own: its name, and classes with their parts in percent.
    pub(super) targets: Option<(&'static str, &'static [(&'static str, i64)])>,
}

/// What a client's profile limits, by place in [`CLIENTS`].
pub(super) const fn limits(client: usize) -> Limits {
    let none = Limits { excluded_sectors: &[], sector_caps: &[], issuer_max_percent: None, targets: None };
    match client {
        0 => Limits { sector_caps: &[("technology", 40)], ..none },
        3 => Limits { sector_caps: &[("technology", 80)], excluded_sectors: &["gambling"], ..none },
        5 => Limits {
            targets: Some((
                "Pension supplement",
                &[("bond", 34), ("equity", 32), ("etf", 16), ("depositary_receipt", 16)],
            )),
            ..none
        },
        7 => Limits { excluded_sectors: &["gambling"], issuer_max_percent: Some(45), ..none },
        8 => Limits { sector_caps: &[("industrials", 45)], ..none },
        10 => Limits {
            excluded_sectors: &["energy"],
            targets: Some((
                "Endowment",
                &[("equity", 60), ("depositary_receipt", 20), ("etf", 9), ("bond", 9)],
            )),
            ..none
        },
        _ => none,
    }
}

/// How a portfolio is run.
pub(super) enum Style {
    /// Funds at fixed weights in percent, bought every month and set right every quarter.
    Core { model: &'static str, weights: &'static [(&'static str, i64)] },
    /// Shares and funds that pay, bought once; so much is withdrawn each month, in dollars.
    Income { picks: &'static [&'static str], withdraw_dollars: i64, reinvest: bool },
    /// Shares that come and go.
    Growth { picks: &'static [&'static str], borrows: bool },
    /// In and out on the same day, by three ways of trading.
    DayTrader,
    /// Sells what it does not hold.
    ShortSeller { picks: &'static [&'static str] },
}

/// Who charges what for a trade.
pub(super) enum Broker {
    /// Half a cent a share, at least a dollar.
    Northgate,
    /// A third of a cent a share, at least 35 cents.
    Quayside,
    /// Nothing.
    Harborline,
}

impl Broker {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Northgate => "northgate",
            Self::Quayside => "quayside",
            Self::Harborline => "harborline",
        }
    }

    /// The commission of a fill in cents, for shares in ten-thousandths.
    pub(super) fn commission_cents(&self, parts: i64) -> i64 {
        let hundredths_of_a_cent_a_share = match self {
            Self::Northgate => 50,
            Self::Quayside => 33,
            Self::Harborline => return 0,
        };
        let least = if matches!(self, Self::Northgate) { 100 } else { 35 };
        ((parts * hundredths_of_a_cent_a_share + 999_999) / 1_000_000).max(least)
    }
}

/// A portfolio.
pub(super) struct Plan {
    /// By place in [`CLIENTS`].
    pub(super) client: usize,
    pub(super) name: &'static str,
    pub(super) style: Style,
    pub(super) broker: Broker,
    pub(super) mandate: Mandate,
    /// When it was opened, in percent of the two years.
    pub(super) opened_percent: usize,
    pub(super) first_deposit_dollars: i64,
    pub(super) monthly_deposit_dollars: i64,
    /// Shares that came from another broker: symbol, shares, basis in dollars, years they were held.
    pub(super) brought: &'static [(&'static str, i64, i64, i32)],
    /// Whether dollars are changed for euros along the way.
    pub(super) changes_euros: bool,
}

impl Plan {
    const fn new(client: usize, name: &'static str, style: Style, broker: Broker, mandate: Mandate) -> Self {
        Self {
            client,
            name,
            style,
            broker,
            mandate,
            opened_percent: 0,
            first_deposit_dollars: 0,
            monthly_deposit_dollars: 0,
            brought: &[],
            changes_euros: false,
        }
    }

    const fn opened(mut self, percent: usize) -> Self {
        self.opened_percent = percent;
        self
    }

    const fn deposits(mut self, first_dollars: i64, monthly_dollars: i64) -> Self {
        self.first_deposit_dollars = first_dollars;
        self.monthly_deposit_dollars = monthly_dollars;
        self
    }

    const fn brings(mut self, brought: &'static [(&'static str, i64, i64, i32)]) -> Self {
        self.brought = brought;
        self
    }

    const fn changing_euros(mut self) -> Self {
        self.changes_euros = true;
        self
    }
}

const GROWTH: Style =
    Style::Core { model: "Growth 80/20", weights: &[("DBMX", 55), ("DINX", 25), ("DBDX", 15), ("DGDX", 5)] };
const BALANCED: Style = Style::Core {
    model: "Balanced 60/40",
    weights: &[("DBMX", 40), ("DINX", 20), ("DBDX", 35), ("DGDX", 5)],
};
const DEFENSIVE: Style = Style::Core {
    model: "Defensive 25/75",
    weights: &[("DBMX", 15), ("DDVX", 10), ("DBDX", 45), ("DSTX", 30)],
};

const TECHNOLOGY: &[&str] = &["ORVN", "KELD", "TAMQ", "NOVQ", "PXLR", "KRDL", "HEXB", "ZPHY", "MRZO"];
const INDUSTRY: &[&str] = &["THRN", "FOWD", "GLSP", "RUNK", "WYCK", "HLSN", "KRDL", "VNTQ", "KELD"];
const BLEND: &[&str] =
    &["ORVN", "KELD", "LNDQ", "THRN", "AQLN", "MRZO", "MBSW", "VNTQ", "BRVO", "WYCK", "SVNK"];
const PAYERS: &[&str] = &["DUNM", "BRVO", "LNDQ", "OSTB", "AQLN", "SVNK", "MBSW", "HLSN", "DDVX", "DBDX"];
const CALM_PAYERS: &[&str] = &["DUNM", "BRVO", "DDVX", "DBDX", "DSTX", "SVNK"];

use Broker::{Harborline, Northgate, Quayside};
use Mandate::{Advisory, Discretionary, ExecutionOnly};

/// The portfolios; those of one client stand together.
#[rustfmt::skip]
pub(super) const PORTFOLIOS: &[Plan] = &[
    Plan::new(0, "Retirement, Ann", GROWTH, Harborline, Discretionary).deposits(84_000, 1_500),
    Plan::new(0, "Ann's shares", Style::Growth { picks: BLEND, borrows: false }, Northgate, Advisory).deposits(60_000, 0),
    Plan::new(1, "Retirement, Bo", BALANCED, Harborline, Discretionary).deposits(112_000, 1_200),
    Plan::new(2, "Household", BALANCED, Harborline, Discretionary).deposits(45_000, 800),
    Plan::new(2, "House fund", DEFENSIVE, Harborline, Discretionary).deposits(70_000, 2_000),
    Plan::new(2, "Education", GROWTH, Harborline, Discretionary).opened(12).deposits(30_000, 600),
    Plan::new(3, "Growth", Style::Growth { picks: TECHNOLOGY, borrows: false }, Northgate, Advisory).deposits(240_000, 0),
    Plan::new(3, "Income", Style::Income { picks: PAYERS, withdraw_dollars: 1_000, reinvest: false }, Northgate, Discretionary).deposits(310_000, 0),
    Plan::new(3, "Near money", DEFENSIVE, Harborline, Discretionary).opened(20).deposits(90_000, 0),
    Plan::new(4, "Day trading", Style::DayTrader, Quayside, ExecutionOnly).deposits(120_000, 0),
    Plan::new(4, "Long term", GROWTH, Harborline, Discretionary).opened(8).deposits(25_000, 1_000),
    Plan::new(5, "Pension supplement", Style::Income { picks: CALM_PAYERS, withdraw_dollars: 1_400, reinvest: false }, Northgate, Discretionary).deposits(420_000, 0),
    Plan::new(5, "From her brother", Style::Income { picks: &[], withdraw_dollars: 0, reinvest: true }, Northgate, Advisory).opened(25).deposits(6_000, 0)
        .brings(&[("RUNK", 900, 41_300, 11), ("GLSP", 700, 35_150, 9), ("OSTB", 450, 9_875, 14)]),
    Plan::new(6, "Short book", Style::ShortSeller { picks: &["PXLR", "ZPHY", "HEXB", "SBLQ", "RUNK", "GLSP"] }, Quayside, ExecutionOnly).deposits(150_000, 0),
    Plan::new(6, "Retirement, Felix", GROWTH, Harborline, Discretionary).deposits(66_000, 1_000),
    Plan::new(7, "Shares", Style::Growth { picks: BLEND, borrows: false }, Northgate, Advisory).deposits(130_000, 1_000),
    Plan::new(7, "Sabbatical", BALANCED, Harborline, Discretionary).opened(5).deposits(20_000, 700),
    Plan::new(8, "Shares and euros", Style::Growth { picks: INDUSTRY, borrows: false }, Northgate, Advisory).deposits(160_000, 0).changing_euros(),
    Plan::new(8, "Retirement, Hiro", GROWTH, Harborline, Discretionary).deposits(58_000, 900),
    Plan::new(9, "On margin", Style::Growth { picks: TECHNOLOGY, borrows: true }, Quayside, ExecutionOnly).deposits(90_000, 0),
    Plan::new(9, "Retirement, Ines", GROWTH, Harborline, Discretionary).opened(15).deposits(35_000, 1_100),
    Plan::new(10, "Endowment", Style::Income { picks: PAYERS, withdraw_dollars: 3_000, reinvest: true }, Northgate, Discretionary).deposits(850_000, 0)
        .brings(&[("LNDQ", 1_200, 58_400, 7), ("AQLN", 800, 49_900, 6)]),
    Plan::new(10, "Growth reserve", Style::Growth { picks: BLEND, borrows: false }, Northgate, Discretionary).deposits(300_000, 0),
    Plan::new(11, "Treasury", DEFENSIVE, Harborline, Discretionary).deposits(600_000, 5_000),
    Plan::new(11, "Long reserve", BALANCED, Harborline, Discretionary).opened(30).deposits(250_000, 0),
];
