//! What Schwab's actions mean.

use crate::importers::symbols::Symbol;
use daybook_schemas::Phase;
use daybook_schemas::events::{
    AdjustmentKind, CashTransferKind, DistributionKind, DividendKind, Effect, ExchangeKind, FeeKind,
    InterestKind, OptionSettlement, RewardKind, SecuritiesTransferKind, Side, TaxKind,
};

/// What an action means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    Trade {
        side: Side,
        effect: Effect,
    },
    Dividend {
        kind: DividendKind,
        reinvested: bool,
    },
    Interest(InterestKind),
    Fee(FeeKind),
    Tax(TaxKind),
    Reward(RewardKind),
    Adjustment(AdjustmentKind),
    /// Cash where the row has an amount, securities where it has a quantity.
    Move {
        cash: CashTransferKind,
        securities: SecuritiesTransferKind,
    },
    Split,
    Distribution(DistributionKind),
    /// Units given, received or paid out; `paired` where nothing is said by one row alone.
    Exchange {
        kind: ExchangeKind,
        paired: bool,
    },
    CashInLieu,
    CapitalReturned,
    Option(OptionSettlement),
}

/// A row's share in a happening of several rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Share {
    /// The name that its rows have in common.
    pub(super) group: String,
    /// What the row is about, where another row of the group says it better.
    pub(super) instrument: Option<Symbol>,
}

impl Meaning {
    /// Where in its day it counts.
    pub(super) const fn phase(&self) -> Phase {
        match self {
            Self::Split | Self::Exchange { .. } => Phase::Open,
            _ => Phase::Close,
        }
    }

    /// Whether it counts on the day it was posted, whatever day it is `as of`: a split or a spin-off is dated back to
    /// the day on which it was decided, and trades without it until the day on which it is posted.
    pub(super) const fn counts_when_posted(&self) -> bool {
        matches!(self, Self::Split | Self::Exchange { .. } | Self::Distribution(_))
    }

