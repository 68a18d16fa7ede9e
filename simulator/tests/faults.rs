//! What goes wrong goes wrong as told.

use crate::support::{get, keys, world};
use daybook_simulator::{Answer, PerMillion, Rates, Request, RestFault};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn each_fault_told_beforehand_comes_in_its_turn_and_then_no_more() {
    let mut world = world();
    world.faults.next_answers([
        Some(RestFault::TooManyRequests),
        None,
        Some(RestFault::ServerError(503)),
        Some(RestFault::ErrorWith200),
        Some(RestFault::Hang),
        Some(RestFault::Slow(Duration::from_secs(2))),
        Some(RestFault::Reset),
    ]);
    let limited = get(&mut world, "/v2/account");
    assert_eq!(limited.status, 429);
    assert!(limited.header("X-RateLimit-Reset").is_some());
    assert_eq!(get(&mut world, "/v2/account").status, 200);
    assert_eq!(get(&mut world, "/v2/account").status, 503);
    let odd = get(&mut world, "/v2/account");
    assert_eq!((odd.status, odd.body_json()["id"].is_null()), (200, true));
    let now = world.now();
    let request = Request::get("/v2/account").with_keys(&keys().id, &keys().secret);
    assert!(matches!(world.handle(&request, now), Answer::Hang(_)));
    assert!(
        matches!(world.handle(&request, now), Answer::Slow(response, by) if response.status == 200 && by.as_secs() == 2)
    );
    assert_eq!(world.handle(&request, now), Answer::Reset);
    assert_eq!(get(&mut world, "/v2/account").status, 200);
}

#[test]
fn at_a_rate_every_fault_comes_and_most_answers_are_whole() {
    let mut world = world();
    world.faults.rates = Rates::all(PerMillion::percent(2));
    let request = Request::get("/v2/account").with_keys(&keys().id, &keys().secret);
    let now = world.now();
    let whole = (0..2_000)
        .filter(|_| matches!(world.handle(&request, now), Answer::Whole(response) if response.status == 200))
        .count();
    assert!((1_600..1_950).contains(&whole), "{whole}");
    let seen: BTreeSet<&str> = world.faults.counts().keys().copied().collect();
    assert_eq!(seen, BTreeSet::from(["429", "5xx", "error with 200", "truncated", "hang", "slow", "reset"]));
}
