use super::super::ledger_in_memory::Ledger;
use super::super::{Format, Role};
use super::*;
use daybook_schemas::events::{
    DividendKind, FeeKind, InstrumentClass, InterestKind, OptionSettlement, RewardKind, TaxKind,
};
use proptest::prelude::{any, proptest};

const HEADER: &str = "\"Activity Date\",\"Process Date\",\"Settle Date\",\"Instrument\",\"Description\",\"Trans Code\",\"Quantity\",\"Price\",\"Amount\"\n";

const DISCLAIMER: &str = "\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"This is no statement of account, and nobody vouches for it.\"\n";

/// Newest first, as Robinhood writes it.
const FILE: &str = "\
\"Activity Date\",\"Process Date\",\"Settle Date\",\"Instrument\",\"Description\",\"Trans Code\",\"Quantity\",\"Price\",\"Amount\"
\"3/8/2024\",\"3/8/2024\",\"3/12/2024\",\"QZT\",\"Quartz Instruments\nCUSIP: 037833100\",\"Sell\",\"48\",\"$51.52\",\"$2,472.82\"
\"3/7/2024\",\"3/7/2024\",\"3/7/2024\",\"QZT\",\"Cash Div: R/D 2024-02-20 P/D 2024-03-07 - 48 shares at 0.25\",\"CDIV\",\"\",\"\",\"$12.00\"
\"3/5/2024\",\"3/5/2024\",\"3/5/2024\",\"\",\"Gold Subscription Fee\",\"GOLD\",\"\",\"\",\"($5.00)\"
\"3/4/2024\",\"3/4/2024\",\"3/6/2024\",\"QZT\",\"Quartz Instruments\nCUSIP: 037833100\",\"Buy\",\"0.5\",\"$50.01\",\"($25.01)\"
\"3/4/2024\",\"3/4/2024\",\"3/6/2024\",\"QZT\",\"Quartz Instruments\nCUSIP: 037833100\",\"Buy\",\"48\",\"$50.01\",\"($2,400.48)\"
\"3/1/2024\",\"3/1/2024\",\"3/1/2024\",\"\",\"Who knows\",\"ZZZ\",\"\",\"\",\"$1.00\"
\"2/29/2024\",\"2/29/2024\",\"2/29/2024\",\"\",\"ACH Deposit\",\"ACH\",\"\",\"\",\"$5,000.00\"

\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"This is no statement of account, and nobody vouches for it.\"
";

fn read(ledger: &Ledger, text: &str) -> Result<Parsed, Vec<Fault>> {
    super::super::read(Format::Robinhood, "r.csv", text.as_bytes(), &ledger.portfolio, ledger, &mut |_| {})
}

fn rows(text: &str) -> Parsed {
    read(&Ledger::new(), &format!("{HEADER}{text}")).unwrap()
}

fn row(date: &str, instrument: &str, description: &str, code: &str, rest: [&str; 3]) -> String {
    let [quantity, price, amount] = rest;
    format!(
        "\"{date}\",\"{date}\",\"{date}\",\"{instrument}\",\"{description}\",\"{code}\",\"{quantity}\",\"{price}\",\"{amount}\"\n"
    )
}

fn entries(parsed: &Parsed) -> Vec<&Event> {
    parsed.drafts.iter().filter(|draft| draft.role == Role::Entry).map(|draft| &draft.event).collect()
}

fn asides(parsed: &Parsed) -> Vec<(u64, QuarantineReason, Option<String>)> {
    let events = parsed.drafts.iter().filter_map(|draft| match &draft.event {
        Event::RecordQuarantined(event) => {
            Some((event.line.unwrap(), event.reason.clone(), event.column.as_deref().map(str::to_owned)))
        }
        _ => None,
    });
    events.collect()
}

fn only(text: &str) -> Event {
    let parsed = rows(text);
    assert_eq!((asides(&parsed), entries(&parsed).len()), (Vec::new(), 1), "{text}");
    entries(&parsed)[0].clone()
}

fn aside(text: &str) -> (QuarantineReason, Option<String>) {
    let parsed = rows(text);
    assert_eq!(entries(&parsed), Vec::<&Event>::new(), "{text}");
    let (_, reason, column) = asides(&parsed).remove(0);
    (reason, column)
}

