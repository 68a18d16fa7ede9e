//! From the configuration file, the environment and the flags to what is in effect.

mod checkpoints;
mod webhooks;

use super::faults::{ConfigFault, ConfigFaults, Spot};
use super::provenance::{Origin, Provenance, Setting};
use super::section::{
    API_KEY, Document, Environment, KEY_ID, PRIVATE_KEY, Reading, SECRET_KEY, Section, parse,
};
use super::values::{self, duration};
use super::{
    AlpacaAccount, BarSize, Config, FeedKind, Folder, InstrumentSource, OutboundWebhook, PriceFeed, Prices,
    RobinhoodAccount, Secret, Service, ServiceFlags, Ticks, secrets,
};
use crate::importers::{Format, symbols};
use daybook_schemas::PortfolioId;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// A complete configuration file with a comment on each key.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// What the file in the data directory is called.
const USUAL_NAME: &str = "daybook.toml";
/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most accounts, feeds or folders of a kind.
const SOURCES_MAX: usize = 1_000;

// apca asks the paper account too where nothing else is said: a slip then trades no money.
const ALPACA_TRADING: &str = "https://paper-api.alpaca.markets";
const ALPACA_DATA: &str = "https://data.alpaca.markets";
const ALPACA_TICKS: &str = "wss://stream.data.alpaca.markets/v2/iex";
const ROBINHOOD: &str = "https://trading.robinhood.com";
const ALPHA_VANTAGE: &str = "https://www.alphavantage.co";
const YAHOO: &str = "https://query1.finance.yahoo.com";

/// Requests a second at Alpaca: its limit is 200 a minute.
const ALPACA_RATE: u32 = 3;
const SWEEP_FILLS: &str = "1m";
const SWEEP_ACTIVITIES: &str = "1h";
const SWEEP_DEEP: &str = "1d";

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `--config`
    pub(crate) config: Option<PathBuf>,
    /// `--portfolio`: the portfolio of the environment's account, or the only one that is kept in step of those that the
    /// file names.
    pub(crate) portfolio: Option<PortfolioId>,
    /// What it says of the service.
    pub(crate) service: ServiceFlags,
}

/// What is configured, as far as it can be known without the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    config: Config,
    /// The environment's account, where nobody said which portfolio it is bound to.
    unbound: Option<AlpacaAccount<()>>,
    /// Where each portfolio is named.
    named: Vec<(PortfolioId, Spot)>,
    /// Where each value came from.
    pub(crate) provenance: Provenance,
}

impl Config {
    /// What the file, the environment and the flags say, for the ledger in a directory. Nothing of the ledger is read.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn load(
        data: &Path,
        environment: Environment<'_>,
        flags: &Flags,
    ) -> Result<Loaded, ConfigFaults> {
        let mut reading =
            Reading { environment, faults: Vec::new(), settings: Vec::new(), remarks: Vec::new() };
        let text = find(data, flags, &mut reading)
            .and_then(|(path, spot)| Some((read(&path, &spot, &mut reading)?, path)));
        let document = text.as_ref().map(|(text, path)| Document::new(path.clone(), text));
        let root = match (&document, &text) {
            (Some(document), Some((text, _))) => root(document, text, &mut reading),
            _ => Some(Section::absent("the file", "")),
        };
        let Some(root) = root else { return Err(ConfigFaults(reading.faults)) };
        let mut loading = Loading { reading, names: BTreeMap::new(), named: Vec::new() };
        let (config, unbound) = loading.whole(root, flags);
        let Loading { reading, named, .. } = loading;
        if !reading.faults.is_empty() {
            return Err(ConfigFaults(reading.faults));
        }
        let provenance = Provenance {
            file: text.map(|(_, path)| path),
            settings: reading.settings,
            remarks: reading.remarks,
        };
        Ok(Loaded { config, unbound, named, provenance })
    }
}

impl Loaded {
    /// The edges of the service, which need no ledger.
    pub(crate) const fn service(&self) -> &Service {
        &self.config.service
    }

