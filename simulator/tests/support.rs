//! The world that most tests begin with, and how they ask it.

use daybook_schemas::Timestamp;
use daybook_simulator::{Hours, Keys, Matching, Request, Response, World};
use rust_decimal::Decimal;

pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const START: &str = "2024-06-03T14:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(crate) fn keys() -> Keys {
    Keys::new("PKTEST", "secret")
}

/// A paper account with 100,000 dollars, no limit, filled by hand, trading around the clock.
pub(crate) fn world() -> World {
    let mut world = World::new(1, at(START));
    world.matching = Matching::Manual;
    world.limits.per_minute = None;
    world.set_hours(Hours::Always);
    world.open(&keys(), true, Decimal::from(100_000));
    world
}

pub(crate) fn send(world: &mut World, request: Request) -> Response {
    let keys = keys();
    let now = world.now();
    world.handle(&request.with_keys(&keys.id, &keys.secret), now).response().expect("nothing goes wrong here")
}

pub(crate) fn get(world: &mut World, target: &str) -> Response {
    send(world, Request::get(target))
}

pub(crate) fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}