fn usd(text: &str) -> Money {
    Money::new(daybook_schemas::decimal::parse(text).unwrap(), CURRENCY)
}

fn groups(parsed: &Parsed) -> Vec<Option<String>> {
    let group = |event: &&Event| event.entry().unwrap().group.as_ref().map(ToString::to_string);
    entries(parsed).iter().map(group).collect()
}

#[test]
fn a_report_is_read_oldest_first_and_its_disclaimer_is_no_row() {
    let ledger = Ledger::new();
    let parsed = read(&ledger, FILE).unwrap();
    assert_eq!((parsed.rows, parsed.quarantined), (7, 1));
    let names: Vec<_> = entries(&parsed).iter().map(|event| event.event_type().name()).collect();
    assert_eq!(
        names,
        ["CashTransferred", "TradeExecuted", "TradeExecuted", "FeePosted", "DividendPosted", "TradeExecuted"]
    );
    let Event::TradeExecuted(whole) = entries(&parsed)[1] else { panic!() };
    assert_eq!(whole.quantity.to_string(), "48", "of one day the row that stands last came first");
    assert_eq!(whole.entry.settles_on.unwrap().to_string(), "2024-03-06");
    assert_eq!(asides(&parsed), [(10, QuarantineReason::UnknownCode, Some("Trans Code".to_owned()))]);
    let aside = parsed.drafts.iter().find(|draft| draft.role == Role::Quarantine).unwrap();
    let Event::RecordQuarantined(event) = &aside.event else { panic!() };
    assert!(event.raw.open(Context::keys(&ledger)).unwrap().text.starts_with("\"3/1/2024\""));
    assert!(!aside.event.to_json().unwrap().to_string().contains("Who knows"));
}

#[test]
fn what_follows_what_might_be_the_disclaimer_makes_it_a_row_that_is_kept_aside() {
    let cash = row("3/1/2024", "", "ACH Deposit", "ACH", ["", "", "$5.00"]);
    let parsed = rows(&format!("{DISCLAIMER}{cash}{DISCLAIMER}"));
    assert_eq!(entries(&parsed).len(), 1);
    assert_eq!(asides(&parsed), [(2, QuarantineReason::BadRow, None)]);
}

#[test]
fn the_amount_is_what_was_paid_and_the_price_is_rounded() {
    let parsed = read(&Ledger::new(), FILE).unwrap();
    let Event::TradeExecuted(sale) = entries(&parsed)[5] else { panic!() };
    assert_eq!(sale.net_amount, Some(usd("2472.82")), "and not 48 × 51.52 = 2,472.96");
    assert_eq!(sale.price.unwrap().to_string(), "51.52");
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    let odd = rows(&row("3/1/2024", "QZT", "Quartz", "Buy", ["10", "$2.00", "($25.00)"]));
    assert!(odd.warnings[0].text.contains("differs by 5"), "{:?}", odd.warnings);
}

#[test]
fn a_whole_and_a_fractional_row_both_count_and_equal_rows_do() {
    let mut ledger = Ledger::new();
    let parsed = read(&ledger, FILE).unwrap();
    assert_eq!(ledger.apply(&parsed), Ok(7));
    assert_eq!(ledger.apply(&read(&ledger, FILE).unwrap()), Ok(0));
    let fee = "\"3/5/2024\",\"3/5/2024\",\"3/5/2024\",\"\",\"Gold Subscription Fee\",\"GOLD\",\"\",\"\",\"($5.00)\"\n";
    let twice = FILE.replace(fee, &format!("{fee}{fee}"));
    assert_eq!(ledger.apply(&read(&ledger, &twice).unwrap()), Ok(1), "of two equal rows one is new");
    assert_eq!(ledger.apply(&read(&ledger, FILE).unwrap()), Ok(0));
}

#[test]
fn a_row_is_the_same_whatever_its_description_and_its_settlement_say() {
    let mut ledger = Ledger::new();
    ledger.apply(&read(&ledger, FILE).unwrap()).unwrap();
    let later =
        FILE.replace("Quartz Instruments", "Quartz Holdings").replace("\"3/12/2024\"", "\"3/11/2024\"");
    assert_eq!(ledger.apply(&read(&ledger, &later).unwrap()), Ok(0));
}

