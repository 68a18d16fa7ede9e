//! Cash that comes and goes without a trade.

use super::{Charge, Entry, Scope};
use crate::codes::codes;
use crate::{AccountId, Day, FxRate, InstrumentId, Money, Price, Quantity, Sealed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cash came in or went out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CashTransferred {
    /// Account, time and source.
    pub entry: Entry,
    /// Whether it crosses the portfolio's edge.
    pub scope: Scope,
    /// How it was moved.
    pub kind: CashTransferKind,
    /// The effect on the account's cash; in is positive.
    pub amount: Money,
    /// The account at the other end, where it is one of ours.
    pub counter_account: Option<AccountId>,
    /// Who is at the other end.
    pub counterparty: Option<Sealed<String>>,
    /// Units of the base currency for one unit of the amount's, where stated.
    pub fx_rate: Option<FxRate>,
}

codes! {
    /// How cash was moved.
    CashTransferKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// A bank transfer.
        Bank = 2, "bank";
        /// A wire.
        Wire = 3, "wire";
        /// A cheque.
        Cheque = 4, "cheque";
        /// A card.
        Card = 5, "card";
        /// A journal between accounts at one broker.
        Journal = 6, "journal";
        /// An instant payment.
        Instant = 7, "instant";
        /// A crypto network.
        Network = 8, "network";
    }
    /// What kind of dividend.
    DividendKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// Ordinary.
        Ordinary = 2, "ordinary";
        /// Qualified.
        Qualified = 3, "qualified";
        /// Not qualified.
        NonQualified = 4, "non_qualified";
        /// Exempt from tax.
        Exempt = 5, "exempt";
        /// A fund's short-term capital gain.
        ShortTermGain = 6, "short_term_gain";
        /// A fund's long-term capital gain.
        LongTermGain = 7, "long_term_gain";
        /// Paid in lieu of a dividend on lent shares.
        InLieu = 8, "in_lieu";
    }
    /// What kind of interest.
    InterestKind {
        /// Not stated: income.
        Unstated = 1, "unstated";
        /// On a credit balance: income.
        Credit = 2, "credit";
        /// On a margin loan: a cost.
        Margin = 3, "margin";
        /// On borrowed securities: a cost.
        Borrow = 4, "borrow";
        /// A bond's coupon: income.
        Coupon = 5, "coupon";
        /// From lending out securities: income.
        Lending = 6, "lending";
    }
    /// What kind of reward.
    RewardKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// For staking.
        Staking = 2, "staking";
        /// For a referral.
        Referral = 3, "referral";
        /// A promotion.
        Promotion = 4, "promotion";
        /// An airdrop.
        Airdrop = 5, "airdrop";
    }
    /// What kind of fee.
    FeeKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// An advisor's fee.
        Advisory = 2, "advisory";
        /// A custodian's or broker's fee for the account.
        Account = 3, "account";
        /// A depositary's fee.
        Depositary = 4, "depositary";
        /// A fee for market data.
        MarketData = 5, "market_data";
        /// A fee for a transfer.
        Transfer = 6, "transfer";
        /// A fee that belongs to a fill and arrived later.
        Trading = 7, "trading";
        /// A subscription.
        Subscription = 8, "subscription";
    }
    /// What kind of tax.
    TaxKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// Withheld from a dividend at home.
        Withholding = 2, "withholding";
        /// Withheld abroad.
        Foreign = 3, "foreign";
        /// On a transaction.
        Transaction = 4, "transaction";
    }
    /// Why cash was adjusted.
    AdjustmentKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// To meet the broker's books.
        Reconciliation = 2, "reconciliation";
        /// The broker corrected an error.
        BrokerCorrection = 3, "broker_correction";
    }
}

