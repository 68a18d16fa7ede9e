//! Lists of instruments against a ledger that knows some of them from imports.

use super::*;
use crate::config::{AlpacaAccount, Secret};
use crate::importers::symbols::{self, Form};
use crate::importers::{Format, PriceOptions};
use crate::journal::{Access, ImportRequest, NewPortfolio, Opening};
use crate::sync::pace::MachineClock;
use daybook_projections::{InstrumentChangeKind, Resolution};
use daybook_schemas::events::{IdentifierScheme, InstrumentClass};
use daybook_schemas::{Currency, InstrumentId, PortfolioId};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Route, get, handler};
use std::fmt::Write as _;
use std::sync::Mutex;
use tempfile::TempDir;

struct World {
    journal: Arc<Journal>,
    directory: TempDir,
    portfolio: PortfolioId,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(directory.path(), &Opening { access: Access::Create, progress: None }).unwrap();
        let new = NewPortfolio::parse("Trading", "USD", "fifo", "America/New_York", "weekdays").unwrap();
        let portfolio = journal.open_portfolio(&Author::operator(), &new, None).unwrap();
        Self { journal: Arc::new(journal), directory, portfolio }
    }

    fn import(&self, rows: &str) {
        let csv = format!("time,type,symbol,quantity,price,currency,isin\n{rows}");
        let request = ImportRequest {
            format: Format::Csv,
            file_name: "rows.csv",
            bytes: csv.as_bytes(),
            portfolio: Some(self.portfolio),
            prices: PriceOptions::default(),
            dry_run: false,
        };
        self.journal.import(&Author::operator(), &request, None, &|_, _| {}).unwrap();
    }

    fn alpaca(&self, assets: &[Asset]) -> Refreshed {
        record(&self.journal, Keeper::Alpaca, assets, 0, crate::journal::now()).unwrap()
    }

    fn list(&self, text: &str) -> Result<Refreshed, RefreshError> {
        let path = self.directory.path().join("list.csv");
        std::fs::write(&path, text).unwrap();
        record(&self.journal, Keeper::List, &list::assets(&path)?, 0, crate::journal::now())
    }

    fn find(&self, symbol: &str) -> InstrumentId {
        let library = self.journal.library().unwrap();
        match library.instruments.resolve(&IdentifierScheme::Symbol, symbol, None, None, None) {
            Resolution::One(id) => id,
            other => panic!("{symbol} is {other:?}"),
        }
    }

    fn changes(&self, since: u64) -> Vec<(String, InstrumentChangeKind)> {
        let library = self.journal.library().unwrap();
        let changes = library.instruments.changes_after(since).to_vec();
        changes
            .into_iter()
            .map(|change| {
                let symbol = library.instruments.symbol(change.instrument, None).unwrap_or_default();
                (symbol.to_owned(), change.kind)
            })
            .collect()
    }

    fn head(&self) -> u64 {
        self.journal.ledger().head()
    }

    fn count(&self) -> usize {
        self.journal.library().unwrap().instruments.list().count()
    }
}

/// An asset that is traded.
fn asset(handle: &str, symbol: &str) -> Asset {
    let symbol = symbols::read(symbol).unwrap();
    let crypto = matches!(symbol.form, Form::Crypto { .. });
    Asset {
        handle: format!("alpaca:{handle}"),
        name: Some(format!("{} Inc.", symbol.text)),
        symbol,
        class: Some(if crypto { InstrumentClass::Crypto } else { InstrumentClass::Equity }),
        currency: Currency::USD,
        venue: (!crypto).then(|| "XNAS".to_owned()),
        isin: None,
        cusip: None,
        active: true,
    }
}

#[test]
fn the_same_list_again_adds_nothing() {
    let world = World::new();
    let assets = [asset("1", "AAPL"), asset("2", "BRK.B"), asset("3", "BTC/USD"), asset("4", "MSFT")];
    let first = world.alpaca(&assets);
    assert_eq!((first.listed, first.confirmed, first.appended), (4, 0, 12));
    let head = world.head();
    let again = world.alpaca(&assets);
    assert_eq!((again.listed, again.appended, world.head()), (0, 0, head));
    let library = world.journal.library().unwrap();
    let apple = library.instruments.get(world.find("AAPL")).unwrap();
    assert_eq!((apple.name.as_deref(), apple.provisional), (Some("AAPL Inc."), false));
}

