//! Summaries that are served again: always what would be worked out anew, never older than what their reader wrote.

use super::{Daybook, buy, deposit};
use crate::api::portfolios::{described, with_head};
use crate::api::proportions;
use crate::api::service::Config;
use crate::journal::{Author, Draft, Moment, NewToken, Rebuilt, Terms, now};
use daybook_schemas::events::{FxRateObserved, PortfolioRenamed, Role};
use daybook_schemas::{Currency, FxRate, KeyId, PortfolioId, Sealed, Timestamp, stream};
use poem::http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::json;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What may happen to the first of some portfolios, or to all of them.
#[derive(Clone, Debug)]
enum Step {
    Deposit(u8, u8),
    Fill(u8, u8),
    Late(u8),
    Reverse(u8),
    Price(u8, u8),
    Rate(u8),
    Import(u8),
    RevertImport,
    PriceImport(u8),
    Rename(u8),
    RenameInstrument(u8),
    Split(u8),
    Token,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<(u8, u8)>().prop_map(|(portfolio, amount)| Step::Deposit(portfolio, amount)),
        4 => any::<(u8, u8)>().prop_map(|(portfolio, symbol)| Step::Fill(portfolio, symbol)),
        2 => any::<u8>().prop_map(Step::Late),
        2 => any::<u8>().prop_map(Step::Reverse),
        3 => any::<(u8, u8)>().prop_map(|(symbol, price)| Step::Price(symbol, price)),
        1 => any::<u8>().prop_map(Step::Rate),
        1 => any::<u8>().prop_map(Step::Import),
        1 => Just(Step::RevertImport),
        1 => any::<u8>().prop_map(Step::PriceImport),
        1 => any::<u8>().prop_map(Step::Rename),
        1 => any::<u8>().prop_map(Step::RenameInstrument),
        1 => any::<u8>().prop_map(Step::Split),
        1 => Just(Step::Token),
    ]
}

const SYMBOLS: [&str; 3] = ["ACME", "BOLT", "CORE"];

fn symbol(number: u8) -> &'static str {
    SYMBOLS[usize::from(number) % SYMBOLS.len()]
}

/// The token of a page of percentages.
fn onlooker(daybook: &Daybook, portfolios: &[&str]) -> String {
    let new = NewToken {
        role: Role::Display,
        subject: None,
        portfolios: portfolios.iter().map(|id| id.parse().unwrap()).collect(),
        expires: None,
        percentages_only: true,
    };
    daybook.journal.issue_token(&Author::operator(), new, None).unwrap().secret
}

/// Portfolios under way, and what was done to them.
struct Stage {
    daybook: Daybook,
    portfolios: Vec<String>,
    /// The token of a page of percentages.
    onlooker: String,
    entries: Vec<u64>,
    imports: Vec<String>,
    steps: u32,
}

impl Stage {
    async fn new() -> Self {
        let daybook = Daybook::new();
        let mut portfolios = Vec::new();
        for name in ["One", "Two", "Three"] {
            portfolios.push(daybook.portfolio(name).await);
        }
        let ids: Vec<&str> = portfolios.iter().map(String::as_str).collect();
        let onlooker = onlooker(&daybook, &ids);
        Self { daybook, portfolios, onlooker, entries: Vec::new(), imports: Vec::new(), steps: 0 }
    }

    fn portfolio(&self, number: u8) -> String {
        self.portfolios[usize::from(number) % self.portfolios.len()].clone()
    }

