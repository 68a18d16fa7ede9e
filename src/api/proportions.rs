//! Portfolios in proportions: what those are answered who may know no amount.

use super::page::Pin;
use super::record::schema;
use super::scalar::{CurrencyCode, Date, Exact, Instrument, Portfolio, Sequence};
use crate::journal::PortfolioView;
use daybook_projections::Summary;
use daybook_projections::proportions::{proportions, weights};
use poem_openapi::types::Any;
use serde_json::Value;
use std::collections::BTreeMap;

schema! {
    /// A portfolio in proportions, for tokens that show percentages only: fractions of three places, never an amount. A fraction that cannot be known is absent, and `missing` says why.
    PortfolioProportions {
        /// The portfolio
        id: Portfolio,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// The currency of the figures behind the fractions
        currency: CurrencyCode,
        /// The moment: a day is meant to its end in the portfolio's zone
        as_of: String,
        /// The ledger's head that the fractions reflect
        sequence: Sequence,
        /// Cash, as a part of equity
        cash_weight: Option<Exact>,
        /// The worth of all positions, as a part of equity
        invested_weight: Option<Exact>,
        /// Equity less net contributions, as a part of net contributions
        gain: Option<Exact>,
        /// Gains on what was disposed of, as a part of net contributions
        realised_gain: Option<Exact>,
        /// Gains on what is held, as a part of net contributions
        unrealised_gain: Option<Exact>,
        /// Dividends, credit interest and rewards, as a part of net contributions
        income_yield: Option<Exact>,
        /// Fees, interest paid and taxes, as a part of net contributions
        cost_ratio: Option<Exact>,
        /// How many instruments are held
        positions: u64,
        /// Whether nothing is unpriced, of unknown basis, unaccounted, missing or without history
        complete: bool,
        /// Fraction by fraction, why it is absent
        missing: BTreeMap<String, String>,
    }
}

schema! {
    /// An instrument's part of a portfolio, all accounts together.
    PositionWeight {
        /// What it is called on the day of the view; null where that is not known
        symbol: Any<Option<String>>,
        /// The instrument
        instrument: Instrument,
        /// Its worth, as a part of equity; negative for what is owed
        weight: Option<Exact>,
        /// The gain on what is held of it, as a part of its basis
        gain: Option<Exact>,
        /// Whether its price is older than five days
        stale: bool,
        /// Fraction by fraction, why it is absent
        missing: Option<BTreeMap<String, String>>,
    }
}

schema! {
    /// A day of a series of returns.
    ReturnDay {
        /// The day
        date: Date,
        /// The day's return, as a fraction
        daily_return = "return": Option<Exact>,
        /// How far the return index stands below its peak, as a fraction; never positive
        drawdown: Option<Exact>,
        /// Why a fraction of the day is absent
        missing: Option<String>,
    }
}

schema! {
    /// A page of a series of returns.
    ReturnSeries {
        /// The days, ascending
        items: Vec<ReturnDay>,
        /// The cursor of the next page; null on the last one
        next: Any<Option<String>>,
        /// The ledger's head that the series reflects
        sequence: Sequence,
        /// How flows count within a day: what comes in at its start, what goes out at its end
        convention: String,
        /// The days that the series runs over
        calendar: String,
        /// What the reader should know of the calendar
        calendar_note: Option<String>,
    }
}

/// The summary of a portfolio in proportions, as JSON.
pub(super) fn summary(view: &PortfolioView<'_>, pin: Pin) -> Value {
    let mut json = described(view, &view.summary());
    json["sequence"] = pin.known.into();
    json
}

/// A summary in proportions and what is known of its portfolio, as JSON; all but the head that it reflects.
pub(super) fn described(view: &PortfolioView<'_>, figures: &Summary) -> Value {
    let mut json = serde_json::to_value(proportions(figures, &view.positions())).unwrap_or_default();
    let portfolio = view.portfolio;
    json["id"] = portfolio.id.to_string().into();
    if let Some(name) = view.name() {
        json["name"] = name.into();
    }
    json["currency"] = figures.currency.to_string().into();
    json["as_of"] = serde_json::to_value(figures).map(|mut all| all["as_of"].take()).unwrap_or_default();
    json
}

/// What each instrument is of a portfolio.
pub(super) fn positions(view: &PortfolioView<'_>) -> Vec<daybook_projections::PositionWeight> {
    weights(&view.summary(), &view.positions())
}
