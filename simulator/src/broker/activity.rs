//! What happened on an account, as its activity rows tell it.

use super::order::Side;
use crate::wire::{iso, plain};
use chrono::{Datelike, NaiveDate, Timelike};
use daybook_schemas::{Day, Timestamp, Zone};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What an amended row says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It stands as first written.
    Executed,
    /// It was rewritten under the same id.
    Correct,
    /// It never happened.
    Canceled,
}

impl Status {
    /// As Alpaca writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Correct => "correct",
            Self::Canceled => "canceled",
        }
    }
}

/// One execution of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The order that was filled.
    pub order_id: String,
    /// The order's own id for the client.
    pub client_order_id: String,
    /// The execution's id on the stream; not the activity's id.
    pub execution_id: String,
    /// What was traded.
    pub symbol: String,
    /// Bought, sold.
    pub side: Side,
    /// How much, above zero.
    pub quantity: Decimal,
    /// Dollars for one.
    pub price: Decimal,
    /// The order's filled quantity after this.
    pub cumulative: Decimal,
    /// What the order left open.
    pub leaves: Decimal,
    /// The order's status after this.
    pub order_status: &'static str,
    /// Undone by the exchange.
    pub busted: bool,
}

/// Anything but a fill. `None` leaves the field out of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonTrade {
    /// Alpaca's code; any text is allowed, also what nobody knows.
    pub activity_type: String,
    /// A finer code.
    pub sub_type: Option<String>,
    /// The day that the row is about.
    pub date: Day,
    /// Effect on cash, + in.
    pub net_amount: Option<Decimal>,
    /// The security concerned.
    pub symbol: Option<String>,
    /// Its CUSIP.
    pub cusip: Option<String>,
    /// Shares: those that moved (signed), or those that earned the dividend.
    pub quantity: Option<Decimal>,
    /// Dollars for each share.
    pub per_share: Option<Decimal>,
    /// Dollars for one.
    pub price: Option<Decimal>,
    /// Words.
    pub description: Option<String>,
    /// Ties rows of one happening together.
    pub group_id: Option<String>,
    /// Whether it stands.
    pub status: Status,
    /// Fields put into the row as they are, over those above.
    pub extra: Map<String, Value>,
    /// The row's whole text instead of all of the above: for rows that are no activity, or no JSON at all.
    pub raw: Option<String>,
}

/// Types whose quantity tells what earned the cash, and moves no position.
const CASH_ONLY: [&str; 24] = [
    "CGD", "CSD", "CSW", "TRANS", "DIV", "DIVCGL", "DIVCGS", "DIVFEE", "DIVFT", "DIVNRA", "DIVROC", "DIVTW",
    "DIVTXEX", "DIVWH", "FEE", "INT", "INTNRA", "INTTW", "INTPNL", "JNLC", "ACATC", "PTC", "PTR", "CIL",
];

impl NonTrade {
    /// A row with a type, a day and an amount, and nothing else.
    #[must_use]
    pub fn cash(activity_type: &str, date: Day, net_amount: Decimal) -> Self {
        Self {
            activity_type: activity_type.to_owned(),
            sub_type: None,
            date,
            net_amount: Some(net_amount),
            symbol: None,
            cusip: None,
            quantity: None,
            per_share: None,
            price: None,
            description: None,
            group_id: None,
            status: Status::Executed,
            extra: Map::new(),
            raw: None,
        }
    }

    /// A row that moves shares (signed) and no cash.
    #[must_use]
    pub fn shares(activity_type: &str, date: Day, symbol: &str, quantity: Decimal) -> Self {
        let mut row = Self::cash(activity_type, date, Decimal::ZERO);
        row.symbol = Some(symbol.to_owned());
        row.quantity = Some(quantity);
        row
    }

    /// A dividend on shares held.
    #[must_use]
    pub fn dividend(date: Day, symbol: &str, quantity: Decimal, per_share: Decimal) -> Self {
        let mut row = Self::cash("DIV", date, (quantity * per_share).round_dp(2));
        row.symbol = Some(symbol.to_owned());
        row.quantity = Some(quantity);
        row.per_share = Some(per_share);
        row
    }

    /// What the row does to cash as it stands.
    #[must_use]
    pub fn cash_effect(&self) -> Decimal {
        if self.status == Status::Canceled { Decimal::ZERO } else { self.net_amount.unwrap_or_default() }
    }

    /// What the row does to a position as it stands.
    #[must_use]
    pub fn share_effect(&self) -> Option<(&str, Decimal)> {
        let moves = self.status != Status::Canceled && !CASH_ONLY.contains(&self.activity_type.as_str());
        match (&self.symbol, self.quantity) {
            (Some(symbol), Some(quantity)) if moves => Some((symbol, quantity)),
            _ => None,
        }
    }
}

/// The two kinds of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An execution.
    Fill(Fill),
    /// Anything else.
    NonTrade(NonTrade),
}

/// A row of an account's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Its time in New York to the millisecond, two colons, a UUID. Not monotone.
    pub id: Arc<str>,
    /// When it happened: a fill's transaction time, else midnight in New York.
    pub at: Timestamp,
    /// When it was written down, by the broker's clock. `after`, `until` and `date` ask this.
    pub created_at: Timestamp,
    /// What it says.
    pub content: Content,
}

