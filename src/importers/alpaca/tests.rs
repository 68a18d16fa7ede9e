use super::super::Format;
use super::super::Parsed;
use super::super::ledger_in_memory::Ledger;
use super::*;
use daybook_schemas::events::{
    DividendKind, Effect, Entry, ExchangeKind, FeeKind, IdentifierScheme, InstrumentClass, InterestKind,
    OptionSettlement, Side, TaxKind, TradeExecuted,
};
use daybook_schemas::events::{Event, RecordQuarantined};
use daybook_schemas::{AccountId, Money, Strategy, Zone};
use proptest::prelude::{Just, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Shape;

const ACCOUNT: &str = "e6fe16f3-64a4-4921-8928-cadf02f92f98";

fn binding() -> Binding {
    let today = Day::parse("2024-06-03").unwrap();
    Binding { account: Some(ACCOUNT.to_owned()), label: "alpaca".to_owned(), today }
}

fn translate_all(ledger: &Ledger, binding: &Binding, texts: &[&str]) -> Translated {
    let rows: Vec<Row<'_>> = texts.iter().map(|text| Row { text, line: 0 }).collect();
    activities(&rows, binding, &ledger.portfolio, ledger, &Extras::NONE).unwrap()
}

fn rows(texts: &[&str]) -> Translated {
    translate_all(&Ledger::new(), &binding(), texts)
}

fn only(text: &str) -> What {
    let mut translated = rows(&[text]);
    assert_eq!(translated.rows.len(), 1, "{text}");
    translated.rows.remove(0).what
}

fn event(text: &str) -> Event {
    match only(text) {
        What::Event(draft) => draft.event,
        What::Quarantine(draft) => panic!("{text}: {}", why(&draft)),
        other => panic!("{text}: {other:?}"),
    }
}

fn quarantined(draft: &Draft) -> RecordQuarantined {
    match &draft.event {
        Event::RecordQuarantined(event) => event.clone(),
        other => panic!("{other:?}"),
    }
}

fn why(draft: &Draft) -> String {
    let event = quarantined(draft);
    let ledger = Ledger::new();
    format!("{:?} {}", event.column, event.detail.open(Context::keys(&ledger)).unwrap())
}

fn aside(text: &str) -> (QuarantineReason, Option<String>) {
    match only(text) {
        What::Quarantine(draft) => {
            let event = quarantined(&draft);
            (event.reason, event.column.map(Into::into))
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// A fill, with fields put in or over its own.
fn fill(fields: &str) -> String {
    with(
        r#"{"activity_type":"FILL","id":"20240603093001123::5f0e","transaction_time":"2024-06-03T13:30:01.123456Z","type":"fill","price":"10.50","qty":"3","side":"buy","symbol":"ABC","leaves_qty":"0","cum_qty":"3","order_id":"o-1","order_status":"filled"}"#,
        fields,
    )
}

/// A non-trade of a type, with fields put in or over its own.
fn other(activity_type: &str, fields: &str) -> String {
    let row = format!(
        r#"{{"activity_type":"{activity_type}","id":"20240603000000000::77aa","date":"2024-06-03","net_amount":"0","status":"executed"}}"#
    );
    with(&row, fields)
}

fn with(row: &str, fields: &str) -> String {
    let mut value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row).unwrap();
    let over: serde_json::Map<String, serde_json::Value> = serde_json::from_str(fields).unwrap();
    value.extend(over);
    serde_json::Value::Object(value).to_string()
}

fn trade(text: &str) -> TradeExecuted {
    match event(text) {
        Event::TradeExecuted(trade) => trade,
        other => panic!("{text}: {other:?}"),
    }
}

fn usd(text: &str) -> Money {
    Money::new(daybook_schemas::decimal::parse(text).unwrap(), daybook_schemas::Currency::USD)
}

#[test]
fn a_fill_is_a_trade_at_its_instant_with_its_order() {
    let text = r#"{"activity_type":"FILL","id":"20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e","transaction_time":"2022-02-02T18:55:09.981482Z","type":"fill","price":"174.78","qty":"2","side":"buy","symbol":"AAPL","leaves_qty":"0","cum_qty":"2","order_id":"b5abe576-6a8a-49f3-a353-46b72c1ccae9","order_status":"filled"}"#;
    let translated = rows(&[text]);
    let row = &translated.rows[0];
    assert_eq!(
        row.identity,
        format!("alpaca:{ACCOUNT}:FILL:20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e")
    );
    assert_eq!(row.time.unwrap().to_string(), "2022-02-02T18:55:09.981482Z");
    assert_eq!(row.order.as_ref().unwrap().0, "b5abe576-6a8a-49f3-a353-46b72c1ccae9");
    let trade = trade(text);
    assert_eq!((trade.side.clone(), trade.effect.clone()), (Side::Buy, Effect::Unstated));
    assert_eq!(trade.price.unwrap().to_string(), "174.78");
    assert_eq!((trade.quantity.to_string().as_str(), trade.multiplier.to_string().as_str()), ("2", "1"));
    assert_eq!(trade.cumulative_quantity.unwrap().to_string(), "2");
    assert_eq!(trade.entry.trade_date.to_string(), "2022-02-02");
    assert_eq!(
        trade.entry.external_id.unwrap().as_str(),
        "20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e"
    );
    assert_eq!((trade.net_amount, trade.execution), (None, None));
    let reported = trade.entry.reported.unwrap();
    assert_eq!(reported.code.as_deref(), Some("FILL"));
    assert_eq!(reported.raw.unwrap().open(Context::keys(&Ledger::new())).unwrap().text, text);
}

#[test]
fn a_dividend_states_what_it_was_paid_on() {
    let Event::DividendPosted(dividend) = event(
        r#"{"activity_type":"DIV","id":"20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf","date":"2019-08-01","net_amount":"1.02","symbol":"T","cusip":"C00206R102","qty":"2","per_share_amount":"0.51"}"#,
    ) else {
        panic!()
    };
    assert_eq!((dividend.amount, dividend.kind), (usd("1.02"), DividendKind::Ordinary));
    assert_eq!(dividend.per_unit.unwrap().to_string(), "0.51");
    assert!(dividend.instrument.is_some());
    assert_eq!(dividend.entry.trade_date.to_string(), "2019-08-01");
}

#[test]
fn a_crypto_fee_is_taken_in_units_of_what_was_bought() {
    let ledger = Ledger::new();
    let fee = r#"{"id":"20220812000000000::53be51ba","activity_type":"CFEE","date":"2022-08-12","net_amount":"0","description":"Coin Pair Transaction Fee (Non USD)","symbol":"ETHUSD","qty":"-0.000195","price":"1884.5","status":"executed"}"#;
    let bought = fill(r#"{"symbol":"ETH/USD"}"#);
    let translated = translate_all(&ledger, &binding(), &[fee, &bought]);
    let mut instruments = BTreeSet::new();
    for row in &translated.rows {
        match &row.what {
            What::Event(Draft { event: Event::FeePosted(fee), .. }) => {
                let units = fee.in_kind.clone().unwrap();
                assert_eq!(units.quantity.to_string(), "-0.000195");
                assert_eq!(units.price.unwrap().to_string(), "1884.5");
                assert_eq!((fee.amount, fee.kind.clone()), (None, FeeKind::Trading));
                instruments.insert(units.instrument);
            }
            What::Event(Draft { event: Event::TradeExecuted(trade), .. }) => {
                instruments.insert(trade.instrument);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(instruments.len(), 1, "a pair is one with or without its slash");
    let unknown = event(&other("CFEE", r#"{"symbol":"NEWCOINUSD","qty":-0.5,"price":2}"#));
    let Event::FeePosted(fee) = unknown else { panic!() };
    let slashed = trade(&fill(r#"{"symbol":"NEWCOIN/USD"}"#));
    assert_eq!(fee.in_kind.unwrap().instrument, slashed.instrument);
}

#[test]
fn a_fill_knows_shares_crypto_and_options_by_their_symbols() {
    let class = |symbol: &str| {
        let mut ledger = Ledger::new();
        let text = fill(&format!(r#"{{"symbol":"{symbol}"}}"#));
        let translated = translate_all(&ledger, &binding(), &[&text]);
        ledger.apply(&Parsed { drafts: translated.references, ..Parsed::default() }).unwrap();
        let listed = ledger.class(symbol);
        (listed.class, listed.contract.map(|contract| contract.multiplier.to_string()))
    };
    assert_eq!(class("BRK.B"), (InstrumentClass::Unstated, None));
    assert_eq!(class("ETH/USD"), (InstrumentClass::Crypto, None));
    assert_eq!(class("AAPL240621C00190000"), (InstrumentClass::Option, Some("100".to_owned())));
    assert_eq!(trade(&fill(r#"{"symbol":"AAPL240621C00190000"}"#)).multiplier.to_string(), "100");
}

#[test]
fn shares_trade_on_new_yorks_days_and_crypto_on_the_portfolios() {
    // 23:30 in New York, and the next day in UTC.
    let late = r#""transaction_time":"2024-06-04T03:30:00Z""#;
    let mut ledger = Ledger::new();
    ledger.portfolio.zone = Zone::UTC;
    let day = |symbol: &str| {
        let text = fill(&format!(r#"{{{late},"symbol":"{symbol}"}}"#));
        let translated = translate_all(&ledger, &binding(), &[&text]);
        match &translated.rows[0].what {
            What::Event(draft) => draft.event.entry().unwrap().trade_date.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(day("ABC"), "2024-06-03");
    assert_eq!(day("BTC/USD"), "2024-06-04");
}

#[test]
fn a_sale_short_opens_and_a_plain_sale_says_nothing() {
    let of = |side: &str| {
        let trade = trade(&fill(&format!(r#"{{"side":"{side}"}}"#)));
        (trade.side, trade.effect)
    };
    assert_eq!(of("sell"), (Side::Sell, Effect::Unstated));
    assert_eq!(of("sell_short"), (Side::Sell, Effect::Open));
    assert_eq!(aside(&fill(r#"{"side":"lend"}"#)), (QuarantineReason::UnknownCode, Some("side".into())));
    assert_eq!(aside(&fill(r#"{"qty":"-3"}"#)), (QuarantineReason::Contradiction, Some("qty".into())));
    assert_eq!(trade(&fill(r#"{"qty":"-3","side":"sell"}"#)).quantity.to_string(), "3");
}

#[test]
fn numbers_may_be_texts_or_numbers_and_are_never_rounded() {
    let text = fill(r#"{"price":"0.000000012345678901","qty":"3"}"#);
    assert_eq!(trade(&text).price.unwrap().to_string(), "0.000000012345678901");
    let raw = text.replace("\"0.000000012345678901\"", "0.000000012345678901").replace("\"3\"", "3.0e0");
    assert_eq!(trade(&raw).price.unwrap().to_string(), "0.000000012345678901");
    let bad = |price: &str| aside(&text.replace("\"0.000000012345678901\"", price));
    for long in ["123456789012345678901234567890", "1e400", "\"1e-400\"", "\"0x10\"", "true", "\"NaN\""] {
        assert_eq!(bad(long), (QuarantineReason::BadField, Some("price".into())), "{long}");
    }
    assert_eq!(bad("null"), (QuarantineReason::MissingField, Some("price".into())));
    // Both fit, and what they come to does not.
    let digits = fill(r#"{"price":"1.2345678901234567","qty":"1.23456789012345678"}"#);
    assert_eq!(aside(&digits), (QuarantineReason::BadField, Some("price".into())));
}

#[test]
fn every_type_of_the_union_is_an_event_of_its_own() {
    let option = r#""symbol":"AAPL240621C00190000","qty":"1""#;
    let cash = r#""net_amount":"-1.25""#;
    let units = r#""symbol":"ABC","qty":"5","price":"2""#;
    let expected = |name: &str| match name {
        "FILL" => (String::new(), "TradeExecuted"),
        "OPTRD" | "EXTRD" => {
            (r#""symbol":"ABC","qty":"-100","price":"190","net_amount":"19000""#.to_owned(), "TradeExecuted")
        }
        "CSD" | "CSW" | "TRANS" | "ACATC" | "JNLC" | "JNL" => (cash.to_owned(), "CashTransferred"),
        "ACATS" | "FOPT" | "JNLS" | "OCT" => (units.to_owned(), "SecuritiesTransferred"),
        "DIV" | "DIVCGL" | "DIVCGS" | "DIVTXEX" | "CGD" => (cash.to_owned(), "DividendPosted"),
        "DIVROC" => (format!(r#"{cash},"symbol":"ABC""#), "CapitalReturned"),
        "DIVFT" | "DIVWH" | "DIVNRA" | "DIVTW" | "INTNRA" | "INTTW" | "WH" => (cash.to_owned(), "TaxPosted"),
        "INT" => (cash.to_owned(), "InterestPosted"),
        "CFEE" => (r#""symbol":"ETHUSD","qty":"-0.1","price":"1""#.to_owned(), "FeePosted"),
        "FEE" | "DIVFEE" | "PTC" | "PTR" => (cash.to_owned(), "FeePosted"),
        "SPLIT" | "SSP" => (units.to_owned(), "SplitApplied"),
        "SPIN" | "SSO" => (units.to_owned(), "HoldingDistributed"),
        "MA" | "NC" | "SC" | "REORG" | "VOF" => (units.to_owned(), "PositionExchanged"),
        "OPCA" => (option.to_owned(), "PositionExchanged"),
        "CIL" => (format!(r#"{cash},"symbol":"ABC""#), "CashInLieuPaid"),
        "OPASN" | "OPEXC" | "OPEXP" | "OPXRC" | "OPCSH" => (option.to_owned(), "OptionSettled"),
        "MISC" | "FXTRD" | "INTPNL" | "MEM" | "SWP" => (cash.to_owned(), "CashAdjusted"),
        other => panic!("{other} is of no type"),
    };
    for name in Meaning::TYPES {
        let (fields, wanted) = expected(name);
        let fields = format!("{{{fields}}}");
        let text = if *name == "FILL" { fill(&fields) } else { other(name, &fields) };
        let event = event(&text);
        assert_eq!(event.event_type().name(), wanted, "{name}");
        let entry: &Entry = event.entry().unwrap();
        assert_eq!(entry.reported.as_ref().unwrap().code.as_deref(), Some(*name));
        assert!(entry.external_id.is_some());
    }
}

#[test]
fn sub_types_say_more_of_a_type() {
    let row = |name: &str, sub: &str, rest: &str| {
        event(&other(name, &format!(r#"{{"activity_sub_type":"{sub}"{rest}}}"#)))
    };
    let cash = r#","net_amount":"-2""#;
    let interest = |sub: &str, amount: &str| match row("INT", sub, &format!(r#","net_amount":"{amount}""#)) {
        Event::InterestPosted(event) => event.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(interest("MGN", "-2"), InterestKind::Margin);
    assert_eq!(interest("CDT", "-2"), InterestKind::Credit, "taken back, and still no cost");
    assert_eq!(interest("FI", "2"), InterestKind::Coupon);
    assert_eq!(interest("", "-2"), InterestKind::Margin);
    assert_eq!(interest("", "2"), InterestKind::Credit);
    assert!(matches!(row("FEE", "TAF", cash), Event::FeePosted(fee) if fee.kind == FeeKind::Trading));
    assert!(
        matches!(row("DIV", "SPD", cash), Event::DividendPosted(paid) if paid.kind == DividendKind::InLieu)
    );
    let shares = r#","symbol":"ABC","qty":"2""#;
    assert!(matches!(row("DIV", "SDIV", shares), Event::HoldingDistributed(_)));
    let paid = r#","symbol":"ABC","qty":"2","net_amount":"1.02""#;
    assert!(matches!(row("DIV", "SDIV", paid), Event::DividendPosted(_)));
    assert!(matches!(row("REORG", "WRM", r#","symbol":"ABC","qty":"-2""#),
        Event::PositionExchanged(event) if event.kind == ExchangeKind::Worthless && event.gave.is_some()));
    assert!(matches!(row("WH", "FWH", cash), Event::TaxPosted(tax) if tax.kind == TaxKind::Withholding));
}

#[test]
fn an_exercise_is_a_settlement_and_a_trade_at_the_strike_in_one_group() {
    let group = r#""group_id":"g-1""#;
    let settled = other("OPASN", &format!(r#"{{{group},"symbol":"AAPL240621P00190000","qty":"-1"}}"#));
    let shares = other(
        "OPTRD",
        &format!(
            r#"{{{group},"id":"20240603000000000::88","symbol":"AAPL","qty":"100","price":"190","net_amount":"-19000"}}"#
        ),
    );
    let Event::OptionSettled(option) = event(&settled) else { panic!() };
    assert_eq!(option.settlement, OptionSettlement::Assigned);
    assert_eq!((option.quantity.unwrap().to_string().as_str(), option.amount), ("1", None));
    let trade = trade(&shares);
    assert_eq!((trade.side, trade.net_amount), (Side::Buy, Some(usd("-19000"))));
    assert_eq!(option.entry.group, trade.entry.group);
    assert!(option.entry.group.is_some());
    let none = other("OPEXP", r#"{"symbol":"AAPL","qty":"1"}"#);
    assert_eq!(aside(&none), (QuarantineReason::Contradiction, Some("symbol".into())));
}

#[test]
fn the_cash_says_which_way_a_trade_went_where_the_quantity_has_no_sign() {
    let side = |qty: &str, amount: &str| {
        trade(&other(
            "OPTRD",
            &format!(r#"{{"symbol":"ABC","qty":"{qty}","price":"5","net_amount":"{amount}"}}"#),
        ))
        .side
    };
    assert_eq!(side("100", "500"), Side::Sell);
    assert_eq!(side("-100", "500"), Side::Sell);
    assert_eq!(side("100", "-500"), Side::Buy);
    assert_eq!(side("-100", "0"), Side::Sell);
    let unclear = other("OPTRD", r#"{"symbol":"ABC","qty":"-100","price":"5","net_amount":"-500"}"#);
    assert_eq!(aside(&unclear).0, QuarantineReason::Contradiction);
}

#[test]
fn a_split_in_two_rows_is_two_sides_and_in_one_row_the_units_added() {
    let gave = other("SPLIT", r#"{"symbol":"ABC","qty":"-10"}"#);
    let received = other("SPLIT", r#"{"symbol":"ABC","qty":"30","id":"20240603000000000::78"}"#);
    let both = rows(&[&gave, &received]);
    let groups: BTreeSet<String> = both
        .rows
        .iter()
        .map(|row| match &row.what {
            What::Event(Draft { event: Event::PositionExchanged(event), .. }) => {
                assert!(event.gave.is_some() != event.received.is_some());
                event.entry.group.as_ref().unwrap().to_string()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(groups.len(), 1);
    let Event::SplitApplied(alone) = event(&received) else { panic!() };
    assert_eq!(alone.added.unwrap().to_string(), "30");
    assert!(matches!(alone.entry.when, When::On { phase: Phase::Open, .. }));
}

#[test]
fn cash_of_what_no_event_fits_is_an_adjustment_and_units_with_cash_are_kept_aside() {
    let Event::CashAdjusted(sweep) = event(&other("SWP", r#"{"net_amount":"-7.5","currency":"EUR"}"#)) else {
        panic!()
    };
    assert_eq!(sweep.amount.to_string(), "-7.5 EUR");
    let both = other("ACATS", r#"{"symbol":"ABC","qty":"5","net_amount":"-10"}"#);
    assert_eq!(aside(&both), (QuarantineReason::Contradiction, Some("net_amount".into())));
    assert_eq!(
        aside(&other("CSD", r#"{"net_amount":null}"#)),
        (QuarantineReason::MissingField, Some("net_amount".into()))
    );
    let zero = event(&other("CSD", "{}"));
    assert!(matches!(zero, Event::CashTransferred(event) if event.amount.amount().is_zero()));
    let memo = event(&other("MEM", r#"{"symbol":"ABC","qty":"5"}"#));
    assert_eq!(memo.event_type().name(), "SecuritiesTransferred");
}

#[test]
fn what_is_not_known_is_kept_aside_with_its_bytes_and_the_rest_goes_on() {
    let good = fill("{}");
    let unknown = other("NEWTYPE", r#"{"net_amount":"5"}"#);
    let translated = rows(&[&unknown, "[1]", &good, r#"{"activity_type":"CSD"}"#, "{"]);
    let mut kinds: Vec<_> = translated
        .rows
        .iter()
        .map(|row| match &row.what {
            What::Event(_) => (row.index, "event"),
            What::Quarantine(draft) => {
                assert_eq!(draft.role, Role::Quarantine);
                assert_eq!(draft.stream, format!("sync-alpaca-{ACCOUNT}"));
                (row.index, "aside")
            }
            other => panic!("{other:?}"),
        })
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [(0, "aside"), (1, "aside"), (2, "event"), (3, "aside"), (4, "aside")]);
    let draft = match only(&unknown) {
        What::Quarantine(draft) => draft,
        other => panic!("{other:?}"),
    };
    let event = quarantined(&draft);
    assert_eq!((event.reason, event.line), (QuarantineReason::UnknownCode, None));
    assert_eq!(event.raw.open(Context::keys(&Ledger::new())).unwrap().text, unknown);
    let clear = draft.event.to_json().unwrap().to_string();
    assert!(!clear.contains("NEWTYPE"), "what quotes the row is sealed: {clear}");
    assert_eq!(
        translated.rows.iter().find(|row| row.index == 0).unwrap().identity,
        format!("alpaca:{ACCOUNT}:NEWTYPE:20240603000000000::77aa"),
        "a later version that knows the type finds the row by the same name"
    );
}

#[test]
fn two_bad_rows_that_say_the_same_are_two() {
    let bad = |id: &str| other("CSD", &format!(r#"{{"id":"{id}","net_amount":null}}"#));
    let (first, second) = (bad("a::1"), bad("a::2"));
    let translated = rows(&[&first, &second, &first]);
    assert_eq!((translated.rows.len(), translated.repeated), (2, 1));
    let keys: BTreeSet<_> = translated
        .rows
        .iter()
        .map(|row| match &row.what {
            What::Quarantine(draft) => draft.identity.clone().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys.len(), 2);
}

#[test]
fn a_cancelled_row_takes_back_what_stands_under_its_id() {
    assert_eq!(only(&other("CSD", r#"{"net_amount":"5","status":"canceled"}"#)), What::Cancel);
    assert_eq!(only(&other("CSD", r#"{"net_amount":"nonsense","status":"canceled"}"#)), What::Cancel);
    let hash = |status: &str| {
        rows(&[&other("CSD", &format!(r#"{{"net_amount":"5","status":"{status}"}}"#))]).rows[0].content_hash
    };
    assert_ne!(hash("executed"), hash("correct"));
    assert_ne!(hash("executed"), hash("canceled"));
    assert!(matches!(
        event(&other("CSD", r#"{"net_amount":"6","status":"correct"}"#)),
        Event::CashTransferred(_)
    ));
    assert_eq!(
        aside(&other("CSD", r#"{"net_amount":"6","status":"pending"}"#)),
        (QuarantineReason::UnknownCode, Some("status".into()))
    );
}

#[test]
fn of_several_statements_of_one_row_the_last_stands() {
    let executed = other("CSD", r#"{"net_amount":"5"}"#);
    let cancelled = other("CSD", r#"{"net_amount":"5","status":"canceled"}"#);
    let corrected = other("CSD", r#"{"net_amount":"6","status":"correct"}"#);
    for order in [[&executed, &cancelled], [&cancelled, &executed]] {
        let translated = rows(&order.map(String::as_str));
        assert_eq!((translated.rows.len(), translated.repeated), (1, 1));
        assert_eq!(translated.rows[0].what, What::Cancel);
    }
    let translated = rows(&[&executed, &corrected, &executed]);
    assert_eq!(translated.rows.len(), 1);
    assert_eq!(translated.rows[0].index, 1);
}

#[test]
fn a_bust_says_which_fill_it_takes_back_and_a_correction_takes_its_place() {
    let id = |id: &str| format!("alpaca:{ACCOUNT}:FILL:{id}");
    let bust = fill(r#"{"type":"trade_bust","previous_id":"2024::aa","id":"2024::bb"}"#);
    assert_eq!(only(&bust), What::CancelOf(id("2024::aa")));
    let correction = fill(r#"{"type":"trade_correct","previous_id":"2024::aa","id":"2024::bb","qty":"2"}"#);
    let translated = rows(&[&correction]);
    assert_eq!(translated.rows.len(), 2);
    assert_eq!(translated.rows[0].what, What::CancelOf(id("2024::aa")));
    assert_ne!(translated.rows[0].identity, translated.rows[1].identity);
    assert!(matches!(&translated.rows[1].what, What::Event(draft) if draft.identity == Some(id("2024::bb"))));
    for (previous, reason) in [("{}", "Unpaired"), (r#"{"previous_id":"only-an-execution"}"#, "Unpaired")] {
        let text = with(&fill(r#"{"type":"trade_bust"}"#), previous);
        assert_eq!(format!("{:?}", aside(&text).0), reason);
    }
    assert_eq!(aside(&fill(r#"{"type":"trade_dream"}"#)).0, QuarantineReason::UnknownCode);
}

#[test]
fn what_does_not_decide_the_event_makes_no_amendment_and_what_does_makes_one() {
    let hash = |text: &str| rows(&[text]).rows[0].content_hash;
    let first = hash(&fill("{}"));
    for same in [
        r#"{"price":10.5}"#,
        r#"{"price":"10.500"}"#,
        r#"{"swap_rate":"1","a_new_field":{"x":[1]}}"#,
        r#"{"order_status":"partially_filled","leaves_qty":"7"}"#,
        r#"{"type":"partial_fill"}"#,
        r#"{"currency":"USD","status":"executed"}"#,
        r#"{"transaction_time":"2024-06-03T09:30:01.123456-04:00"}"#,
    ] {
        assert_eq!(hash(&fill(same)), first, "{same}");
    }
    for another in [
        r#"{"price":"10.51"}"#,
        r#"{"qty":"4"}"#,
        r#"{"side":"sell"}"#,
        r#"{"symbol":"ABD"}"#,
        r#"{"cum_qty":"4"}"#,
        r#"{"order_id":"o-2"}"#,
        r#"{"transaction_time":"2024-06-03T13:30:02Z"}"#,
    ] {
        assert_ne!(hash(&fill(another)), first, "{another}");
    }
    let paid = hash(&other("DIV", r#"{"net_amount":"1","symbol":"ABC"}"#));
    let newer = r#"{"net_amount":"1.0","symbol":"ABC","activity_sub_type":"CDIV","currency":"USD","group_id":"g","created_at":"2024-06-04T01:00:00Z","cusip":"037833100"}"#;
    assert_eq!(hash(&other("DIV", newer)), paid);
    assert_ne!(hash(&other("DIV", r#"{"net_amount":"1","symbol":"ABC","activity_sub_type":"SPD"}"#)), paid);
}

#[test]
fn a_row_of_another_account_is_kept_aside() {
    let row = fill(r#"{"account_id":"another"}"#);
    assert_eq!(aside(&row), (QuarantineReason::Contradiction, Some("account_id".into())));
    let own = fill(&format!(r#"{{"account_id":"{ACCOUNT}"}}"#));
    assert!(matches!(event(&own), Event::TradeExecuted(_)));
}

#[test]
fn the_fills_of_an_order_stand_by_the_units_filled_so_far() {
    let one = |id: &str, order: &str, time: &str, filled: &str| {
        fill(&format!(
            r#"{{"id":"{id}","order_id":"{order}","transaction_time":"2024-06-03T13:30:{time}Z","qty":"1","cum_qty":"{filled}"}}"#
        ))
    };
    let texts = [
        one("a::3", "o-1", "03", "3"),
        one("a::1", "o-1", "05", "1"),
        one("a::2", "o-1", "04", "2"),
        one("a::4", "o-2", "04", "1"),
        other("CSD", r#"{"net_amount":"1","created_at":"2024-06-03T13:00:00Z"}"#),
        "[]".to_owned(),
    ];
    let ids = |texts: &[&str]| -> Vec<String> {
        rows(texts).rows.iter().map(|row| row.identity.rsplit(':').next().unwrap().to_owned()).collect()
    };
    let given: Vec<&str> = texts.iter().map(String::as_str).collect();
    let order = ids(&given);
    assert_eq!(order[..5], ["77aa", "4", "1", "2", "3"]);
    let mut turned = given.clone();
    turned.reverse();
    assert_eq!(ids(&turned), order);
}

#[test]
fn a_strategy_comes_with_the_order_and_is_no_part_of_the_row() {
    let ledger = Ledger::new();
    let text = fill("{}");
    let of = |extras: &Extras<'_>| {
        let row = [Row { text: &text, line: 0 }];
        activities(&row, &binding(), &ledger.portfolio, &ledger, extras).unwrap().rows.remove(0)
    };
    let tagged = of(&Extras { strategy_of: &|order| (order == "o-1").then(|| Strategy::new("breakout")) });
    assert_eq!(tagged.content_hash, of(&Extras::NONE).content_hash);
    let What::Event(Draft { event: Event::TradeExecuted(trade), .. }) = tagged.what else { panic!() };
    assert_eq!(trade.strategy.unwrap().as_str(), "breakout");
}

#[test]
fn the_account_is_linked_once_and_found_by_alpacas_id() {
    let mut ledger = Ledger::new();
    let text = fill("{}");
    let first = translate_all(&ledger, &binding(), &[&text]);
    let linked = |translated: &Translated| -> Vec<AccountId> {
        let links = translated.references.iter().filter_map(|draft| match &draft.event {
            Event::AccountLinked(event) => Some((event.account, event.external_id.clone())),
            _ => None,
        });
        links
            .map(|(account, external)| {
                assert_eq!(external.unwrap().as_str(), ACCOUNT);
                account
            })
            .collect()
    };
    assert_eq!(linked(&first), [first.account.unwrap()]);
    ledger.apply(&Parsed { drafts: first.references.clone(), ..Parsed::default() }).unwrap();
    let again = translate_all(&ledger, &Binding { label: "other".to_owned(), ..binding() }, &[&text]);
    assert_eq!((linked(&again), again.account), (Vec::new(), first.account));
    let reset = Binding { account: Some("new".to_owned()), ..binding() };
    let rows = [Row { text: &text, line: 0 }];
    let refused = activities(&rows, &reset, &ledger.portfolio, &ledger, &Extras::NONE).unwrap_err();
    assert!(refused.to_string().contains("link new under another label"), "{refused}");
    let nothing = activities(&[], &reset, &ledger.portfolio, &ledger, &Extras::NONE).unwrap();
    assert_eq!(nothing, Translated::default());
}

#[test]
fn an_account_first_linked_without_alpacas_id_gets_it_later() {
    let mut ledger = Ledger::new();
    let text = fill("{}");
    let unstated = Binding { account: None, ..binding() };
    let first = translate_all(&ledger, &unstated, &[&text]);
    assert_eq!(
        first.rows[0].identity,
        format!("alpaca:unstated-{}:FILL:20240603093001123::5f0e", ledger.portfolio.id)
    );
    ledger.apply(&Parsed { drafts: first.references.clone(), ..Parsed::default() }).unwrap();
    let stated = translate_all(&ledger, &binding(), &[&text]);
    assert_eq!(stated.account, first.account);
    assert_eq!(stated.rows[0].aliases, [first.rows[0].identity.clone()]);
    assert_eq!(stated.rows[0].content_hash, first.rows[0].content_hash);
    ledger.apply(&Parsed { drafts: stated.references.clone(), ..Parsed::default() }).unwrap();
    let again = translate_all(&ledger, &unstated, &[&text]);
    assert_eq!(again.rows[0].aliases, [stated.rows[0].identity.clone()]);
}

#[test]
fn a_cusip_beside_a_symbol_names_the_instrument_when_the_symbol_is_missing() {
    let mut ledger = Ledger::new();
    let named = other("DIV", r#"{"net_amount":"1","symbol":"ABC","cusip":"037833100"}"#);
    let translated = translate_all(&ledger, &binding(), &[&named, &named.replace("77aa", "77ab")]);
    let cusips = translated.references.iter().filter(
        |draft| matches!(&draft.event, Event::IdentifierAssigned(event) if event.scheme == IdentifierScheme::Cusip),
    );
    assert_eq!(cusips.count(), 1);
    ledger.apply(&Parsed { drafts: translated.references, ..Parsed::default() }).unwrap();
    let alone = other("DIVNRA", r#"{"net_amount":"-1","cusip":"037833100"}"#);
    let translated = translate_all(&ledger, &binding(), &[&alone]);
    assert!(translated.references.is_empty());
    let What::Event(Draft { event: Event::TaxPosted(tax), .. }) = &translated.rows[0].what else { panic!() };
    assert!(tax.instrument.is_some());
}

mod files {
    use super::*;

    fn read(ledger: &Ledger, text: &str) -> Result<Parsed, Vec<crate::importers::Fault>> {
        crate::importers::read(
            Format::Alpaca,
            "a.json",
            text.as_bytes(),
            &ledger.portfolio,
            ledger,
            &mut |_| {},
        )
    }

    fn entries(parsed: &Parsed) -> Vec<&Draft> {
        parsed.drafts.iter().filter(|draft| draft.role == Role::Entry).collect()
    }

    fn accounts(parsed: &Parsed) -> BTreeSet<AccountId> {
        entries(parsed).iter().map(|draft| draft.event.entry().unwrap().account).collect()
    }

    fn labels(ledger: &Ledger, parsed: &Parsed) -> BTreeSet<String> {
        let linked = parsed.drafts.iter().filter_map(|draft| match &draft.event {
            Event::AccountLinked(event) => Some(event.name.open(Context::keys(ledger)).unwrap()),
            _ => None,
        });
        linked.collect()
    }

    #[test]
    fn a_file_of_several_accounts_goes_to_several_accounts() {
        let ledger = Ledger::new();
        let of = |account: &str, id: &str| fill(&format!(r#"{{"account_id":"{account}","id":"x::{id}"}}"#));
        let text =
            format!("[[{},{}],\n[{}]]", of("aaaa-1111", "1"), of("bbbb-2222", "2"), of("aaaa-1111", "3"));
        let parsed = read(&ledger, &text).unwrap();
        assert_eq!((parsed.rows, parsed.quarantined, entries(&parsed).len()), (3, 0, 3));
        assert_eq!(accounts(&parsed).len(), 2);
        assert_eq!(labels(&ledger, &parsed), ["alpaca 1111".to_owned(), "alpaca 2222".to_owned()].into());
        let listed = parsed.drafts.iter().filter(|draft| matches!(draft.event, Event::InstrumentListed(_)));
        assert_eq!(listed.count(), 1, "both hold the same instrument");
        let single = read(&ledger, &of("aaaa-1111", "1")).unwrap();
        assert_eq!(labels(&ledger, &single), ["alpaca".to_owned()].into());
    }

    #[test]
    fn rows_that_state_no_account_belong_to_the_only_linked_one() {
        let mut ledger = Ledger::new();
        let first = read(&ledger, &fill(r#"{"account_id":"aaaa-1111"}"#)).unwrap();
        ledger.apply(&first).unwrap();
        let parsed = read(&ledger, &fill("{}")).unwrap();
        assert_eq!(accounts(&parsed), accounts(&first));
        assert_eq!(entries(&parsed)[0].identity, entries(&first)[0].identity);
        let second = read(&ledger, &fill(r#"{"account_id":"bbbb-2222"}"#)).unwrap();
        assert_eq!(labels(&ledger, &second), ["alpaca 2222".to_owned()].into(), "the plain label is taken");
        ledger.apply(&second).unwrap();
        let unclear = read(&ledger, &fill("{}")).unwrap();
        assert_eq!(labels(&ledger, &unclear), ["alpaca unstated".to_owned()].into());
        let identity = entries(&unclear)[0].identity.clone().unwrap();
        assert_eq!(
            unclear.restated[&identity].aliases,
            [entries(&first)[0].identity.clone().unwrap(), entries(&second)[0].identity.clone().unwrap()]
        );
    }

    #[test]
    fn rows_of_a_file_say_on_which_line_they_stand() {
        let text = format!("{}\n{}\n{{broken\n", fill("{}"), other("NEWTYPE", "{}"));
        let parsed = read(&Ledger::new(), &text).unwrap();
        let lines: Vec<_> = parsed
            .drafts
            .iter()
            .filter(|draft| draft.role == Role::Quarantine)
            .map(|draft| (draft.line, quarantined(draft).line))
            .collect();
        assert_eq!(lines, [(2, Some(2)), (3, Some(3))]);
        assert_eq!(entries(&parsed)[0].line, 1);
    }

    #[test]
    fn what_a_file_takes_back_is_no_entry_of_it() {
        let bust = fill(r#"{"type":"trade_bust","previous_id":"20240603093001123::5f0e","id":"2024::bb"}"#);
        let cancelled = other("CSD", r#"{"net_amount":"5","status":"canceled"}"#);
        let text = format!("[{},{bust},{cancelled}]", fill("{}"));
        let parsed = read(&Ledger::new(), &text).unwrap();
        assert_eq!(entries(&parsed).len(), 0);
        assert_eq!(parsed.withdrawn.len(), 2);
        assert!(parsed.withdrawn.iter().all(|row| row.restated.is_some()));
    }

    #[test]
    fn a_file_that_holds_no_activity_is_refused() {
        let fault = |text: &str| read(&Ledger::new(), text).unwrap_err()[0].to_string();
        assert!(fault("").contains("no activity"));
        assert!(fault(r#"{"code":40310000,"message":"forbidden."}"#).contains("no activity"));
        assert!(fault("[[]]").contains("no activity"));
        assert!(fault("Date,Action\n").contains("a.json:1"));
        let cut = &format!("[{},\n{}", fill("{}"), &fill("{}")[..40]);
        assert!(fault(cut).starts_with("a.json:2"), "{}", fault(cut));
    }
}

/// A value as a field might have it, and as none should.
fn value() -> impl Shape<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[{}]".to_owned()),
        Just("\"\"".to_owned()),
        Just("1e400".to_owned()),
        Just("\"-0\"".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[0-9]{1,32}(\\.[0-9]{1,30})?".prop_map(|number| format!("\"{number}\"")),
        "[ -~é\u{202e}]{0,24}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::sample::select(vec![
            "\"ABC\"",
            "\"BTC/USD\"",
            "\"ETHUSD\"",
            "\"EUR/USD\"",
            "\"AAPL240621C00190000\"",
            "\"AAPL240231C00190000\"",
            "\"2024-06-03\"",
            "\"2024-06-03T10:00:00Z\"",
            "\"2024-13-03\"",
            "\"buy\"",
            "\"sell_short\"",
            "\"canceled\"",
            "\"correct\"",
            "\"executed\"",
            "\"fill\"",
            "\"trade_bust\"",
            "\"trade_correct\"",
            "\"x::y\"",
            "\"EUR\"",
            "\"5\"",
            "\"-5\"",
            "2.5",
            "-0.5e-3",
            "\"SDIV\"",
            "\"RSPLIT\"",
            "\"037833100\"",
            "\"\\ud800\"",
        ])
        .prop_map(ToOwned::to_owned),
    ]
}

const FIELDS: &[&str] = &[
    "id",
    "transaction_time",
    "type",
    "price",
    "qty",
    "side",
    "symbol",
    "cum_qty",
    "order_id",
    "date",
    "net_amount",
    "cusip",
    "per_share_amount",
    "status",
    "group_id",
    "currency",
    "created_at",
    "previous_id",
    "activity_sub_type",
    "account_id",
    "description",
    "activity_type",
];

fn any_row() -> impl Shape<Value = String> {
    let field = (prop::sample::select(FIELDS), value());
    let fields = prop::collection::vec(field, 0..8);
    let base = prop::sample::select(Meaning::TYPES);
    (base, any::<u16>(), fields, any::<bool>()).prop_map(|(name, id, fields, plain)| {
        let id = format!("\"2024::{id}\"");
        let mut row: BTreeMap<&str, String> = BTreeMap::new();
        row.insert("activity_type", format!("\"{name}\""));
        row.insert("id", id);
        if plain {
            for (name, value) in [
                ("transaction_time", "\"2024-06-03T13:30:00Z\""),
                ("date", "\"2024-06-03\""),
                ("price", "\"2\""),
                ("qty", "\"3\""),
                ("side", "\"buy\""),
                ("symbol", "\"ABC\""),
                ("net_amount", "\"-1\""),
            ] {
                row.insert(name, value.to_owned());
            }
        }
        row.extend(fields);
        let fields: Vec<String> = row.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn any_rows_are_each_one_event_one_cancellation_or_one_row_kept_aside(
        texts in prop::collection::vec(any_row(), 1..6),
        noise in "[ -~]{0,40}",
    ) {
        let ledger = Ledger::new();
        let mut all: Vec<&str> = texts.iter().map(String::as_str).collect();
        all.push(&noise);
        let given: Vec<Row<'_>> = all.iter().map(|text| Row { text, line: 0 }).collect();
        let translated = activities(&given, &binding(), &ledger.portfolio, &ledger, &Extras::NONE).unwrap();
        let previous = translated.rows.iter().filter(|row| row.identity.ends_with(":previous")).count();
        prop_assert_eq!((translated.rows.len() - previous) as u64 + translated.repeated, all.len() as u64);
        let identities: BTreeSet<_> = translated.rows.iter().map(|row| row.identity.clone()).collect();
        prop_assert_eq!(identities.len(), translated.rows.len());
        for row in &translated.rows {
            match &row.what {
                What::Event(draft) => {
                    prop_assert_eq!(draft.identity.as_ref(), Some(&row.identity));
                    prop_assert_eq!(draft.content_hash, row.content_hash);
                    let encoded = draft.event.encode().unwrap();
                    let kind = draft.event.event_type();
                    let back = Event::decode(kind.id(), kind.schema_version(), daybook_schemas::CODEC_BINCODE, &encoded);
                    prop_assert_eq!(back.unwrap(), draft.event.clone());
                }
                What::Quarantine(draft) => {
                    let raw = quarantined(draft).raw.open(Context::keys(&ledger)).unwrap();
                    prop_assert_eq!(raw.text.as_str(), all[row.index]);
                }
                What::Cancel | What::CancelOf(_) => {}
            }
        }
        // Asked again of a ledger that knows the instruments, the rows are the same rows.
        let mut after = Ledger::new();
        after.apply(&Parsed { drafts: translated.references.clone(), ..Parsed::default() }).unwrap();
        let again = activities(&given, &binding(), &after.portfolio, &after, &Extras::NONE).unwrap();
        let said = |translated: &Translated| -> Vec<_> {
            translated.rows.iter().map(|row| (row.identity.clone(), row.content_hash)).collect()
        };
        prop_assert_eq!(said(&again), said(&translated));
    }

    #[test]
    fn any_file_is_faults_or_drafts(texts in prop::collection::vec(any_row(), 0..4), bytes in prop::collection::vec(any::<u8>(), 0..40), cut in 0usize..200) {
        let ledger = Ledger::new();
        let list = format!("[{}]", texts.join(",\n"));
        let lines = texts.join("\n");
        let (cut_list, cut_lines) = (&list.as_bytes()[..cut.min(list.len())], &lines.as_bytes()[..cut.min(lines.len())]);
        let noisy = [lines.as_bytes(), b"\n", &bytes].concat();
        for input in [list.as_bytes(), lines.as_bytes(), cut_list, cut_lines, &noisy] {
            let _ = super::super::read(Format::Alpaca, "a.json", input, &ledger.portfolio, &ledger, &mut |_| {});
        }
    }
}