    /// Does a step; what the service refuses (a split of what is not held, a second reversal) changes nothing.
    async fn take(&mut self, step: &Step) {
        self.steps += 1;
        let (steps, day) = (self.steps, |number: u8| format!("2024-03-{:02}", 1 + number % 28));
        let transact = |daybook: &Daybook, portfolio: String, body: serde_json::Value| {
            let path = format!("/v1/portfolios/{portfolio}/transactions");
            let token = daybook.administrator.clone();
            (path, token, body)
        };
        let of_portfolio = match step {
            Step::Deposit(portfolio, amount) => {
                Some((*portfolio, deposit(&day(*amount), &amount.to_string().replace('0', "1"))))
            }
            Step::Fill(portfolio, number) => {
                Some((*portfolio, buy(&day(*number), symbol(*number), "3", &format!("1{}", number % 10))))
            }
            Step::Late(portfolio) => Some((*portfolio, deposit("2023-01-02", "7"))),
            Step::Split(portfolio) => Some((
                *portfolio,
                json!({ "time": "2024-03-15", "type": "split", "symbol": "ACME", "quantity": "2" }),
            )),
            Step::RenameInstrument(number) => {
                let (from, to) = (symbol(*number), format!("{}{steps}", symbol(*number)));
                let rename =
                    json!({ "time": "2024-03-20", "type": "rename", "symbol": from, "to_symbol": to });
                Some((*number, rename))
            }
            _ => None,
        };
        if let Some((portfolio, body)) = of_portfolio {
            let (path, token, body) = transact(&self.daybook, self.portfolio(portfolio), body);
            let headers = [("content-type", "application/json")];
            let answer =
                self.daybook.send(Some(&token), Method::POST, &path, &headers, body.to_string()).await;
            if answer.status == 201 {
                self.entries.push(answer.json()["sequence"].as_u64().unwrap());
            }
            return;
        }
        let author = Author::operator();
        let record = |draft: Draft| {
            self.daybook.journal.record(&author, vec![draft], Terms::default()).unwrap();
        };
        match step {
            Step::Reverse(number) if !self.entries.is_empty() => {
                let target = self.entries[usize::from(*number) % self.entries.len()];
                self.daybook
                    .post(&format!("/v1/events/{target}/reverse"), &json!({ "reason": "a slip" }))
                    .await;
            }
            Step::Price(number, price) => {
                let (date, close) = (day(*price), format!("{}.5", 1 + u32::from(*price)));
                let item = json!({ "symbol": symbol(*number), "date": date, "close": close });
                self.daybook.post("/v1/prices", &json!({ "items": [item] })).await;
            }
            Step::Rate(number) => {
                let rate = FxRateObserved {
                    base: Currency::parse("EUR").unwrap(),
                    quote: Currency::USD,
                    rate: FxRate::new((1 + u32::from(*number)).into()),
                    day: None,
                    revision: 0,
                };
                let name = stream::pair("test", rate.base, rate.quote);
                record(Draft::new(name, now(), rate));
            }
            Step::Import(number) => {
                let portfolio = self.portfolio(*number);
                let csv =
                    format!("time,type,amount,id\n2024-03-06,deposit,{},i{steps}\n", 1 + u32::from(*number));
                let path = format!("/v1/portfolios/{portfolio}/imports");
                let report =
                    self.daybook.upload(&path, &[("format", "csv")], &csv, &[]).await.has(201).json();
                self.imports.push(report["import"].as_str().unwrap().to_owned());
            }
            Step::PriceImport(number) => {
                let csv = format!(
                    "date,symbol,close\n2024-03-{:02},ACME,{}\n",
                    1 + number % 28,
                    1 + u32::from(*number)
                );
                let report = self.daybook.upload("/v1/prices/imports", &[], &csv, &[]).await;
                if report.status == 201
                    && let Some(import) = report.json()["import"].as_str()
                {
                    self.imports.push(import.to_owned());
                }
            }
            Step::RevertImport => {
                if let Some(import) = self.imports.pop() {
                    self.daybook.post(&format!("/v1/imports/{import}/revert"), &json!({})).await;
                }
            }
            Step::Rename(number) => {
                let id: PortfolioId = self.portfolio(*number).parse().unwrap();
                let name = format!("Renamed {steps}");
                let name = Sealed::seal(&self.daybook.journal.keys(), KeyId::Portfolio(id), &name).unwrap();
                record(Draft::new(stream::portfolio(id), now(), PortfolioRenamed { name }));
            }
            Step::Token => {
                self.daybook.token(Role::Auditor, &[]);
            }
            _ => {}
        }
    }