impl Activity {
    /// Alpaca's code of what it is.
    #[must_use]
    pub fn activity_type(&self) -> &str {
        match &self.content {
            Content::Fill(_) => "FILL",
            Content::NonTrade(row) => &row.activity_type,
        }
    }

    /// The row as JSON text.
    #[must_use]
    pub fn row(&self) -> String {
        match &self.content {
            Content::Fill(fill) => self.fill(fill),
            Content::NonTrade(row) => row.raw.clone().unwrap_or_else(|| self.non_trade(row)),
        }
    }

    /// Written straight into text: simulations page through fills more than they do anything else.
    fn fill(&self, fill: &Fill) -> String {
        let symbol = json!(fill.symbol);
        let kind = if fill.leaves.is_zero() { "fill" } else { "partial_fill" };
        let busted = if fill.busted { ",\"status\":\"canceled\"" } else { "" };
        format!(
            concat!(
                r#"{{"id":"{id}","activity_type":"FILL","transaction_time":"{at}","type":"{kind}","price":"{price}","#,
                r#""qty":"{quantity}","side":"{side}","symbol":{symbol},"leaves_qty":"{leaves}","#,
                r#""order_id":"{order}","cum_qty":"{cumulative}","order_status":"{status}"{busted}}}"#
            ),
            id = self.id,
            at = iso(self.at),
            kind = kind,
            price = plain(fill.price),
            quantity = plain(fill.quantity),
            side = fill.side.code(),
            symbol = symbol,
            leaves = plain(fill.leaves),
            order = fill.order_id,
            cumulative = plain(fill.cumulative),
            status = fill.order_status,
            busted = busted,
        )
    }

    fn non_trade(&self, row: &NonTrade) -> String {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let number = |value: Option<Decimal>| value.map(|value| json!(plain(value)));
        let text = |value: &Option<String>| value.as_ref().map(|value| json!(value));
        put("id", Some(json!(&*self.id)));
        put("activity_type", Some(json!(row.activity_type)));
        put("activity_sub_type", text(&row.sub_type));
        put("date", Some(json!(row.date.to_string())));
        put("created_at", Some(json!(iso(self.created_at))));
        put("net_amount", number(row.net_amount));
        put("symbol", text(&row.symbol));
        put("cusip", text(&row.cusip));
        put("qty", number(row.quantity));
        put("per_share_amount", number(row.per_share));
        put("price", number(row.price));
        put("description", Some(json!(row.description.as_deref().unwrap_or(""))));
        put("group_id", text(&row.group_id));
        put("status", Some(json!(row.status.code())));
        put("currency", Some(json!("USD")));
        for (name, value) in &row.extra {
            put(name, Some(value.clone()));
        }
        Value::Object(fields).to_string()
    }
}

/// An activity's id: New York's wall clock to the millisecond, then what makes it unique. In the hour that the autumn
/// gives twice, a later instant has the smaller id.
#[must_use]
pub fn activity_id(at: Timestamp, unique: &str) -> Arc<str> {
    let local = at.to_utc().with_timezone(&Zone::NEW_YORK.tz());
    let millis = local.nanosecond() / 1_000_000;
    Arc::from(format!("{}{millis:03}::{unique}", local.format("%Y%m%d%H%M%S")))
}

/// The two instants at which New York's clocks said 01:30 on the last autumn night at or before the instant.
#[must_use]
pub fn autumn_half_past_one(at: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let year = at.day_in(Zone::NEW_YORK).to_date().year();
    [year, year - 1].into_iter().find_map(|year| {
        // Since 2007 clocks go back on the first Sunday of November.
        let date = NaiveDate::from_weekday_of_month_opt(year, 11, chrono::Weekday::Sun, 1)?;
        let midnight = Day::from_date(date).start_in(Zone::NEW_YORK);
        let first = midnight.plus_nanos(90 * 60 * 1_000_000_000);
        let second = first.plus_nanos(60 * 60 * 1_000_000_000);
        (second <= at).then_some((first, second))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_begins_with_new_yorks_wall_clock() {
        let at = Timestamp::parse("2022-02-02T18:55:09.981482Z").unwrap();
        assert_eq!(&*activity_id(at, "x"), "20220202135509981::x");
    }

    #[test]
    fn half_past_one_comes_twice_in_autumn_and_the_later_one_has_no_greater_id() {
        let now = Timestamp::parse("2024-12-01T00:00:00Z").unwrap();
        let (first, second) = autumn_half_past_one(now).unwrap();
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("2024-11-03T05:30:00Z".into(), "2024-11-03T06:30:00Z".into())
        );
        assert_eq!(activity_id(first, "x"), activity_id(second, "x"));
        let quarter_to_two = first.plus_nanos(15 * 60 * 1_000_000_000);
        assert!(activity_id(quarter_to_two, "x") > activity_id(second, "x"));
    }

    #[test]
    fn a_dividends_quantity_moves_no_shares_and_a_canceled_row_moves_nothing() {
        let day = Day::parse("2024-05-01").unwrap();
        let dividend = NonTrade::dividend(day, "KO", Decimal::from(10), Decimal::new(485, 3));
        assert_eq!((dividend.cash_effect(), dividend.share_effect()), (Decimal::new(485, 2), None));
        let mut shares = NonTrade::shares("ACATS", day, "KO", Decimal::from(3));
        assert_eq!(shares.share_effect(), Some(("KO", Decimal::from(3))));
        shares.status = Status::Canceled;
        assert_eq!(shares.share_effect(), None);
    }
}
