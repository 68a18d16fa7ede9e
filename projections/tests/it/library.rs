//! What is resident across portfolios.

use crate::build::*;
use daybook_projections::library::{
    Jump, ObservationKind, RatePath, TICKS_RECENT_MAX, check_adjustment, normalise_symbol, parse_osi,
};
use daybook_projections::{ImportState, Library, Meta, NeedsDisk, Observation, PriceSource, Resolution};
use daybook_schemas::events::*;
use daybook_schemas::{
    Currency, Day, Event, FxRate, ListingId, PortfolioId, Ratio, Timestamp, TokenId, stream,
};
use proptest::prelude::*;

fn listed(number: u8, symbol: &str, currency: &str, provisional: bool) -> [Event; 2] {
    let currency = Currency::from_code(currency).unwrap();
    [
        InstrumentListed {
            instrument: instrument(number),
            class: InstrumentClass::Equity,
            currency,
            name: None,
            contract: None,
            provisional,
        }
        .into(),
        ListingAdded {
            listing: ListingId::from_bytes([number; 16]),
            instrument: instrument(number),
            venue: None,
            symbol: symbol.into(),
            currency,
            from: None,
        }
        .into(),
    ]
}

fn renamed(number: u8, symbol: &str, from: &str) -> IdentifierAssigned {
    IdentifierAssigned {
        instrument: instrument(number),
        scheme: IdentifierScheme::Symbol,
        value: symbol.into(),
        venue: None,
        from: Some(day(from)),
        to: None,
    }
}

fn by_symbol(world: &World, symbol: &str, on: Option<&str>) -> Resolution {
    world.library.instruments.resolve(&IdentifierScheme::Symbol, symbol, on.map(day), None, None)
}

#[test]
fn a_renamed_instrument_answers_to_both_names_each_on_its_days() {
    let mut world = World::of(listed(1, "FB", "USD", true));
    world.record_imported(renamed(1, "META", "2022-06-09"), 1);
    world.record(imported(1));
    for (on, name) in [(Some("2022-06-08"), "FB"), (Some("2022-06-09"), "META"), (None, "META")] {
        assert_eq!(world.library.instruments.symbol(instrument(1), on.map(day)), Some(name));
    }
    // Exports call old rows by the new name.
    assert_eq!(by_symbol(&world, "META", Some("2021-01-04")), Resolution::One(instrument(1)));
    assert_eq!(by_symbol(&world, "fb", Some("2024-01-04")), Resolution::One(instrument(1)));

    // Somebody else takes the old name: each day has its owner.
    for event in listed(2, "FB", "USD", false) {
        world.record(event);
    }
    let taken = IdentifierAssigned { from: Some(day("2023-01-02")), ..renamed(2, "FB", "2023-01-02") };
    world.record(taken);
    assert_eq!(by_symbol(&world, "FB", Some("2024-01-04")), Resolution::One(instrument(2)));

    world.record(ImportReverted { import: import(1), reason: None });
    assert_eq!(world.library.instruments.symbol(instrument(1), None), Some("FB"));
}

#[test]
fn one_symbol_in_two_currencies_is_told_apart_by_the_currency() {
    let mut world = World::of(listed(1, "VOD", "USD", true));
    for event in listed(2, "VOD", "GBP", true) {
        world.record(event);
    }
    let resolve = |currency: Option<&str>| {
        let currency = currency.map(|code| Currency::from_code(code).unwrap());
        world.library.instruments.resolve(&IdentifierScheme::Symbol, "VOD", None, currency, None)
    };
    assert_eq!(resolve(Some("GBP")), Resolution::One(instrument(2)));
    assert_eq!(resolve(Some("EUR")), Resolution::Unknown);
    assert_eq!(resolve(None), Resolution::Ambiguous(vec![instrument(1), instrument(2)]));
    assert_eq!(world.library.instruments.provisional_count("vod"), 2);
}

#[test]
fn merged_instruments_are_one() {
    let mut world = World::of(listed(1, "AAA", "USD", true));
    for event in listed(2, "BBB", "USD", false) {
        world.record(event);
    }
    world.record(InstrumentsMerged { kept: instrument(2), merged: instrument(1), reason: None });
    assert_eq!(by_symbol(&world, "AAA", None), Resolution::One(instrument(2)));
    assert_eq!(world.library.instruments.canonical(instrument(1)), instrument(2));
    assert_eq!(world.library.instruments.list().count(), 1);
    // A merge back again would run in a circle, and is not followed.
    world.record(InstrumentsMerged { kept: instrument(1), merged: instrument(2), reason: None });
    assert_eq!(world.library.instruments.canonical(instrument(1)), instrument(2));
}

