//! What brokers write, end to end: Alpaca's activities and Robinhood's report become statements that add up, a row is
//! recorded once whichever way it comes, and what its broker restates is never booked twice.

use crate::support::{Directory, Service, d, decimal, identity_holds, position};
use rust_decimal::Decimal;
use serde_json::{Value, json};

const ACCOUNT: &str = "5c0f9e2a-1b1d-4f6e-9a57-0d2f3c4b5a69";

fn fill(id: &str, time: &str, side: &str, symbol: &str, qty: &str, price: &str) -> Value {
    json!({
        "activity_type": "FILL", "id": format!("20240603000000000::{id}"), "transaction_time": time, "type": "fill",
        "price": price, "qty": qty, "cum_qty": qty, "leaves_qty": "0", "side": side, "symbol": symbol,
        "order_id": format!("order-{id}"), "order_status": "filled",
    })
}

fn other(id: &str, activity_type: &str, more: &Value) -> Value {
    let mut row = json!({
        "activity_type": activity_type, "id": format!("20240603000000000::{id}"), "date": "2024-06-03",
        "net_amount": "0", "status": "executed",
    });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

/// Two pages, as they were downloaded.
fn activities() -> Value {
    json!([
        [
            other("a1", "CSD", &json!({ "net_amount": "10000" })),
            fill("a2", "2024-06-03T13:30:01.5Z", "buy", "QZT", "100", "20.00"),
            fill("a3", "2024-06-03T14:00:00Z", "sell", "QZT", "40", "21.50"),
            fill("a4", "2024-06-03T15:00:00Z", "sell_short", "QZU", "10", "50"),
        ],
        [
            fill("a5", "2024-06-03T16:00:00Z", "buy", "ETH/USD", "0.5", "3000"),
            other("a6", "CFEE", &json!({ "symbol": "ETHUSD", "qty": "-0.001", "price": "3000" })),
            other(
                "a7",
                "DIV",
                &json!({ "symbol": "QZT", "net_amount": "6.00", "qty": "60", "per_share_amount": "0.1" })
            ),
            other("a8", "FEE", &json!({ "net_amount": -0.07, "activity_sub_type": "TAF" })),
            other("a9", "FROB", &json!({ "net_amount": "1" })),
        ]
    ])
}

fn import_alpaca(directory: &Directory, portfolio: &str, activities: &Value) -> crate::support::Ran {
    let file = directory.write("activities.json", activities.to_string());
    directory.run(&["import", "alpaca", &file, "--portfolio", portfolio])
}

fn cash(statement: &Value) -> Decimal {
    decimal(&statement["cash"]["USD"])
}

fn count(directory: &Directory, name: &str) -> usize {
    directory.events().iter().filter(|event| event["type"] == name).count()
}

fn statement(directory: &Directory, portfolio: &str) -> Value {
    directory.statement(portfolio, &["--as-of", "2024-06-30"])
}

#[test]
fn alpacas_activities_become_a_statement_that_adds_up() {
    let (directory, portfolio) = Directory::with_portfolio();
    let ran = import_alpaca(&directory, &portfolio, &activities()).ok();
    let ran = ran.says(&["9 rows", "1 quarantined", "activities.json:1", "FROB"]);
    let statement = statement(&directory, &portfolio);
    // 10,000 − 2,000 + 860 + 500 − 1,500 + 6 − 0.07; the fee in kind moves no cash.
    assert_eq!(cash(&statement), d("7865.93"));
    assert_eq!(decimal(&statement["income"]), d("6"));
    assert_eq!(decimal(&statement["costs"]), d("3.07"));
    assert_eq!(decimal(&statement["realised"]), d("60"));
    assert_eq!(decimal(&position(&statement, "QZT")["quantity"]), d("60"));
    assert_eq!(decimal(&position(&statement, "QZU")["quantity"]), d("-10"));
    assert_eq!(decimal(&position(&statement, "ETH/USD")["quantity"]), d("0.499"));
    identity_holds(&statement);
    directory.is_sound();
    // The same again, written otherwise and with a field that is new at the source, adds nothing.
    let head = directory.head();
    let flat: Vec<Value> =
        activities().as_array().unwrap().iter().flat_map(|page| page.as_array().unwrap().clone()).collect();
    let mut lines = String::new();
    for mut row in flat.into_iter().rev() {
        row["brand_new"] = json!({ "x": 1 });
        lines.push_str(&row.to_string());
        lines.push('\n');
    }
    let file = directory.write("activities.jsonl", lines);
    let again = directory.run(&["import", "alpaca", &file, "--portfolio", &portfolio]).ok();
    // What is not understood is recognised by all that it says, and so is kept aside anew.
    again.says(&["9 rows, 8 known already, 1 quarantined"]);
    assert_eq!(count(&directory, "TradeExecuted"), 4);
    assert_eq!(directory.head(), head + 2);
    directory.run(&["import", "revert", &ran.import_id()]).ok();
    assert_eq!(cash(&self::statement(&directory, &portfolio)), d("0"));
    import_alpaca(&directory, &portfolio, &activities()).ok();
    assert_eq!(cash(&self::statement(&directory, &portfolio)), d("7865.93"));
    directory.is_sound();
}

#[test]
fn what_the_fold_does_not_account_for_is_listed_and_its_cash_moves_at_once() {
    let (directory, portfolio) = Directory::with_portfolio();
    let rows = json!([
        other("a1", "CSD", &json!({ "net_amount": "1000" })),
        other("b1", "MA", &json!({ "symbol": "QZT", "qty": "-10", "net_amount": "120", "group_id": "g" })),
        other("b2", "MISC", &json!({ "net_amount": "-3.5" })),
        other("b3", "FXTRD", &json!({ "net_amount": "-20" })),
        other("b4", "SPIN", &json!({ "symbol": "QZV", "qty": "2" })),
        other("b5", "OPEXC", &json!({ "symbol": "QZT240621C00020000", "qty": "1" })),
        other("b6", "SPLIT", &json!({ "symbol": "QZW", "qty": "-10", "group_id": "h" })),
        other("b7", "SPLIT", &json!({ "symbol": "QZW", "qty": "30", "group_id": "h" })),
        other("b8", "CIL", &json!({ "symbol": "QZT", "net_amount": "0.4" })),
        other("b9", "DIVROC", &json!({ "symbol": "QZT", "net_amount": "1" })),
    ]);
    import_alpaca(&directory, &portfolio, &rows).ok().says(&["10 rows", "0 quarantined"]);
    let statement = statement(&directory, &portfolio);
    assert_eq!(statement["unaccounted"].as_array().unwrap().len(), 9, "{}", statement["unaccounted"]);
    assert_eq!(decimal(&statement["unaccounted_cash"]), d("97.9"));
    assert_eq!(cash(&statement), d("1097.9"));
    assert_eq!(statement["complete"], false);
    identity_holds(&statement);
    directory.is_sound();
}

#[test]
fn what_alpaca_restates_is_kept_aside_and_never_booked_twice() {
    let (directory, portfolio) = Directory::with_portfolio();
    import_alpaca(&directory, &portfolio, &activities()).ok();
    let restated = json!([
        other("a1", "CSD", &json!({ "net_amount": "9000", "status": "correct" })),
        other(
            "a7",
            "DIV",
            &json!({ "net_amount": "6.00", "symbol": "QZT", "qty": "60", "per_share_amount": "0.1", "status": "canceled" })
        ),
        other("b1", "CSD", &json!({ "net_amount": "5", "status": "canceled" })),
    ]);
    let ran = import_alpaca(&directory, &portfolio, &restated).ok();
    ran.says(&["3 rows, 1 known already, 2 quarantined", "another statement", "took this activity back"]);
    assert_eq!(cash(&statement(&directory, &portfolio)), d("7865.93"), "nothing of it counts");
    import_alpaca(&directory, &portfolio, &restated).ok().says(&["3 known already", "nothing new"]);

    // Once the events are reversed, the restated row counts and the one that was taken back is settled.
    let service = Service::start(&directory);
    let client = service.client();
    for event in directory_events(&client) {
        let id = event["payload"]["entry"]["external_id"].as_str().unwrap_or_default();
        if id.ends_with("::a1") || id.ends_with("::a7") {
            let path = format!("/v1/events/{}/reverse", event["sequence"]);
            client.post(&path, &json!({ "reason": "restated" })).ok();
        }
    }
    service.stop();
    let once_more =
        json!([restated[0], restated[1], restated[2], other("c1", "CSW", &json!({ "net_amount": "-1" }))]);
    import_alpaca(&directory, &portfolio, &once_more).ok().says(&["4 rows, 2 known already, 0 quarantined"]);
    let after = statement(&directory, &portfolio);
    assert_eq!(cash(&after), d("7865.93") - d("1000") - d("6") - d("1"));
    assert_eq!(decimal(&after["income"]), d("0"));
    identity_holds(&after);
    directory.is_sound();
}

fn directory_events(client: &crate::support::Client) -> Vec<Value> {
    client.pages("/v1/events")
}

#[test]
fn a_row_is_the_same_whether_the_file_states_the_account_or_not() {
    let stated = |row: &Value| {
        let mut row = row.clone();
        row["account_id"] = json!(ACCOUNT);
        row
    };
    let rows: Vec<Value> = activities()[0].as_array().unwrap().clone();
    let with_account: Vec<Value> = rows.iter().map(stated).collect();
    for (first, second) in [(&rows, &with_account), (&with_account, &rows)] {
        let (directory, portfolio) = Directory::with_portfolio();
        import_alpaca(&directory, &portfolio, &json!(first)).ok().says(&["4 rows, 0 known"]);
        let head = directory.head();
        import_alpaca(&directory, &portfolio, &json!(second)).ok().says(&["4 rows, 4 known", "nothing new"]);
        assert_eq!(directory.head(), head);
        // What only one of them has goes into the same account.
        let mut more = second.clone();
        let mut new = fill("n1", "2024-06-03T17:00:00Z", "sell", "QZT", "60", "22");
        if second[0].get("account_id").is_some() {
            new = stated(&new);
        }
        more.push(new);
        import_alpaca(&directory, &portfolio, &json!(more)).ok().says(&["5 rows, 4 known"]);
        let statement = statement(&directory, &portfolio);
        let held: Vec<_> =
            statement["positions"].as_array().unwrap().iter().map(|held| held["symbol"].clone()).collect();
        assert_eq!(held, ["QZU"], "the sale closes what the other file bought");
        directory.is_sound();
    }
}

#[test]
fn a_list_of_any_length_may_stand_on_one_line() {
    let (directory, portfolio) = Directory::with_portfolio();
    let rows: Vec<Value> = (0..8_000)
        .map(|n| fill(&format!("n{n}"), "2024-06-03T13:30:00Z", ["buy", "sell"][n % 2], "QZT", "1", "10"))
        .collect();
    let rows = json!(rows);
    assert!(rows.to_string().len() > 1 << 20);
    import_alpaca(&directory, &portfolio, &rows).ok().says(&["8000 rows, 0 known already, 0 quarantined"]);
    assert_eq!(statement(&directory, &portfolio)["positions"], json!([]));
}

#[test]
fn a_file_with_two_accounts_keeps_their_positions_apart() {
    let (directory, portfolio) = Directory::with_portfolio();
    let of = |account: &str, mut row: Value| {
        row["account_id"] = json!(account);
        row
    };
    let rows = json!([
        of("aaaa-1111", fill("a", "2024-06-03T13:30:00Z", "buy", "QZT", "3", "10")),
        of("bbbb-2222", fill("b", "2024-06-03T13:31:00Z", "sell", "QZT", "3", "10")),
    ]);
    import_alpaca(&directory, &portfolio, &rows).ok().says(&["2 rows", "0 quarantined"]);
    let statement = statement(&directory, &portfolio);
    let mut held: Vec<_> =
        statement["positions"].as_array().unwrap().iter().map(|held| decimal(&held["quantity"])).collect();
    held.sort();
    assert_eq!(held, [d("-3"), d("3")]);
    directory.is_sound();
}

#[test]
fn what_is_no_list_of_activities_is_refused_and_changes_nothing() {
    let (directory, portfolio) = Directory::with_portfolio();
    let head = directory.head();
    let refused = |contents: &str, parts: &[&str]| {
        let file = directory.write("a.json", contents);
        directory.run(&["import", "alpaca", &file, "--portfolio", &portfolio]).refuses(parts);
    };
    refused("", &["a.json", "no activity"]);
    refused(r#"{"code":40310000,"message":"forbidden."}"#, &["no activity", "/v2/account/activities"]);
    refused("[\n{\"activity_type\":\"CSD\",\n\"id\":", &["a.json:3", "no JSON"]);
    refused("<html></html>", &["a.json", "no JSON"]);
    refused("<script>{}</script>", &["a.json:1", "no JSON"]);
    assert_eq!(directory.head(), head);
}

const ROBINHOOD: &str = r#""Activity Date","Process Date","Settle Date","Instrument","Description","Trans Code","Quantity","Price","Amount"
"6/21/2024","6/24/2024","6/24/2024","QZT","Option Expiration for QZT 6/21/2024 Call $60.00","OEXP","1","",""
"6/21/2024","6/24/2024","6/24/2024","QZT","Option Expiration for QZT 6/21/2024 Put $40.00","OEXP","2S","",""
"6/14/2024","6/14/2024","6/14/2024","QZT","Cash Div: R/D 2024-05-31 P/D 2024-06-14 - 48.5 shares at 0.25","CDIV","","","$12.13"
"6/12/2024","6/12/2024","6/12/2024","","Gold Subscription Fee","GOLD","","","($5.00)"
"6/10/2024","6/10/2024","6/11/2024","QZT","QZT 6/21/2024 Put $40.00","BTO","2","$0.50","($100.08)"
"6/10/2024","6/10/2024","6/11/2024","QZT","QZT 6/21/2024 Call $60.00","STO","1","$1.25","$124.95"
"6/7/2024","6/7/2024","6/11/2024","QZT","Quartz Instruments
CUSIP: 037833100","Sell","48","$51.52","$2,472.82"
"6/5/2024","6/5/2024","6/5/2024","QZT","Quartz Instruments
CUSIP: 037833100","SPL","48","",""
"6/4/2024","6/4/2024","6/6/2024","QZT","Quartz Instruments
CUSIP: 037833100","Buy","0.25","$100.02","($25.01)"
"6/4/2024","6/4/2024","6/6/2024","QZT","Quartz Instruments
CUSIP: 037833100","Buy","48","$100.02","($4,800.96)"
"6/3/2024","6/3/2024","6/3/2024","","ACH Deposit","ACH","","","$10,000.00"

"","","","","","","","","Nobody vouches for the data above."
"#;

#[test]
fn robinhoods_report_becomes_a_statement_that_adds_up() {
    let (directory, portfolio) = Directory::with_portfolio();
    let id = directory
        .import("robinhood", &portfolio, ROBINHOOD)
        .ok()
        .says(&["11 rows", "0 quarantined"])
        .import_id();
    let statement = statement(&directory, &portfolio);
    // 10,000 − 4,800.96 − 25.01 + 2,472.82 + 124.95 − 100.08 − 5 + 12.13
    assert_eq!(cash(&statement), d("7678.85"));
    assert_eq!(decimal(&statement["income"]), d("12.13"));
    assert_eq!(decimal(&statement["costs"]), d("5"));
    assert_eq!(decimal(&position(&statement, "QZT")["quantity"]), d("48.25"));
    let symbols: Vec<_> =
        statement["positions"].as_array().unwrap().iter().map(|held| held["symbol"].clone()).collect();
    assert_eq!(
        symbols,
        ["QZT"],
        "both options expired, the one that was bought and the one that was written"
    );
    identity_holds(&statement);
    directory.is_sound();
    let head = directory.head();
    directory.import("robinhood", &portfolio, ROBINHOOD).ok().says(&["11 known already", "nothing new"]);
    assert_eq!(directory.head(), head);
    directory.run(&["import", "revert", &id]).ok();
    directory.import("robinhood", &portfolio, ROBINHOOD).ok().says(&["0 known already"]);
    assert_eq!(cash(&self::statement(&directory, &portfolio)), d("7678.85"));
    directory.is_sound();
}

#[test]
fn a_sale_of_more_than_robinhood_ever_reported_is_missing_history_and_no_short() {
    let (directory, portfolio) = Directory::with_portfolio();
    let sale = ROBINHOOD.lines().take(1).collect::<String>()
        + "\n\"6/7/2024\",\"6/7/2024\",\"6/11/2024\",\"QZT\",\"Quartz\",\"Sell\",\"5\",\"$10.00\",\"$50.00\"\n";
    directory.import("robinhood", &portfolio, sale).ok();
    let statement = statement(&directory, &portfolio);
    assert_eq!((cash(&statement), statement["positions"].clone()), (d("50"), json!([])));
    identity_holds(&statement);
    directory.is_sound();
}
