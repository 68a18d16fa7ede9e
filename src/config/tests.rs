//! What the file, the environment and the flags come to, and every way in which they can be wrong.

use super::provenance::Provenance;
use super::{BarSize, Cadence, Config, ConfigFaults, EXAMPLE, FeedKind, Flags, InstrumentSource, Loaded};
use daybook_schemas::{EventType, PortfolioId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const A: &str = "01m7w4cr9v249dggg1td6g7mhk";
const B: &str = "01m7w4cr9v249dggg1td6g7mhm";

/// A secret that must be seen nowhere.
const HIDDEN: &str = "hunter2-is-hidden";

fn id(text: &str) -> PortfolioId {
    text.parse().unwrap()
}

/// A data directory, and an environment.
struct World {
    directory: TempDir,
    variables: BTreeMap<String, String>,
    flags: Flags,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), variables: BTreeMap::new(), flags: Flags::default() }
    }

    /// With this text as the file in the data directory.
    fn with(text: &str) -> Self {
        let world = Self::new();
        std::fs::write(world.path("daybook.toml"), text).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The variables that accounts here take their keys from.
    fn keys(self) -> Self {
        self.set("KEY", HIDDEN).set("SECRET", HIDDEN)
    }

    /// The environment's account.
    fn account(self) -> Self {
        self.set("APCA_API_KEY_ID", HIDDEN).set("APCA_API_SECRET_KEY", HIDDEN)
    }

    /// A file that holds a secret, with these rights.
    fn secret_file(self, name: &str, text: &str, mode: u32) -> Self {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        #[cfg(not(unix))]
        let _ = mode;
        self
    }

    fn load(&self) -> Result<Loaded, ConfigFaults> {
        let loaded =
            Config::load(self.directory.path(), &|name| self.variables.get(name).cloned(), &self.flags);
        let said = match &loaded {
            Ok(loaded) => format!("{loaded:?}{}", loaded.provenance.to_json()),
            Err(faults) => format!("{faults:?}{faults}"),
        };
        assert!(!said.contains(HIDDEN), "a secret is shown: {said}");
        loaded
    }

    fn config(&self) -> Config {
        let (config, faults) = self.load().unwrap_or_else(|faults| panic!("{faults}")).bound(&[id(A), id(B)]);
        assert_eq!(faults, []);
        config
    }

    fn provenance(&self) -> Provenance {
        self.load().unwrap_or_else(|faults| panic!("{faults}")).provenance
    }

    /// Where a value came from, as it is shown.
    fn origin(&self, key: &str) -> String {
        let provenance = self.provenance();
        let mut found = provenance.settings.iter().filter(|setting| setting.key == key);
        let setting = found.next().unwrap_or_else(|| panic!("no {key} in {provenance:?}"));
        assert!(found.next().is_none(), "{key} is shown twice");
        let directory = format!("{}/", self.directory.path().display());
        setting.origin.to_string().replace(&directory, "")
    }

    /// It is refused, and says this.
    fn refused(&self, said: &[&str]) {
        let Err(faults) = self.load() else { panic!("it is not refused; it should say {said:?}") };
        let text = faults.to_string();
        for part in said {
            assert!(text.contains(part), "it does not say `{part}`: {text}");
        }
    }
}

/// An account's section, with more lines.
fn alpaca(more: &str) -> String {
    format!(
        "[[alpaca]]\nname = \"main\"\nportfolio = \"{A}\"\nkey_id_env = \"KEY\"\nsecret_key_env = \"SECRET\"\n{more}\n"
    )
}

#[test]
fn nothing_said_is_nothing_configured() {
    let config = World::new().config();
    assert!(config.alpaca.is_empty() && config.robinhood.is_empty() && config.folders.is_empty());
    assert!(config.prices.feeds.is_empty() && config.prices.ticks.is_none() && !config.orders);
    assert!(matches!(config.instruments, InstrumentSource::None));
    assert_eq!(World::new().provenance().file, None);
}

