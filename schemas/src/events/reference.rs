//! Instruments, their listings and identifiers, and announced corporate actions.

use crate::codes::codes;
use crate::{Currency, Day, ExternalId, Fraction, InstrumentId, ListingId, Money, Multiplier, Price, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An instrument became known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentListed {
    /// The instrument.
    pub instrument: InstrumentId,
    /// What it is.
    pub class: InstrumentClass,
    /// The currency it is quoted in.
    pub currency: Currency,
    /// Its name, where known.
    pub name: Option<Box<str>>,
    /// The terms of a derivative or a bond.
    pub contract: Option<Contract>,
    /// Whether it was listed from a symbol alone, by an import, and nobody confirmed it yet.
    pub provisional: bool,
}

codes! {
    /// What an instrument is.
    InstrumentClass {
        /// Not known yet.
        Unstated = 1, "unstated";
        /// A share.
        Equity = 2, "equity";
        /// An exchange-traded fund.
        Etf = 3, "etf";
        /// A mutual fund.
        Fund = 4, "fund";
        /// A money market fund.
        MoneyMarket = 5, "money_market";
        /// A bond or note.
        Bond = 6, "bond";
        /// An option.
        Option = 7, "option";
        /// A future.
        Future = 8, "future";
        /// A crypto asset.
        Crypto = 9, "crypto";
        /// A pair of currencies.
        CurrencyPair = 10, "currency_pair";
        /// An index, which cannot be held.
        Index = 11, "index";
        /// A warrant or a right.
        Warrant = 12, "warrant";
        /// A depositary receipt.
        DepositaryReceipt = 13, "depositary_receipt";
        /// A commodity.
        Commodity = 14, "commodity";
    }
    /// Which way an option goes.
    OptionRight {
        /// The right to buy.
        Call = 1, "call";
        /// The right to sell.
        Put = 2, "put";
    }
    /// How an identifier is made.
    IdentifierScheme {
        /// A ticker symbol.
        Symbol = 1, "symbol";
        /// International Securities Identification Number.
        Isin = 2, "isin";
        /// CUSIP.
        Cusip = 3, "cusip";
        /// Financial Instrument Global Identifier.
        Figi = 4, "figi";
        /// SEDOL.
        Sedol = 5, "sedol";
        /// An option symbol in the OCC's 21-character form.
        Osi = 6, "osi";
        /// A broker's own id.
        Broker = 7, "broker";
    }
    /// A kind of corporate action.
    CorporateActionKind {
        /// A split or a reverse split.
        Split = 1, "split";
        /// A dividend in cash.
        CashDividend = 2, "cash_dividend";
        /// A dividend in shares.
        StockDividend = 3, "stock_dividend";
        /// A spin-off.
        SpinOff = 4, "spin_off";
        /// A merger.
        Merger = 5, "merger";
        /// A change of symbol.
        SymbolChange = 6, "symbol_change";
        /// A redemption.
        Redemption = 7, "redemption";
        /// A distribution of rights.
        Rights = 8, "rights";
        /// The instrument became worthless.
        Worthless = 9, "worthless";
        /// Capital is returned.
        ReturnOfCapital = 10, "return_of_capital";
    }
}

/// The terms of a derivative or a bond.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Contract {
    /// What it is derived from, where that is an instrument we know.
    pub underlying: Option<InstrumentId>,
    /// The symbol of what it is derived from.
    pub underlying_symbol: Option<Box<str>>,
    /// The last day of its life.
    pub expiry: Option<Day>,
    /// The price at which it can be exercised.
    pub strike: Option<Price>,
    /// Call or put.
    pub right: Option<OptionRight>,
    /// Units of the underlying in one contract.
    pub multiplier: Multiplier,
}

/// An instrument is traded on a venue under a symbol.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListingAdded {
    /// The listing.
    pub listing: ListingId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// The venue by its market identifier code (ISO 10383); absent while it is not known.
    pub venue: Option<Box<str>>,
    /// The symbol on that venue.
    pub symbol: Box<str>,
    /// The currency it trades in there.
    pub currency: Currency,
    /// The first day, where known.
    pub from: Option<Day>,
}

/// An identifier belongs to an instrument.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IdentifierAssigned {
    /// The instrument.
    pub instrument: InstrumentId,
    /// How the identifier is made.
    pub scheme: IdentifierScheme,
    /// The identifier.
    pub value: Box<str>,
    /// The venue on which it holds, where it is a venue's.
    pub venue: Option<Box<str>>,
    /// The first day on which it holds; absent for always.
    pub from: Option<Day>,
    /// The last day on which it holds; absent for still.
    pub to: Option<Day>,
}

/// What an instrument counts as when a portfolio is held against rules: its class, sector, issuer and country.
///
/// Each event says all of it; what is absent is not known. The newest that holds on a day is the one that counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentClassified {
    /// The instrument.
    pub instrument: InstrumentId,
    /// What it is; absent for what it was listed as.
    pub class: Option<InstrumentClass>,
    /// The sector of its business, such as `technology`.
    pub sector: Option<Box<str>>,
    /// Who issued it, so that what one issuer owes in several forms counts together.
    pub issuer: Option<Box<str>>,
    /// The country whose risk it bears, ISO 3166.
    pub country: Option<Box<str>>,
    /// The first day on which this holds.
    pub from: Day,
}

/// Two instruments turned out to be one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentsMerged {
    /// The id that remains.
    pub kept: InstrumentId,
    /// The id that means the same from now on.
    pub merged: InstrumentId,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// An instrument is traded no more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentDelisted {
    /// The instrument.
    pub instrument: InstrumentId,
    /// The venue it left; absent for all.
    pub venue: Option<Box<str>>,
    /// The last day of trading.
    pub on: Day,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// An issuer or a feed announced a corporate action.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CorporateActionAnnounced {
    /// The instrument.
    pub instrument: InstrumentId,
    /// What is announced.
    pub kind: CorporateActionKind,
    /// The first day on which prices are without it: the ex date.
    pub effective: Day,
    /// New units for old ones, or units of the other instrument for one.
    pub ratio: Option<Ratio>,
    /// Cash for one unit, as traded on that day.
    pub cash: Option<Money>,
    /// The other instrument: the child, the acquirer.
    pub other: Option<InstrumentId>,
    /// The share of the basis that goes to the other instrument.
    pub basis_share: Option<Fraction>,
    /// When it was declared.
    pub declared: Option<Day>,
    /// Whose holders of this day receive it.
    pub record_date: Option<Day>,
    /// When it is paid.
    pub pays: Option<Day>,
    /// The feed's id of the announcement.
    pub external_id: Option<ExternalId>,
    /// 0 for the first statement, then one more for each restatement by the same feed.
    pub revision: u32,
}
