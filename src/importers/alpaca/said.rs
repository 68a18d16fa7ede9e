//! What an activity says, before instruments are looked up: its type, its values, and what of them recognises it.

use super::activity::{self, Activity, Aside};
use super::kinds::Meaning;
use crate::importers::identity;
use daybook_schemas::events::QuarantineReason;
use daybook_schemas::{Currency, Day, Timestamp, Zone, decimal};
use rust_decimal::Decimal;

/// What every row must say to be recognised.
pub(super) struct Head {
    pub(super) activity_type: String,
    pub(super) id: String,
}

impl Head {
    pub(super) fn of(activity: &Activity<'_>) -> Result<Self, Aside> {
        let Some(activity_type) = activity.text("activity_type")? else {
            let detail = "the row states no `activity_type`, so it is no activity";
            return Err(Aside::new(QuarantineReason::MissingField, "activity_type", detail));
        };
        let id = activity.text("id")?.ok_or_else(|| activity::missing("id", &activity_type))?;
        Ok(Self { activity_type, id })
    }
}

/// What a row states.
pub(super) enum Stated {
    /// Something happened; for a correction, the id of what it corrects.
    Happened { said: Box<Said>, corrects: Option<String> },
    /// What stands under its own id never happened.
    Cancelled,
    /// What stands under another id never happened.
    CancelOf(String),
}

/// The values of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) activity_type: String,
    pub(super) sub_type: Option<String>,
    pub(super) meaning: Meaning,
    /// Whether the broker says that it corrected the row.
    pub(super) corrected: bool,
    /// The instant of a fill.
    pub(super) time: Option<Timestamp>,
    /// The day of anything else.
    pub(super) day: Option<Day>,
    pub(super) symbol: Option<String>,
    pub(super) cusip: Option<String>,
    pub(super) side: Option<String>,
    pub(super) quantity: Option<Decimal>,
    pub(super) price: Option<Decimal>,
    pub(super) per_unit: Option<Decimal>,
    /// The effect on cash; a zero says nothing.
    pub(super) amount: Option<Decimal>,
    /// Whether the row has an amount, be it zero.
    pub(super) states_amount: bool,
    pub(super) currency: Currency,
    pub(super) group: Option<String>,
    pub(super) order: Option<String>,
    pub(super) cumulative: Option<Decimal>,
}

/// Reads what a row states, for an account of Alpaca's.
pub(super) fn act(activity: &Activity<'_>, head: &Head, account: Option<&str>) -> Result<Stated, Aside> {
    if let (Some(account), Some(stated)) = (account, activity.text("account_id")?)
        && account != stated
    {
        let detail = format!("the row belongs to the account `{stated}` and not to `{account}`");
        return Err(Aside::new(QuarantineReason::Contradiction, "account_id", detail));
    }
    let status = activity.text("status")?.unwrap_or_default();
    let corrected = match status.to_ascii_lowercase().as_str() {
        "" | "executed" => false,
        "correct" | "corrected" => true,
        "canceled" | "cancelled" => return Ok(Stated::Cancelled),
        _ => {
            let detail = format!("the status `{}` is not known", decimal::shorten(&status));
            return Err(Aside::new(QuarantineReason::UnknownCode, "status", detail));
        }
    };
    let sub_type = activity.text("activity_sub_type")?;
    let Some(meaning) = Meaning::of(&head.activity_type, sub_type.as_deref()) else {
        let detail = format!("the activity type `{}` is not known", decimal::shorten(&head.activity_type));
        return Err(Aside::new(QuarantineReason::UnknownCode, "activity_type", detail));
    };
    let corrects = match fill_type(activity, &meaning)? {
        FillType::Fill => None,
        FillType::Bust => return previous(activity).map(Stated::CancelOf),
        FillType::Correction => Some(previous(activity)?),
    };
    let said = Box::new(Said::of(activity, head, meaning, sub_type, corrected)?);
    Ok(Stated::Happened { said, corrects })
}

enum FillType {
    Fill,
    Bust,
    Correction,
}

fn fill_type(activity: &Activity<'_>, meaning: &Meaning) -> Result<FillType, Aside> {
    if *meaning != Meaning::Fill {
        return Ok(FillType::Fill);
    }
    for name in ["type", "execution_type"] {
        let Some(text) = activity.text(name)? else { continue };
        return match text.as_str() {
            "fill" | "partial_fill" => Ok(FillType::Fill),
            "trade_bust" => Ok(FillType::Bust),
            "trade_correct" => Ok(FillType::Correction),
            _ => {
                let detail = format!("the type of fill `{}` is not known", decimal::shorten(&text));
                Err(Aside::new(QuarantineReason::UnknownCode, name, detail))
            }
        };
    }
    Ok(FillType::Fill)
}

