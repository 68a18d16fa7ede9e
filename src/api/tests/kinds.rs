//! Every type of the generic CSV is recorded by hand as it is from a file.

use super::{Daybook, buy, deposit};
use serde_json::{Value, json};

/// A transaction of each type, on a portfolio that holds 100 ACME and two options; the event that it becomes.
fn kinds() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({ "type": "buy", "symbol": "ACME", "quantity": "1", "price": "10", "fee": "0.5" }),
            "TradeExecuted",
        ),
        (json!({ "type": "sell", "symbol": "ACME", "quantity": "1", "price": "11" }), "TradeExecuted"),
        (json!({ "type": "deposit", "amount": "5" }), "CashTransferred"),
        (json!({ "type": "withdrawal", "amount": "-5" }), "CashTransferred"),
        (json!({ "type": "dividend", "symbol": "ACME", "amount": "2" }), "DividendPosted"),
        (json!({ "type": "interest", "amount": "1" }), "InterestPosted"),
        (json!({ "type": "fee", "amount": "-1" }), "FeePosted"),
        (json!({ "type": "tax", "amount": "-1" }), "TaxPosted"),
        (json!({ "type": "split", "symbol": "ACME", "quantity": "2" }), "SplitApplied"),
        (
            json!({ "type": "transfer_in", "symbol": "GIFT", "quantity": "4", "basis": "40" }),
            "SecuritiesTransferred",
        ),
        (json!({ "type": "transfer_out", "symbol": "GIFT", "quantity": "1" }), "SecuritiesTransferred"),
        (
            json!({ "type": "convert", "amount": "-10", "currency": "USD", "quantity": "9", "symbol": "EUR" }),
            "CurrencyConverted",
        ),
        (json!({ "type": "reward", "amount": "3" }), "RewardPosted"),
        (json!({ "type": "return_of_capital", "symbol": "ACME", "amount": "2" }), "CapitalReturned"),
        (json!({ "type": "cash_in_lieu", "symbol": "ACME", "amount": "1" }), "CashInLieuPaid"),
        (
            json!({ "type": "spin_off", "symbol": "ACME", "to_symbol": "SPUN", "quantity": "10", "basis": "0.1" }),
            "HoldingDistributed",
        ),
        (json!({ "type": "rename", "symbol": "ACME", "to_symbol": "ACNE" }), "IdentifierAssigned"),
        (json!({ "type": "adjustment", "amount": "1", "note": "found" }), "CashAdjusted"),
        (json!({ "type": "expire", "symbol": "ACME250117C00010000", "quantity": "1" }), "OptionSettled"),
        (json!({ "type": "exercise", "symbol": "ACME250117C00011000", "quantity": "1" }), "OptionSettled"),
        (json!({ "type": "assign", "symbol": "ACME250117C00012000", "quantity": "1" }), "OptionSettled"),
        (
            json!({ "type": "exchange", "symbol": "ACNE", "to_symbol": "MERG", "quantity": "1", "price": "1" }),
            "PositionExchanged",
        ),
    ]
}

#[tokio::test]
async fn every_type_of_the_generic_csv_is_recorded_by_hand_listed_and_reversed() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, deposit("2024-01-02", "100000")).await;
    daybook.transact(&mine, buy("2024-01-03", "ACME", "100", "10")).await;
    for (symbol, kind) in
        [("ACME250117C00010000", "buy"), ("ACME250117C00011000", "buy"), ("ACME250117C00012000", "sell")]
    {
        let option =
            json!({ "time": "2024-01-03", "type": kind, "symbol": symbol, "quantity": "1", "price": "1" });
        daybook.transact(&mine, option).await;
    }
    let path = format!("/v1/portfolios/{mine}/transactions");
    let mut failures = Vec::new();
    let mut seen = Vec::new();
    for (number, (mut transaction, event)) in kinds().into_iter().enumerate() {
        transaction["time"] = format!("2024-02-{:02}", number + 1).into();
        let kind = transaction["type"].as_str().unwrap().to_owned();
        let answer = daybook.post(&path, &transaction).await;
        if answer.status.as_u16() != 201 {
            failures.push(answer.to_string());
            continue;
        }
        let sequence = answer.json()["sequence"].as_u64().unwrap();
        let recorded = daybook.get(&format!("/v1/events/{sequence}")).await.has(200).json();
        assert_eq!(recorded["type"], event, "{kind}");
        seen.push((kind, sequence));
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let listed = daybook.get(&format!("{path}?limit=1000")).await.has(200).json();
    for (kind, sequence) in &seen {
        // What an instrument is called is no entry of an account.
        if kind == "rename" {
            continue;
        }
        let items = listed["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["sequence"] == *sequence);
        let item = item.unwrap_or_else(|| panic!("{kind} is not listed"));
        assert_eq!(item["type"], *kind, "{item}");
    }
    for (kind, sequence) in seen.iter().rev().filter(|(kind, _)| kind != "rename") {
        let reversed =
            daybook.post(&format!("/v1/events/{sequence}/reverse"), &json!({ "reason": "a test" })).await;
        assert_eq!(reversed.status.as_u16(), 201, "{kind}: {reversed}");
    }
    let left = daybook.get(&format!("{path}?limit=1000")).await.has(200).json();
    assert_eq!(left["items"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn every_type_there_is_was_tried() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let invented = json!({ "time": "2024-01-02", "type": "zzz" });
    let problem = daybook.post(&path, &invented).await.is(422, "invalid-input");
    // The refusal names all types that there are.
    let (_, named) = problem["detail"].as_str().unwrap().split_once("write one of ").unwrap();
    let tried: Vec<String> =
        kinds().iter().map(|(transaction, _)| transaction["type"].as_str().unwrap().to_owned()).collect();
    let mut there: Vec<&str> = named.split(", ").collect();
    there.retain(|kind| !tried.iter().any(|tried| tried == kind));
    assert!(there.is_empty(), "{there:?} of {named}");
}
