//! The firm: advisors, parties, profiles, models, and who may see what.

use super::{ContentHash, Words};
use crate::codes::codes;
use crate::{
    AdvisorId, Day, Fraction, HouseholdId, InstrumentId, KeyId, ModelId, Money, PartyId, PortfolioId,
    ReviewId, Sealed, TeamId, Timestamp, TokenId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a person can be reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub telephone: Option<String>,
    /// Postal address.
    pub address: Option<String>,
}

/// An advisor joined the firm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdvisorRegistered {
    /// The advisor.
    pub advisor: AdvisorId,
    /// The advisor's name.
    pub name: Sealed<String>,
    /// How to reach the advisor.
    pub contact: Option<Sealed<Contact>>,
    /// The advisor's number with the regulator.
    pub licence: Option<Sealed<String>>,
    /// The first day.
    pub from: Day,
}

/// What is known of an advisor changed. Each event says all of it anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdvisorAmended {
    /// The advisor.
    pub advisor: AdvisorId,
    /// The advisor's name.
    pub name: Sealed<String>,
    /// How to reach the advisor.
    pub contact: Option<Sealed<Contact>>,
    /// The advisor's number with the regulator.
    pub licence: Option<Sealed<String>>,
    /// The first day on which this holds.
    pub from: Day,
}

/// An advisor left the firm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdvisorDeparted {
    /// The advisor.
    pub advisor: AdvisorId,
    /// The last day.
    pub on: Day,
    /// Who takes over the clients.
    pub successor: Option<AdvisorId>,
}

codes! {
    /// What a party is.
    PartyKind {
        /// A person.
        Person = 1, "person";
        /// Several persons together.
        Joint = 2, "joint";
        /// A trust.
        Trust = 3, "trust";
        /// A company or another legal entity.
        Entity = 4, "entity";
    }
    /// In what role an advisor serves a client.
    AssignmentRole {
        /// The one who answers for the client.
        Lead = 1, "lead";
        /// One who helps.
        Support = 2, "support";
        /// One who stands in.
        Deputy = 3, "deputy";
    }
    /// What a caller may do.
    Role {
        /// Everything.
        Administrator = 1, "administrator";
        /// Own clients: reads, recommends, records and corrects.
        Advisor = 2, "advisor";
        /// Own portfolios.
        Client = 3, "client";
        /// Reads everything, changes nothing.
        Auditor = 4, "auditor";
        /// Appends to named portfolios.
        Service = 5, "service";
        /// Reads named portfolios, for a public page.
        Display = 6, "display";
    }
    /// How much risk a party will bear, or can.
    RiskLevel {
        /// Very low.
        VeryLow = 1, "very_low";
        /// Low.
        Low = 2, "low";
        /// Medium.
        Medium = 3, "medium";
        /// High.
        High = 4, "high";
        /// Very high.
        VeryHigh = 5, "very_high";
    }
    /// What a party wants.
    Objective {
        /// To keep what there is.
        Preservation = 1, "preservation";
        /// Income.
        Income = 2, "income";
        /// Growth and income.
        Balanced = 3, "balanced";
        /// Growth.
        Growth = 4, "growth";
        /// Speculation.
        Speculation = 5, "speculation";
    }
    /// What a cap or an exclusion is about.
    Dimension {
        /// One instrument.
        Instrument = 1, "instrument";
        /// One issuer.
        Issuer = 2, "issuer";
        /// A sector.
        Sector = 3, "sector";
        /// A currency.
        Currency = 4, "currency";
        /// A class of instruments.
        Class = 5, "class";
        /// A country.
        Country = 6, "country";
    }
    /// What a review came to.
    ReviewOutcome {
        /// Nothing changes.
        Confirmed = 1, "confirmed";
        /// The profile changes.
        ProfileChanged = 2, "profile_changed";
        /// The portfolio changes.
        PortfolioChanged = 3, "portfolio_changed";
    }
}

/// A party became a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PartyOnboarded {
    /// The party.
    pub party: PartyId,
    /// What it is.
    pub kind: PartyKind,
    /// Its name.
    pub name: Sealed<String>,
    /// How to reach it.
    pub contact: Option<Sealed<Contact>>,
    /// The persons behind it.
    pub members: Vec<PartyId>,
    /// The country it pays taxes in, ISO 3166.
    pub tax_country: Option<Box<str>>,
    /// The first day.
    pub on: Day,
}

/// What is known of a party changed. Each event says all of it anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PartyAmended {
    /// The party.
    pub party: PartyId,
    /// Its name.
    pub name: Sealed<String>,
    /// How to reach it.
    pub contact: Option<Sealed<Contact>>,
    /// The persons behind it.
    pub members: Vec<PartyId>,
    /// The country it pays taxes in, ISO 3166.
    pub tax_country: Option<Box<str>>,
    /// The first day on which this holds.
    pub from: Day,
}

/// A party is a client no more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PartyOffboarded {
    /// The party.
    pub party: PartyId,
    /// The last day.
    pub on: Day,
    /// Why.
    pub reason: Option<Words>,
}

/// A person's key was erased: what it sealed can be read no more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PersonForgotten {
    /// The key that was erased.
    pub key: KeyId,
    /// The day of the request.
    pub requested_on: Day,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// Who serves a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assignee {
    /// One advisor.
    Advisor(AdvisorId),
    /// A team.
    Team(TeamId),
}