#[test]
fn option_symbols_and_pairs_have_one_form() {
    assert_eq!(normalise_symbol("AAPL240119C00150000"), "AAPL  240119C00150000");
    assert_eq!(normalise_symbol("AAPL  240119C00150000"), "AAPL  240119C00150000");
    let osi = parse_osi("brkb240119p00002500").unwrap();
    assert_eq!(
        (osi.root.as_str(), osi.right.clone(), osi.strike.get()),
        ("BRKB", OptionRight::Put, d("2.5"))
    );
    assert_eq!(osi.expiry, day("2024-01-19"));
    assert_eq!(osi.padded(), "BRKB  240119P00002500");
    for bad in
        ["", "AAPL", "AAPL241319C00150000", "AAPL240119X00150000", "240119C00150000", "ÄAPL240119C0015000"]
    {
        assert!(parse_osi(bad).is_none(), "{bad}");
    }
    assert_eq!(normalise_symbol("btc/usd"), normalise_symbol("BTCUSD"));
    assert_eq!(normalise_symbol("BRK/B"), "BRK/B");
    let world = World::of(listed(1, "AAPL240119C00150000", "USD", true));
    let padded =
        world.library.instruments.resolve(&IdentifierScheme::Osi, "AAPL  240119C00150000", None, None, None);
    assert_eq!(padded, Resolution::One(instrument(1)));
}

#[test]
fn an_isin_resolves_and_is_known_to_belong() {
    let mut world = World::of(listed(1, "AAPL", "USD", false));
    let mut isin = renamed(1, "US0378331005", "2000-01-03");
    isin.scheme = IdentifierScheme::Isin;
    isin.from = None;
    world.record(isin);
    let instruments = &world.library.instruments;
    assert_eq!(
        instruments.resolve(&IdentifierScheme::Isin, "us0378331005", Some(day("2024-01-02")), None, None),
        Resolution::One(instrument(1))
    );
    assert!(instruments.has_identifier(instrument(1), &IdentifierScheme::Isin, "US0378331005"));
    assert!(!instruments.has_identifier(instrument(2), &IdentifierScheme::Isin, "US0378331005"));
    assert_eq!(instruments.symbol(instrument(1), None), Some("AAPL"), "an ISIN is no symbol");
}

#[test]
fn a_restatement_supersedes_the_bar_of_its_own_feed_only() {
    let mut world = World::new();
    world.record_from(close(1, "2024-03-05", "10", 0), None, "alpha");
    world.record_from(close(1, "2024-03-05", "20", 0), None, "beta");
    let latest = |world: &World, known| {
        let seen =
            world.library.prices.latest(instrument(1), at("2024-03-06T00:00:00Z"), known).unwrap().unwrap();
        (seen.price, seen.feed.to_string())
    };
    assert_eq!(latest(&world, u64::MAX), (d("20"), "beta".to_owned()));
    world.record_from(close(1, "2024-03-05", "11", 1), None, "alpha");
    assert_eq!(
        latest(&world, u64::MAX),
        (d("20"), "beta".to_owned()),
        "alpha's restatement takes alpha's place"
    );
    world.record_from(close(1, "2024-03-05", "21", 1), None, "beta");
    assert_eq!(latest(&world, u64::MAX), (d("21"), "beta".to_owned()));
    assert_eq!(latest(&world, 4), (d("20"), "beta".to_owned()));
    let bars = world.library.prices.bars(instrument(1), None, None, u64::MAX);
    let closes: Vec<_> = bars.iter().map(|bar| (bar.feed.to_string(), bar.close, bar.revision)).collect();
    assert_eq!(closes, [("alpha".to_owned(), d("11"), 1), ("beta".to_owned(), d("21"), 1)]);
    assert_eq!(world.library.prices.revision("alpha", instrument(1), day("2024-03-05")), Some((1, d("11"))));
}