#[test]
fn what_an_import_listed_becomes_the_lists_instrument_and_is_never_doubled() {
    let world = World::new();
    world.import("2024-01-02,buy,AAPL,1,100,,\n2024-01-02,buy,BTC,1,100,,\n2024-01-02,buy,SAP,1,100,EUR,\n");
    let (apple, coin, sap) = (world.find("AAPL"), world.find("BTC"), world.find("SAP"));
    let before = world.count();
    let refreshed = world.alpaca(&[asset("1", "AAPL"), asset("2", "BTC/USD"), asset("3", "SAP")]);
    assert_eq!((refreshed.confirmed, refreshed.listed), (2, 1), "SAP in dollars is not SAP in euros");
    assert_eq!((world.find("AAPL"), world.find("BTC/USD"), world.find("BTC")), (apple, coin, coin));
    assert_eq!(world.count(), before + 1);
    {
        let library = world.journal.library().unwrap();
        assert!(!library.instruments.get(apple).unwrap().provisional);
        assert!(library.instruments.get(sap).unwrap().provisional);
    }
    // What is imported afterwards is the same instrument still.
    world.import("2024-01-03,sell,AAPL,1,110,,\n");
    assert_eq!((world.find("AAPL"), world.count()), (apple, before + 1));
}

#[test]
fn a_number_tells_what_a_symbol_does_not() {
    let world = World::new();
    world.import("2024-01-02,buy,APPLE,1,100,,US0378331005\n2024-01-02,buy,ACME,1,100,,US5949181045\n");
    let (apple, acme) = (world.find("APPLE"), world.find("ACME"));
    let refreshed = world.list("symbol,isin\nAAPL,US0378331005\nACME,US02079K3059\n").unwrap();
    assert_eq!((refreshed.confirmed, refreshed.listed, refreshed.renamed), (1, 1, 0));
    assert_eq!((world.find("AAPL"), world.find("APPLE")), (apple, apple), "it is called both");
    let library = world.journal.library().unwrap();
    assert!(library.instruments.get(acme).unwrap().provisional, "another ISIN is another instrument");
}

#[test]
fn a_symbol_that_changes_is_a_rename_and_one_that_is_given_on_is_another_instrument() {
    let world = World::new();
    world.alpaca(&[asset("1", "FB"), asset("2", "AAPL")]);
    let meta = world.find("FB");
    let head = world.head();
    let refreshed = world.alpaca(&[asset("1", "META"), asset("2", "AAPL")]);
    assert_eq!((refreshed.renamed, refreshed.listed), (1, 0));
    assert_eq!((world.find("META"), world.find("FB")), (meta, meta), "its old name still finds it");
    let renamed = InstrumentChangeKind::Renamed { from: Some("FB".into()), to: "META".into() };
    assert!(world.changes(head).contains(&("META".to_owned(), renamed)), "{:?}", world.changes(head));

    let refreshed = world.alpaca(&[asset("3", "FB"), asset("1", "META"), asset("2", "AAPL")]);
    assert_eq!((refreshed.renamed, refreshed.listed), (0, 1));
    assert_ne!(world.find("FB"), meta, "the name belongs to another one now");
    assert_eq!(world.find("META"), meta);
    assert_eq!(world.alpaca(&[asset("3", "FB"), asset("1", "META"), asset("2", "AAPL")]).appended, 0);
}

#[test]
fn what_is_traded_no_more_is_delisted_once_and_comes_back_when_it_is_traded_again() {
    let world = World::new();
    let (a, b, c) = (asset("1", "AAA"), asset("2", "BBB"), asset("3", "CCC"));
    world.alpaca(&[a.clone(), b.clone(), c.clone()]);
    let head = world.head();
    // One that its list calls inactive, and one that it names no more.
    let inactive = Asset { active: false, ..b.clone() };
    assert_eq!(world.alpaca(&[a.clone(), inactive.clone()]).delisted, 2);
    let delisted = |symbol: &str| (symbol.to_owned(), InstrumentChangeKind::Delisted);
    assert_eq!(world.changes(head), [delisted("BBB"), delisted("CCC")]);
    assert_eq!(world.alpaca(&[a.clone(), inactive]).appended, 0);
    let head = world.head();
    let refreshed = world.alpaca(&[a, b, c]);
    assert_eq!((refreshed.delisted, refreshed.listed), (0, 0));
    let relisted = |symbol: &str| (symbol.to_owned(), InstrumentChangeKind::Relisted);
    assert_eq!(world.changes(head), [relisted("BBB"), relisted("CCC")]);
}