    /// Binds what is configured to the portfolios that the ledger has. What is bound to none of them is left out and
    /// named: whoever was asked for it refuses, and a service that runs the rest goes on.
    pub(crate) fn bound(self, portfolios: &[PortfolioId]) -> (Config, Vec<ConfigFault>) {
        let mut faults: Vec<ConfigFault> = self
            .named
            .into_iter()
            .filter(|(portfolio, _)| !portfolios.contains(portfolio))
            .map(|(portfolio, spot)| ConfigFault {
                spot,
                key: Some("portfolio".to_owned()),
                why: format!(
                    "the ledger has no portfolio {portfolio}: `daybook portfolio list` names those it has"
                ),
            })
            .collect();
        let mut config = self.config;
        config.alpaca.retain(|account| portfolios.contains(&account.portfolio));
        config.robinhood.retain(|account| portfolios.contains(&account.portfolio));
        config.folders.retain(|folder| portfolios.contains(&folder.portfolio));
        config.webhooks.inbound.retain(|inbound| portfolios.contains(&inbound.portfolio));
        let knows_all =
            |outbound: &OutboundWebhook| outbound.portfolios.iter().all(|id| portfolios.contains(id));
        config.webhooks.outbound.retain(knows_all);
        match (self.unbound, portfolios) {
            (Some(account), [only]) => config.alpaca.push(account.bound_to(*only)),
            (Some(_), _) => faults.push(ConfigFault {
                spot: Spot::Variable("APCA_API_KEY_ID".to_owned()),
                key: None,
                why: match portfolios.len() {
                    0 => "its account needs a portfolio and the ledger has none: open one with `daybook portfolio open \
                          NAME`"
                        .to_owned(),
                    count => format!(
                        "the ledger has {count} portfolios: say with --portfolio ID or DAYBOOK_PORTFOLIO into which of \
                         them its account's activities go"
                    ),
                },
            }),
            (None, _) => {}
        }
        (config, faults)
    }
}

impl AlpacaAccount<()> {
    fn bound_to(self, portfolio: PortfolioId) -> AlpacaAccount {
        AlpacaAccount {
            name: self.name,
            portfolio,
            key_id: self.key_id,
            secret_key: self.secret_key,
            base_url: self.base_url,
            stream_url: self.stream_url,
            data_url: self.data_url,
            orders: self.orders,
            requests_per_second: self.requests_per_second,
            sweep_fills: self.sweep_fills,
            sweep_activities: self.sweep_activities,
            sweep_deep: self.sweep_deep,
        }
    }
}

/// Which file is read, and who says so.
fn find(data: &Path, flags: &Flags, reading: &mut Reading<'_>) -> Option<(PathBuf, Spot)> {
    if let Some(path) = &flags.config {
        reading.set("config".to_owned(), path.display().to_string(), Origin::Flag("--config"));
        return Some((path.clone(), Spot::Flag("--config")));
    }
    if let Some(path) = reading.variable("DAYBOOK_CONFIG") {
        reading.set("config".to_owned(), path.clone(), Origin::Variable("DAYBOOK_CONFIG".to_owned()));
        return Some((PathBuf::from(path), Spot::Variable("DAYBOOK_CONFIG".to_owned())));
    }
    let usual = data.join(USUAL_NAME);
    // Whatever stands there under that name is meant to be read, be it readable or not.
    if usual.symlink_metadata().is_err() {
        return None;
    }
    reading.set("config".to_owned(), usual.display().to_string(), Origin::Default);
    Some((usual.clone(), Spot::File(usual)))
}

/// The text of the file.
fn read(path: &Path, spot: &Spot, reading: &mut Reading<'_>) -> Option<String> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        reading.fault(spot.clone(), None, format!("{} cannot be read: {error}", path.display()));
        return None;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it is larger than {FILE_BYTES_MAX} bytes: this is no configuration");
        reading.fault(Spot::File(path.to_owned()), None, why);
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            reading.fault(Spot::Line(path.to_owned(), line), None, "it is not UTF-8: save the file as UTF-8");
            None
        }
    }
}

fn root<'d, 't>(document: &'d Document, text: &'t str, reading: &mut Reading<'_>) -> Option<Section<'d, 't>> {
    match parse(text) {
        Ok(table) => Some(Section::new(document, table.into_inner(), 0, "the file", String::new())),
        Err(errors) => {
            for (at, why) in errors {
                let (line, column) = document.position(at.min(text.len()));
                let spot = Spot::Line(document.path().to_owned(), line);
                reading.fault(spot, None, format!("column {column} is no TOML: {why}"));
            }
            None
        }
    }
}

/// What is read while sections are.
pub(super) struct Loading<'e> {
    pub(super) reading: Reading<'e>,
    /// What each source is called, and where.
    names: BTreeMap<String, Spot>,
    named: Vec<(PortfolioId, Spot)>,
}

/// What a feed needs of an account at Alpaca.
#[derive(Clone)]
struct AlpacaKeys {
    /// What the account's values are shown under.
    shown: String,
    key_id: Secret,
    secret_key: Secret,
    data_url: Url,
}