#[test]
fn a_file_in_the_other_order_says_the_same() {
    let parsed = read(&Ledger::new(), FILE).unwrap();
    let mut blocks: Vec<String> = Vec::new();
    for line in FILE.lines().skip(1).filter(|line| !line.is_empty() && !line.contains("vouches")) {
        match blocks.last_mut() {
            Some(last) if line.starts_with("CUSIP") => *last = format!("{last}\n{line}"),
            _ => blocks.push(line.to_owned()),
        }
    }
    blocks.reverse();
    let turned = rows(&format!("{}\n", blocks.join("\n")));
    let said = |parsed: &Parsed| -> Vec<_> {
        let entries = parsed.drafts.iter().filter(|draft| draft.role == Role::Entry);
        entries.map(|draft| (draft.identity.clone(), draft.event.entry().unwrap().when)).collect()
    };
    assert_eq!(said(&turned), said(&parsed));
}

#[test]
fn every_code_becomes_the_event_that_it_means() {
    let cash = ["", "", "($2.00)"];
    let option = "QZT 3/15/2024 Put $45.00";
    let trade = |code: &str, description: &str, amount: &str| {
        let Event::TradeExecuted(trade) =
            only(&row("3/1/2024", "QZT", description, code, ["1", "$2.00", amount]))
        else {
            panic!("{code}")
        };
        (trade.side, trade.effect, trade.multiplier.to_string())
    };
    assert_eq!(trade("Buy", "Quartz", "($2.00)"), (Side::Buy, Effect::Unstated, "1".to_owned()));
    assert_eq!(trade("Sell", "Quartz", "$2.00"), (Side::Sell, Effect::Close, "1".to_owned()));
    assert_eq!(trade("BTO", option, "($200.00)"), (Side::Buy, Effect::Open, "100".to_owned()));
    assert_eq!(trade("STC", option, "$200.00"), (Side::Sell, Effect::Close, "100".to_owned()));
    assert_eq!(trade("STO", option, "$199.95"), (Side::Sell, Effect::Open, "100".to_owned()));
    assert_eq!(trade("BTC", option, "($200.05)"), (Side::Buy, Effect::Close, "100".to_owned()));
    for (code, name) in [
        ("CDIV", "DividendPosted"),
        ("MDIV", "DividendPosted"),
        ("SCAP", "DividendPosted"),
        ("NRAT", "TaxPosted"),
        ("DTAX", "TaxPosted"),
        ("INT", "InterestPosted"),
        ("SLIP", "InterestPosted"),
        ("MINT", "InterestPosted"),
        ("GOLD", "FeePosted"),
        ("GMPC", "FeePosted"),
        ("AFEE", "FeePosted"),
        ("DFEE", "FeePosted"),
        ("ACH", "CashTransferred"),
        ("RTP", "CashTransferred"),
        ("ITRF", "CashTransferred"),
        ("XENT", "CashTransferred"),
        ("T/A", "CashTransferred"),
        ("CFIR", "CashTransferred"),
        ("DRFRO", "CashTransferred"),
        ("FUTSWP", "CashTransferred"),
        ("ABIP", "RewardPosted"),
        ("MTCH", "RewardPosted"),
        ("MISC", "CashAdjusted"),
        ("ACATI", "CashTransferred"),
        ("ACATO", "CashTransferred"),
    ] {
        let event = only(&row("3/1/2024", "", "Something", code, cash));
        assert_eq!(event.event_type().name(), name, "{code}");
        let reported = event.entry().unwrap().reported.clone().unwrap();
        assert_eq!(reported.code.as_deref(), Some(code));
    }
    let paid = |code| only(&row("3/1/2024", "QZT", "Something", code, cash));
    assert!(
        matches!(paid("MDIV"), Event::DividendPosted(paid) if paid.kind == DividendKind::InLieu && paid.instrument.is_some())
    );
    assert!(matches!(paid("SCAP"), Event::DividendPosted(paid) if paid.kind == DividendKind::ShortTermGain));
    assert!(matches!(paid("MINT"), Event::InterestPosted(paid) if paid.kind == InterestKind::Margin));
    assert!(matches!(paid("SLIP"), Event::InterestPosted(paid) if paid.kind == InterestKind::Lending));
    assert!(matches!(paid("DTAX"), Event::TaxPosted(paid) if paid.kind == TaxKind::Foreign));
    assert!(matches!(paid("AFEE"), Event::FeePosted(paid) if paid.kind == FeeKind::Depositary));
    assert!(matches!(paid("MTCH"), Event::RewardPosted(paid) if paid.kind == RewardKind::Promotion));
    assert!(matches!(paid("CIL"), Event::CashInLieuPaid(paid) if paid.amount == usd("-2")));
    assert!(matches!(paid("ROC"), Event::CapitalReturned(_)));
}