#[test]
fn the_example_is_a_configuration_and_says_the_defaults_truly() {
    let world = || {
        [
            "APCA_API_KEY_ID",
            "APCA_API_SECRET_KEY",
            "ROBINHOOD_API_KEY",
            "ROBINHOOD_PRIVATE_KEY",
            "ALPHAVANTAGE_API_KEY",
            "FUND_ADMIN_SECRET",
            "TRADINGVIEW_SECRET",
            "CRM_SECRET",
        ]
        .iter()
        .fold(World::with(EXAMPLE), |world, name| world.set(name, HIDDEN))
    };
    let as_written = world();
    let config = as_written.config();
    assert_eq!((config.alpaca.len(), config.robinhood.len(), config.prices.feeds.len()), (1, 1, 4));
    assert!(config.prices.ticks.is_some() && config.folders.len() == 1);
    assert_eq!((config.webhooks.inbound.len(), config.webhooks.outbound.len()), (2, 1));

    // With every comment on a default taken away it says the same.
    let explicit: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(value)
                if value
                    .split_once(" = ")
                    .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')) =>
            {
                format!("{value}\n")
            }
            _ => format!("{line}\n"),
        })
        .filter(|line| {
            // What these say is no default.
            let no_default = [
                "requests_per_day = 100000",
                "path = \"instruments.csv\"",
                "metrics_listen",
                "tls_cert",
                "tls_key",
                "previous_secret_env",
                "account",
                "delivery",
                "pattern",
                "time =",
                "url = \"https://witness",
            ];
            !no_default.iter().any(|start| line.starts_with(start))
        })
        .collect();
    assert_ne!(explicit, EXAMPLE);
    let world = world();
    std::fs::write(world.path("daybook.toml"), &explicit).unwrap();
    let values = |provenance: Provenance| {
        provenance
            .settings
            .into_iter()
            .filter(|setting| setting.key != "config")
            .map(|setting| (setting.key, setting.value))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(values(world.provenance()), values(as_written.provenance()));
}

#[test]
fn an_account_of_the_environment_is_bound_to_the_ledgers_only_portfolio() {
    let loaded = World::new().account().load().unwrap();
    let shown = &loaded.provenance.settings;
    let portfolio = shown.iter().find(|setting| setting.key == "alpaca.alpaca.portfolio").unwrap();
    assert_eq!((&portfolio.value, portfolio.shown().as_str()), (&None, "—"));
    assert!(portfolio.origin.to_string().contains("only portfolio"));
    let (config, faults) = loaded.clone().bound(&[id(A)]);
    assert_eq!(faults, []);
    let account = &config.alpaca[0];
    assert_eq!(account.portfolio, id(A));
    assert_eq!(account.key_id.expose(), HIDDEN);
    assert_eq!(account.base_url.as_str(), "https://paper-api.alpaca.markets/");
    assert_eq!(account.stream_url.as_str(), "wss://paper-api.alpaca.markets/stream");
    assert_eq!(account.data_url.as_str(), "https://data.alpaca.markets/");
    assert!(!account.orders);
    assert_eq!(config.prices.feeds[0].kind, FeedKind::Alpaca, "its prices come with it");

    let (config, faults) = loaded.clone().bound(&[id(A), id(B)]);
    assert!(config.alpaca.is_empty());
    assert!(faults[0].to_string().contains("2 portfolios") && faults[0].to_string().contains("--portfolio"));
    let (_, faults) = loaded.bound(&[]);
    assert!(faults[0].to_string().contains("portfolio open"), "{}", faults[0]);
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let mut world = World::with("orders = true").account().set("DAYBOOK_PORTFOLIO", A);
    assert_eq!(world.config().alpaca[0].portfolio, id(A));
    assert_eq!(world.origin("alpaca.alpaca.portfolio"), "environment variable DAYBOOK_PORTFOLIO");
    assert_eq!(world.origin("orders"), "daybook.toml:1");
    world.flags.portfolio = Some(id(B));
    assert_eq!(world.config().alpaca[0].portfolio, id(B));
    assert_eq!(world.origin("alpaca.alpaca.portfolio"), "flag --portfolio");
    let world = world.set("DAYBOOK_ORDERS", "false");
    assert!(!world.config().orders && !world.config().alpaca[0].orders);
    assert_eq!(world.origin("orders"), "environment variable DAYBOOK_ORDERS");
    world.set("DAYBOOK_ORDERS", "yes").refused(&["DAYBOOK_ORDERS", "`true` or `false`"]);
}

