//! A made-up firm: its advisors, a dozen clients, their portfolios, and the market they trade in for two years.
//!
//! Everything follows from a day and a seed, in whole numbers, without a clock, so that the same demo is made
//! everywhere. Companies, persons and prices are invented.

mod account;
mod advice;
mod cast;
mod draw;
mod known;
pub(crate) mod live;
mod log;
mod market;
mod people;
mod styles;
#[cfg(test)]
mod tests;

pub(crate) use log::DemoRecord;

use account::Account;
use cast::{ADVISORS, CLIENTS, PORTFOLIOS, Plan, Style};
use daybook_schemas::events::{
    AccountKind, AccountLinked, BarClosed, BenchmarkChosen, Calendar, CorporateActionAnnounced,
    CorporateActionKind, FxRateObserved, IdentifierAssigned, IdentifierScheme, InstrumentClass,
    InstrumentClassified, InstrumentListed, ListingAdded, LotMethod, MandateSet, ModelAssigned,
    ModelPublished, Ownership, PortfolioOpened, PortfolioOwnersSet, TargetWeight,
};
use daybook_schemas::{
    AccountId, AdvisorId, Currency, Day, ExternalId, Fraction, FxRate, InstrumentId, KeyId, KeyRing,
    ListingId, ModelId, Money, PartyId, PortfolioId, Quantity, Ratio, Sealed, Timestamp, Zone, stream,
};
use known::Known;
use log::Log;
use market::{Market, SECURITIES};
use rust_decimal::Decimal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The feed that brings the demo's prices, as streams name it.
const FEED: &str = "demo";

/// The made-up firm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firm {
    /// The keys that seal names and notes. They follow from the seed, which is public: nothing in a demo is secret.
    pub(crate) keys: Vec<(KeyId, [u8; 64])>,
    /// The events in the order of their recording, in commits of a day each. They are for an empty ledger, whose first
    /// sequence is 1: reversals and recommendations name sequences.
    pub(crate) commits: Vec<Vec<DemoRecord>>,
}

/// Makes up the firm as it stands on the morning of a day: its two years end with the last weekday before `today`, so
/// that the demo is never stale and nothing in it lies in the future. The same day and seed give the same firm.
pub(crate) fn firm(today: Day, seed: u64) -> Firm {
    let market = Market::new(today, seed);
    let names = Names::new(seed);
    let mut log = Log::default();
    let start = market.days.first().copied().unwrap_or(today);
    list_instruments(&names, start, &mut log);
    publish_models(&names, start, &mut log);
    people::register_advisors(&names, &market, &mut log);
    people::onboard_clients(&names, &market, &mut log);
    for plan in PORTFOLIOS {
        open_portfolio(&names, &market, plan, &mut log);
    }
    quote(&names, &market, &mut log);
    let known = Known::of(&log);
    for plan in PORTFOLIOS {
        styles::live(&mut Account::new(plan, &market, &names, &known, &mut log));
    }
    Firm { keys: names.keys, commits: log.into_commits() }
}

/// Cents as dollars.
fn usd(cents: i64) -> Money {
    Money::new(Decimal::new(cents, 2), Currency::USD)
}

fn euro() -> Currency {
    Currency::from_code("EUR").expect("a code has three capitals")
}

/// A part of one from a whole number and its decimal places.
fn fraction(number: i64, places: u32) -> Fraction {
    Fraction::new(Decimal::new(number, places))
}

/// Units from ten-thousandths.
fn fraction_of_parts(parts: i64) -> Decimal {
    Decimal::new(parts, 4).normalize()
}

/// The ids and keys of the demo, all derived from its seed.
struct Names {
    seed: u64,
    seed_bytes: [u8; 8],
    keys: Vec<(KeyId, [u8; 64])>,
    ring: KeyRing,
}

