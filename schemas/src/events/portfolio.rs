//! Portfolios and their accounts.

use super::Words;
use crate::codes::codes;
use crate::{
    AccountId, Currency, Day, ExternalId, Fraction, InstrumentId, PartyId, PortfolioId, Sealed, Zone,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A portfolio was opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PortfolioOpened {
    /// The portfolio.
    pub portfolio: PortfolioId,
    /// Its name.
    pub name: Sealed<String>,
    /// The currency its figures are stated in.
    pub base_currency: Currency,
    /// The zone that bounds its days.
    pub zone: Zone,
    /// How disposals relieve lots.
    pub lot_method: LotMethod,
    /// The days of its series. Since version 2; before, every portfolio ran on weekdays.
    pub calendar: Calendar,
}

codes! {
    /// Which lots a disposal relieves.
    LotMethod {
        /// First in, first out.
        Fifo = 1, "fifo";
        /// Last in, first out.
        Lifo = 2, "lifo";
        /// Highest unit basis first.
        Hifo = 3, "hifo";
        /// One pool at its average.
        Average = 4, "average";
        /// Lots named by the trade.
        Specific = 5, "specific";
    }
    /// The days on which a series has a value.
    Calendar {
        /// Monday to Friday; 252 days a year.
        Weekdays = 1, "weekdays";
        /// Every day; 365 days a year.
        Daily = 2, "daily";
        /// The New York Stock Exchange's trading days; 252 days a year.
        NewYork = 3, "xnys";
    }
    /// What an account is.
    AccountKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// A cash account at a broker.
        Cash = 2, "cash";
        /// A margin account.
        Margin = 3, "margin";
        /// A retirement account.
        Retirement = 4, "retirement";
        /// An account for crypto assets.
        Crypto = 5, "crypto";
        /// A bank account.
        Bank = 6, "bank";
        /// A paper account: no real money.
        Paper = 7, "paper";
    }
    /// On whose decision trades are made.
    Mandate {
        /// The firm decides.
        Discretionary = 1, "discretionary";
        /// The firm advises, the client decides.
        Advisory = 2, "advisory";
        /// The client decides, the firm executes.
        ExecutionOnly = 3, "execution_only";
    }
}

/// An account belongs to the portfolio.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountLinked {
    /// The account.
    pub account: AccountId,
    /// What it is.
    pub kind: AccountKind,
    /// What the owner calls it.
    pub name: Sealed<String>,
    /// Where it is held, such as `alpaca`.
    pub broker: Option<Box<str>>,
    /// Its number there.
    pub number: Option<Sealed<String>>,
    /// The broker's technical id of it, by which a synchronisation knows it.
    pub external_id: Option<ExternalId>,
}

/// An account belongs to the portfolio no more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountUnlinked {
    /// The account.
    pub account: AccountId,
    /// Why.
    pub reason: Option<Words>,
}

/// The portfolio has another name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PortfolioRenamed {
    /// The new name.
    pub name: Sealed<String>,
}

/// The portfolio was closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PortfolioClosed {
    /// Its last day.
    pub on: Day,
    /// Why.
    pub reason: Option<Words>,
}

/// Disposals relieve lots by another method from a day on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LotMethodChosen {
    /// The method.
    pub method: LotMethod,
    /// The first day on which it holds.
    pub from: Day,
    /// The account for which it holds; absent for all.
    pub account: Option<AccountId>,
}

/// The portfolio is measured against a benchmark.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BenchmarkChosen {
    /// The benchmark; absent for none.
    pub instrument: Option<InstrumentId>,
    /// The first day on which it holds.
    pub from: Day,
}

/// The portfolio belongs to these parties.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PortfolioOwnersSet {
    /// The owners; their shares sum to one.
    pub owners: Vec<Ownership>,
    /// The first day on which it holds.
    pub from: Day,
}

/// One owner's share.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Ownership {
    /// The owner.
    pub party: PartyId,
    /// The owner's share of the whole.
    pub share: Fraction,
}

/// The firm manages the portfolio under a mandate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MandateSet {
    /// The mandate.
    pub mandate: Mandate,
    /// The first day on which it holds.
    pub from: Day,
}