#[test]
fn a_file_is_the_flags_else_the_environments_else_the_directorys() {
    let mut world = World::with("orders = false");
    std::fs::write(world.path("b.toml"), "orders = true").unwrap();
    std::fs::write(world.path("c.toml"), "\norders = true").unwrap();
    assert_eq!(world.origin("orders"), "daybook.toml:1");
    let b = world.path("b.toml").display().to_string();
    world = world.set("DAYBOOK_CONFIG", &b);
    assert_eq!(world.origin("orders"), "b.toml:1");
    world.flags.config = Some(world.path("c.toml"));
    assert_eq!(world.origin("orders"), "c.toml:2");
    world.flags.config = Some(world.path("missing.toml"));
    world.refused(&["--config", "missing.toml cannot be read"]);
    world.flags.config = Some(world.directory.path().to_owned());
    world.refused(&["--config", "cannot be read"]);
    world.flags.config = None;
    world
        .set("DAYBOOK_CONFIG", "/nowhere/d.toml")
        .refused(&["environment variable DAYBOOK_CONFIG", "/nowhere/d.toml"]);
}

#[test]
fn where_each_value_came_from_is_told_and_no_secret_is() {
    let world = World::with(&alpaca("base_url = \"https://api.alpaca.markets\"\nsweep_fills = \"30s\""))
        .set("KEY", HIDDEN)
        .set("SECRET", HIDDEN);
    assert_eq!(world.origin("alpaca.main.base_url"), "daybook.toml:6");
    assert_eq!(world.origin("alpaca.main.sweep_fills"), "daybook.toml:7");
    assert_eq!(world.origin("alpaca.main.sweep_deep"), "default");
    assert_eq!(world.origin("alpaca.main.secret_key"), "environment variable SECRET");
    assert_eq!(world.origin("alpaca.main.stream_url"), "inferred from alpaca.main.base_url");
    let json = world.provenance().to_json();
    let setting = |key: &str| {
        json["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone()
    };
    assert_eq!(
        setting("alpaca.main.secret_key"),
        serde_json::json!({
            "key": "alpaca.main.secret_key", "value": null, "secret": true,
            "from": { "kind": "variable", "name": "SECRET" },
        })
    );
    assert_eq!(setting("alpaca.main.sweep_fills")["from"]["line"], 7);
    assert_eq!(setting("alpaca.main.requests_per_second")["value"], 3);
    let config = world.config();
    assert_eq!(config.alpaca[0].sweep_fills, Duration::from_secs(30));
}

#[test]
fn a_stand_in_for_alpaca_answers_for_its_socket_and_its_data() {
    let world = World::new().account().set("APCA_API_BASE_URL", "http://127.0.0.1:4010");
    let (config, _) = world.load().unwrap().bound(&[id(A)]);
    let account = &config.alpaca[0];
    assert_eq!(account.stream_url.as_str(), "ws://127.0.0.1:4010/stream");
    assert_eq!(account.data_url.as_str(), "http://127.0.0.1:4010/");
    assert!(world.provenance().remarks.is_empty(), "this machine is no network");
    let world = world
        .set("APCA_API_DATA_URL", "http://127.0.0.1:4011")
        .set("APCA_API_STREAM_URL", "ws://127.0.0.1:4012/s");
    let (config, _) = world.load().unwrap().bound(&[id(A)]);
    assert_eq!(config.alpaca[0].data_url.as_str(), "http://127.0.0.1:4011/");
    assert_eq!(config.alpaca[0].stream_url.as_str(), "ws://127.0.0.1:4012/s");
    assert_eq!(config.prices.feeds[0].base_url.as_ref().unwrap().as_str(), "http://127.0.0.1:4011/");
    let world = world.set("APCA_API_BASE_URL", "http://broker.example");
    assert!(world.provenance().remarks[0].contains("in clear"));
}

#[test]
fn half_an_account_in_the_environment_is_refused() {
    World::new().set("APCA_API_KEY_ID", HIDDEN).refused(&["APCA_API_KEY_ID", "APCA_API_SECRET_KEY is not"]);
    World::new().set("APCA_API_SECRET_KEY", HIDDEN).refused(&["APCA_API_KEY_ID is not"]);
    let world = World::new().set("APCA_API_KEY_ID", "").set("APCA_API_SECRET_KEY", "");
    assert!(world.config().alpaca.is_empty(), "what is empty is not set");
    World::new().account().set("APCA_API_BASE_URL", "paper").refused(&["APCA_API_BASE_URL", "https://"]);
    World::new()
        .account()
        .set("APCA_API_STREAM_URL", "https://x")
        .refused(&["APCA_API_STREAM_URL", "wss://"]);
    World::new().account().set("DAYBOOK_PORTFOLIO", "mine").refused(&["DAYBOOK_PORTFOLIO", "portfolio list"]);
    World::new().account().set("APCA_API_SECRET_KEY", "a\nb").refused(&["APCA_API_SECRET_KEY", "one line"]);
}

#[test]
fn accounts_of_the_file_stand_instead_of_the_environments() {
    let world = World::with(&alpaca("")).keys().account();
    assert_eq!(world.config().alpaca.len(), 1);
    assert!(world.provenance().remarks[0].contains("APCA_"));
}

#[test]
fn with_a_portfolio_only_its_accounts_are_kept_in_step() {
    let second = alpaca("").replace("main", "second").replace(A, B);
    let mut world = World::with(&(alpaca("") + &second)).keys();
    assert_eq!(world.config().alpaca.len(), 2);
    world.flags.portfolio = Some(id(B));
    assert_eq!(world.config().alpaca[0].name, "second");
    assert_eq!(world.config().alpaca.len(), 1);
    world.flags.portfolio = Some(id("01m7w4cr9v249dggg1td6g7mhn"));
    world.refused(&["--portfolio", "binds no account"]);
}

#[test]
fn a_portfolio_that_the_ledger_does_not_have_is_named_with_its_line_and_left_out() {
    let (config, faults) = World::with(&alpaca("")).keys().load().unwrap().bound(&[id(B)]);
    assert!(config.alpaca.is_empty());
    assert!(faults[0].to_string().contains("daybook.toml:3: `portfolio`"), "{}", faults[0]);
}

#[test]
fn a_secret_is_never_written_in_the_file() {
    for (key, meant) in [("key_id", "key_id_env"), ("secret_key", "secret_key_file")] {
        let text = alpaca(&format!("{key} = \"{HIDDEN}\""));
        World::with(&text).keys().refused(&[
            "daybook.toml:6",
            &format!("`{key}`"),
            "not written here",
            meant,
        ]);
    }
    let text = format!(
        "[[robinhood]]\nname = \"r\"\nportfolio = \"{A}\"\napi_key = \"{HIDDEN}\"\nprivate_key = \"{HIDDEN}\""
    );
    World::with(&text).refused(&["daybook.toml:4", "api_key_env", "daybook.toml:5", "private_key_file"]);
    // Nor where no key belongs, nor under a name that is almost one.
    World::with(&format!("[prices]\nsecret_key = \"{HIDDEN}\"")).refused(&["daybook.toml:2", "takes no key"]);
    World::with(&alpaca(&format!("secretkey = \"{HIDDEN}\""))).keys().refused(&["secretkey", "did you mean"]);
    World::with(&format!("[[alpaca]]\nname = \"main\"\nsecret_key = {HIDDEN}\n"))
        .refused(&["daybook.toml:3"]);
}

#[test]
fn a_secret_comes_from_a_variable_or_from_a_file_that_only_its_owner_reads() {
    let text = alpaca("").replace("secret_key_env = \"SECRET\"", "secret_key_file = \"secret\"");
    let world = World::with(&text).keys().secret_file("secret", &format!("{HIDDEN}\n"), 0o600);
    assert_eq!(world.config().alpaca[0].secret_key.expose(), HIDDEN);
    assert_eq!(world.origin("alpaca.main.secret_key"), "file secret");
    #[cfg(unix)]
    for mode in [0o640, 0o604, 0o620, 0o601] {
        let world = World::with(&text).keys().secret_file("secret", HIDDEN, mode);
        world.refused(&["daybook.toml:5", "secret_key_file", "chmod 600"]);
    }
    World::with(&text).keys().refused(&["daybook.toml:5", "cannot be read"]);
    World::with(&text).keys().secret_file("secret", " \n", 0o600).refused(&["it is empty"]);
    World::with(&text).keys().secret_file("secret", "a\nb", 0o600).refused(&["one line"]);
    World::with(&text).keys().secret_file("secret", &"x".repeat(9_000), 0o600).refused(&["one line"]);
    World::with(&alpaca("")).set("KEY", HIDDEN).refused(&["daybook.toml:5", "SECRET is not set"]);
    World::with(&alpaca("secret_key_file = \"x\"")).keys().refused(&["daybook.toml:6", "says it already"]);
    let without = alpaca("").replace("secret_key_env = \"SECRET\"\n", "");
    World::with(&without).keys().refused(&["daybook.toml:1", "secret_key_env", "secret_key_file"]);
}

#[test]
fn an_unknown_key_is_refused_by_name_with_the_nearest_known_one() {
    World::with(&alpaca("sweep_fill = \"30s\"")).keys().refused(&[
        "daybook.toml:6",
        "`sweep_fill`",
        "did you mean `sweep_fills`",
    ]);
    World::with("[price]\n").refused(&["daybook.toml:1", "`price`", "did you mean `prices`"]);
    World::with("colour = 1").refused(&["daybook.toml:1", "`colour`", "there are orders"]);
    World::with("[instruments]\nevry = \"1d\"").refused(&["daybook.toml:2", "`every`"]);
    World::with("[[prices.feed]]\nname = \"y\"\nkind = \"yahoo\"\nfolder = \"x\"")
        .refused(&["daybook.toml:4", "`folder`"]);
}

#[test]
fn a_bad_value_names_its_line_and_its_key() {
    for (line, key, said) in [
        ("sweep_fills = \"fast\"", "sweep_fills", "60s"),
        ("sweep_fills = 60", "sweep_fills", "write it in quotes"),
        ("sweep_fills = \"500d\"", "sweep_fills", "at most 366d"),
        ("requests_per_second = 0", "requests_per_second", "from 1 to 1000"),
        ("requests_per_second = -1", "requests_per_second", "from 1 to 1000"),
        ("requests_per_second = 99999999999999999999", "requests_per_second", "from 1 to 1000"),
        ("requests_per_second = \"3\"", "requests_per_second", "without quotes"),
        ("orders = \"yes\"", "orders", "`true` or `false`"),
        ("base_url = \"paper\"", "base_url", "https://"),
        ("base_url = \"https://a:b@example.org\"", "base_url", "no password"),
        ("stream_url = \"https://example.org\"", "stream_url", "wss://"),
    ] {
        World::with(&alpaca(line)).keys().refused(&["daybook.toml:6", &format!("`{key}`"), said]);
    }
    World::with(&alpaca("").replace("\"main\"", "\"Main account\""))
        .keys()
        .refused(&["daybook.toml:2", "`name`"]);
    World::with(&alpaca("").replace("\"main\"", "\"ticks\""))
        .keys()
        .refused(&["daybook.toml:2", "another name"]);
    World::with(&alpaca("").replace(A, "mine")).keys().refused(&["daybook.toml:3", "portfolio list"]);
    World::with("[[alpaca]]\n").refused(&[
        "daybook.toml:1",
        "`name`",
        "`portfolio`",
        "`key_id`",
        "`secret_key`",
    ]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = alpaca("sweep_fills = \"x\"\nsweep_deep = \"y\"\nbogus = 1");
    let Err(ConfigFaults(faults)) = World::with(&text).load() else { panic!("it is refused") };
    assert_eq!(faults.len(), 5, "{faults:?}");
}

#[test]
fn what_is_no_toml_is_refused_with_line_and_column() {
    World::with("orders = false\n[[alpaca]\n").refused(&["daybook.toml:2: column"]);
    World::with("orders = false\norders = true\n").refused(&["daybook.toml:2"]);
    World::with("orders = \n").refused(&["daybook.toml:1"]);
    let world = World::new();
    std::fs::write(world.path("daybook.toml"), b"# ok\nname = \"\xff\"").unwrap();
    world.refused(&["daybook.toml:2", "UTF-8"]);
    std::fs::write(world.path("daybook.toml"), "#".repeat(2 << 20)).unwrap();
    world.refused(&["larger than"]);
    World::with("alpaca = 1").refused(&["daybook.toml:1", "[[alpaca]]"]);
    World::with("[alpaca]\nname = \"a\"").refused(&["daybook.toml:1", "double brackets"]);
    World::with("prices = 1").refused(&["daybook.toml:1", "[prices]"]);
    World::with("folder = [1]").refused(&["daybook.toml:1", "[[folder]]"]);
    World::with("").config();
}

#[test]
fn no_two_sources_have_one_name() {
    let folder =
        format!("[[folder]]\nname = \"main\"\npath = \"x\"\nformat = \"schwab\"\nportfolio = \"{A}\"\n");
    World::with(&(alpaca("") + &folder)).keys().refused(&[
        "daybook.toml:8",
        "`main` is taken",
        "daybook.toml:2",
    ]);
    World::with(&alpaca("").replace("main", "alpaca-data"))
        .keys()
        .refused(&["daybook.toml:2", "another name"]);
}

#[test]
fn feeds_come_in_the_order_of_the_file_with_what_is_usual_for_their_kind() {
    let world = World::with(
        "[prices]\nsymbols = [\"spy\", \"BTC-USD\"]\n\
         [[prices.feed]]\nname = \"z\"\nkind = \"yahoo\"\nbars = [\"minute\", \"day\", \"day\"]\n\
         [[prices.feed]]\nname = \"a\"\nkind = \"alpha_vantage\"\napi_key_env = \"KEY\"\n\
         [[prices.feed]]\nname = \"files\"\nkind = \"folder\"\nfolder = \"in\"\ncadence = \"every 30s\"\n",
    )
    .keys();
    let prices = world.config().prices;
    assert_eq!(prices.symbols, ["SPY", "BTC/USD"]);
    let names: Vec<&str> = prices.feeds.iter().map(|feed| feed.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "files"]);
    assert_eq!(prices.feeds[0].bars, [BarSize::Day, BarSize::Minute]);
    assert_eq!(prices.feeds[0].cadence, Cadence::Hourly);
    assert_eq!((prices.feeds[1].requests_per_day, prices.feeds[1].cadence), (Some(25), Cadence::Daily));
    assert_eq!(prices.feeds[2].folder.as_deref(), Some(world.path("in").as_path()));
    assert_eq!(prices.feeds[2].cadence, Cadence::Every(Duration::from_secs(30)));

    let feed = |lines: &str| World::with(&format!("[[prices.feed]]\nname = \"f\"\n{lines}\n")).keys();
    feed("").refused(&["daybook.toml:1", "`kind`"]);
    feed("kind = \"yaho\"").refused(&["daybook.toml:3", "did you mean `yahoo`"]);
    feed("kind = \"folder\"").refused(&["daybook.toml:1", "`folder`"]);
    feed("kind = \"alpha_vantage\"").refused(&["daybook.toml:1", "api_key_env"]);
    feed("kind = \"alpaca\"").refused(&["daybook.toml:1", "key_id_env"]);
    feed("kind = \"yahoo\"\nbars = [\"tick\"]").refused(&["daybook.toml:4", "`bars`", "minute"]);
    feed("kind = \"yahoo\"\nbars = []").refused(&["daybook.toml:4", "empty"]);
    feed("kind = \"yahoo\"\nbars = \"day\"").refused(&["daybook.toml:4", "a list"]);
    feed("kind = \"yahoo\"\nsymbols = [1]").refused(&["daybook.toml:4", "in quotes"]);
    feed("kind = \"yahoo\"\nsymbols = [\"A\\u200BB\"]").refused(&["daybook.toml:4", "U+200B"]);
    feed("kind = \"yahoo\"\ncadence = \"often\"").refused(&["daybook.toml:4", "`daily`"]);
    feed("kind = \"alpha_vantage\"\napi_key_env = \"KEY\"\nbars = [\"minute\"]")
        .refused(&["daybook.toml:5", "daily"]);
}

#[test]
fn a_feed_and_the_ticks_at_alpaca_take_the_first_accounts_keys_unless_they_have_their_own() {
    let feed = "[[prices.feed]]\nname = \"f\"\nkind = \"alpaca\"\n";
    let world = World::with(&(alpaca("") + feed + "[ticks]\nevery = \"5s\"\n")).keys();
    let prices = world.config().prices;
    assert_eq!(prices.feeds[0].secret_key.as_ref().unwrap().expose(), HIDDEN);
    assert_eq!(world.origin("prices.feed.f.secret_key"), "inferred from alpaca.main.secret_key");
    let ticks = prices.ticks.unwrap();
    assert_eq!(ticks.url.as_str(), "wss://stream.data.alpaca.markets/v2/iex");
    assert_eq!(ticks.every, Duration::from_secs(5));
    let world = World::with(&(feed.to_owned() + "key_id_env = \"OTHER\"\nsecret_key_env = \"SECRET\"\n"));
    let world = world.set("OTHER", "other").set("SECRET", HIDDEN);
    assert_eq!(world.config().prices.feeds[0].key_id.as_ref().unwrap().expose(), "other");
    World::with("[ticks]\n").refused(&["daybook.toml:1", "key_id_env"]);
    World::with(&(alpaca("") + "[ticks]\nkey_id_env = \"KEY\"\n"))
        .keys()
        .refused(&["daybook.toml:7", "secret_key_env"]);
}

#[test]
fn a_folder_has_a_format_that_goes_into_a_portfolio() {
    let folder =
        |lines: &str| World::with(&format!("[[folder]]\nname = \"f\"\nportfolio = \"{A}\"\n{lines}"));
    let world = folder("path = \"in\"\nformat = \"schwab\"\n");
    let config = world.config();
    assert_eq!(config.folders[0].path, world.path("in"));
    assert_eq!(
        (config.folders[0].format.as_str(), config.folders[0].every),
        ("schwab", Duration::from_secs(10))
    );
    folder("format = \"schwab\"").refused(&["daybook.toml:1", "`path`"]);
    folder("path = \"\"\nformat = \"schwab\"").refused(&["daybook.toml:4", "`path`"]);
    folder("path = \"in\"").refused(&["daybook.toml:1", "`format`"]);
    folder("path = \"in\"\nformat = \"schwob\"").refused(&["daybook.toml:5", "did you mean `schwab`"]);
    folder("path = \"in\"\nformat = \"prices\"").refused(&["daybook.toml:5", "[[prices.feed]]"]);
}

#[test]
fn instruments_come_from_an_account_or_a_list_that_is_there() {
    let source = |lines: &str| World::with(&format!("[instruments]\n{lines}"));
    let InstrumentSource::List { path, every } =
        source("source = \"list\"\npath = \"/a/b.csv\"").config().instruments
    else {
        panic!("it is a list")
    };
    assert_eq!((path, every), (PathBuf::from("/a/b.csv"), Duration::from_secs(86_400)));
    let world = source("source = \"alpaca\"\nevery = \"12h\"").account().set("DAYBOOK_PORTFOLIO", A);
    assert!(
        matches!(world.config().instruments, InstrumentSource::Alpaca { every } if every.as_secs() == 43_200)
    );
    source("source = \"alpaca\"").refused(&["daybook.toml:2", "[[alpaca]]"]);
    source("source = \"list\"").refused(&["daybook.toml:2", "`path`"]);
    source("source = \"none\"\npath = \"x\"").refused(&["daybook.toml:3", "only the source \"list\""]);
    source("source = \"all\"").refused(&["daybook.toml:2", "none, alpaca, list"]);
}

/// The example with pieces taken out, put elsewhere and overwritten.
fn mangled() -> impl Strategy<Value = String> {
    let cut = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[ -~\\n]{0,12}");
    prop::collection::vec(cut, 1..6).prop_map(|cuts| {
        let mut text: Vec<char> = EXAMPLE.replace("# ", "").chars().collect();
        for (from, length, other) in cuts {
            let from = from.index(text.len().max(1)).min(text.len());
            let to = (from + length.index(40)).min(text.len());
            text.splice(from..to, other.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `load` itself asserts that no secret is shown.
    #[test]
    fn whatever_is_written_is_a_configuration_or_faults_that_say_where(text in prop_oneof![mangled(), "\\PC{0,200}"]) {
        let world = ["APCA_API_KEY_ID", "APCA_API_SECRET_KEY", "ROBINHOOD_API_KEY", "ROBINHOOD_PRIVATE_KEY", "ALPHAVANTAGE_API_KEY"]
            .iter()
            .fold(World::with(&text), |world, name| world.set(name, HIDDEN));
        if let Err(ConfigFaults(faults)) = world.load() {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                let said = fault.to_string();
                prop_assert!(said.contains("daybook.toml:") && !fault.why.is_empty(), "{said}");
            }
        }
    }
}

/// A file with one source, one source of alerts and one receiver, with one part of it said otherwise.
fn webhooks(from: &str, to: &str) -> World {
    let text = format!(
        "[webhooks.inbound.desk]\nportfolio = \"{A}\"\nsecret_env = \"SECRET\"\n\
         [webhooks.inbound.tv]\nportfolio = \"{A}\"\nsecret_env = \"SECRET\"\n\
         [webhooks.inbound.tv.map]\ntype = \"/side\"\nsymbol = \"/ticker\"\n\
         [webhooks.outbound.crm]\nurl = \"https://crm.example/x\"\nsecret_env = \"SECRET\"\nevents = [\"cash\"]\n"
    );
    assert!(text.contains(from), "{from}");
    World::with(&text.replacen(from, to, 1)).keys()
}

#[test]
fn webhooks_are_configured_by_name_and_their_secrets_by_variable_or_file() {
    let config = webhooks("", "").config();
    assert!(config.webhooks.inbound[0].map.is_none() && config.webhooks.inbound[1].map.is_some());
    let crm = &config.webhooks.outbound[0];
    let cash = EventType::ALL.iter().filter(|event_type| event_type.id() / 100 == 4).count();
    assert_eq!((crm.events.len(), crm.secrets.len(), crm.from_start), (cash, 1, false));
    let both = webhooks("events = [\"cash\"]", "events = [\"cash\", \"CashTransferred\", \"EventReversed\"]");
    assert_eq!(both.config().webhooks.outbound[0].events.len(), cash + 1);
    let rotated = webhooks("[webhooks.inbound.tv]", "previous_secret_env = \"KEY\"\n[webhooks.inbound.tv]");
    assert_eq!(rotated.config().webhooks.inbound[0].secrets.len(), 2);
}

#[test]
fn every_slip_in_a_webhook_is_told_with_its_place() {
    for (from, to, said) in [
        (
            "secret_env = \"SECRET\"",
            "secret = \"SECRET\"",
            "daybook.toml:3: `secret`: a secret is not written here",
        ),
        ("secret_env = \"SECRET\"\n", "", "daybook.toml:1: `secret`"),
        ("secret_env = \"SECRET\"", "secret_env = \"SHORT\"", "at least 16 characters"),
        ("[webhooks.outbound.crm]", "[webhooks.outbound.desk]", "`desk` is taken"),
        ("[webhooks.outbound.crm]", "[webhooks.outbound.Crm]", "`Crm` is not a name"),
        ("https://crm", "http://crm", "in clear"),
        ("https://crm.example/x", "https://me:pw@crm.example/x", "no name and no password"),
        ("[\"cash\"]", "[]", "it chooses nothing"),
        ("[\"cash\"]", "[\"TradeExecutd\"]", "did you mean `TradeExecuted`"),
        ("type = \"/side\"\n", "side = \"/side\"\n", "did you mean `type`"),
        ("type = \"/side\"\n", "", "`type`: [webhooks.inbound.NAME.map] needs it"),
        ("type = \"/side\"", "type = \"{/side\"", "no closing brace"),
        ("type = \"/side\"", "type = 5", "it is text"),
        ("[webhooks.inbound.tv]", "pattern = \"x\"\n[webhooks.inbound.tv]", "only a source with a"),
        ("[webhooks.inbound.tv.map]", "pattern = \"(\"\n[webhooks.inbound.tv.map]", "no regular expression"),
        (
            "[webhooks.inbound.tv.map]",
            "takes = [\"fill\"]\n[webhooks.inbound.tv.map]",
            "did you mean `fills`",
        ),
        ("[webhooks.inbound.tv]\n", "[webhooks.inbound.tv]\nsecrte = \"x\"\n", "there is no such key"),
        ("[webhooks.inbound.desk]", "[webhooks.inbund.desk]", "did you mean `inbound`"),
    ] {
        let world = webhooks(from, to).set("SHORT", "hunter2");
        let faults = world.load().unwrap_err().to_string();
        assert!(faults.contains(said), "{from} -> {to}: {faults}");
    }
    let spaced = webhooks("", "").set("SECRET", "a secret with spaces in it");
    let faults = spaced.load().unwrap_err().to_string();
    assert!(faults.contains("it stands in an address"), "{faults}");
    let elsewhere = webhooks("", "").load().unwrap().bound(&[id(B)]);
    assert!(elsewhere.0.webhooks.inbound.is_empty() && elsewhere.1.len() == 2);
    let local = webhooks("https://crm.example/x", "http://127.0.0.1:9/x");
    assert_eq!(local.config().webhooks.outbound.len(), 1);
}