/// The id of the fill that a bust or a correction takes back.
fn previous(activity: &Activity<'_>) -> Result<String, Aside> {
    let missing = |detail: &str| Aside::new(QuarantineReason::Unpaired, "previous_id", detail);
    let previous = activity.text("previous_id")?.ok_or_else(|| {
        missing("the row takes a fill back and does not say which: reverse that fill by hand")
    })?;
    // The id of an execution is not proven to be that of an activity.
    if !previous.contains("::") {
        let detail =
            format!("`{previous}` is not the id of an activity: reverse the fill that it means by hand");
        return Err(missing(&detail));
    }
    Ok(previous)
}

impl Said {
    fn of(
        activity: &Activity<'_>,
        head: &Head,
        meaning: Meaning,
        sub_type: Option<String>,
        corrected: bool,
    ) -> Result<Self, Aside> {
        let fill = meaning == Meaning::Fill;
        let amount = if fill { None } else { activity.number("net_amount")? };
        let day = match (fill, activity.day("date")?) {
            (true, _) => None,
            (false, Some(day)) => Some(day),
            // A row without a day was posted on one, in New York.
            (false, None) => match activity.instant("created_at")? {
                Some(posted) => Some(posted.day_in(Zone::NEW_YORK)),
                None => return Err(activity::missing("date", &head.activity_type)),
            },
        };
        let time = match (fill, activity.instant("transaction_time")?) {
            (true, None) => return Err(activity::missing("transaction_time", &head.activity_type)),
            (true, time) => time,
            (false, _) => None,
        };
        let currency = match activity.text("currency")? {
            Some(text) => Currency::parse(&text.to_ascii_uppercase())
                .map_err(|detail| Aside::new(QuarantineReason::BadField, "currency", detail))?,
            None => Currency::USD,
        };
        let cumulative = if fill { activity.number("cum_qty")? } else { None };
        if cumulative.is_some_and(|filled| filled <= Decimal::ZERO) {
            let detail = "the units filled so far are not more than none";
            return Err(Aside::new(QuarantineReason::BadField, "cum_qty", detail));
        }
        Ok(Self {
            activity_type: head.activity_type.clone(),
            sub_type,
            meaning,
            corrected,
            time,
            day,
            symbol: activity.text("symbol")?.map(|symbol| symbol.to_uppercase()),
            cusip: activity.text("cusip")?.map(|cusip| cusip.to_uppercase()),
            side: if fill { activity.text("side")? } else { None },
            quantity: activity.number("qty")?.filter(|quantity| !quantity.is_zero()),
            price: activity.number("price")?,
            per_unit: if fill { None } else { activity.number("per_share_amount")? },
            states_amount: amount.is_some(),
            amount: amount.filter(|amount| !amount.is_zero()),
            currency,
            group: activity.text("group_id")?,
            order: if fill { activity.text("order_id")? } else { None },
            cumulative,
        })
    }

    /// The source's code, with the sub-type where there is one.
    pub(super) fn code(&self) -> String {
        match &self.sub_type {
            Some(sub_type) => format!("{}/{sub_type}", self.activity_type),
            None => self.activity_type.clone(),
        }
    }

    /// The hash of what the row says: the same id with another hash is an amendment.
    ///
    /// What counts is what decides the event, and nothing else. A field that is not read here cannot change the
    /// event; if it counted, the day on which Alpaca added a field would amend every row of the overlap into itself. For
    /// the same reason what a field says by default says nothing: a status of `executed`, dollars, a zero, a CUSIP
    /// beside a symbol, and a sub-type that changes nothing. `order_status` and `leaves_qty` speak of the order as it is
    /// when it is asked, the description is prose, and a group joins rows and moves nothing. The id and the account are the
    /// identity's.
    pub(super) fn content(&self) -> [u8; 32] {
        let number = |value: Option<Decimal>| {
            let value = value.filter(|value| !value.is_zero());
            value.map(|value| value.normalize().to_string()).unwrap_or_default()
        };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let told = Meaning::of(&self.activity_type, self.sub_type.as_deref())
            != Meaning::of(&self.activity_type, None);
        let columns = [
            ("activity_type", self.activity_type.clone()),
            ("activity_sub_type", if told { text(&self.sub_type) } else { String::new() }),
            ("status", if self.corrected { "correct".to_owned() } else { String::new() }),
            ("transaction_time", self.time.map(|time| time.to_string()).unwrap_or_default()),
            ("date", self.day.map(|day| day.to_string()).unwrap_or_default()),
            ("symbol", text(&self.symbol)),
            ("cusip", if self.symbol.is_none() { text(&self.cusip) } else { String::new() }),
            ("side", text(&self.side)),
            ("qty", number(self.quantity)),
            ("price", number(self.price)),
            ("per_share_amount", number(self.per_unit)),
            ("net_amount", number(self.amount)),
            (
                "currency",
                if self.currency == Currency::USD { String::new() } else { self.currency.to_string() },
            ),
            ("order_id", text(&self.order)),
            ("cum_qty", number(self.cumulative)),
        ];
        let filled = columns.iter().filter(|(_, text)| !text.is_empty());
        identity::content(filled.map(|(name, text)| (*name, text.as_str())))
    }
}
