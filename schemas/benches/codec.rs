//! How fast payloads are written and read: the two events that a ledger holds most of.
//!
//! `cargo bench -p daybook-schemas --bench codec`

#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daybook_schemas::events::{
    Charge, ChargeKind, Effect, Entry, Event, EventType, PriceTick, Side, TickKind, TradeExecuted,
};
use daybook_schemas::{
    AccountId, BrokerOrderId, CODEC_BINCODE, Currency, Day, ExecutionId, ExternalId, InstrumentId, Money,
    Multiplier, Price, Quantity, Strategy, Timestamp, When,
};
use rust_decimal::Decimal;
use std::hint::black_box;

fn decimal(text: &str) -> Decimal {
    daybook_schemas::decimal::parse(text).expect("a plain number")
}

fn tick() -> Event {
    Event::PriceTick(PriceTick {
        instrument: InstrumentId::derive(&[b"bench"]),
        price: Price::new(decimal("187.2350")),
        currency: Currency::USD,
        size: Some(Quantity::new(decimal("100"))),
        kind: TickKind::Trade,
    })
}

fn trade() -> Event {
    let at = Timestamp::from_nanos(1_709_650_529_981_482_000);
    let mut entry = Entry::new(AccountId::derive(&[b"bench"]), When::At(at), Day::from_number(19_787));
    entry.settles_on = Some(Day::from_number(19_789));
    entry.external_id = Some(ExternalId::new("20240305145529981::7f0b52ee-3a1c-4a5e-9d39-0c3f5f1b7a10"));
    Event::TradeExecuted(TradeExecuted {
        entry,
        instrument: InstrumentId::derive(&[b"bench"]),
        side: Side::Buy,
        effect: Effect::Open,
        quantity: Quantity::new(decimal("125")),
        price: Some(Price::new(decimal("187.235"))),
        currency: Currency::USD,
        multiplier: Multiplier::ONE,
        net_amount: Some(Money::new(decimal("-23405.41"), Currency::USD)),
        charges: vec![Charge {
            kind: ChargeKind::Commission,
            amount: Money::new(decimal("1.035"), Currency::USD),
        }],
        accrued_interest: None,
        order: Some(BrokerOrderId::new("9c1d8a0e-7b3f-4d64-8f0a-2f8f6f2ad5b1")),
        execution: Some(ExecutionId::new("20240305145529981")),
        cumulative_quantity: Some(Quantity::new(decimal("125"))),
        lots: Vec::new(),
        strategy: Some(Strategy::new("opening range")),
        plan: None,
        recommendation: None,
        venue: Some("XNYS".into()),
        fx_rate: None,
    })
}

fn codec(criterion: &mut Criterion) {
    for (name, event) in [("PriceTick", tick()), ("TradeExecuted", trade())] {
        let payload = event.encode().expect("short texts");
        let (id, version) = (event.event_type().id(), EventType::schema_version(event.event_type()));
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function("encode", |bencher| bencher.iter(|| black_box(&event).encode()));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| Event::decode(id, version, CODEC_BINCODE, black_box(&payload)));
        });
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