#[test]
fn shares_that_are_transferred_come_or_go() {
    let moved = |code: &str, quantity: &str| {
        let Event::SecuritiesTransferred(moved) =
            only(&row("3/1/2024", "QZT", "ACAT", code, [quantity, "", ""]))
        else {
            panic!("{code}")
        };
        moved.quantity.to_string()
    };
    assert_eq!(moved("ACATI", "1,000.5"), "1000.5");
    assert_eq!(moved("ACATO", "10"), "-10");
    assert_eq!(moved("ACATO", "10S"), "-10");
    assert_eq!(moved("REC", "1"), "1");
    let both = row("3/1/2024", "QZT", "ACAT", "ACATI", ["10", "", "$5.00"]);
    assert_eq!(aside(&both), (QuarantineReason::Contradiction, Some("Amount".to_owned())));
}

#[test]
fn a_split_states_the_shares_that_were_added() {
    let Event::SplitApplied(split) = only(&row("3/1/2024", "QZT", "Quartz", "SPL", ["96", "", ""])) else {
        panic!()
    };
    assert_eq!((split.added.unwrap().to_string().as_str(), split.ratio), ("96", None));
    assert!(matches!(split.entry.when, When::On { phase: Phase::Open, .. }));
    let Event::HoldingDistributed(spun) = only(&row("3/1/2024", "QZU", "Unit", "SOFF", ["3", "", ""])) else {
        panic!()
    };
    assert_eq!(spun.quantity.to_string(), "3");
}

#[test]
fn a_reverse_split_takes_the_old_shares_and_brings_the_new_ones_in_one_group() {
    let old = row("3/1/2024", "QZT", "Quartz\nCUSIP: 037833100", "SPR", ["200S", "", ""]);
    let new = row("3/1/2024", "QZT", "Quartz", "SPR", ["40", "", ""]);
    let parsed = rows(&format!("{new}{old}"));
    let (mut gave, mut received) = (None, None);
    for event in entries(&parsed) {
        let Event::PositionExchanged(event) = event else { panic!("{event:?}") };
        assert_eq!(event.kind, ExchangeKind::ReverseSplit);
        gave = gave.or_else(|| event.gave.clone());
        received = received.or_else(|| event.received.clone());
    }
    let (gave, received) = (gave.unwrap(), received.unwrap());
    assert_eq!(
        (gave.quantity.unwrap().to_string(), received.quantity.unwrap().to_string()),
        ("200".into(), "40".into())
    );
    assert_eq!(gave.instrument, received.instrument);
    let names = groups(&parsed);
    assert!(names[0].is_some() && names[0] == names[1]);
    assert_eq!(aside(&old), (QuarantineReason::Unpaired, Some("Trans Code".to_owned())));
    let other = new.replace("\"QZT\"", "\"NEWQ\"").replace("SPR", "SXCH");
    let parsed = rows(&format!("{}{other}", old.replace("SPR", "SXCH")));
    assert!(
        groups(&parsed)[0].is_some() && parsed.quarantined == 0,
        "an exchange may bring another instrument"
    );
}