    /// The meaning of an action; `of_option` where the row's symbol is an option's.
    pub(super) fn of(action: &str, of_option: bool) -> Option<Self> {
        let words: Vec<String> = action.split_whitespace().map(str::to_lowercase).collect();
        let name = words.join(" ");
        let trade = |side, effect| Some(Self::Trade { side, effect });
        let paid = |kind| Some(Self::Dividend { kind, reinvested: false });
        let reinvested = |kind| Some(Self::Dividend { kind, reinvested: true });
        let cash = |cash| Some(Self::Move { cash, securities: SecuritiesTransferKind::Broker });
        let journal =
            Some(Self::Move { cash: CashTransferKind::Journal, securities: SecuritiesTransferKind::Journal });
        let paired = |kind| Some(Self::Exchange { kind, paired: true });
        let single = |kind| Some(Self::Exchange { kind, paired: false });
        match name.as_str() {
            "buy" => trade(Side::Buy, Effect::Unstated),
            // A file opens no short by accident: only the action that says so does.
            "sell" => trade(Side::Sell, Effect::Close),
            "sell short" | "sell to open" => trade(Side::Sell, Effect::Open),
            "buy to open" | "reinvest shares" => trade(Side::Buy, Effect::Open),
            "buy to close" | "buy to cover" => trade(Side::Buy, Effect::Close),
            "sell to close" => trade(Side::Sell, Effect::Close),

            "cash dividend" | "pr yr cash div" | "special dividend" | "pr yr special div" | "dividend"
            | "div adjustment" | "div adj" | "dividend adj" | "cash dividend adj" => {
                paid(DividendKind::Ordinary)
            }
            "qualified dividend" | "special qual div" | "pr yr qual div" | "qual div adj" => {
                paid(DividendKind::Qualified)
            }
            "non-qualified div" | "special non qual div" | "pr yr non-qual div" | "non-qual div adj" => {
                paid(DividendKind::NonQualified)
            }
            "tax exempt dividend" | "exempt dividend" => paid(DividendKind::Exempt),
            "long term cap gain" => paid(DividendKind::LongTermGain),
            "short term cap gain" => paid(DividendKind::ShortTermGain),
            "substitute payment" | "payment in lieu" | "substitute dividend" => paid(DividendKind::InLieu),
            "reinvest dividend" | "pr yr div reinvest" | "div reinvest" | "special div reinvest" => {
                reinvested(DividendKind::Ordinary)
            }
            "qual div reinvest" => reinvested(DividendKind::Qualified),
            "non-qual div reinvest" => reinvested(DividendKind::NonQualified),
            "long term cap gain reinvest" => reinvested(DividendKind::LongTermGain),
            "short term cap gain reinvest" => reinvested(DividendKind::ShortTermGain),

            "credit interest" | "bank interest" | "interest" | "interest adj" | "credit interest adj" => {
                Some(Self::Interest(InterestKind::Credit))
            }
            "bond interest" | "cd interest" | "bond interest adj" => {
                Some(Self::Interest(InterestKind::Coupon))
            }
            "margin interest" | "margin interest adj" | "debit interest" => {
                Some(Self::Interest(InterestKind::Margin))
            }
            "short borrow fee" | "stock borrow fee" | "hard to borrow fee" => {
                Some(Self::Interest(InterestKind::Borrow))
            }
            "securities lending" | "fully paid lending interest" | "fpl interest" => {
                Some(Self::Interest(InterestKind::Lending))
            }

            "advisor fee" | "advisory fee" | "management fee" | "mgmt fee" => {
                Some(Self::Fee(FeeKind::Advisory))
            }
            "service fee" | "account fee" | "service fee adj" => Some(Self::Fee(FeeKind::Account)),
            "adr mgmt fee" | "adr fee" | "adr mgmt fee adj" => Some(Self::Fee(FeeKind::Depositary)),
            "transfer fee" | "wire fee" | "schwab atm rebate" | "atm fee rebate" => {
                Some(Self::Fee(FeeKind::Transfer))
            }
            "fee" | "misc fee" | "fee adj" => Some(Self::Fee(FeeKind::Unstated)),

            "foreign tax paid" | "foreign tax reclaim" | "foreign tax adj" | "foreign tax paid adj" => {
                Some(Self::Tax(TaxKind::Foreign))
            }
            "nra tax adj"
            | "nra tax"
            | "nra withholding"
            | "pr yr nra tax"
            | "tax withholding"
            | "irs withhold adj"
            | "backup withholding"
            | "federal withholding"
            | "state withholding" => Some(Self::Tax(TaxKind::Withholding)),

            "moneylink transfer" | "moneylink deposit" | "moneylink adj" | "bank transfer" | "bill pay"
            | "ach" | "direct deposit" | "eft" => cash(CashTransferKind::Bank),
            "wire sent"
            | "wire received"
            | "wire funds"
            | "wire funds received"
            | "wire funds sent"
            | "wire funds adj" => cash(CashTransferKind::Wire),
            "funds received" | "funds paid" | "funds sent" | "deposit" | "withdrawal" => {
                cash(CashTransferKind::Unstated)
            }
            "visa purchase" | "atm withdrawal" | "debit card purchase" | "visa credit" => {
                cash(CashTransferKind::Card)
            }
            "check paid" | "check received" | "check deposit" | "returned check" | "check" => {
                cash(CashTransferKind::Cheque)
            }
            "journal"
            | "journaled shares"
            | "journaled funds"
            | "internal transfer"
            | "auto s1 credit"
            | "auto s1 debit"
            | "auto s1 debit/credit"
            | "auto s1 credit/debit"
            | "futures mm sweep" => journal,
            "security transfer"
            | "shares received"
            | "shares delivered"
            | "acat transfer"
            | "transfer of security" => cash(CashTransferKind::Unstated),
            "stock plan activity" => Some(Self::Move {
                cash: CashTransferKind::Unstated,
                securities: SecuritiesTransferKind::Other("stock plan".into()),
            }),
            "promotional award" => Some(Self::Reward(RewardKind::Promotion)),
            "misc cash entry" | "misc credits" | "misc debits" => {
                Some(Self::Adjustment(AdjustmentKind::Unstated))
            }
            "adjustment" | "adjustment adj" => Some(Self::Adjustment(AdjustmentKind::BrokerCorrection)),

            "stock split" | "forward split" | "stock split adj" | "options frwd split" => Some(Self::Split),
            "stock div dist" | "stock dividend" => Some(Self::Distribution(DistributionKind::StockDividend)),
            "spin-off" | "spinoff" => Some(Self::Distribution(DistributionKind::SpinOff)),
            "dist rgts n-trans" | "rights distribution" | "rights dist" => {
                Some(Self::Distribution(DistributionKind::Rights))
            }
            "reverse split" => paired(ExchangeKind::ReverseSplit),
            "stock merger" | "cash/stock merger" => paired(ExchangeKind::Merger),
            "name change" | "symbol change" => paired(ExchangeKind::NameChange),
            "conversion" => paired(ExchangeKind::Conversion),
            "mandatory reorg exc" | "reorganized issue" | "exchange" => paired(ExchangeKind::Unstated),
            "cash merger" | "cash merger adj" => single(ExchangeKind::Merger),
            "full redemption"
            | "full redemption adj"
            | "partial redemption"
            | "bond redemption"
            | "redemption"
            | "cash liquidation"
            | "liquidation" => single(ExchangeKind::Redemption),
            "tender offer" => single(ExchangeKind::Tender),
            "worthless" | "expired warrants" | "expired rights" => single(ExchangeKind::Worthless),
            "cash in lieu" => Some(Self::CashInLieu),
            "return of capital" | "returned capital" | "ret of capital" | "ret cap reinvest" => {
                Some(Self::CapitalReturned)
            }

            "expired" if of_option => Some(Self::Option(OptionSettlement::Expired)),
            "expired" => single(ExchangeKind::Worthless),
            "assigned" => Some(Self::Option(OptionSettlement::Assigned)),
            "exercised" => Some(Self::Option(OptionSettlement::Exercised)),
            "exchange or exercise" if of_option => Some(Self::Option(OptionSettlement::Exercised)),
            "exchange or exercise" => paired(ExchangeKind::Unstated),
            _ => None,
        }
    }
}