#[test]
fn prices_of_a_reverted_import_count_no_more_and_what_they_restated_counts_again() {
    let mut world = World::new();
    world.record(close(1, "2024-03-05", "10", 0));
    let restated = world.record_imported(close(1, "2024-03-05", "12", 1), 1);
    let price = |world: &World, known| {
        world.library.prices.latest(instrument(1), at("2024-03-06T00:00:00Z"), known).unwrap().unwrap().price
    };
    assert_eq!(price(&world, u64::MAX), d("10"), "the import has not ended");
    let end = world.record(imported(1));
    assert_eq!(price(&world, u64::MAX), d("12"));
    assert_eq!(price(&world, restated), d("10"));
    world.record(ImportReverted { import: import(1), reason: None });
    assert_eq!(price(&world, u64::MAX), d("10"));
    assert_eq!(price(&world, end), d("12"));
}

#[test]
fn rates_are_found_directly_the_other_way_round_or_through_one_other() {
    let mut world = World::new();
    let rate = |base: &str, quote: &str, rate: &str| FxRateObserved {
        base: Currency::from_code(base).unwrap(),
        quote: Currency::from_code(quote).unwrap(),
        rate: FxRate::new(d(rate)),
        day: Some(day("2024-03-05")),
        revision: 0,
    };
    world.record(rate("EUR", "USD", "1.25"));
    world.record(rate("GBP", "USD", "1.5"));
    let find = |base: &str, quote: &str| {
        let code = |text: &str| Currency::from_code(text).unwrap();
        world
            .library
            .prices
            .rate(code(base), code(quote), at("2024-03-06T00:00:00Z"), u64::MAX)
            .map(|found| (found.rate, found.path))
    };
    assert_eq!(find("EUR", "USD"), Some((d("1.25"), RatePath::Direct)));
    assert_eq!(find("USD", "EUR"), Some((d("0.8"), RatePath::Inverse)));
    assert_eq!(find("GBP", "EUR"), Some((d("1.2"), RatePath::Cross(Currency::USD))));
    assert_eq!(find("GBP", "JPY"), None);
}

#[test]
fn ticks_are_thinned_to_the_last_of_a_quarter_hour_and_a_question_inside_one_goes_to_disk() {
    let mut library = Library::new();
    let start = at("2024-03-05T15:00:00Z").nanos();
    let name = stream::market("feed", instrument(1));
    let ticks = 3 * TICKS_RECENT_MAX as u64;
    for at in 0..ticks {
        let event: Event = tick(1, &(at + 1).to_string()).into();
        let occurred_at = Timestamp::from_nanos(start + i64::try_from(at).unwrap() * 1_000_000_000);
        let meta =
            Meta { sequence: at + 1, occurred_at, recorded_at: occurred_at, import: None, source_rank: 0 };
        library.apply(&meta, &name, &event);
    }
    assert!(library.prices.resident() < 2 * TICKS_RECENT_MAX + 100, "{}", library.prices.resident());
    let latest = |second: u64, known: u64| {
        let instant = Timestamp::from_nanos(start + i64::try_from(second).unwrap() * 1_000_000_000);
        library.prices.latest(instrument(1), instant, known)
    };
    // The end, the recent, the ends of old quarters: exact.
    assert_eq!(latest(ticks, u64::MAX).unwrap().unwrap().sequence, ticks);
    assert_eq!(latest(ticks - 5_000, u64::MAX).unwrap().unwrap().sequence, ticks - 5_000 + 1);
    let end_of_quarter = latest(899, u64::MAX).unwrap().unwrap();
    assert_eq!((end_of_quarter.sequence, end_of_quarter.kind), (900, ObservationKind::Tick));
    // Inside an old quarter, or of an old one as it was known then: only the log can tell, and it is said where.
    let inside = latest(450, u64::MAX).unwrap_err();
    assert!((inside.from_sequence..=inside.to_sequence).contains(&451), "{inside:?}");
    assert_eq!(inside.stream, name);
    let known = latest(899, 500).unwrap_err();
    assert!((known.from_sequence..=known.to_sequence).contains(&500), "{known:?}");
    assert_eq!(latest(0, 0).unwrap(), None);

    // With the log at hand every question has an answer.
    let from_log = |second: u64, known: u64| {
        let instant = Timestamp::from_nanos(start + i64::try_from(second).unwrap() * 1_000_000_000);
        let mut read = |needed: &NeedsDisk| {
            let last =
                (needed.from_sequence..=needed.to_sequence).rev().find(|sequence| *sequence <= second + 1);
            Ok(last.map(|sequence| Observation {
                price: sequence.into(),
                currency: Currency::USD,
                occurred_at: Timestamp::from_nanos(
                    start + i64::try_from(sequence - 1).unwrap() * 1_000_000_000,
                ),
                sequence,
                feed: "feed".into(),
                kind: ObservationKind::Tick,
                day: None,
            }))
        };
        library.prices.latest_reading(instrument(1), instant, known, &mut read).unwrap().unwrap().sequence
    };
    assert_eq!((from_log(450, u64::MAX), from_log(899, 500), from_log(1000, 950)), (451, 500, 950));
    assert_eq!(from_log(900, 900), 900, "nothing in the quarter was known, so that the one before answers");
}