#[test]
fn an_option_ends_without_a_side_and_brings_its_shares_in_one_group() {
    let ends = |code: &str, description: &str, quantity: &str| {
        let Event::OptionSettled(ended) =
            only(&row("3/15/2024", "QZT", description, code, [quantity, "", ""]))
        else {
            panic!()
        };
        (ended.settlement, ended.quantity.unwrap().to_string(), ended.amount)
    };
    let expired = "Option Expiration for QZT 3/15/2024 Call $52.50";
    assert_eq!(ends("OEXP", expired, "2S"), (OptionSettlement::Expired, "2".to_owned(), None));
    assert_eq!(ends("OEXP", expired, "2"), (OptionSettlement::Expired, "2".to_owned(), None));
    assert_eq!(ends("OEXCS", "QZT 3/15/2024 Call $52.50", "1").0, OptionSettlement::Exercised);
    let assigned = row("3/15/2024", "QZT", "QZT 3/15/2024 Put $45.00", "OASGN", ["2", "", ""]);
    let shares = row("3/18/2024", "QZT", "Quartz\nOption Assigned", "Buy", ["200", "$45.00", "($9,000.00)"]);
    let parsed = rows(&format!("{shares}{assigned}"));
    let names = groups(&parsed);
    assert!(names[0].is_some() && names[0] == names[1], "{names:?}");
    let other = shares.replace("\"200\"", "\"100\"");
    assert_eq!(groups(&rows(&format!("{other}{assigned}"))), [None, None]);
    assert_eq!(
        aside(&row("3/15/2024", "QZT", "Quartz", "OEXP", ["1", "", ""])),
        (QuarantineReason::BadField, Some("Description".to_owned()))
    );
}

#[test]
fn an_option_is_named_by_its_description_and_is_the_same_under_its_symbol() {
    let mut ledger = Ledger::new();
    let text = row("3/1/2024", "BRK.B", "BRK.B 3/15/2024 Call $410.00", "BTO", ["1", "$2.00", "($200.00)"]);
    ledger.apply(&read(&ledger, &format!("{HEADER}{text}")).unwrap()).unwrap();
    let listed = ledger.class("BRKB240315C00410000");
    assert_eq!((listed.class, listed.name), (InstrumentClass::Option, None));
    for (text, symbol) in [
        ("QZT 1/19/2024 Call $150.00", Some("QZT240119C00150000")),
        ("Option Expiration for QZT 12/1/2024 Put $1,150.50", Some("QZT241201P01150500")),
        ("QZT 1/19/2024 call $0.50", Some("QZT240119C00000500")),
        ("QZT Call", None),
        ("", None),
    ] {
        let found = line::option(text).unwrap();
        assert_eq!(found.as_ref().map(|symbol| symbol.text.as_str()), symbol, "{text}");
    }
    for bad in [
        "QZT 2/30/2024 Call $150.00",
        "QZT 1/19/2024 Call $x",
        "QZT 1/19/2024 Call $0.0001",
        "TOOLONGROOT 1/19/2024 Call $1",
    ] {
        assert!(line::option(bad).is_err(), "{bad}");
    }
}