impl Names {
    fn new(seed: u64) -> Self {
        let mut names =
            Self { seed, seed_bytes: seed.to_le_bytes(), keys: Vec::new(), ring: KeyRing::default() };
        let advisors = (0..ADVISORS.len()).map(|place| KeyId::Advisor(names.advisor(place)));
        let parties = (0..CLIENTS.len()).map(|place| KeyId::Party(names.party(place)));
        let ids: Vec<KeyId> = advisors.chain(parties).collect();
        for id in ids {
            let mut hasher = blake3::Hasher::new_derive_key("daybook demo: keys");
            hasher.update(&names.seed_bytes).update(id.to_string().as_bytes());
            let mut key = [0; 64];
            hasher.finalize_xof().fill(&mut key);
            names.ring.insert(id, key);
            names.keys.push((id, key));
        }
        names
    }

    /// What an id of the demo is derived from.
    fn parts<'a>(&'a self, label: &'a str) -> [&'a [u8]; 3] {
        [b"demo", &self.seed_bytes, label.as_bytes()]
    }

    fn advisor(&self, place: usize) -> AdvisorId {
        AdvisorId::derive(&self.parts(ADVISORS[place].name))
    }

    fn party(&self, place: usize) -> PartyId {
        PartyId::derive(&self.parts(CLIENTS[place].name))
    }

    fn portfolio(&self, plan: &Plan) -> PortfolioId {
        PortfolioId::derive(&self.parts(plan.name))
    }

    fn account(&self, plan: &Plan) -> AccountId {
        AccountId::derive(&self.parts(plan.name))
    }

    fn instrument(&self, security: usize) -> InstrumentId {
        InstrumentId::derive(&self.parts(SECURITIES[security].symbol))
    }

    fn model(&self, name: &str) -> ModelId {
        ModelId::derive(&self.parts(name))
    }

    /// A short number of a portfolio, as its broker would write it.
    fn number(&self, plan: &Plan) -> String {
        let place = PORTFOLIOS.iter().position(|other| other.name == plan.name).unwrap_or(0);
        format!("{:04}", (place as u64 * 733 + self.seed % 97) % 9_000 + 1_000)
    }

    fn sealed<T: Serialize + DeserializeOwned>(&self, key: KeyId, value: &T) -> Sealed<T> {
        Sealed::seal(&self.ring, key, value)
            .expect("the ring holds the keys of the cast, and their texts are short")
    }

    /// Seals a text under a client's key.
    fn seal(&self, client: usize, text: &str) -> Sealed<String> {
        self.sealed(KeyId::Party(self.party(client)), &text.to_owned())
    }

    /// Whether a portfolio's example of a correction is due by a day.
    fn correction(&self, plan: &Plan, market: &Market, day: usize) -> bool {
        let percent = match plan.name {
            "Shares" => 45,
            "Household" => 55,
            "Ann's shares" => 65,
            _ => return false,
        };
        day >= market.days.len() * percent / 100
    }

    /// The morning so many weekdays later.
    fn later(&self, market: &Market, day: usize, weekdays: usize) -> Timestamp {
        market.date(day + weekdays).at_in(8, 15, Zone::NEW_YORK)
    }
}

/// Lists what can be traded, early on the first day.
fn list_instruments(names: &Names, start: Day, log: &mut Log) {
    let at = start.at_in(4, 0, Zone::NEW_YORK);
    for (place, security) in SECURITIES.iter().enumerate() {
        let instrument = names.instrument(place);
        let stream = stream::instrument(instrument);
        let listed = InstrumentListed {
            instrument,
            class: security.class.clone(),
            currency: Currency::USD,
            name: Some(security.name.into()),
            contract: None,
            provisional: false,
        };
        log.note(stream.clone(), at, listed);
        let listing = ListingAdded {
            listing: ListingId::derive(&names.parts(security.symbol)),
            instrument,
            venue: Some(security.venue.into()),
            symbol: security.symbol.into(),
            currency: Currency::USD,
            from: None,
        };
        log.note(stream.clone(), at, listing);
        let identifiers = [
            (IdentifierScheme::Symbol, security.symbol.to_owned(), Some(security.venue.into())),
            (IdentifierScheme::Isin, isin(place), None),
        ];
        for (scheme, value, venue) in identifiers {
            let assigned =
                IdentifierAssigned { instrument, scheme, value: value.into(), venue, from: None, to: None };
            log.note(stream.clone(), at, assigned);
        }
        log.note(stream, at, classified(security, instrument, start));
    }
}