#[test]
fn an_observation_says_whether_it_is_a_daily_bar_a_bar_or_a_tick() {
    let mut world = World::new();
    world.record(close(1, "2024-03-04", "10", 0));
    let within =
        BarClosed { day: None, closes: at("2024-03-05T15:00:00Z"), ..close(1, "2024-03-05", "11", 0) };
    world.record(within.clone());
    world.record(BarClosed { revision: 1, close: daybook_schemas::Price::new(d("11.5")), ..within });
    world.tick("2024-03-05T16:00:00Z", "12");
    let kind = |when: &str| {
        let found = world.library.prices.latest(instrument(1), at(when), u64::MAX).unwrap().unwrap();
        (found.kind, found.price)
    };
    assert_eq!(kind("2024-03-05T14:59:59Z"), (ObservationKind::DailyBar, d("10")));
    assert_eq!(kind("2024-03-05T15:00:00Z"), (ObservationKind::Bar, d("11.5")));
    assert_eq!(kind("2024-03-05T16:00:00Z"), (ObservationKind::Tick, d("12")));
}

#[test]
fn a_bid_is_no_value() {
    let mut world = World::new();
    let mut bid = tick(1, "10");
    bid.kind = TickKind::Bid;
    world.record(bid);
    world.tick("2024-03-05T15:00:00Z", "11");
    let found =
        world.library.prices.latest(instrument(1), at("2024-03-06T15:00:00Z"), u64::MAX).unwrap().unwrap();
    assert_eq!(found.price, d("11"));
}

#[test]
fn closes_around_a_split_show_whether_they_were_adjusted() {
    let ratio = Ratio::parse("7").unwrap();
    assert_eq!(check_adjustment(d("645.57"), d("93.70"), ratio), Ok(Jump::AsTraded));
    assert_eq!(check_adjustment(d("92.22"), d("93.70"), ratio), Ok(Jump::AlreadyAdjusted));
    assert_eq!(check_adjustment(d("92.22"), d("40"), ratio), Ok(Jump::Unclear));
    assert_eq!(check_adjustment(d("10"), d("100"), Ratio::parse("1/10").unwrap()), Ok(Jump::AsTraded));
    assert_eq!(check_adjustment(d("10"), d("10"), Ratio::parse("11/10").unwrap()), Ok(Jump::Unclear));
    assert_eq!(check_adjustment(d("0"), d("10"), ratio), Ok(Jump::Unclear));
}

fn announced(kind: CorporateActionKind, effective: &str) -> CorporateActionAnnounced {
    CorporateActionAnnounced {
        instrument: instrument(1),
        kind,
        effective: day(effective),
        ratio: None,
        cash: None,
        other: None,
        basis_share: None,
        declared: None,
        record_date: None,
        pays: None,
        external_id: None,
        revision: 0,
    }
}

#[test]
fn a_split_that_several_feeds_announce_is_one_split() {
    let mut world = World::new();
    let split = |effective: &str, ratio: &str| CorporateActionAnnounced {
        ratio: Some(Ratio::parse(ratio).unwrap()),
        ..announced(CorporateActionKind::Split, effective)
    };
    let said = |world: &World| {
        let splits = world.library.prices.announced_splits(instrument(1), u64::MAX);
        splits.iter().map(|split| format!("{} {}", split.effective, split.ratio)).collect::<Vec<_>>()
    };
    world.record_from(split("2024-06-10", "10"), None, "first");
    world.record_from(split("2024-06-10", "10"), None, "second");
    // One dates it by the day of payment, and writes the ratio otherwise.
    world.record_from(split("2024-06-07", "20:2"), None, "third");
    assert_eq!(said(&world), ["2024-06-10 10:1"]);
    // Another ratio, or weeks later, is another split.
    world.record_from(split("2024-06-14", "3"), None, "second");
    world.record_from(split("2024-09-10", "10"), None, "third");
    assert_eq!(said(&world), ["2024-06-10 10:1", "2024-06-14 3:1", "2024-09-10 10:1"]);
    // A feed that corrects its own word takes it back.
    let corrected = CorporateActionAnnounced { external_id: None, revision: 1, ..split("2024-06-14", "2") };
    world.record_from(corrected, None, "second");
    assert_eq!(said(&world), ["2024-06-10 10:1", "2024-06-14 2:1", "2024-09-10 10:1"]);
}

