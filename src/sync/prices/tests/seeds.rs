//! Any course of days, failures, restatements and restarts ends with the feed's own bars, each once.

use super::*;
use daybook_schemas::{Event, EventType};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What happens before the feed is asked the next time.
#[derive(Clone, Debug)]
enum Step {
    /// So many hours pass.
    Hours(u64),
    /// The next answer is this instead.
    Fails(FeedError),
    /// The feed says something else of one of the days that were read last.
    Restates { days_ago: i32, cents: i64 },
    /// The daemon is started anew: it knows what the ledger knows.
    Restarts,
}

fn step() -> impl Strategy<Value = Step> {
    let error = prop_oneof![
        Just(FeedError::Unavailable("busy".to_owned())),
        Just(FeedError::Nonsense("<html>".to_owned())),
        Just(FeedError::RateLimited { retry_after: Some(Duration::from_secs(5)), said: "slowly".to_owned() }),
        Just(FeedError::RateLimited {
            retry_after: Some(Duration::from_secs(7200)),
            said: "later".to_owned()
        }),
        Just(FeedError::Refused("revoked".to_owned())),
    ];
    prop_oneof![
        3 => (1u64..90).prop_map(Step::Hours),
        3 => error.prop_map(Step::Fails),
        2 => (0i32..3, 1i64..100_000).prop_map(|(days_ago, cents)| Step::Restates { days_ago, cents }),
        1 => Just(Step::Restarts),
    ]
}

/// All bars in the ledger: symbol, day, close and revision, in the order of the log.
fn log(world: &World) -> Vec<String> {
    let mut bars = Vec::new();
    let visit = &mut |record: &daybook_ledger::RecordView<'_>| {
        assert_ne!(record.type_id, EventType::EventReversed.id(), "a price is superseded, never reversed");
        if let Ok(Event::BarClosed(bar)) = crate::journal::decode(record) {
            bars.push(format!("{} {} {} #{}", record.stream, bar.day.unwrap(), bar.close, bar.revision));
        }
        ControlFlow::Continue(())
    };
    world.journal.ledger().scan(1, world.journal.ledger().head(), visit).unwrap();
    bars
}

async fn play(steps: &[Step], page: usize, symbols_max: usize) -> Vec<String> {
    let symbols = ["ACME", "BOLT", "CORK"];
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp { page, symbols_max, ..MadeUp::new(&world.clock) });
    let config = config("made-up", &symbols);
    let mut keeper = world.keeper(&feed, &config);
    for step in steps {
        match step {
            Step::Hours(hours) => tokio::time::sleep(Duration::from_secs(hours * 3600)).await,
            Step::Fails(error) => feed.says(error.clone()),
            Step::Restarts => keeper = world.keeper(&feed, &config),
            Step::Restates { days_ago, cents } => {
                // Of what was read last; what lies further back is no more looked at.
                for symbol in symbols {
                    let read = world.bars(symbol).last().map(|bar| day(&bar[..10]));
                    let Some(mut restated) = read else { continue };
                    for _ in 0..*days_ago {
                        restated = calendar::on_or_before(restated.plus_days(-1));
                    }
                    let close = Decimal::new(*cents, 2);
                    feed.closes.lock().unwrap().insert((symbol.to_owned(), restated), close);
                }
            }
        }
        keeper.round().await;
    }
    feed.script.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(4 * 86_400)).await;
    let round = keeper.round().await;
    assert_eq!(round.failure, None);
    // Bars come through a quarter of an hour after the close.
    let last = calendar::last_closed(world.clock.now().plus_nanos(-900_000_000_000));
    for symbol in symbols {
        // How far back it was filled, the first answer decided.
        let first = day(&world.bars(symbol)[0][..10]);
        let truth: Vec<String> = (0..=last.number() - first.number())
            .map(|ahead| first.plus_days(ahead))
            .filter(|day| calendar::is_trading_day(*day))
            .map(|day| format!("{day} {}", feed.bar(symbol, day).close.normalize()))
            .collect();
        let said: Vec<String> = world
            .bars(symbol)
            .iter()
            .map(|bar| bar.split(" #").next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(said, truth, "{symbol}");
    }
    let log = log(&world);
    assert_eq!(log.iter().collect::<BTreeSet<_>>().len(), log.len(), "nothing is said twice");
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn whatever_happens_on_the_way_every_bar_is_there_once_and_the_same_course_gives_the_same_log(
        steps in proptest::collection::vec(step(), 1..14),
        page in 1usize..40,
        symbols_max in 1usize..4,
    ) {
        let play = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            runtime.block_on(play(&steps, page, symbols_max))
        };
        prop_assert_eq!(play(), play());
    }
}
