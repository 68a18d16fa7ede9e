//! Lists of instruments, watched folders and Robinhood's crypto API, in real processes.

use crate::support::{Directory, Ran, Service};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_simulator::{Clock, Keys, Life, Running, StandIn, SystemClock, World};
use ed25519_dalek::SigningKey;
use rust_decimal::Decimal;
use serde_json::Value;
use std::time::Duration;

const DEPOSITS: &str = "time,type,amount\n2024-01-02,deposit,500\n2024-01-03,deposit,250\n";

/// Runs a daemon once by a configuration file.
fn once(directory: &Directory, daemon: &str, file: &str) -> Ran {
    directory.run(&["sync", daemon, "--once", "--config", file])
}

/// Waits until a question has an answer.
fn comes<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came: {what}")
}

#[test]
fn a_list_of_instruments_is_taken_in_once_and_a_bad_one_not_at_all() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, "time,type,symbol,quantity,price\n2024-01-03,buy,ACME,10,60\n").ok();
    let file = directory.write("daybook.toml", "[instruments]\nsource = \"list\"\npath = \"list.csv\"\n");
    directory.write("list.csv", "symbol,name,class\nACME,Acme Inc.,equity\nSPY,,etf\n");
    let ran = once(&directory, "instruments", &file).ok();
    assert!(ran.stdout.contains("2 on the list: 1 new, 1 confirmed, 0 renamed, 0 delisted"), "{ran}");
    let head = directory.head();
    once(&directory, "instruments", &file).ok();
    directory.write("list.csv", "symbol,name,class\nACME,Acme Inc.,equty\n");
    once(&directory, "instruments", &file).exits(1).says(&["list.csv:2: `class`", "did you mean `equity`"]);
    assert_eq!(directory.head(), head);
    let empty = directory.write("empty.toml", "");
    once(&directory, "instruments", &empty).refuses(&["[instruments]", "config --example"]);
    directory.is_sound();
}

#[test]
fn alpacas_assets_become_the_registry_and_what_was_imported_is_confirmed() {
    let now = SystemClock.now();
    let mut world = World::new(3, now);
    world.open(&Keys::new("PKSTANDIN", "stand-in-secret"), true, Decimal::ONE_THOUSAND);
    let broker = StandIn::start("127.0.0.1:0", world, SystemClock).unwrap();
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, "time,type,symbol,quantity,price\n2024-01-03,buy,AAPL,10,60\n").ok();
    let file = directory.write("daybook.toml", "[instruments]\nsource = \"alpaca\"\n");
    let run = |secret: &str| {
        let mut command = directory.command(&["sync", "instruments", "--once", "--config", &file]);
        command.env("APCA_API_KEY_ID", "PKSTANDIN").env("APCA_API_SECRET_KEY", secret);
        command.env("APCA_API_BASE_URL", broker.base_url());
        Ran::of(command)
    };
    run("another-secret").exits(1).says(&["check the account's keys"]);
    let ran = run("stand-in-secret").ok();
    assert!(ran.stdout.contains(" new, 1 confirmed, 0 renamed, 0 delisted"), "{ran}");
    let head = directory.head();
    run("stand-in-secret").ok();
    assert_eq!(directory.head(), head, "the same list again adds nothing");
    directory.is_sound();
}

#[test]
fn a_service_keeps_its_folders_and_its_list_in_step() {
    let (directory, portfolio) = Directory::with_portfolio();
    std::fs::create_dir(directory.path("in")).unwrap();
    let text = format!(
        "[[folder]]\nname = \"downloads\"\npath = \"in\"\nformat = \"csv\"\nportfolio = \"{portfolio}\"\nevery = \"100ms\"\n[instruments]\nsource = \"list\"\npath = \"list.csv\"\n"
    );
    let file = directory.write("daybook.toml", text);
    directory.write("list.csv", "symbol,name\nACME,Acme Inc.\n");
    let service = Service::start_with(&directory, &["--config", &file]);
    let client = service.client();
    comes("the list", || {
        let found = client.get("/v1/instruments/ACME");
        (found.status == 200).then_some(found)
    });
    directory.write("list.csv", "symbol,name\nACME,Acme Inc.\nSPY,SPDR S&P 500\n");
    client.send("POST", "/v1/instruments/refresh", &[], None).has(204);
    comes("the new list", || (client.get("/v1/instruments/SPY").status == 200).then_some(()));

    directory.write("in/deposits.csv", DEPOSITS);
    comes("the deposits", || {
        let transactions = client.pages(&format!("/v1/portfolios/{portfolio}/transactions"));
        (transactions.len() == 2).then_some(())
    });
    directory.write("in/bad.csv", "time,type,amount\n2024-01-02,deposit,many\n");
    let said = comes("the fault", || {
        let source = client.get("/v1/sync/downloads").ok().json();
        source["detail"].as_str().filter(|detail| detail.contains("bad.csv:2")).map(str::to_owned)
    });
    assert!(said.contains("`amount`"), "{said}");
    assert!(std::path::Path::new(&directory.path("in/deposits.csv")).exists());
    service.stop();
    directory.is_sound();
}