#[test]
fn a_dividend_that_several_feeds_announce_is_one_and_two_of_one_feed_on_a_day_are_two() {
    let mut world = World::new();
    let dividend = |effective: &str, cash: &str, id: Option<&str>| CorporateActionAnnounced {
        cash: Some(usd(cash)),
        external_id: id.map(daybook_schemas::ExternalId::new),
        ..announced(CorporateActionKind::CashDividend, effective)
    };
    let said = |world: &World| {
        let dividends = world.library.prices.announced_dividends(instrument(1), u64::MAX);
        dividends.iter().map(|one| format!("{} {}", one.effective, one.cash)).collect::<Vec<_>>()
    };
    world.record_from(dividend("2024-05-10", "0.086928", Some("a")), None, "first");
    world.record_from(dividend("2024-05-10", "0.5", Some("b")), None, "first");
    world.record_from(dividend("2024-05-09", "0.0869", None), None, "second");
    assert_eq!(said(&world), ["2024-05-10 0.086928 USD", "2024-05-10 0.5 USD"]);
    world.record_from(dividend("2024-05-17", "0.0869", None), None, "second");
    assert_eq!(said(&world).len(), 3, "what is paid every week is announced every week");
}

#[test]
fn a_token_opens_until_it_is_revoked_or_expires() {
    let mut world = World::new();
    let token = TokenId::from_bytes([5; 16]);
    let secret = ContentHash::of(b"secret");
    world.record(AccessGranted {
        token,
        role: Role::Client,
        subject: "somebody".into(),
        portfolios: vec![portfolio()],
        expires: Some(at("2030-01-01T00:00:00Z")),
        secret_hash: secret,
        percentages_only: false,
    });
    let access = &world.library.access;
    assert!(access.by_secret(&ContentHash::of(b"other")).is_none());
    let grant = access.by_secret(&secret).unwrap();
    assert!(grant.is_valid_at(at("2029-12-31T23:59:59Z")));
    assert!(!grant.is_valid_at(at("2030-01-01T00:00:00Z")));
    world.record(AccessRevoked { token, reason: None });
    assert!(!world.library.access.get(token).unwrap().is_valid_at(at("2025-01-01T00:00:00Z")));
    assert_eq!(world.library.access.list().count(), 1);
}

#[test]
fn the_directory_knows_portfolios_accounts_and_what_was_taken_back() {
    let mut world = World::new();
    let closed = world.record(PortfolioClosed { on: day("2024-03-05"), reason: None });
    let directory = |world: &World| world.library.directory.get(portfolio()).cloned().unwrap();
    assert_eq!(directory(&world).closed, Some(day("2024-03-05")));
    let undone = world.record(reversed(closed));
    assert_eq!(directory(&world).closed, None);
    assert_eq!(directory(&world).opened, 1);
    assert_eq!(world.library.directory.last_sequence(portfolio()), undone);
    assert_eq!(world.library.directory.list().count(), 1);
    assert!(world.library.directory.get(PortfolioId::from_bytes([9; 16])).is_none());
}

#[test]
fn an_import_cut_short_is_told() {
    let mut world = World::new();
    world.record_imported(cash("2024-03-04", usd("1")), 1);
    world.record_imported(cash("2024-03-04", usd("1")), 2);
    world.record(imported(2));
    let interrupted: Vec<_> =
        world.imports().interrupted().map(|import| (import.id, import.events)).collect();
    assert_eq!(interrupted, [(import(1), 1)]);
    assert_eq!(world.imports().get(import(2)).unwrap().state(u64::MAX), ImportState::Visible);
    assert_eq!(world.imports().list().count(), 2);
}