/// A client is served by an advisor or a team.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClientAssigned {
    /// The client.
    pub party: PartyId,
    /// By whom.
    pub to: Assignee,
    /// In what role.
    pub role: AssignmentRole,
    /// The first day.
    pub from: Day,
    /// The last day, where it has one.
    pub until: Option<Day>,
}

/// A team was formed, or its members changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TeamFormed {
    /// The team.
    pub team: TeamId,
    /// Its name.
    pub name: Box<str>,
    /// All its members from now on.
    pub members: Vec<AdvisorId>,
    /// The first day.
    pub from: Day,
}

/// A household was formed, or its members changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HouseholdFormed {
    /// The household.
    pub household: HouseholdId,
    /// Its name.
    pub name: Sealed<String>,
    /// All its members from now on.
    pub members: Vec<PartyId>,
    /// The first day.
    pub from: Day,
}

/// A limit on a part of a portfolio.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Cap {
    /// What it is about.
    pub dimension: Dimension,
    /// Which one; absent for each.
    pub value: Option<Box<str>>,
    /// The most, as a part of equity.
    pub share_max: Fraction,
}

/// What is not to be held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Exclusion {
    /// What it is about.
    pub dimension: Dimension,
    /// Which one.
    pub value: Box<str>,
}

/// A weight to aim for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TargetWeight {
    /// The instrument, where the target is one.
    pub instrument: Option<InstrumentId>,
    /// The class or another name, where it is not.
    pub sleeve: Option<Box<str>>,
    /// The part of equity to aim for.
    pub weight: Fraction,
    /// How far it may be off before somebody is told; absent for the rule of the house.
    pub band: Option<Fraction>,
}

/// A party's investment profile was set. Its personal details are sealed; what rules are computed from is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvestmentProfileSet {
    /// The party.
    pub party: PartyId,
    /// 1 for the first, then one more each time; recommendations name it.
    pub version: u32,
    /// The portfolio it is for; absent for all of the party's.
    pub portfolio: Option<PortfolioId>,
    /// What the party wants.
    pub objectives: Vec<Objective>,
    /// How much risk it will bear.
    pub risk_tolerance: RiskLevel,
    /// How much loss it can bear.
    pub loss_capacity: Option<RiskLevel>,
    /// For how many years the money is not needed.
    pub horizon_years: Option<u16>,
    /// Cash to be kept at hand.
    pub liquidity_reserve: Option<Money>,
    /// The largest drawdown to be borne, as a positive part of one.
    pub drawdown_max: Option<Fraction>,
    /// Age, other investments, financial situation and needs, tax status, experience: in words.
    pub details: Option<Sealed<ProfileDetails>>,
    /// What is not to be held.
    pub exclusions: Vec<Exclusion>,
    /// Limits on parts of the portfolio.
    pub caps: Vec<Cap>,
    /// Weights to aim for.
    pub targets: Vec<TargetWeight>,
    /// When it is to be looked at again.
    pub review_due: Option<Day>,
    /// The first day on which it holds.
    pub from: Day,
}

/// The personal part of an investment profile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProfileDetails {
    /// Date of birth.
    pub born: Option<Day>,
    /// Investments elsewhere.
    pub other_investments: Option<String>,
    /// Income, wealth, obligations.
    pub financial_situation: Option<String>,
    /// What the party needs.
    pub needs: Option<String>,
    /// Tax status.
    pub tax_status: Option<String>,
    /// Experience with investments.
    pub experience: Option<String>,
}

/// A model portfolio was published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ModelPublished {
    /// The model.
    pub model: ModelId,
    /// 1 for the first, then one more each time.
    pub version: u32,
    /// Its name.
    pub name: Box<str>,
    /// Its weights; what is missing to one is cash.
    pub targets: Vec<TargetWeight>,
    /// The first day on which it holds.
    pub from: Day,
}

/// A portfolio follows a model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ModelAssigned {
    /// The portfolio.
    pub portfolio: PortfolioId,
    /// The model; absent for none.
    pub model: Option<ModelId>,
    /// The version; absent for the newest at any time.
    pub version: Option<u32>,
    /// The first day.
    pub from: Day,
}

/// A review was held with a party.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReviewHeld {
    /// The review.
    pub review: ReviewId,
    /// The party.
    pub party: PartyId,
    /// The portfolios that were looked at; empty for all.
    pub portfolios: Vec<PortfolioId>,
    /// Who held it.
    pub advisor: Option<AdvisorId>,
    /// The day.
    pub on: Day,
    /// What it came to.
    pub outcome: ReviewOutcome,
    /// When the next is due.
    pub next_due: Option<Day>,
    /// What was said.
    pub note: Option<Sealed<String>>,
}

/// A token was issued. Its secret is shown once and kept nowhere; what is kept is a hash of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccessGranted {
    /// The token.
    pub token: TokenId,
    /// What its bearer may do.
    pub role: Role,
    /// On whose behalf: an advisor's, a party's or a program's name.
    pub subject: Box<str>,
    /// The portfolios it is for; empty for what the role reaches by itself.
    pub portfolios: Vec<PortfolioId>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// BLAKE3 of the secret, which has 256 random bits.
    pub secret_hash: ContentHash,
    /// Whether only percentages may be shown, never amounts.
    pub percentages_only: bool,
}

/// A token was revoked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccessRevoked {
    /// The token.
    pub token: TokenId,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// A token was used on a day, in UTC. It is recorded once for each day of use, not for each request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccessUsed {
    /// The token.
    pub token: TokenId,
    /// The day.
    pub on: Day,
}