    /// Every summary is the one that the log gives when it is folded anew, to the byte.
    async fn check(&self, step: &Step) {
        let journal = &self.daybook.journal;
        let mut rebuilt = Rebuilt::new(None, false, journal.keys().clone());
        journal
            .ledger()
            .scan(1, u64::MAX, &mut |record| {
                rebuilt.take(record).unwrap();
                ControlFlow::Continue(())
            })
            .unwrap();
        rebuilt.finish();
        let listed = self.daybook.get("/v1/portfolios").await.has(200).json();
        let ids = self.portfolios.join(",");
        let batch = self.daybook.get(&format!("/v1/portfolios/summaries?ids={ids}")).await.has(200).json();
        for (number, portfolio) in self.portfolios.iter().enumerate() {
            let served = self.daybook.get(&format!("/v1/portfolios/{portfolio}")).await.has(200);
            let path = format!("/v1/portfolios/{portfolio}");
            let shown = self.daybook.send(Some(&self.onlooker), Method::GET, &path, &[], ()).await.has(200);
            let (figures, proportions) = rebuilt
                .portfolio(portfolio.parse().unwrap(), &Moment::default(), None, |view| {
                    let summary = view.summary();
                    let proportions = proportions::described(view, &summary).to_string();
                    (described(view, summary).to_string(), proportions)
                })
                .unwrap();
            let anew = |members: &str| with_head(members, self.daybook.head());
            for (answer, members) in [(&served, &figures), (&shown, &proportions)] {
                assert_eq!(String::from_utf8_lossy(&answer.bytes), anew(members), "after {step:?}");
            }
            // Many at once are each as they are alone.
            let figures: serde_json::Value = serde_json::from_str(&anew(&figures)).unwrap();
            let items = listed["items"].as_array().unwrap();
            assert_eq!(items.iter().find(|item| item["id"] == **portfolio), Some(&figures), "after {step:?}");
            for figure in ["as_of", "cash", "equity", "unrealised", "missing"] {
                assert_eq!(batch["items"][number].get(figure), figures.get(figure), "after {step:?}");
            }
        }
    }
}

#[test]
fn a_published_summary_is_what_the_log_gives_when_it_is_folded_anew() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    TestRunner::new(Cases { cases: 12, failure_persistence: None, ..Cases::default() })
        .run(&prop::collection::vec(step(), 1..30), |steps| {
            runtime.block_on(async {
                let mut stage = Stage::new().await;
                for step in &steps {
                    stage.take(step).await;
                    stage.check(step).await;
                }
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn each_step_of_the_property_is_taken_at_least_once() {
    let mut stage = Stage::new().await;
    let steps = [
        Step::Deposit(0, 11),
        Step::Fill(0, 0),
        Step::Fill(1, 1),
        Step::Price(0, 9),
        Step::Price(1, 8),
        Step::Late(0),
        Step::Rate(3),
        Step::Import(0),
        Step::PriceImport(7),
        Step::RevertImport,
        Step::RevertImport,
        Step::Split(0),
        Step::Rename(1),
        Step::RenameInstrument(1),
        Step::Reverse(1),
        Step::Token,
    ];
    for step in &steps {
        let before = stage.daybook.head();
        stage.take(step).await;
        assert!(stage.daybook.head() > before, "{step:?} recorded nothing");
        stage.check(step).await;
    }
}

#[tokio::test]
async fn an_event_that_concerns_others_moves_the_head_of_an_answer_and_nothing_else() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    daybook.transact(&mine, buy("2024-01-03", "ACME", "2", "10")).await;
    daybook.transact(&other, buy("2024-01-03", "BOLT", "2", "10")).await;
    let path = format!("/v1/portfolios/{mine}");
    let tag = daybook.get(&path).await.header("etag").to_owned();
    // A price of what it does not hold.
    daybook.price("BOLT", "2024-01-05", "11").await;
    let after = daybook.get(&path).await;
    assert_eq!(after.json()["sequence"], daybook.head());
    assert_eq!(after.header("etag"), tag);
    daybook.get_knowing(&path, &tag).await.has(304);
    let head = daybook.send(Some(&daybook.administrator), Method::HEAD, &path, &[], ()).await.has(200);
    assert_eq!((head.header("etag"), head.bytes.len()), (tag.as_str(), 0));
}

#[tokio::test]
async fn a_token_that_was_just_used_is_refused_as_soon_as_it_is_revoked_or_ends() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}");
    let secret = daybook.token(Role::Auditor, &[]);
    for _ in 0..3 {
        daybook.send(Some(&secret), Method::GET, &path, &[], ()).await.has(200);
    }
    let id = daybook.journal.authenticate(&secret).unwrap().unwrap().token;
    daybook.journal.revoke_token(&Author::operator(), id, None, None).unwrap();
    daybook.send(Some(&secret), Method::GET, &path, &[], ()).await.is(401, "unauthorized");
    let ends = now().plus_nanos(1_500_000_000);
    let new = NewToken {
        role: Role::Auditor,
        subject: None,
        portfolios: Vec::new(),
        expires: Some(ends),
        percentages_only: false,
    };
    let secret = daybook.journal.issue_token(&Author::operator(), new, None).unwrap().secret;
    let mut answered = 0;
    loop {
        let before: Timestamp = now();
        let answer = daybook.send(Some(&secret), Method::GET, &path, &[], ()).await;
        if answer.status == 401 {
            assert!(now() >= ends);
            break;
        }
        assert!(before < ends, "answered after its end: {answer}");
        answered += 1;
    }
    assert!(answered > 0);
}

#[tokio::test]
async fn a_portfolio_out_of_reach_is_not_shown_because_somebody_else_just_read_it() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    let secret = daybook.token(Role::Service, &[&mine]);
    for _ in 0..2 {
        daybook.get(&format!("/v1/portfolios/{other}")).await.has(200);
        let path = format!("/v1/portfolios/{other}");
        daybook.send(Some(&secret), Method::GET, &path, &[], ()).await.has(404);
        let path = format!("/v1/portfolios/{mine}");
        daybook.send(Some(&secret), Method::GET, &path, &[], ()).await.has(200);
    }
}