#[test]
fn what_is_dead_and_was_never_known_is_not_listed_nor_does_it_kill_its_successor() {
    let world = World::new();
    world.import("2024-01-02,buy,ABC,1,100,,\n");
    let dead = Asset { active: false, ..asset("1", "ABC") };
    let never = Asset { active: false, ..asset("2", "XYZ") };
    let refreshed = world.alpaca(&[dead, never, asset("3", "AAPL")]);
    assert_eq!((refreshed.listed, refreshed.confirmed, refreshed.delisted), (1, 0, 0));
    let library = world.journal.library().unwrap();
    assert!(library.instruments.get(world.find("ABC")).unwrap().delisted.is_none());
}

#[test]
fn two_living_assets_of_one_symbol_are_two_instruments() {
    let world = World::new();
    let pair = [asset("1", "DUP"), asset("2", "DUP")];
    assert_eq!(world.alpaca(&pair).listed, 2);
    assert_eq!(world.alpaca(&pair).appended, 0);
}

#[test]
fn a_broker_that_calls_everything_an_equity_changes_no_class_that_is_known() {
    let world = World::new();
    world.list("symbol,class,name\nSPY,etf,SPDR S&P 500\n").unwrap();
    world.alpaca(&[Asset { name: None, ..asset("1", "SPY") }]);
    let library = world.journal.library().unwrap();
    let spy = library.instruments.get(world.find("SPY")).unwrap();
    assert_eq!((&spy.class, spy.name.as_deref()), (&InstrumentClass::Etf, Some("SPDR S&P 500")));
}

#[test]
fn a_bad_list_changes_nothing() {
    let world = World::new();
    world.list("symbol\nAAA\nBBB\n").unwrap();
    let head = world.head();
    assert!(matches!(world.list("symbol,currency\nAAA,XXY\n"), Err(RefreshError::Unusable(_))));
    assert!(matches!(world.list("symbol\n"), Err(RefreshError::Unusable(_))));
    assert_eq!(world.head(), head);
    assert_eq!(world.list("symbol\nAAA\n").unwrap().delisted, 1);
}

#[test]
fn without_a_list_any_symbol_passes_and_with_one_a_slip_is_told_its_nearest() {
    let world = World::new();
    let known = |symbol: &str, held: bool| {
        let library = world.journal.library().unwrap();
        known_symbol(&world.journal, &library, symbol, held)
    };
    assert!(matches!(known("ANYTHING", false), Ok(None)));
    world.import("2024-01-02,buy,OTCX,1,100,,\n");
    assert!(known("OTCX", false).unwrap().is_some());
    world.alpaca(&[asset("1", "AAPL"), asset("2", "MSFT"), asset("3", "AAP"), asset("4", "BTC/USD")]);
    assert_eq!(known("AAPL", false).unwrap(), Some(world.find("AAPL")));
    assert!(known("btcusd", false).unwrap().is_some());
    let Err(SymbolError::Unknown(unknown)) = known("APPL", false) else { panic!("it is unknown") };
    assert_eq!(unknown.nearest, ["AAPL", "AAP"]);
    assert!(unknown.to_string().contains("`APPL` is in no list of instruments (the nearest are AAPL, AAP)"));
    assert!(known("OTCX", false).is_err(), "an order needs the list");
    assert!(known("OTCX", true).unwrap().is_some(), "what is held can be priced");
    world.alpaca(&[asset("1", "AAPL"), asset("3", "AAP"), asset("4", "BTC/USD")]);
    assert!(known("MSFT", true).is_err(), "it is delisted");
}

/// A stand-in that lists assets to whoever has the key.
async fn standing_in(body: Arc<Mutex<String>>) -> url::Url {
    #[expect(clippy::needless_pass_by_value, reason = "an extractor comes by value")]
    #[handler]
    fn assets(request: &poem::Request, body: poem::web::Data<&Arc<Mutex<String>>>) -> poem::Response {
        if request.header("APCA-API-KEY-ID") != Some("key") {
            return poem::Response::builder().status(poem::http::StatusCode::FORBIDDEN).body("forbidden.");
        }
        poem::Response::builder().content_type("application/json").body(body.lock().unwrap().clone())
    }
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let port = acceptor.local_addr()[0].as_socket_addr().unwrap().port();
    let routes = Route::new().at("/v2/assets", get(assets)).data(body);
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(routes));
    format!("http://127.0.0.1:{port}").parse().unwrap()
}