impl Loading<'_> {
    fn whole(&mut self, mut root: Section<'_, '_>, flags: &Flags) -> (Config, Option<AlpacaAccount<()>>) {
        let orders = self.switch_or_variable(&mut root, "orders", "DAYBOOK_ORDERS");
        let client_orders = self.switch_or_variable(&mut root, "client_orders", "DAYBOOK_CLIENT_ORDERS");
        let service = root.table(&mut self.reading, "service", "[service]");
        let service = self.service(service, &flags.service);
        let accounts = root.tables(&mut self.reading, "alpaca", "[[alpaca]]");
        let robinhood = root.tables(&mut self.reading, "robinhood", "[[robinhood]]");
        let prices = root.table(&mut self.reading, "prices", "[prices]");
        let ticks = root.table(&mut self.reading, "ticks", "[ticks]");
        let folders = root.tables(&mut self.reading, "folder", "[[folder]]");
        let instruments = root.table(&mut self.reading, "instruments", "[instruments]");
        let webhooks = root.table(&mut self.reading, "webhooks", "[webhooks]");
        let checkpoints = root.table(&mut self.reading, "checkpoints", "[checkpoints]");
        root.finish(&mut self.reading);

        let in_file = !accounts.is_empty();
        let mut config = Config { orders, client_orders, service, ..Config::default() };
        for account in self.at_most(accounts) {
            config.alpaca.extend(self.alpaca(account));
        }
        let mut unbound = None;
        if !in_file {
            match self.alpaca_of_environment(orders, flags) {
                Some((account, Some(portfolio))) => config.alpaca.push(account.bound_to(portfolio)),
                Some((account, None)) => unbound = Some(account),
                None => {}
            }
        } else {
            self.of_one_portfolio(&mut config, flags);
            if self.reading.variable("APCA_API_KEY_ID").is_some() {
                self.reading.remarks.push(
                    "the environment's account (APCA_…) is none of its own, because the file names its accounts"
                        .to_owned(),
                );
            }
        }
        for account in self.at_most(robinhood) {
            config.robinhood.extend(self.robinhood(account));
        }
        let keys = match (&unbound, config.alpaca.first()) {
            (Some(account), _) => Some(AlpacaKeys::of(account)),
            (None, Some(account)) => Some(AlpacaKeys::of(account)),
            (None, None) => None,
        };
        config.prices = self.prices(prices, keys.as_ref());
        config.prices.ticks = ticks.and_then(|ticks| self.ticks(ticks, keys.as_ref()));
        for folder in self.at_most(folders) {
            config.folders.extend(self.folder(folder));
        }
        config.instruments = self.instruments(instruments, keys.is_some());
        config.webhooks = webhooks.map(|webhooks| self.webhooks(webhooks)).unwrap_or_default();
        config.checkpoints = checkpoints.and_then(|checkpoints| self.checkpoints(checkpoints));
        (config, unbound)
    }

    /// No more sections than there may be.
    fn at_most<'d, 'i>(&mut self, mut sections: Vec<Section<'d, 'i>>) -> Vec<Section<'d, 'i>> {
        if let Some(section) = sections.get(SOURCES_MAX) {
            self.reading.fault(section.spot(), None, format!("there are more than {SOURCES_MAX} of these"));
            sections.truncate(SOURCES_MAX);
        }
        sections
    }

    /// A switch of the file that an environment variable may say as well, and then wins.
    fn switch_or_variable(&mut self, root: &mut Section<'_, '_>, key: &'static str, variable: &str) -> bool {
        let Some(text) = self.reading.variable(variable) else {
            return root.switch(&mut self.reading, key);
        };
        // Read all the same, so that a fault in it is told.
        let shown = self.reading.settings.len();
        root.switch(&mut self.reading, key);
        self.reading.settings.truncate(shown);
        let origin = Origin::Variable(variable.to_owned());
        match text.as_str() {
            "true" | "false" => {
                self.reading.set(key.to_owned(), text == "true", origin);
                text == "true"
            }
            _ => {
                let spot = Spot::Variable(variable.to_owned());
                self.reading.fault(spot, None, "it is `true` or `false`");
                false
            }
        }
    }

    /// What a source is called, once.
    fn name(&mut self, section: &mut Section<'_, '_>, kind: &str, example: &str) -> Option<String> {
        let spot = section.spot_of("name").unwrap_or_else(|| section.spot());
        let shown = self.reading.settings.len();
        let name = section.needed(&mut self.reading, "name", &format!("\"{example}\""), values::name)?;
        section.shown_under(format!("{kind}.{name}"));
        if let Some(setting) = self.reading.settings.get_mut(shown) {
            setting.key = section.key("name");
        }
        self.unique(&name, spot);
        Some(name)
    }

    fn unique(&mut self, name: &str, spot: Spot) {
        if let Some(first) = self.names.get(name) {
            let why = format!("`{name}` is taken, at {first}: sources of all kinds have names of their own");
            self.reading.fault(spot, Some("name"), why);
        } else {
            self.names.insert(name.to_owned(), spot);
        }
    }

    fn portfolio(&mut self, section: &mut Section<'_, '_>) -> Option<PortfolioId> {
        let spot = section.spot_of("portfolio");
        let id = section.needed(
            &mut self.reading,
            "portfolio",
            "\"ID\", as `daybook portfolio list` prints it",
            portfolio,
        )?;
        self.named.extend(spot.map(|spot| (id, spot)));
        Some(id)
    }

    /// An address, else the usual one.
    fn url(&mut self, section: &mut Section<'_, '_>, key: &'static str, usual: &str) -> Option<Url> {
        let url = section.text_or(&mut self.reading, key, usual, values::http)?;
        self.warn_in_clear(&section.key(key), &url);
        Some(url)
    }

    fn warn_in_clear(&mut self, key: &str, url: &Url) {
        if values::is_in_clear(url) {
            self.reading
                .remarks
                .push(format!("{key}: {url} sends keys over the network in clear: use https"));
        }
    }

    fn interval(
        &mut self,
        section: &mut Section<'_, '_>,
        key: &'static str,
        usual: &str,
    ) -> Option<Duration> {
        section.text_or(&mut self.reading, key, usual, duration)
    }

    /// The addresses beside a trading address: the socket, and the data.
    fn beside(
        &mut self,
        key: &str,
        base: &Url,
        stream: Option<Url>,
        data: Option<Url>,
        under: &str,
    ) -> Option<(Url, Url)> {
        let inferred = || Origin::Inferred(key.to_owned());
        let stream = match stream {
            Some(stream) => stream,
            None => {
                let stream = values::socket_beside(base, "stream")?;
                self.reading.set(format!("{under}.stream_url"), stream.as_str(), inferred());
                stream
            }
        };
        let data = match data {
            Some(data) => data,
            // Whoever stands in for Alpaca answers for its data as well.
            None if !values::is_alpacas(base) => {
                self.reading.set(format!("{under}.data_url"), written(base), inferred());
                base.clone()
            }
            None => {
                self.reading.set(format!("{under}.data_url"), ALPACA_DATA, Origin::Default);
                Url::parse(ALPACA_DATA).ok()?
            }
        };
        for (name, url) in [("stream_url", &stream), ("data_url", &data)] {
            self.warn_in_clear(&format!("{under}.{name}"), url);
        }
        Some((stream, data))
    }

    fn alpaca(&mut self, mut section: Section<'_, '_>) -> Option<AlpacaAccount> {
        let name = self.name(&mut section, "alpaca", "main");
        let portfolio = self.portfolio(&mut section);
        let key_id = section.needed_secret(&mut self.reading, &KEY_ID);
        let secret_key = section.needed_secret(&mut self.reading, &SECRET_KEY);
        let base_url = self.url(&mut section, "base_url", ALPACA_TRADING);
        let stream = section.text(&mut self.reading, "stream_url", values::socket);
        let data = section.text(&mut self.reading, "data_url", values::http);
        let under = section.key("");
        let under = under.trim_end_matches('.');
        let beside = base_url
            .as_ref()
            .and_then(|base| self.beside(&section.key("base_url"), base, stream, data, under));
        let orders = section.switch(&mut self.reading, "orders");
        let requests_per_second =
            section.number_or(&mut self.reading, "requests_per_second", ALPACA_RATE, 1..=1_000);
        let sweep_fills = self.interval(&mut section, "sweep_fills", SWEEP_FILLS);
        let sweep_activities = self.interval(&mut section, "sweep_activities", SWEEP_ACTIVITIES);
        let sweep_deep = self.interval(&mut section, "sweep_deep", SWEEP_DEEP);
        section.finish(&mut self.reading);
        let (stream_url, data_url) = beside?;
        Some(AlpacaAccount {
            name: name?,
            portfolio: portfolio?,
            key_id: key_id?,
            secret_key: secret_key?,
            base_url: base_url?,
            stream_url,
            data_url,
            orders,
            requests_per_second,
            sweep_fills: sweep_fills?,
            sweep_activities: sweep_activities?,
            sweep_deep: sweep_deep?,
        })
    }

    /// A variable's value, or what is wrong with it.
    fn variable<T>(
        &mut self,
        name: &str,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.reading.variable(name)?;
        match read(&text) {
            Ok(value) => {
                self.reading.set(key.to_owned(), text, Origin::Variable(name.to_owned()));
                Some(value)
            }
            Err(why) => {
                self.reading.fault(Spot::Variable(name.to_owned()), None, why);
                None
            }
        }
    }

    fn secret_variable(&mut self, name: &str, key: &str) -> Option<Secret> {
        let text = self.reading.variable(name)?;
        match secrets::of_text(&text) {
            Ok(secret) => {
                self.reading.set_secret(key.to_owned(), Origin::Variable(name.to_owned()));
                Some(secret)
            }
            Err(why) => {
                self.reading.fault(Spot::Variable(name.to_owned()), None, why);
                None
            }
        }
    }

    /// The account that the environment names, and its portfolio where somebody says it.
    fn alpaca_of_environment(
        &mut self,
        orders: bool,
        flags: &Flags,
    ) -> Option<(AlpacaAccount<()>, Option<PortfolioId>)> {
        const KEY_ID: &str = "APCA_API_KEY_ID";
        const SECRET_KEY: &str = "APCA_API_SECRET_KEY";
        let set = [KEY_ID, SECRET_KEY].map(|name| self.reading.variable(name).is_some());
        let missing = match set {
            [false, false] => return None,
            [true, true] => None,
            [true, false] => Some((KEY_ID, SECRET_KEY)),
            [false, true] => Some((SECRET_KEY, KEY_ID)),
        };
        if let Some((said, missing)) = missing {
            let why = format!("it is set and {missing} is not: an account needs both");
            self.reading.fault(Spot::Variable(said.to_owned()), None, why);
        }
        self.reading.set("alpaca.alpaca.name".to_owned(), "alpaca", Origin::Default);
        self.unique("alpaca", Spot::Variable(KEY_ID.to_owned()));
        let portfolio = self.portfolio_of_environment(flags);
        let key_id = self.secret_variable(KEY_ID, "alpaca.alpaca.key_id");
        let secret_key = self.secret_variable(SECRET_KEY, "alpaca.alpaca.secret_key");
        let base = self.reading.variable("APCA_API_BASE_URL").is_some();
        let base_url = if base {
            self.variable("APCA_API_BASE_URL", "alpaca.alpaca.base_url", values::http)
        } else {
            self.reading.set("alpaca.alpaca.base_url".to_owned(), ALPACA_TRADING, Origin::Default);
            Url::parse(ALPACA_TRADING).ok()
        };
        let stream = self.variable("APCA_API_STREAM_URL", "alpaca.alpaca.stream_url", values::socket);
        let data = self.variable("APCA_API_DATA_URL", "alpaca.alpaca.data_url", values::http);
        let base_url = base_url?;
        self.warn_in_clear("alpaca.alpaca.base_url", &base_url);
        let (stream_url, data_url) =
            self.beside("alpaca.alpaca.base_url", &base_url, stream, data, "alpaca.alpaca")?;
        self.reading.set("alpaca.alpaca.orders".to_owned(), orders, Origin::Inferred("orders".to_owned()));
        let mut usual = |key: &str, text: &str| {
            self.reading.set(format!("alpaca.alpaca.{key}"), text, Origin::Default);
            duration(text).ok()
        };
        let account = AlpacaAccount {
            name: "alpaca".to_owned(),
            portfolio: (),
            key_id: key_id?,
            secret_key: secret_key?,
            base_url,
            stream_url,
            data_url,
            orders,
            requests_per_second: ALPACA_RATE,
            sweep_fills: usual("sweep_fills", SWEEP_FILLS)?,
            sweep_activities: usual("sweep_activities", SWEEP_ACTIVITIES)?,
            sweep_deep: usual("sweep_deep", SWEEP_DEEP)?,
        };
        self.reading.set("alpaca.alpaca.requests_per_second".to_owned(), ALPACA_RATE, Origin::Default);
        Some((account, portfolio))
    }

    fn portfolio_of_environment(&mut self, flags: &Flags) -> Option<PortfolioId> {
        const KEY: &str = "alpaca.alpaca.portfolio";
        if let Some(id) = flags.portfolio {
            self.reading.set(KEY.to_owned(), id.to_string(), Origin::Flag("--portfolio"));
            self.named.push((id, Spot::Flag("--portfolio")));
            return Some(id);
        }
        if let Some(id) = self.variable("DAYBOOK_PORTFOLIO", KEY, portfolio) {
            self.named.push((id, Spot::Variable("DAYBOOK_PORTFOLIO".to_owned())));
            return Some(id);
        }
        let origin = Origin::Inferred("the ledger's only portfolio".to_owned());
        self.reading.settings.push(Setting { key: KEY.to_owned(), value: None, secret: false, origin });
        None
    }

    /// With `--portfolio`, the accounts of that one alone.
    fn of_one_portfolio(&mut self, config: &mut Config, flags: &Flags) {
        let Some(only) = flags.portfolio else { return };
        self.reading.set("portfolio".to_owned(), only.to_string(), Origin::Flag("--portfolio"));
        config.alpaca.retain(|account| account.portfolio == only);
        if config.alpaca.is_empty() && self.reading.faults.is_empty() {
            let why = format!("the file binds no account at Alpaca to the portfolio {only}");
            self.reading.fault(Spot::Flag("--portfolio"), None, why);
        }
    }

    fn robinhood(&mut self, mut section: Section<'_, '_>) -> Option<RobinhoodAccount> {
        let name = self.name(&mut section, "robinhood", "crypto");
        let portfolio = self.portfolio(&mut section);
        let api_key = section.needed_secret(&mut self.reading, &API_KEY);
        let private_key = section.needed_secret(&mut self.reading, &PRIVATE_KEY);
        let base_url = self.url(&mut section, "base_url", ROBINHOOD);
        let sweep = self.interval(&mut section, "sweep", "1m");
        section.finish(&mut self.reading);
        Some(RobinhoodAccount {
            name: name?,
            portfolio: portfolio?,
            api_key: api_key?,
            private_key: private_key?,
            base_url: base_url?,
            sweep: sweep?,
        })
    }

    fn prices(&mut self, section: Option<Section<'_, '_>>, keys: Option<&AlpacaKeys>) -> Prices {
        let mut section = section.unwrap_or_else(|| Section::absent("[prices]", "prices"));
        let symbols = section.texts(&mut self.reading, "symbols", &[], symbol);
        let feeds = section.tables(&mut self.reading, "feed", "[[prices.feed]]");
        section.finish(&mut self.reading);
        let none_said = feeds.is_empty();
        let mut all: Vec<PriceFeed> = Vec::new();
        for feed in self.at_most(feeds) {
            all.extend(self.feed(feed, keys));
        }
        if none_said && let Some(keys) = keys {
            all.extend(self.feed_of_account(keys));
        }
        Prices { symbols, feeds: all, ticks: None }
    }

    /// Who has an account at Alpaca has its prices, without saying more.
    fn feed_of_account(&mut self, keys: &AlpacaKeys) -> Option<PriceFeed> {
        const NAME: &str = "alpaca-data";
        if let Some(spot) = self.names.get(NAME) {
            let why = "the account's own feed of prices is called so: choose another name";
            self.reading.fault(spot.clone(), Some("name"), why);
        }
        let usual = Usual::of(FeedKind::Alpaca);
        let mut set = |key: &str, value: &str, origin: Origin| {
            self.reading.set(format!("prices.feed.{NAME}.{key}"), value, origin);
        };
        let inferred = |key: &str| Origin::Inferred(format!("{}.{key}", keys.shown));
        set("kind", "alpaca", Origin::Default);
        set("base_url", written(&keys.data_url), inferred("data_url"));
        set("cadence", usual.cadence, Origin::Default);
        self.reading.set_secret(format!("prices.feed.{NAME}.key_id"), inferred("key_id"));
        self.reading.set_secret(format!("prices.feed.{NAME}.secret_key"), inferred("secret_key"));
        self.reading.set(format!("prices.feed.{NAME}.bars"), vec!["day"], Origin::Default);
        let numbers = [
            ("requests_per_minute", usual.per_minute),
            ("backfill_days", BACKFILL_DAYS),
            ("restated_days", RESTATED_DAYS),
        ];
        for (key, number) in numbers {
            self.reading.set(format!("prices.feed.{NAME}.{key}"), number, Origin::Default);
        }
        Some(PriceFeed {
            name: NAME.to_owned(),
            kind: FeedKind::Alpaca,
            base_url: Some(keys.data_url.clone()),
            key_id: Some(keys.key_id.clone()),
            secret_key: Some(keys.secret_key.clone()),
            folder: None,
            cadence: values::cadence(usual.cadence).ok()?,
            bars: vec![BarSize::Day],
            symbols: Vec::new(),
            requests_per_minute: usual.per_minute,
            requests_per_day: usual.per_day,
            backfill_days: BACKFILL_DAYS,
            restated_days: RESTATED_DAYS,
        })
    }

    fn feed(&mut self, mut section: Section<'_, '_>, keys: Option<&AlpacaKeys>) -> Option<PriceFeed> {
        let name = self.name(&mut section, "prices.feed", "alpaca-data");
        let kinds = "\"alpaca\", \"alpha_vantage\", \"yahoo\" or \"folder\"";
        let kind = section.needed(&mut self.reading, "kind", kinds, values::feed_kind)?;
        let usual = Usual::of(kind);
        let (mut base_url, mut folder, mut key_id, mut secret_key) = (None, None, None, None);
        match kind {
            FeedKind::Folder => {
                let said = section.spot_of("folder").is_some();
                folder = section.path(&mut self.reading, "folder");
                if !said {
                    self.reading.fault(
                        section.spot(),
                        Some("folder"),
                        "a folder needs its path: write `folder = \"PATH\"`",
                    );
                }
            }
            FeedKind::Yahoo => base_url = Some(self.url(&mut section, "base_url", YAHOO)?),
            FeedKind::AlphaVantage => {
                base_url = Some(self.url(&mut section, "base_url", ALPHA_VANTAGE)?);
                key_id = section.needed_secret(&mut self.reading, &API_KEY);
            }
            FeedKind::Alpaca => {
                let host = keys.map_or(ALPACA_DATA, |keys| written(&keys.data_url));
                base_url = Some(self.url(&mut section, "base_url", host)?);
                (key_id, secret_key) = self.keys_at_alpaca(&mut section, keys);
            }
        }
        let cadence = section.text_or(&mut self.reading, "cadence", usual.cadence, values::cadence);
        let bars = if kind == FeedKind::Folder { Vec::new() } else { self.bars(&mut section, kind) };
        let symbols = section.texts(&mut self.reading, "symbols", &[], symbol);
        let requests_per_minute =
            section.number_or(&mut self.reading, "requests_per_minute", usual.per_minute, 1..=100_000);
        let requests_per_day = match usual.per_day {
            Some(per_day) => {
                Some(section.number_or(&mut self.reading, "requests_per_day", per_day, 1..=10_000_000))
            }
            None => section.number(&mut self.reading, "requests_per_day", 1..=10_000_000),
        };
        let backfill_days = section.number_or(&mut self.reading, "backfill_days", BACKFILL_DAYS, 0..=36_600);
        let restated_days = section.number_or(&mut self.reading, "restated_days", RESTATED_DAYS, 0..=3_660);
        section.finish(&mut self.reading);
        Some(PriceFeed {
            name: name?,
            kind,
            base_url,
            key_id,
            secret_key,
            folder,
            cadence: cadence?,
            bars,
            symbols,
            requests_per_minute,
            requests_per_day,
            backfill_days,
            restated_days,
        })
    }

    fn bars(&mut self, section: &mut Section<'_, '_>, kind: FeedKind) -> Vec<BarSize> {
        let spot = section.spot_of("bars");
        let mut bars = section.texts(&mut self.reading, "bars", &["day"], values::bar_size);
        bars.sort_unstable();
        bars.dedup();
        if kind == FeedKind::AlphaVantage && bars.iter().any(|size| *size != BarSize::Day) {
            let spot = spot.clone().unwrap_or_else(|| section.spot());
            self.reading.fault(
                spot,
                Some("bars"),
                "Alpha Vantage is asked for daily bars only: write [\"day\"]",
            );
        }
        if bars.is_empty()
            && let Some(spot) = spot
        {
            self.reading.fault(spot, Some("bars"), "it is empty: write one of \"day\", \"hour\", \"minute\"");
        }
        bars
    }

    /// The keys of a section at Alpaca, else those of the first account.
    fn keys_at_alpaca(
        &mut self,
        section: &mut Section<'_, '_>,
        keys: Option<&AlpacaKeys>,
    ) -> (Option<Secret>, Option<Secret>) {
        let said = section.says_secret(&KEY_ID) || section.says_secret(&SECRET_KEY);
        let Some(keys) = keys.filter(|_| !said) else {
            return (
                section.needed_secret(&mut self.reading, &KEY_ID),
                section.needed_secret(&mut self.reading, &SECRET_KEY),
            );
        };
        // Nothing is said; the keys are known all the same, so that a slip in one of them is recognised.
        section.secret(&mut self.reading, &KEY_ID);
        section.secret(&mut self.reading, &SECRET_KEY);
        for key in ["key_id", "secret_key"] {
            let origin = Origin::Inferred(format!("{}.{key}", keys.shown));
            self.reading.set_secret(section.key(key), origin);
        }
        (Some(keys.key_id.clone()), Some(keys.secret_key.clone()))
    }

    fn ticks(&mut self, mut section: Section<'_, '_>, keys: Option<&AlpacaKeys>) -> Option<Ticks> {
        let beside = keys
            .filter(|keys| !values::is_alpacas(&keys.data_url))
            .and_then(|keys| values::socket_beside(&keys.data_url, "v2/iex"));
        let usual = beside.map_or_else(|| ALPACA_TICKS.to_owned(), |url| url.to_string());
        let url = section.text_or(&mut self.reading, "url", &usual, values::socket);
        if let Some(url) = &url {
            self.warn_in_clear(&section.key("url"), url);
        }
        let (key_id, secret_key) = self.keys_at_alpaca(&mut section, keys);
        let every = self.interval(&mut section, "every", "1m");
        let basis_points = section.number_or(&mut self.reading, "basis_points", 0, 0..=10_000);
        section.finish(&mut self.reading);
        Some(Ticks { url: url?, key_id: key_id?, secret_key: secret_key?, every: every?, basis_points })
    }

    fn folder(&mut self, mut section: Section<'_, '_>) -> Option<Folder> {
        let name = self.name(&mut section, "folder", "downloads");
        let said = section.spot_of("path").is_some();
        let path = section.path(&mut self.reading, "path");
        if !said {
            self.reading.fault(
                section.spot(),
                Some("path"),
                "a folder needs its path: write `path = \"PATH\"`",
            );
        }
        let format = section.needed(&mut self.reading, "format", "\"robinhood\"", |text| {
            match text.parse::<Format>()? {
                Format::Prices => {
                    Err("prices belong to no portfolio: write a [[prices.feed]] of the kind \"folder\""
                        .to_owned())
                }
                format => Ok(format.name().to_owned()),
            }
        });
        let portfolio = self.portfolio(&mut section);
        let every = self.interval(&mut section, "every", "10s");
        section.finish(&mut self.reading);
        Some(Folder { name: name?, path: path?, format: format?, portfolio: portfolio?, every: every? })
    }

    fn instruments(&mut self, section: Option<Section<'_, '_>>, has_alpaca: bool) -> InstrumentSource {
        const SOURCES: [(&str, u8); 3] = [("none", 0), ("alpaca", 1), ("list", 2)];
        let mut section = section.unwrap_or_else(|| Section::absent("[instruments]", "instruments"));
        let spot = section.spot_of("source").unwrap_or_else(|| section.spot());
        let source =
            section.text_or(&mut self.reading, "source", "none", |text| values::one_of(text, &SOURCES));
        let at_path = section.spot_of("path");
        let path = section.path(&mut self.reading, "path");
        let every = self.interval(&mut section, "every", "1d");
        section.finish(&mut self.reading);
        let (Some(source), Some(every)) = (source, every) else { return InstrumentSource::None };
        if source != 2
            && let Some(at) = at_path
        {
            self.reading.fault(at, Some("path"), "only the source \"list\" has a path: leave it out");
        }
        match (source, path) {
            (1, _) if has_alpaca => InstrumentSource::Alpaca { every },
            (1, _) => {
                let why = "no account at Alpaca is configured: add an [[alpaca]] section or set APCA_API_KEY_ID and \
                           APCA_API_SECRET_KEY";
                self.reading.fault(spot, Some("source"), why);
                InstrumentSource::None
            }
            (2, Some(path)) => InstrumentSource::List { path, every },
            (2, None) => {
                self.reading.fault(spot, Some("path"), "a list needs its file: write `path = \"PATH\"`");
                InstrumentSource::None
            }
            _ => InstrumentSource::None,
        }
    }
}

