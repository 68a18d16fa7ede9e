//! An account's history, page by page.

use super::unprocessable;
use crate::broker::AccountNo;
use crate::broker::account::HistoryQuery;
use crate::wire::{Request, Response, instant_or_day};
use crate::world::World;
use daybook_schemas::{Timestamp, Zone};

const DAY: i64 = 86_400 * 1_000_000_000;

pub(super) fn answer(world: &World, request: &Request, account: AccountNo, kind: Option<&str>) -> Response {
    let mut query = match read(request, kind) {
        Ok(query) => query,
        Err(message) => return unprocessable(&message),
    };
    let lag = i64::try_from(world.lag.as_nanos()).unwrap_or(i64::MAX);
    query.shown_until = (lag > 0).then(|| world.broker_now().plus_nanos(-lag));
    let Some(rows) = world.account(account).history(&query) else {
        return unprocessable("page_token is not the id of an activity of this account");
    };
    let mut body = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&row.row());
    }
    body.push(']');
    Response::text(200, body)
}

fn read(request: &Request, kind: Option<&str>) -> Result<HistoryQuery, String> {
    let instant = |name: &str| -> Result<Option<Timestamp>, String> {
        let Some(text) = request.parameter(name) else { return Ok(None) };
        instant_or_day(text, Zone::UTC)
            .map(Some)
            .ok_or_else(|| format!("{name} must be YYYY-MM-DD or RFC 3339"))
    };
    let fills = match request.parameter("category") {
        None => None,
        Some("trade_activity") => Some(true),
        Some("non_trade_activity") => Some(false),
        Some(_) => return Err("category must be trade_activity or non_trade_activity".to_owned()),
    };
    // The types come as a list with commas, or as a parameter several times.
    let listed = request.query.iter().filter(|(name, _)| name == "activity_types" || name == "activity_type");
    let mut types: Vec<String> = kind
        .into_iter()
        .chain(listed.flat_map(|(_, value)| value.split(',')))
        .filter(|kind| !kind.is_empty())
        .map(str::to_owned)
        .collect();
    if fills.is_some() && !types.is_empty() {
        return Err("category cannot be used with activity_types".to_owned());
    }
    if let Some(wrong) =
        types.iter().find(|kind| kind.len() > 8 || !kind.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        return Err(format!("invalid activity type: {wrong}"));
    }
    let (mut after, mut until) = (instant("after")?, instant("until")?);
    if let Some(text) = request.parameter("date") {
        if after.is_some() || until.is_some() {
            return Err("date cannot be used with after or until".to_owned());
        }
        let day = instant_or_day(text, Zone::UTC).ok_or("date must be YYYY-MM-DD or RFC 3339")?;
        let start = day.to_utc().date_naive();
        let start = daybook_schemas::Day::from_date(start).start_in(Zone::UTC);
        after = Some(start.plus_nanos(-1));
        until = Some(start.plus_nanos(DAY));
    }
    let page_size = match request.parameter("page_size").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(size @ 1..=100)) => size,
        Some(_) => return Err("page_size must be between 1 and 100".to_owned()),
    };
    let descending = match request.parameter("direction") {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(_) => return Err("direction must be asc or desc".to_owned()),
    };
    // What only fills can be is looked for among fills only.
    let fills = if types.iter().all(|kind| kind == "FILL") && !types.is_empty() {
        types.clear();
        Some(true)
    } else if !types.is_empty() && types.iter().all(|kind| kind != "FILL") {
        Some(false)
    } else {
        fills
    };
    Ok(HistoryQuery {
        fills,
        types,
        order_id: request.parameter("order_id").map(str::to_owned),
        after,
        until,
        shown_until: None,
        descending,
        page_token: request.parameter("page_token").map(str::to_owned),
        page_size,
    })
}