/// What an instrument counts as when a portfolio is held against rules: a fund by what it holds.
fn classified(security: &market::Security, instrument: InstrumentId, from: Day) -> InstrumentClassified {
    let class = match security.sector {
        "fixed_income" => Some(InstrumentClass::Bond),
        "precious_metals" => Some(InstrumentClass::Commodity),
        _ => None,
    };
    InstrumentClassified {
        instrument,
        class,
        sector: Some(security.sector.into()),
        issuer: Some(security.name.into()),
        country: Some(security.withheld_by.unwrap_or("US").into()),
        from,
    }
}

/// An ISIN under `ZZ`, which is no country's and is given to nobody, with its check digit.
fn isin(place: usize) -> String {
    let body = format!("ZZDAYB{place:05}");
    let digits: Vec<u32> = body
        .chars()
        .filter_map(|letter| letter.to_digit(36))
        .flat_map(|value| if value > 9 { vec![value / 10, value % 10] } else { vec![value] })
        .collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { *digit })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// Publishes the models that the funds' portfolios follow.
fn publish_models(names: &Names, start: Day, log: &mut Log) {
    let mut models = BTreeMap::new();
    for plan in PORTFOLIOS {
        if let Style::Core { model, weights } = &plan.style {
            models.insert(*model, *weights);
        }
    }
    for (name, weights) in models {
        let target = |(symbol, percent): &(&str, i64)| TargetWeight {
            instrument: Some(names.instrument(market::place(symbol))),
            sleeve: None,
            weight: fraction(*percent, 2),
            band: Some(fraction(5, 2)),
        };
        let published = ModelPublished {
            model: names.model(name),
            version: 1,
            name: name.into(),
            targets: weights.iter().map(target).collect(),
            from: start,
        };
        log.note(stream::FIRM.to_owned(), start.at_in(5, 0, Zone::NEW_YORK), published);
    }
}

fn open_portfolio(names: &Names, market: &Market, plan: &Plan, log: &mut Log) {
    let portfolio = names.portfolio(plan);
    let stream = stream::portfolio(portfolio);
    let from = market.date(market.days.len() * plan.opened_percent / 100);
    let at = from.at_in(8, 0, Zone::NEW_YORK);
    let opened = PortfolioOpened {
        portfolio,
        name: names.seal(plan.client, plan.name),
        base_currency: Currency::USD,
        zone: Zone::NEW_YORK,
        lot_method: LotMethod::Fifo,
        calendar: Calendar::Weekdays,
    };
    log.note(stream.clone(), at, opened);
    let number = names.number(plan);
    let linked = AccountLinked {
        account: names.account(plan),
        kind: match plan.style {
            Style::ShortSeller { .. } | Style::DayTrader | Style::Growth { borrows: true, .. } => {
                AccountKind::Margin
            }
            _ if plan.name.starts_with("Retirement") => AccountKind::Retirement,
            _ => AccountKind::Cash,
        },
        name: names.seal(plan.client, plan.name),
        broker: Some(plan.broker.name().into()),
        number: Some(names.seal(plan.client, &format!("DEMO{number}"))),
        external_id: Some(ExternalId::new(format!("{}-{number}", plan.broker.name()))),
    };
    log.note(stream.clone(), at, linked);
    let owner = Ownership { party: names.party(plan.client), share: fraction(1, 0) };
    log.note(stream.clone(), at, PortfolioOwnersSet { owners: vec![owner], from });
    log.note(stream.clone(), at, MandateSet { mandate: plan.mandate.clone(), from });
    let benchmark = Some(names.instrument(market::place("DBMX")));
    log.note(stream.clone(), at, BenchmarkChosen { instrument: benchmark, from });
    if let Style::Core { model, .. } = plan.style {
        log.note(
            stream,
            at,
            ModelAssigned { portfolio, model: Some(names.model(model)), version: None, from },
        );
    }
}