fn configured(world: &World, base: &url::Url, key: &str) -> Config {
    Config {
        alpaca: vec![AlpacaAccount {
            name: "main".to_owned(),
            portfolio: world.portfolio,
            key_id: Secret::new(key.to_owned()),
            secret_key: Secret::new("secret".to_owned()),
            base_url: base.clone(),
            stream_url: base.clone(),
            data_url: base.clone(),
            orders: false,
            requests_per_second: 3,
            sweep_fills: Duration::from_secs(60),
            sweep_activities: Duration::from_secs(60),
            sweep_deep: Duration::from_secs(60),
        }],
        instruments: InstrumentSource::Alpaca { every: Duration::from_secs(86_400) },
        ..Config::default()
    }
}

/// Waits until the source is in a state.
async fn reaches(source: &Source, state: State) {
    for _ in 0..500 {
        if source.status().state == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never became {state:?}: {:?}", source.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_keeps_the_registry_in_step_and_reads_anew_when_it_is_rung() {
    let world = World::new();
    let row = |id: u32, symbol: &str| {
        format!("{{\"id\":\"{id}\",\"class\":\"us_equity\",\"symbol\":\"{symbol}\",\"status\":\"active\"}}")
    };
    let body = Arc::new(Mutex::new(format!("[{}]", row(1, "AAPL"))));
    let base = standing_in(body.clone()).await;
    let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
    let board = Board::default();
    let (tell, stop) = watch::channel(false);
    let task = start(&configured(&world, &base, "key"), &world.journal, &board, &clock, &stop).unwrap();
    let source = board.get(NAME).unwrap();
    reaches(&source, State::Current).await;
    assert_eq!(world.count(), 1);

    *body.lock().unwrap() = "a page of a proxy".to_owned();
    source.ring();
    reaches(&source, State::Retrying).await;
    assert!(source.status().detail.unwrap().contains("no list of objects"));

    *body.lock().unwrap() = format!("[{},{}]", row(1, "AAPL"), row(2, "MSFT"));
    source.ring();
    reaches(&source, State::Current).await;
    assert_eq!((world.count(), source.status().failures), (2, 0));
    tell.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_halt_the_source_and_say_what_to_do() {
    let world = World::new();
    let base = standing_in(Arc::new(Mutex::new("[]".to_owned()))).await;
    let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
    let refused = refresh_once(&configured(&world, &base, "wrong"), &world.journal, &clock).await.unwrap();
    let Err(RefreshError::Refused(why)) = refused else { panic!("it is refused: {refused:?}") };
    assert!(why.contains("check the account's keys"), "{why}");
    let without = Config { alpaca: Vec::new(), ..configured(&world, &base, "key") };
    assert!(matches!(
        refresh_once(&without, &world.journal, &clock).await,
        Some(Err(RefreshError::Refused(_)))
    ));
    assert!(refresh_once(&Config::default(), &world.journal, &clock).await.is_none());
    let board = Board::default();
    let (_tell, stop) = watch::channel(false);
    assert!(start(&without, &world.journal, &board, &clock, &stop).is_none());
    assert_eq!(board.get(NAME).unwrap().status().state, State::Halted);
    let events = world.journal.library().unwrap().instruments.changes_after(0).len();
    assert_eq!(events, 0);
}

#[test]
#[ignore = "a measurement: cargo test --release --bin daybook twelve_thousand -- --ignored --nocapture"]
fn twelve_thousand_assets_in_one_pass() {
    let world = World::new();
    let mut rows = String::from("time,type,symbol,quantity,price,currency,isin\n");
    for number in 0..1_000 {
        writeln!(rows, "2024-01-02,buy,S{number:05},1,100,,").unwrap();
    }
    world.import(rows.split_once('\n').unwrap().1);
    let assets: Vec<Asset> =
        (0..12_000).map(|number| asset(&number.to_string(), &format!("S{number:05}"))).collect();
    let timed = |what: &str| {
        let begun = std::time::Instant::now();
        let refreshed = world.alpaca(&assets);
        tracing::info!("{what}: {:?}, {} events", begun.elapsed(), refreshed.appended);
        (begun.elapsed(), refreshed)
    };
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    let (_, first) = timed("first");
    assert_eq!((first.listed, first.confirmed), (11_000, 1_000));
    let (_, again) = timed("again");
    assert_eq!(again.appended, 0);
}
