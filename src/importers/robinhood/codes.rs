//! What Robinhood's transaction codes mean.

use daybook_schemas::Phase;
use daybook_schemas::events::{
    AdjustmentKind, CashTransferKind, DistributionKind, DividendKind, Effect, ExchangeKind, FeeKind,
    InterestKind, OptionSettlement, RewardKind, SecuritiesTransferKind, Side, TaxKind,
};

/// What a code means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// A trade of what `Instrument` names.
    Trade(Side, Effect),
    /// A trade of the option that the description names.
    OptionTrade(Side, Effect),
    Dividend(DividendKind),
    Interest(InterestKind),
    Fee(FeeKind),
    Tax(TaxKind),
    Reward(RewardKind),
    Adjustment(AdjustmentKind),
    Cash(CashTransferKind),
    /// Securities where the row counts some, cash where it does not; out where `out`.
    Transfer {
        kind: SecuritiesTransferKind,
        out: bool,
    },
    /// Units added by a split.
    Split,
    Distribution(DistributionKind),
    /// Units that went, with the suffix `S`, or came: two rows of one happening.
    Exchange(ExchangeKind),
    /// The same, of the option that the description names.
    OptionExchange(ExchangeKind),
    Option(OptionSettlement),
    CashInLieu,
    CapitalReturned,
}

impl Meaning {
    /// The meaning of a code.
    pub(super) fn of(code: &str) -> Option<Self> {
        Some(match code.to_ascii_uppercase().as_str() {
            "BUY" => Self::Trade(Side::Buy, Effect::Unstated),
            // A file opens no short by accident: only the code that says so does.
            "SELL" => Self::Trade(Side::Sell, Effect::Close),
            "BTO" => Self::OptionTrade(Side::Buy, Effect::Open),
            "STC" => Self::OptionTrade(Side::Sell, Effect::Close),
            "STO" => Self::OptionTrade(Side::Sell, Effect::Open),
            "BTC" => Self::OptionTrade(Side::Buy, Effect::Close),
            "OEXP" => Self::Option(OptionSettlement::Expired),
            "OASGN" => Self::Option(OptionSettlement::Assigned),
            "OEXCS" => Self::Option(OptionSettlement::Exercised),
            "OCA" => Self::OptionExchange(ExchangeKind::Other("option adjustment".into())),

            "CDIV" => Self::Dividend(DividendKind::Ordinary),
            // Paid on lent shares.
            "MDIV" => Self::Dividend(DividendKind::InLieu),
            "SCAP" => Self::Dividend(DividendKind::ShortTermGain),
            "NRAT" => Self::Tax(TaxKind::Withholding),
            "DTAX" => Self::Tax(TaxKind::Foreign),
            "INT" => Self::Interest(InterestKind::Credit),
            "SLIP" => Self::Interest(InterestKind::Lending),
            "MINT" => Self::Interest(InterestKind::Margin),

            "GOLD" | "GMPC" => Self::Fee(FeeKind::Subscription),
            "AFEE" | "DFEE" => Self::Fee(FeeKind::Depositary),

            "ACH" => Self::Cash(CashTransferKind::Bank),
            "RTP" => Self::Cash(CashTransferKind::Instant),
            "WIRE" => Self::Cash(CashTransferKind::Wire),
            "DCF" => Self::Cash(CashTransferKind::Card),
            // To and from accounts at Robinhood that are no part of this report: spending, retirement, futures.
            "ITRF" | "XENT" | "T/A" | "FUTSWP" => Self::Cash(CashTransferKind::Journal),
            "CFIR" | "DRFRO" => Self::Cash(CashTransferKind::Unstated),
            "MTCH" | "ABIP" | "GDBP" => Self::Reward(RewardKind::Promotion),
            "MISC" => Self::Adjustment(AdjustmentKind::Unstated),

            "ACATI" => Self::Transfer { kind: SecuritiesTransferKind::Broker, out: false },
            "ACATO" => Self::Transfer { kind: SecuritiesTransferKind::Broker, out: true },
            "REC" => Self::Transfer { kind: SecuritiesTransferKind::Unstated, out: false },
            "SPL" => Self::Split,
            "SPR" => Self::Exchange(ExchangeKind::ReverseSplit),
            "SXCH" => Self::Exchange(ExchangeKind::Unstated),
            "SOFF" => Self::Distribution(DistributionKind::SpinOff),
            "CIL" => Self::CashInLieu,
            "ROC" => Self::CapitalReturned,
            _ => return None,
        })
    }

    /// Whether the row speaks of the option that its description names.
    pub(super) const fn of_option(&self) -> bool {
        matches!(self, Self::OptionTrade(..) | Self::OptionExchange(_) | Self::Option(_))
    }

    /// Where in its day it counts.
    pub(super) const fn phase(&self) -> Phase {
        match self {
            Self::Split | Self::Exchange(_) | Self::OptionExchange(_) => Phase::Open,
            _ => Phase::Close,
        }
    }
}