/// A dividend was posted, gross; what was withheld is an event of its own in the same group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DividendPosted {
    /// Account, time (the day of payment) and source.
    pub entry: Entry,
    /// Who paid it; absent where the source does not say.
    pub instrument: Option<InstrumentId>,
    /// What kind.
    pub kind: DividendKind,
    /// The effect on the account's cash before charges; negative when paid on a short position or taken back.
    pub amount: Money,
    /// Units it was paid on.
    pub quantity: Option<Quantity>,
    /// Cash for one unit.
    pub per_unit: Option<Price>,
    /// The first day on which a buyer does not receive it.
    pub ex_date: Option<Day>,
    /// What was charged for it.
    pub charges: Vec<Charge>,
    /// Whether it was put into new units, by a trade in the same group.
    pub reinvested: bool,
    /// Units of the base currency for one unit of the amount's, where stated.
    pub fx_rate: Option<FxRate>,
}

/// Interest was posted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InterestPosted {
    /// Account, time and source.
    pub entry: Entry,
    /// What kind; the kind says whether it is income or a cost, the sign does not.
    pub kind: InterestKind,
    /// The bond, or what was borrowed or lent.
    pub instrument: Option<InstrumentId>,
    /// The effect on the account's cash before charges.
    pub amount: Money,
    /// First day of the period it is for.
    pub period_from: Option<Day>,
    /// Last day of the period it is for.
    pub period_to: Option<Day>,
    /// What was charged for it.
    pub charges: Vec<Charge>,
    /// Units of the base currency for one unit of the amount's, where stated.
    pub fx_rate: Option<FxRate>,
}

/// Units of an instrument given or taken in place of cash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InKind {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Units; in is positive.
    pub quantity: Quantity,
    /// What one unit was worth.
    pub price: Option<Price>,
    /// What all of them were worth, unsigned.
    pub value: Option<Money>,
}

/// A reward was posted, in cash or in kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RewardPosted {
    /// Account, time and source.
    pub entry: Entry,
    /// What for.
    pub kind: RewardKind,
    /// The effect on the account's cash before charges, for a reward in cash.
    pub amount: Option<Money>,
    /// The units, for a reward in kind.
    pub in_kind: Option<InKind>,
    /// What was charged for it.
    pub charges: Vec<Charge>,
    /// Units of the base currency for one unit of the amount's, where stated.
    pub fx_rate: Option<FxRate>,
}

/// A fee was posted, in cash or in kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FeePosted {
    /// Account, time and source. A fee that belongs to a fill names it in `relates_to`.
    pub entry: Entry,
    /// What for.
    pub kind: FeeKind,
    /// The effect on the account's cash: negative for a fee, positive for a rebate.
    pub amount: Option<Money>,
    /// The units given, for a fee in kind: a disposal at its price.
    pub in_kind: Option<InKind>,
    /// The instrument it is charged on.
    pub instrument: Option<InstrumentId>,
    /// Units of the base currency for one unit of the amount's, where stated.
    pub fx_rate: Option<FxRate>,
}

/// A tax was posted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaxPosted {
    /// Account, time and source.
    pub entry: Entry,
    /// What kind.
    pub kind: TaxKind,
    /// The effect on the account's cash: negative for a tax, positive for a refund.
    pub amount: Option<Money>,
    /// The units given, for a tax in kind.
    pub in_kind: Option<InKind>,
    /// The instrument it is levied on.
    pub instrument: Option<InstrumentId>,
    /// Whose tax, as an ISO 3166 country code.
    pub country: Option<Box<str>>,
    /// Units of the base currency for one unit of the amount's, where stated.
    pub fx_rate: Option<FxRate>,
}

/// Cash was adjusted, for a reason that no other event has; the entry's note says which.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CashAdjusted {
    /// Account, time and source.
    pub entry: Entry,
    /// Why.
    pub kind: AdjustmentKind,
    /// The effect on the account's cash.
    pub amount: Money,
}

/// One currency was changed for another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CurrencyConverted {
    /// Account, time and source.
    pub entry: Entry,
    /// What went out, negative.
    pub sold: Money,
    /// What came in, positive.
    pub bought: Money,
    /// What was charged for it.
    pub charges: Vec<Charge>,
    /// Units of the base currency for one unit of the foreign one, where stated.
    pub fx_rate: Option<FxRate>,
}