impl AlpacaKeys {
    fn of<P>(account: &AlpacaAccount<P>) -> Self {
        Self {
            shown: format!("alpaca.{}", account.name),
            key_id: account.key_id.clone(),
            secret_key: account.secret_key.clone(),
            data_url: account.data_url.clone(),
        }
    }
}

/// How far back a symbol without bars is filled, in days.
const BACKFILL_DAYS: u32 = 365;
/// How many days of bars are read again.
const RESTATED_DAYS: u32 = 7;

/// What is usual for a kind of feed.
struct Usual {
    cadence: &'static str,
    per_minute: u32,
    per_day: Option<u32>,
}

impl Usual {
    const fn of(kind: FeedKind) -> Self {
        match kind {
            FeedKind::Alpaca => Self { cadence: "every 5m in market hours", per_minute: 180, per_day: None },
            FeedKind::AlphaVantage => Self { cadence: "daily", per_minute: 5, per_day: Some(25) },
            FeedKind::Yahoo => Self { cadence: "hourly", per_minute: 20, per_day: None },
            FeedKind::Folder => Self { cadence: "every 1m", per_minute: 60, per_day: None },
        }
    }
}

/// An address without the slash that it ends with where it names a host alone.
fn written(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn portfolio(text: &str) -> Result<PortfolioId, String> {
    text.parse().map_err(|_| {
        format!(
            "`{}` is not the id of a portfolio: `daybook portfolio list` prints them",
            daybook_schemas::decimal::shorten(text)
        )
    })
}

fn symbol(text: &str) -> Result<String, String> {
    symbols::read(text).map(|symbol| symbol.text)
}