/// The Fridays before the first day, as a feed brings them when it is asked for the first time.
fn backfill(names: &Names, market: &Market, log: &mut Log) {
    let recorded_at = market.date(0).at_in(4, 30, Zone::NEW_YORK);
    for (security, weeks) in market.before.iter().enumerate() {
        let instrument = names.instrument(security);
        for (friday, close) in weeks {
            let closes = friday.at_in(16, 0, Zone::NEW_YORK);
            let closed = BarClosed {
                instrument,
                opens: None,
                closes,
                day: Some(*friday),
                open: None,
                high: None,
                low: None,
                close: account::price(*close),
                volume: None,
                average: None,
                trades: None,
                currency: Currency::USD,
                revision: 0,
                unadjusted_by: None,
            };
            let stream = stream::market(FEED, instrument);
            let record = DemoRecord { stream, event: closed.into(), occurred_at: closes, key: None };
            log.keep(recorded_at, record);
        }
    }
}

/// Prices, rates and announcements, as a feed would bring them.
fn quote(names: &Names, market: &Market, log: &mut Log) {
    backfill(names, market, log);
    for (day, date) in market.days.iter().enumerate() {
        let (opens, closes) = (date.at_in(9, 30, Zone::NEW_YORK), date.at_in(16, 0, Zone::NEW_YORK));
        for security in 0..SECURITIES.len() {
            let bar = market.bar(security, day);
            let instrument = names.instrument(security);
            let closed = BarClosed {
                instrument,
                opens: Some(opens),
                closes,
                day: Some(*date),
                open: Some(account::price(bar.open)),
                high: Some(account::price(bar.high)),
                low: Some(account::price(bar.low)),
                close: account::price(bar.close),
                volume: Some(Quantity::new(bar.volume.into())),
                average: None,
                trades: None,
                currency: Currency::USD,
                revision: 0,
                unadjusted_by: None,
            };
            log.note(stream::market(FEED, instrument), closes, closed);
        }
        let rate = FxRateObserved {
            base: euro(),
            quote: Currency::USD,
            rate: FxRate::new(Decimal::new(market.euro[day], 4)),
            day: Some(*date),
            revision: 0,
        };
        log.note(stream::pair(FEED, euro(), Currency::USD), date.at_in(16, 1, Zone::NEW_YORK), rate);
    }
    for dividend in &market.dividends {
        let instrument = names.instrument(dividend.security);
        let effective = market.date(dividend.ex);
        let announced = CorporateActionAnnounced {
            cash: Some(usd(dividend.cents)),
            pays: Some(market.date(dividend.pays)),
            ..announcement(
                instrument,
                CorporateActionKind::CashDividend,
                effective,
                market.date(dividend.declared),
            )
        };
        let at = market.date(dividend.declared).at_in(17, 0, Zone::NEW_YORK);
        log.note(stream::instrument(instrument), at, announced);
    }
    let instrument = names.instrument(market::place(market::SPLIT_SYMBOL));
    let declared = market.date(market.split_day - 18);
    let split = CorporateActionAnnounced {
        ratio: Ratio::new(market::SPLIT_RATIO.into(), Decimal::ONE).ok(),
        ..announcement(instrument, CorporateActionKind::Split, market.date(market.split_day), declared)
    };
    log.note(stream::instrument(instrument), declared.at_in(17, 0, Zone::NEW_YORK), split);
}

fn announcement(
    instrument: InstrumentId,
    kind: CorporateActionKind,
    effective: Day,
    declared: Day,
) -> CorporateActionAnnounced {
    CorporateActionAnnounced {
        external_id: Some(ExternalId::new(format!("{kind}-{effective}"))),
        instrument,
        kind,
        effective,
        ratio: None,
        cash: None,
        other: None,
        basis_share: None,
        declared: Some(declared),
        record_date: None,
        pays: None,
        revision: 0,
    }
}