#[test]
fn quarantine_is_open_until_resolved_and_gone_with_its_import() {
    let mut world = World::new();
    let record = RecordQuarantined {
        format: "schwab".into(),
        portfolio: Some(portfolio()),
        account: None,
        line: Some(7),
        column: None,
        reason: QuarantineReason::UnknownCode,
        detail: sealed(&"the action is not known".to_owned()),
        day: None,
        raw: sealed(&RawRow::keep("a,b,c")),
    };
    let first = world.record_imported(record.clone(), 1);
    world.record_imported(record, 1);
    let open = |world: &World| world.library.quarantine.open(world.imports(), Some(portfolio())).count();
    assert_eq!(open(&world), 0, "nothing counts before its import ends");
    world.record(imported(1));
    assert_eq!(open(&world), 2);
    world.record(QuarantineResolved {
        target: first,
        resolution: QuarantineResolution::Dismissed,
        replaced_by: Vec::new(),
        note: None,
    });
    assert_eq!(open(&world), 1);
    assert!(world.library.quarantine.get(first).unwrap().resolved.is_some());
    world.record(ImportReverted { import: import(1), reason: None });
    assert_eq!(open(&world), 0);
}

#[test]
fn a_library_is_restored_as_it_was_and_refuses_damage() {
    let mut world = World::of(listed(1, "AAPL", "USD", true));
    world.record(close(1, "2024-03-05", "10", 0));
    let snapshot = world.library.snapshot();
    let restored = Library::restore(&snapshot).unwrap();
    assert_eq!(restored, world.library);
    assert_eq!(restored.digest(), world.library.digest());
    assert_eq!(restored.applied(), 4);
    for at in (0..snapshot.len()).step_by(7) {
        let mut damaged = snapshot.clone();
        damaged[at] ^= 4;
        assert!(Library::restore(&damaged).is_err(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_latest_price_is_what_a_plain_search_finds(
        bars in prop::collection::vec((0u8..2, 1i32..12, 0u32..3, 1i64..900, any::<bool>()), 1..30),
        asked in 0i32..14,
        known in 0u64..40,
        ends in prop::option::of(0usize..30),
    ) {
        let mut world = World::new();
        let mut stated: Vec<(u64, u8, Day, u32, i64, bool)> = Vec::new();
        let mut end = u64::MAX;
        for (at, (feed, date, revision, price, brought)) in bars.iter().enumerate() {
            if ends == Some(at) {
                end = world.record(imported(1));
            }
            let date = day("2024-03-01").plus_days(*date);
            let bar = close(1, &date.to_string(), &price.to_string(), *revision);
            let source = if *feed == 0 { "alpha" } else { "beta" };
            let sequence = world.record_from(bar, brought.then(|| import(1)), source);
            stated.push((sequence, *feed, date, *revision, *price, *brought));
        }
        let asked = day("2024-03-01").plus_days(asked);
        let counts = |(sequence, _, _, _, _, brought): &&(u64, u8, Day, u32, i64, bool)| {
            *sequence <= known && (!brought || end <= known)
        };
        // Of a feed's statements of a day the highest revision counts, of equal ones the last.
        let in_force: Vec<_> = stated.iter().filter(counts).filter(|one| {
            !stated.iter().filter(counts).any(|other| {
                (other.1, other.2) == (one.1, one.2) && (other.3, other.0) > (one.3, one.0) && (other.3 > 0 || one.3 > 0)
            })
        }).collect();
        let latest_day = in_force.iter().filter(|one| one.2 <= asked).map(|one| one.2).max();
        let found = world.library.prices.latest(instrument(1), asked.end_in(daybook_schemas::Zone::NEW_YORK), known).unwrap();
        match latest_day {
            None => prop_assert!(found.is_none()),
            Some(date) => {
                let found = found.unwrap();
                prop_assert!(in_force.iter().any(|one| one.2 == date && one.0 == found.sequence), "{:?}", found);
            }
        }
    }
}

#[test]
fn an_unknown_identifier_is_unknown() {
    let world = World::new();
    assert_eq!(by_symbol(&world, "NOPE", None), Resolution::Unknown);
    assert!(world.library.instruments.get(instrument(9)).is_none());
}

fn sealed<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> daybook_schemas::Sealed<T> {
    let key = daybook_schemas::KeyId::Portfolio(portfolio());
    let mut ring = daybook_schemas::KeyRing::default();
    ring.insert(key, [7; 64]);
    daybook_schemas::Sealed::seal(&ring, key, value).unwrap()
}
