//! What feeds announce beside what brokers post.

use super::super::feed::Action;
use super::*;
use crate::importers::{Format, PriceOptions};
use crate::journal::{Author, ImportRequest, NewPortfolio};
use daybook_projections::PriceSource;
use daybook_schemas::events::CorporateActionKind;
use daybook_schemas::{PortfolioId, Ratio, Zone};

impl World {
    fn portfolio(&self) -> PortfolioId {
        let new = NewPortfolio::parse("Long term", "USD", "fifo", "America/New_York", "xnys").unwrap();
        self.journal.open_portfolio(&Author::operator(), &new, None).unwrap()
    }

    fn import(&self, portfolio: PortfolioId, rows: &str) {
        let text = format!("time,type,symbol,quantity,price,amount,account\n{rows}");
        let request = ImportRequest {
            format: Format::Csv,
            file_name: "rows.csv",
            bytes: text.as_bytes(),
            portfolio: Some(portfolio),
            prices: PriceOptions::default(),
            dry_run: false,
        };
        self.journal.import(&Author::operator(), &request, None, &|_, _| {}).unwrap();
    }

    fn check(&self, today: &str) -> Checked {
        let feeds = ["made-up".to_owned()];
        let today = day(today);
        let now = today.at_in(12, 0, Zone::NEW_YORK);
        super::super::actions::check(&self.journal, &recording::author(), &feeds, now, today).unwrap()
    }
}

fn split(effective: &str, ratio: &str) -> Action {
    Action {
        ratio: Some(Ratio::parse(ratio).unwrap()),
        ..Action::new(CorporateActionKind::Split, day(effective))
    }
}

#[tokio::test(start_paused = true)]
async fn a_split_that_the_broker_did_not_post_is_a_break_until_it_is_there() {
    let world = World::new(FRIDAY);
    let portfolio = world.portfolio();
    world.import(portfolio, "2023-12-20T15:00:00Z,buy,ACME,10,100,,main\n2023-12-20T15:00:00Z,buy,ACME,5,100,,other\n2023-12-29T15:00:00Z,sell,ACME,5,100,,other\n");
    let feed = Arc::new(MadeUp { actions: vec![split("2024-01-02", "3")], ..MadeUp::new(&world.clock) });
    let before =
        world.journal.portfolio(portfolio, &Default::default(), |view| Ok(view.positions().len())).unwrap();
    let round = world.keeper(&feed, &config("made-up", &["ACME"])).round().await;
    assert_eq!(round.tallies["ACME"].actions, 1);
    let after =
        world.journal.portfolio(portfolio, &Default::default(), |view| Ok(view.positions().len())).unwrap();
    assert_eq!(before, after, "an announcement moves no position");

    assert_eq!(world.check("2024-01-05"), Checked::default(), "the broker may still post it");
    let checked = world.check("2024-01-06");
    assert_eq!(
        (checked.found, checked.resolved),
        (1, 0),
        "not in the account that had sold by then: {checked:?}"
    );
    assert!(
        checked.open[0]
            .starts_with("ACME: a split of 3 was announced for 2024-01-02 and is not recorded in account ")
    );
    let head = world.journal.ledger().head();
    let again = world.check("2024-01-07");
    assert_eq!((again.found, again.open.len()), (0, 1));
    assert_eq!(world.journal.ledger().head(), head, "it is found once");

    world.import(portfolio, "2024-01-02,split,ACME,3,,,main\n");
    let checked = world.check("2024-01-08");
    assert_eq!((checked.found, checked.resolved, checked.open.len()), (0, 1, 0));
    assert_eq!(world.check("2024-01-09"), Checked::default());
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_posted_and_nobody_announced_is_a_break_too() {
    let world = World::new(FRIDAY);
    let portfolio = world.portfolio();
    world.import(portfolio, "2023-12-20T15:00:00Z,buy,ACME,10,100,,main\n2024-01-02,split,ACME,2,,,main\n2024-01-03,dividend,ACME,,,4.50,main\n2024-01-03,dividend,BOLT,,,1,main\n");
    let feed = Arc::new(MadeUp::new(&world.clock));
    world.keeper(&feed, &config("made-up", &["ACME"])).round().await;
    let checked = world.check("2024-01-20");
    let said: Vec<&str> =
        checked.open.iter().map(|text| text.split(" is recorded").next().unwrap()).collect();
    assert_eq!(said, ["ACME: a dividend of 4.5", "ACME: a split of 2"], "no feed prices BOLT: {checked:?}");
    assert_eq!(checked.found, 2);
}

#[tokio::test(start_paused = true)]
async fn a_dividend_is_found_by_its_days_and_compared_by_its_cash() {
    let world = World::new(FRIDAY);
    let portfolio = world.portfolio();
    world.import(portfolio, "2023-12-01T15:00:00Z,buy,ACME,10,100,,main\n");
    let cash = |effective: &str, pays: Option<&str>, cents: i64| Action {
        cash: Some(Decimal::new(cents, 2)),
        pays: pays.map(day),
        ..Action::new(CorporateActionKind::CashDividend, day(effective))
    };
    let actions = vec![cash("2023-12-28", Some("2024-01-10"), 45), cash("2024-01-03", None, 50)];
    let feed = Arc::new(MadeUp { actions, ..MadeUp::new(&world.clock) });
    world.keeper(&feed, &config("made-up", &["ACME"])).round().await;
    assert_eq!(world.check("2024-01-17"), Checked::default(), "a week after its payment it may still come");
    let checked = world.check("2024-01-18");
    assert_eq!(checked.open.len(), 1);
    assert!(
        checked.open[0]
            .starts_with("ACME: a dividend of 0.45 was announced for 2023-12-28 and is not recorded")
    );
    world.import(portfolio, "2024-01-11,dividend,ACME,,,4.50,main\n");
    let checked = world.check("2024-01-19");
    assert_eq!((checked.resolved, checked.open.len()), (1, 0), "{checked:?}");
    // The other one, whose payment nobody dated, is missed two months later.
    assert_eq!(world.check("2024-03-01").open.len(), 0);
    assert_eq!(world.check("2024-03-12").open.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_split_that_two_feeds_announce_is_undone_once() {
    let world = World::new(FRIDAY);
    let first = Arc::new(MadeUp { actions: vec![split("2024-01-03", "2")], ..MadeUp::new(&world.clock) });
    let second = Arc::new(MadeUp { actions: vec![split("2024-01-02", "4:2")], ..MadeUp::new(&world.clock) });
    world.keeper(&first, &config("first", &["ACME"])).round().await;
    world.keeper(&second, &config("second", &["ACME"])).round().await;
    let id = world.instrument("ACME").unwrap();
    let library = world.journal.library().unwrap();
    let splits = library.prices.announced_splits(id, library.applied());
    assert_eq!(splits.len(), 1, "{splits:?}");
    assert_eq!((splits[0].effective, splits[0].ratio.to_string()), (day("2024-01-03"), "2:1".to_owned()));
    drop(library);
    // A file that is adjusted for splits is put back by the one split, whoever announced it.
    let request = ImportRequest {
        format: Format::Prices,
        file_name: "ACME.csv",
        bytes: b"date,close\n2023-12-01,50\n2024-01-04,55\n",
        portfolio: None,
        prices: PriceOptions {
            symbol: Some("ACME".to_owned()),
            adjusted: crate::importers::Adjustment::Splits,
        },
        dry_run: false,
    };
    world.journal.import(&Author::operator(), &request, None, &|_, _| {}).unwrap();
    assert!(world.bars("ACME").contains(&"2023-12-01 100 #0 csv".to_owned()), "{:?}", world.bars("ACME"));
}
