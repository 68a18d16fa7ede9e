//! What Alpaca's types of activities mean.
//!
//! Three vocabularies are official and disagree (the API's document, its guide, the SDK); this is their union.

use daybook_schemas::Phase;
use daybook_schemas::events::{
    AdjustmentKind, CashTransferKind, DistributionKind, DividendKind, ExchangeKind, FeeKind, InterestKind,
    OptionSettlement, SecuritiesTransferKind, TaxKind,
};

/// What a type of activity means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// A fill of an order.
    Fill,
    /// A trade that is no fill: the shares of an exercised option. Quantity or cash says which way.
    Trade,
    /// Cash from or to another account.
    Cash(CashTransferKind),
    /// Securities from or to another account.
    Units(SecuritiesTransferKind),
    /// Either, as the row has a quantity or an amount.
    CashOrUnits(CashTransferKind, SecuritiesTransferKind),
    Dividend(DividendKind),
    /// A dividend in shares, unless the row pays cash.
    StockDividend,
    /// Interest; without a kind its sign has to tell.
    Interest(Option<InterestKind>),
    /// A fee in cash, or in units where the row counts some.
    Fee(FeeKind),
    /// A fee in units of a crypto asset.
    FeeInKind,
    Tax(TaxKind),
    CapitalReturned,
    CashInLieu,
    /// Units of one instrument before and after.
    Split,
    Distribution(DistributionKind),
    /// Units given or received, or cash for them: rows of one group.
    Exchange(ExchangeKind),
    Option(OptionSettlement),
    /// Cash that no other event describes, perhaps with units.
    Adjustment(AdjustmentKind),
}

impl Meaning {
    /// Every type of the union.
    #[cfg(test)]
    pub(super) const TYPES: &'static [&'static str] = &[
        "FILL", "TRANS", "MISC", "ACATC", "ACATS", "CFEE", "CGD", "CSD", "CSW", "DIV", "DIVCGL", "DIVCGS",
        "DIVFEE", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "FEE", "INT", "INTNRA", "INTTW", "JNL",
        "JNLC", "JNLS", "MA", "NC", "OPASN", "OPCA", "OPCSH", "OPEXC", "OPEXP", "OPTRD", "PTC", "PTR",
        "REORG", "SPIN", "SPLIT", "FOPT", "OCT", "OPXRC", "SC", "SSO", "SSP", "CIL", "DIVWH", "EXTRD",
        "FXTRD", "INTPNL", "MEM", "SWP", "VOF", "WH",
    ];

    /// The meaning of a type, which its sub-type may say more of.
    pub(super) fn of(activity_type: &str, sub_type: Option<&str>) -> Option<Self> {
        let sub_type = sub_type.unwrap_or_default();
        let other = |text: &str| text.into();
        Some(match activity_type {
            "FILL" => Self::Fill,
            "OPTRD" | "EXTRD" => Self::Trade,

            "CSD" | "CSW" | "TRANS" => Self::Cash(CashTransferKind::Unstated),
            "ACATC" => Self::Cash(CashTransferKind::Other(other("acats"))),
            "JNLC" => Self::Cash(CashTransferKind::Journal),
            "ACATS" | "FOPT" => Self::Units(SecuritiesTransferKind::Broker),
            "JNLS" => Self::Units(SecuritiesTransferKind::Journal),
            "JNL" => Self::CashOrUnits(CashTransferKind::Journal, SecuritiesTransferKind::Journal),
            "OCT" => Self::CashOrUnits(CashTransferKind::Network, SecuritiesTransferKind::Network),

            "DIV" => match sub_type {
                "SDIV" => Self::StockDividend,
                "SPD" => Self::Dividend(DividendKind::InLieu),
                _ => Self::Dividend(DividendKind::Ordinary),
            },
            "DIVCGL" => Self::Dividend(DividendKind::LongTermGain),
            "DIVCGS" => Self::Dividend(DividendKind::ShortTermGain),
            "DIVTXEX" => Self::Dividend(DividendKind::Exempt),
            "CGD" => Self::Dividend(DividendKind::Other(other("capital gain"))),
            "DIVROC" => Self::CapitalReturned,
            "DIVFT" | "DIVWH" => Self::Tax(TaxKind::Foreign),
            "DIVNRA" | "DIVTW" | "INTNRA" | "INTTW" | "WH" => Self::Tax(TaxKind::Withholding),

            "INT" => Self::Interest(match sub_type {
                "MGN" => Some(InterestKind::Margin),
                "CDT" | "SWP" | "QII" => Some(InterestKind::Credit),
                "FI" => Some(InterestKind::Coupon),
                _ => None,
            }),

            "CFEE" => Self::FeeInKind,
            "FEE" => Self::Fee(match sub_type {
                "REG" | "TAF" | "ORF" | "OCC" | "CAT" | "COM" | "NRC" | "NRV" | "LCT" => FeeKind::Trading,
                _ => FeeKind::Unstated,
            }),
            "DIVFEE" => Self::Fee(FeeKind::Depositary),
            // A rebate is a fee that comes back.
            "PTC" | "PTR" => Self::Fee(FeeKind::Other(other("pass through"))),

            "SPLIT" | "SSP" => Self::Split,
            "SPIN" | "SSO" => Self::Distribution(DistributionKind::SpinOff),
            "MA" => Self::Exchange(ExchangeKind::Merger),
            "NC" | "SC" => Self::Exchange(ExchangeKind::NameChange),
            "REORG" if sub_type == "WRM" => Self::Exchange(ExchangeKind::Worthless),
            "VOF" if sub_type == "VTND" => Self::Exchange(ExchangeKind::Tender),
            "REORG" | "VOF" | "OPCA" => Self::Exchange(ExchangeKind::Unstated),
            "CIL" => Self::CashInLieu,

            "OPASN" => Self::Option(OptionSettlement::Assigned),
            "OPEXC" | "OPXRC" => Self::Option(OptionSettlement::Exercised),
            "OPEXP" => Self::Option(OptionSettlement::Expired),
            "OPCSH" => Self::Option(OptionSettlement::Cash),

            // One row of an exchange of currencies states one side, and a conversion has two: its cash moves, and it is
            // listed as not accounted for.
            "MISC" | "FXTRD" | "INTPNL" | "MEM" | "SWP" => Self::Adjustment(AdjustmentKind::Unstated),
            _ => return None,
        })
    }

    /// Where in its day a row without a time of day counts.
    pub(super) const fn phase(&self) -> Phase {
        match self {
            Self::Split | Self::Exchange(_) => Phase::Open,
            _ => Phase::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_union_has_a_meaning_and_no_other_has() {
        for name in Meaning::TYPES {
            assert!(Meaning::of(name, None).is_some(), "{name}");
        }
        for unknown in ["", "fill", "FILLS", "DIVX", "CSR"] {
            assert_eq!(Meaning::of(unknown, None), None, "{unknown}");
        }
    }
}