#[test]
fn a_folder_can_be_taken_in_once_and_a_bad_file_fails_it() {
    let (directory, portfolio) = Directory::with_portfolio();
    std::fs::create_dir(directory.path("in")).unwrap();
    let text = format!(
        "[[folder]]\nname = \"downloads\"\npath = \"in\"\nformat = \"csv\"\nportfolio = \"{portfolio}\"\n"
    );
    let file = directory.write("daybook.toml", text);
    directory.write("in/deposits.csv", DEPOSITS);
    let ran = once(&directory, "folders", &file).ok();
    assert!(ran.stdout.contains("downloads: deposits.csv: 3 new events"), "{ran}");
    let ran = once(&directory, "folders", &file).ok();
    assert!(ran.stdout.contains("known already"), "{ran}");
    directory.write("in/bad.csv", "time,type,amount\n2024-01-02,deposit,many\n");
    once(&directory, "folders", &file).exits(1).says(&["bad.csv:2: `amount`"]);
    // What ends in the middle of a line is not imported, and that is said.
    std::fs::remove_file(directory.path("in/bad.csv")).unwrap();
    directory.write("in/half.csv", "time,type,amount\n2024-01-04,deposit,20");
    let head = directory.head();
    let ran = once(&directory, "folders", &file).exits(1);
    assert!(ran.stderr.contains("downloads: half.csv: it ends in the middle of a line"), "{ran}");
    assert_eq!(directory.head(), head);
    directory.write("in/half.csv", "time,type,amount\n2024-01-04,deposit,2000\n");
    once(&directory, "folders", &file).ok();
    let prices = "[[prices.feed]]\nname = \"files\"\nkind = \"folder\"\nfolder = \"in\"\n";
    let file = directory.write("prices.toml", prices);
    std::fs::remove_file(directory.path("in/half.csv")).unwrap();
    std::fs::remove_file(directory.path("in/deposits.csv")).unwrap();
    directory.write("in/half.csv", "date,symbol,close\n2024-01-04,ACME,20");
    once(&directory, "prices", &file).exits(1).says(&["half.csv: it ends in the middle of a line"]);
    directory.is_sound();
}

/// A stand-in for Robinhood whose time is everybody's, and whose account has traded for some hours.
fn robinhood(signer: &SigningKey) -> Running {
    let now = SystemClock.now();
    let mut world = World::new(5, now.plus_nanos(-6 * 3_600 * 1_000_000_000));
    world.limits.robinhood_per_minute = None;
    world.open_robinhood("rh-key", signer.verifying_key(), Decimal::new(50_000, 0));
    world.animate(Life::new(5, "rh-key", 10).trading(&["BTC/USD", "ETH/USD"]).without_fees());
    world.advance(now);
    StandIn::start("127.0.0.1:0", world, SystemClock).unwrap()
}

#[test]
fn crypto_orders_at_robinhood_come_in_once_and_the_books_agree() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let broker = robinhood(&signer);
    let (directory, portfolio) = Directory::with_portfolio();
    let text = format!(
        "[[robinhood]]\nname = \"coins\"\nportfolio = \"{portfolio}\"\napi_key_env = \"RH_KEY\"\nprivate_key_env = \"RH_PRIVATE\"\nbase_url = \"{}\"\n",
        broker.base_url()
    );
    let file = directory.write("daybook.toml", text);
    let run = |key: &SigningKey| {
        let mut command = directory.command(&["sync", "robinhood", "--once", "--config", &file]);
        command.env("RH_KEY", "rh-key").env("RH_PRIVATE", STANDARD.encode(key.to_bytes()));
        Ran::of(command)
    };
    let ran = run(&signer).ok();
    assert!(ran.stdout.contains("TradeExecuted") && ran.stdout.contains("the books agree"), "{ran}");
    let trades = |directory: &Directory| {
        let is_trade = |event: &&Value| event["type"] == "TradeExecuted";
        let keys: Vec<Value> =
            directory.events().iter().filter(is_trade).map(|event| event["key"].clone()).collect();
        keys
    };
    let first = trades(&directory);
    assert!(first.len() > 20, "{}", first.len());
    run(&signer).ok();
    assert_eq!(trades(&directory)[..first.len()], first[..]);
    assert_eq!(trades(&directory).len(), broker.world().books("rh-key").unwrap().fills.len());
    run(&SigningKey::from_bytes(&[8; 32])).refuses(&["check the API key"]);
    directory.is_sound();
}

#[test]
fn an_account_at_robinhood_that_fails_keeps_no_other_from_being_read() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let broker = robinhood(&signer);
    let (directory, portfolio) = Directory::with_portfolio();
    let account = |name: &str, private: &str| {
        format!(
            "[[robinhood]]\nname = \"{name}\"\nportfolio = \"{portfolio}\"\napi_key_env = \"RH_KEY\"\nprivate_key_env = \"{private}\"\nbase_url = \"{}\"\n",
            broker.base_url()
        )
    };
    let text = account("wrong", "RH_OTHER") + &account("coins", "RH_PRIVATE");
    let file = directory.write("daybook.toml", text);
    let mut command = directory.command(&["sync", "robinhood", "--once", "--config", &file]);
    command.env("RH_KEY", "rh-key").env("RH_PRIVATE", STANDARD.encode(signer.to_bytes()));
    command.env("RH_OTHER", STANDARD.encode(SigningKey::from_bytes(&[8; 32]).to_bytes()));
    let ran = Ran::of(command).exits(2);
    assert!(ran.stderr.contains("wrong: ") && ran.stderr.contains("check the API key"), "{ran}");
    assert!(ran.stdout.contains("coins: ") && ran.stdout.contains("TradeExecuted"), "{ran}");
    directory.is_sound();
}
