//! The two sockets, message by message.

use crate::support::{SECOND, at, d, keys, world};
use daybook_simulator::broker::order::{NewOrder, Side};
use daybook_simulator::{Event, Incoming, Keys, MessageFault, Outgoing, Socket, SocketKind, World};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::time::Duration;

fn read(message: &Outgoing) -> Value {
    match message {
        Outgoing::Text(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        Outgoing::Binary(bytes) => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        other => json!(format!("{other:?}")),
    }
}

fn poll(socket: &mut Socket, world: &mut World) -> Vec<Value> {
    let now = world.now();
    socket.poll(world, now).iter().map(read).collect()
}

fn say(socket: &mut Socket, world: &mut World, message: &Value) -> Vec<Value> {
    let now = world.now();
    socket.receive(world, Incoming::Text(&message.to_string()), now);
    poll(socket, world)
}

fn listening(world: &mut World) -> Socket {
    let now = world.now();
    let mut socket = Socket::connect(world, SocketKind::Trading, now);
    let answer = say(
        &mut socket,
        world,
        &json!({ "action": "authenticate", "data": { "key_id": "PKTEST", "secret_key": "secret" } }),
    );
    assert_eq!(
        answer,
        [json!({ "stream": "authorization", "data": { "status": "authorized", "action": "authenticate" } })]
    );
    let answer =
        say(&mut socket, world, &json!({ "action": "listen", "data": { "streams": ["trade_updates"] } }));
    assert_eq!(answer, [json!({ "stream": "listening", "data": { "streams": ["trade_updates"] } })]);
    socket
}

fn trade(world: &mut World, quantity: u32) {
    let account = world.broker.account_of("PKTEST").unwrap();
    let now = world.now();
    world.broker.trade(account, "AAPL", Side::Buy, Decimal::from(quantity), d("100"), now);
}

/// The quantities of the fills among messages.
fn fills(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .filter(|message| message["data"]["event"] == "fill")
        .map(|message| message["data"]["qty"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_fill_is_told_on_paper_in_a_binary_frame_with_its_order_and_position() {
    let mut world = world();
    let mut socket = listening(&mut world);
    trade(&mut world, 2);
    let now = world.now();
    let out = socket.poll(&mut world, now);
    assert!(out.iter().all(|message| matches!(message, Outgoing::Binary(_))));
    let messages: Vec<Value> = out.iter().map(read).collect();
    assert_eq!(messages[0]["data"]["event"], "new");
    let fill = &messages[1]["data"];
    assert_eq!(messages[1]["stream"], "trade_updates");
    assert_eq!(
        (&fill["event"], &fill["price"], &fill["qty"], &fill["position_qty"]),
        (&"fill".into(), &"100".into(), &"2".into(), &"2".into())
    );
    assert_eq!(fill["order"]["filled_qty"], "2");
    let books = world.books("PKTEST").unwrap();
    assert_eq!(fill["execution_id"], json!(books.fills[0].fill.execution_id));
    assert!(!books.fills[0].id.contains(&books.fills[0].fill.execution_id), "the row's id is another");
}

#[test]
fn both_ways_to_authenticate_are_understood_and_wrong_keys_are_not_let_in() {
    let mut world = world();
    let live = Keys::new("AKLIVE", "other");
    world.open(&live, false, d("1000"));
    let now = world.now();
    let mut socket = Socket::connect(&mut world, SocketKind::Trading, now);
    let refused =
        say(&mut socket, &mut world, &json!({ "action": "auth", "key": "AKLIVE", "secret": "wrong" }));
    assert_eq!(refused[0]["data"]["status"], "unauthorized");
    let refused = say(
        &mut socket,
        &mut world,
        &json!({ "action": "listen", "data": { "streams": ["trade_updates"] } }),
    );
    assert_eq!(refused[0]["data"]["status"], "unauthorized");
    socket.receive(
        &mut world,
        Incoming::Text(&json!({ "action": "auth", "key": "AKLIVE", "secret": "other" }).to_string()),
        now,
    );
    let out = socket.poll(&mut world, now);
    assert!(
        matches!(&out[0], Outgoing::Text(text) if text.contains("\"authorized\"")),
        "live accounts speak text: {out:?}"
    );
    socket.receive(&mut world, Incoming::Binary(b"\xff"), now);
    assert_eq!(poll(&mut socket, &mut world)[0]["stream"], "error");
}

#[test]
fn nothing_that_came_before_is_told_and_a_newer_socket_takes_the_older_ones_place() {
    let mut world = world();
    trade(&mut world, 1);
    let mut older = listening(&mut world);
    assert_eq!(poll(&mut older, &mut world), Vec::<Value>::new());
    let mut newer = listening(&mut world);
    trade(&mut world, 2);
    assert!(poll(&mut older, &mut world)[0].as_str().unwrap().starts_with("Close"));
    assert!(older.is_over());
    assert_eq!(fills(&poll(&mut newer, &mut world)), ["2"]);
}

#[test]
fn a_socket_dies_with_its_key_its_account_and_a_swap() {
    for event in [Event::Revoke, Event::Reset, Event::Swap] {
        let mut world = world();
        let mut socket = listening(&mut world);
        world.happen("PKTEST", &event).unwrap();
        let out = poll(&mut socket, &mut world);
        assert!(out[0].as_str().unwrap().starts_with("Close(1008"), "{event:?} {out:?}");
    }
}

#[test]
fn messages_are_dropped_doubled_replayed_and_reordered_as_told() {
    let mut world = world();
    let mut socket = listening(&mut world);
    // Each trade tells of a new order and of a fill; only the fills are spoiled.
    world.faults.next_messages([
        None,
        Some(MessageFault::Dropped),
        None,
        Some(MessageFault::Duplicated),
        None,
        Some(MessageFault::Reordered(Duration::from_secs(1))),
        None,
        Some(MessageFault::Garbage),
    ]);
    for quantity in 1..=4 {
        trade(&mut world, quantity);
    }
    let out = poll(&mut socket, &mut world);
    assert_eq!(fills(&out), ["2", "2", "4"]);
    assert_eq!(out.iter().filter(|message| message.is_null()).count(), 1, "garbage is no JSON");
    let later = world.now().plus_nanos(SECOND);
    assert_eq!(socket.next_due(), Some(later));
    assert_eq!(fills(&socket.poll(&mut world, later).iter().map(read).collect::<Vec<_>>()), ["3"]);
    world.faults.next_messages([None, Some(MessageFault::Replayed)]);
    trade(&mut world, 5);
    let out = poll(&mut socket, &mut world);
    assert_eq!(out.len(), 3, "an older message came once more: {out:?}");
}

#[test]
fn a_silent_socket_answers_no_ping_and_a_live_one_does() {
    let mut world = world();
    let mut socket = listening(&mut world);
    let now = world.now();
    socket.receive(&mut world, Incoming::Ping(b"x"), now);
    assert_eq!(socket.poll(&mut world, now), [Outgoing::Pong(b"x".to_vec())]);
    world.faults.next_messages([Some(MessageFault::Silent)]);
    trade(&mut world, 1);
    assert_eq!(socket.poll(&mut world, now), []);
    assert!(socket.is_silent());
    socket.receive(&mut world, Incoming::Ping(b"x"), now);
    assert_eq!((socket.poll(&mut world, now), socket.next_due()), (vec![], None));
}

#[test]
fn the_data_socket_tells_trades_each_second_and_bars_each_minute() {
    let mut world = world();
    world.advance(at("2024-06-03T14:00:30Z"));
    let now = world.now();
    let mut socket = Socket::connect(&mut world, SocketKind::Data, now);
    assert_eq!(poll(&mut socket, &mut world), [json!([{ "T": "success", "msg": "connected" }])]);
    let refused = say(&mut socket, &mut world, &json!({ "action": "subscribe", "trades": ["AAPL"] }));
    assert_eq!(refused[0][0]["code"], 401);
    let answer =
        say(&mut socket, &mut world, &json!({ "action": "auth", "key": keys().id, "secret": keys().secret }));
    assert_eq!(answer, [json!([{ "T": "success", "msg": "authenticated" }])]);
    let answer = say(
        &mut socket,
        &mut world,
        &json!({ "action": "subscribe", "trades": ["AAPL", "NOSUCH"], "bars": ["KO"] }),
    );
    assert_eq!((&answer[0][0]["T"], &answer[0][0]["bars"]), (&"subscription".into(), &json!(["KO"])));
    let later = now.plus_nanos(40 * SECOND);
    let told: Vec<Value> = socket
        .poll(&mut world, later)
        .iter()
        .map(read)
        .flat_map(|list| list.as_array().unwrap().clone())
        .collect();
    let trades: Vec<&Value> = told.iter().filter(|message| message["T"] == "t").collect();
    assert_eq!(trades.len(), 40);
    assert_eq!((&trades[0]["S"], &trades[0]["t"]), (&"AAPL".into(), &"2024-06-03T14:00:31Z".into()));
    let bars: Vec<&Value> = told.iter().filter(|message| message["T"] == "b").collect();
    assert_eq!(bars.len(), 1);
    assert_eq!((&bars[0]["S"], &bars[0]["t"]), (&"KO".into(), &"2024-06-03T14:00:00Z".into()));
    assert_eq!(socket.next_due(), Some(later.plus_nanos(SECOND)));
}

#[test]
fn partial_fills_are_told_as_such() {
    let mut world = world();
    let mut socket = listening(&mut world);
    let account = world.broker.account_of("PKTEST").unwrap();
    let now = world.now();
    let parts = [(d("1"), d("10"), now), (d("2"), d("11"), now)];
    world.broker.trade_in_parts(account, NewOrder::market("F", Side::Buy, d("3")), &parts, now);
    let events: Vec<Value> =
        poll(&mut socket, &mut world).iter().map(|message| message["data"]["event"].clone()).collect();
    assert_eq!(events, ["new", "partial_fill", "fill"]);
}