#[test]
fn money_quantities_and_dates_are_read_as_robinhood_writes_them() {
    for (text, value) in [
        ("$1,234.56", "1234.56"),
        ("($1,234.56)", "-1234.56"),
        ("-$5.00", "-5"),
        ("$0.00", "0"),
        ("($0.00)", "0"),
        ("12", "12"),
        ("$1,234,567.891", "1234567.891"),
    ] {
        assert_eq!(line::money(text).unwrap().normalize().to_string(), value, "{text}");
    }
    for bad in ["$", "()", "(-$5)", "$1,23.4", "1e5", "$1.2.3", "5 USD", "--5", "$-5", "$1.234,5", "+5"] {
        assert!(line::money(bad).is_err(), "{bad}");
    }
    let quantity =
        |text: &str| line::quantity(text).map(|(value, removed)| (value.unwrap().to_string(), removed));
    assert_eq!(quantity("200S"), Ok(("200".to_owned(), true)));
    assert_eq!(quantity("0.123456"), Ok(("0.123456".to_owned(), false)));
    assert_eq!(quantity("-3"), Ok(("3".to_owned(), true)));
    assert_eq!(quantity("(3)"), Ok(("3".to_owned(), true)));
    for bad in ["S", "-3S", "3SS", "3 shares", "1,2", ""] {
        assert!(quantity(bad).is_err(), "{bad}");
    }
    assert_eq!(line::day("1/9/2024").unwrap().to_string(), "2024-01-09");
    assert_eq!(line::day("12/31/2024").unwrap().to_string(), "2024-12-31");
    for bad in ["2024-01-09", "13/1/2024", "2/30/2024", "1/9/24", "1/9/1824", "", "1/9", "01/009/2024"] {
        assert!(line::day(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_cusip_in_a_description_names_the_instrument() {
    let parsed = read(&Ledger::new(), FILE).unwrap();
    let assigned: Vec<_> = parsed
        .drafts
        .iter()
        .filter_map(|draft| match &draft.event {
            Event::IdentifierAssigned(event) if event.scheme == IdentifierScheme::Cusip => {
                Some(event.value.to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(assigned, ["037833100"]);
    let named = parsed.drafts.iter().find_map(|draft| match &draft.event {
        Event::InstrumentListed(event) => event.name.as_deref().map(str::to_owned),
        _ => None,
    });
    assert_eq!(named.as_deref(), Some("Quartz Instruments"));
}

#[test]
fn a_bad_row_is_kept_aside_with_its_column_and_the_rest_goes_on() {
    let good = row("3/1/2024", "QZT", "Quartz", "Buy", ["1", "$2.00", "($2.00)"]);
    let bad = [
        good.replacen("3/1/2024", "2024-03-01", 1),
        good.replace("\"1\"", "\"one\""),
        good.replace("\"($2.00)\"", "\"$2.00\""),
        good.replace("\"1\"", "\"\""),
        good.replace("\"1\"", "\"1S\""),
        good.replace("\"Buy\"", "\"\""),
        "\"3/1/2024\",\"Buy\"\n".to_owned(),
        good.replace("\"QZT\"", "\"Q\u{200b}ZT\""),
        good.replace("\"$2.00\",\"($2.00)\"", "\"\",\"\""),
    ];
    let parsed = rows(&format!("{}{good}", bad.concat()));
    assert_eq!(entries(&parsed).len(), 1);
    let mut found = asides(&parsed);
    found.sort();
    let of = |line, reason, column: &str| {
        (line, reason, Some(column.to_owned()).filter(|column| !column.is_empty()))
    };
    assert_eq!(
        found,
        [
            of(2, QuarantineReason::BadField, "Activity Date"),
            of(3, QuarantineReason::BadField, "Quantity"),
            of(4, QuarantineReason::Contradiction, "Amount"),
            of(5, QuarantineReason::MissingField, "Quantity"),
            of(6, QuarantineReason::Contradiction, "Quantity"),
            of(7, QuarantineReason::MissingField, "Trans Code"),
            of(8, QuarantineReason::BadRow, ""),
            of(9, QuarantineReason::BadField, "Instrument"),
            of(10, QuarantineReason::MissingField, "Amount"),
        ]
    );
}

#[test]
fn a_file_that_is_none_of_robinhoods_is_refused() {
    let fault = |text: &str| read(&Ledger::new(), text).unwrap_err()[0].to_string();
    assert!(fault("").contains("the file is empty"));
    assert!(fault("a,b\n1,2\n").contains("r.csv:1: column `Activity Date`: the column is missing"));
    assert!(fault(HEADER).contains("no rows"));
    assert!(fault(&format!("{HEADER}{DISCLAIMER}")).contains("no rows"));
    let twice = HEADER.replace("\"Price\"", "\"Amount\"");
    assert!(fault(&twice).contains("stands twice"), "{}", fault(&twice));
    assert!(fault(&format!("{HEADER}\"3/1/2024")).contains("r.csv:2: column `Activity Date`: the quote"));
}

proptest! {
    #[test]
    fn any_bytes_are_faults_or_drafts(bytes in proptest::collection::vec(any::<u8>(), 0..300), cell in "[ -~]{0,24}", at in 0usize..80) {
        let ledger = Ledger::new();
        let mut cells: Vec<&str> = FILE.split("\",\"").collect();
        let place = at % cells.len();
        cells[place] = &cell;
        let corrupted = cells.join("\",\"");
        for input in [bytes.as_slice(), &[HEADER.as_bytes(), &bytes].concat(), corrupted.as_bytes()] {
            if let Ok(parsed) = super::super::read(Format::Robinhood, "r.csv", input, &ledger.portfolio, &ledger, &mut |_| {}) {
                let kept = parsed.drafts.iter().filter(|draft| draft.role != Role::Reference).count() as u64;
                assert_eq!(kept, parsed.rows, "every row is an event or is kept aside");
            }
        }
    }
}