#[tokio::test]
async fn a_portfolio_that_never_was_is_not_found_however_often_it_is_asked_for() {
    let daybook = Daybook::new();
    for number in 0..20_u8 {
        let id = PortfolioId::from_bytes([number; 16]);
        daybook.get(&format!("/v1/portfolios/{id}")).await.has(404);
    }
}

/// A portfolio of many entries, whose book takes long to fold anew after a late one.
async fn large(daybook: &Daybook, rows: u32) -> String {
    let large = daybook.portfolio("Large").await;
    let mut csv =
        "time,type,symbol,quantity,price,amount\n2024-01-01T10:00:00Z,deposit,,,,1000000\n".to_owned();
    for row in 0..rows {
        let side = if row % 3 == 2 { "sell" } else { "buy" };
        let (minute, second, rest) = (row / 60 % 60, row % 60, row / 3_600);
        csv.push_str(&format!("2024-01-02T11:{minute:02}:{second:02}.{rest:03}Z,{side},ACME,1,10,\n"));
    }
    let path = format!("/v1/portfolios/{large}/imports");
    daybook.upload(&path, &[("format", "csv")], &csv, &[]).await.has(201);
    large
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_during_a_long_fold_are_answered_at_once_with_what_the_answer_says_it_reflects() {
    let daybook = Daybook::within(Config { patience: Duration::ZERO, ..Config::default() });
    let large = large(&daybook, 4_000).await;
    let path = format!("/v1/portfolios/{large}");
    daybook.get(&path).await.has(200);
    let mut last = 0;
    for round in 1..=5_u64 {
        let written = daybook.transact(&large, deposit("2023-12-01", "1")).await;
        let began = Instant::now();
        // It is answered all the time, and becomes current.
        loop {
            let answer = daybook.get(&path).await.has(200).json();
            let sequence = answer["sequence"].as_u64().unwrap();
            assert!(sequence >= last, "an answer went back in time");
            last = sequence;
            let then = daybook.get(&format!("{path}?at_sequence={sequence}")).await.has(200).json();
            assert_eq!(answer, then, "an answer does not reflect what it says");
            if sequence >= written {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "round {round} never became current");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_wrote_reads_it_back_while_others_write_and_a_large_book_is_folded_anew() {
    let daybook = Daybook::new();
    let large = large(&daybook, 4_000).await;
    let small = [daybook.portfolio("A").await, daybook.portfolio("B").await];
    let (daybook, large) = (&daybook, &large);
    let writes = async |portfolio: &str, day: &str, count: u64| {
        for _ in 0..count {
            let written = daybook.transact(portfolio, deposit(day, "1")).await;
            let read = daybook.get(&format!("/v1/portfolios/{portfolio}")).await.has(200).json();
            assert!(read["sequence"].as_u64().unwrap() >= written, "{read}");
        }
        let read = daybook.get(&format!("/v1/portfolios/{portfolio}")).await.has(200).json();
        read["net_contributions"].as_str().unwrap().to_owned()
    };
    let reads = async || {
        for _ in 0..200 {
            daybook.get(&format!("/v1/portfolios/{large}")).await.has(200);
            daybook.get(&format!("/v1/portfolios/{}", small[0])).await.has(200);
        }
    };
    let (a, b, of_large, (), ()) = tokio::join!(
        writes(&small[0], "2024-02-01", 60),
        writes(&small[1], "2024-02-01", 60),
        writes(large, "2023-12-01", 10),
        reads(),
        reads(),
    );
    assert_eq!((a.as_str(), b.as_str(), of_large.as_str()), ("60", "60", "1000010"));
}
