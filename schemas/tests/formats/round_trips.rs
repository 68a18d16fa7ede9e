//! Whatever can be said is read back as it was said, from bytes and from JSON.

use daybook_schemas::events::{
    CashTransferKind, CashTransferred, Charge, ChargeKind, ContentHash, DividendKind, Effect, Entry, Event,
    InstrumentClass, LotSelection, RawRow, Reference, Reported, Role, Scope, Side, TradeExecuted,
};
use daybook_schemas::{
    AccountId, AdvisorId, BrokerOrderId, CODEC_BINCODE, CodecError, Currency, Day, ExecutionId, ExternalId,
    Fraction, FxRate, Group, InstrumentId, KeyId, KeyRing, Money, Multiplier, PartyId, Phase, PlanId,
    PortfolioId, Price, Quantity, Ratio, RecommendationId, Sealed, Timestamp, When, Zone, codec,
};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde::{Serialize, de::DeserializeOwned};

fn both_ways<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
) -> Result<(), TestCaseError> {
    let bytes = codec::encode(value).unwrap();
    let read = codec::decode::<T>(&bytes);
    prop_assert_eq!(read.as_ref(), Ok(value));
    let json = serde_json::to_string(value).unwrap();
    prop_assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{}", json);
    Ok(())
}

fn event_both_ways(event: Event) -> Result<(), TestCaseError> {
    let event_type = event.event_type();
    let bytes = event.encode().unwrap();
    let read = Event::decode(event_type.id(), event_type.schema_version(), CODEC_BINCODE, &bytes);
    prop_assert_eq!(read.as_ref(), Ok(&event));
    let json = event.to_json().unwrap();
    prop_assert_eq!(Event::from_json(event_type, json).unwrap(), event);
    Ok(())
}

/// Any decimal: 96 bits, a sign and up to 28 places; small ones more often, and zeros at the end.
fn decimals() -> impl Strategy<Value = Decimal> {
    let mantissa = prop_oneof![
        any::<i32>().prop_map(i128::from),
        any::<i64>().prop_map(i128::from),
        (0i128..(1 << 96)),
        (0i128..(1 << 96)).prop_map(|wide| -wide),
        (any::<i32>(), 0u32..10).prop_map(|(digits, zeros)| i128::from(digits) * 10i128.pow(zeros)),
    ];
    (mantissa, 0u32..=28).prop_map(|(mantissa, scale)| Decimal::from_i128_with_scale(mantissa, scale))
}

fn positive() -> impl Strategy<Value = Decimal> {
    decimals().prop_filter_map("zero", |value| (!value.is_zero()).then(|| value.abs()))
}

fn days() -> impl Strategy<Value = Day> {
    let range = Day::from_ymd(1900, 1, 1).unwrap().number()..=Day::from_ymd(2200, 12, 31).unwrap().number();
    range.prop_map(Day::from_number)
}

fn times() -> impl Strategy<Value = Timestamp> {
    let nanos = |year| Day::from_ymd(year, 1, 1).unwrap().start_in(Zone::UTC).nanos();
    (nanos(1900)..nanos(2201)).prop_map(Timestamp::from_nanos)
}

fn whens() -> impl Strategy<Value = When> {
    prop_oneof![
        times().prop_map(When::At),
        (days(), any::<bool>(), any::<u32>()).prop_map(|(day, open, rank)| {
            When::On { day, phase: if open { Phase::Open } else { Phase::Close }, rank }
        }),
    ]
}

fn currencies() -> impl Strategy<Value = Currency> {
    "[A-Z0-9]{2,8}".prop_map(|code| Currency::from_code(&code).unwrap())
}

fn money() -> impl Strategy<Value = Money> {
    (decimals(), currencies()).prop_map(|(amount, currency)| Money::new(amount, currency))
}

fn references() -> impl Strategy<Value = Reference> {
    prop_oneof![
        any::<u64>().prop_map(Reference::Sequence),
        any::<String>().prop_map(|id| Reference::External(ExternalId::new(id))),
        any::<String>().prop_map(|key| Reference::Key(key.into())),
    ]
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.insert(KeyId::Portfolio(PortfolioId::from_bytes([1; 16])), [5; 64]);
    ring
}

fn sealed() -> impl Strategy<Value = Sealed<String>> {
    let key = KeyId::Portfolio(PortfolioId::from_bytes([1; 16]));
    any::<String>().prop_map(move |text| Sealed::seal(&ring(), key, &text).unwrap())
}

fn raw_rows() -> impl Strategy<Value = Sealed<RawRow>> {
    let key = KeyId::Portfolio(PortfolioId::from_bytes([1; 16]));
    any::<String>().prop_map(move |text| Sealed::seal(&ring(), key, &RawRow::keep(&text)).unwrap())
}

fn texts() -> impl Strategy<Value = Option<Box<str>>> {
    prop::option::of(any::<String>().prop_map(Into::into))
}

/// A coded value, or one that has no code.
fn coded<T: Clone + std::fmt::Debug + 'static>(
    all: &'static [T],
    other: impl Fn(Box<str>) -> T,
) -> impl Strategy<Value = T> {
    prop_oneof![prop::sample::select(all), any::<String>().prop_map(move |text| other(text.into()))]
}

prop_compose! {
    fn entries()(
        account in any::<[u8; 16]>(), when in whens(), trade_date in days(),
        settles_on in prop::option::of(days()), group in texts(),
        relates_to in prop::option::of(references()), external_id in texts(),
        reported in prop::option::of((texts(), prop::option::of(raw_rows()))),
        note in prop::option::of(sealed()),
    ) -> Entry {
        Entry {
            account: AccountId::from_bytes(account), when, trade_date, settles_on,
            group: group.map(Group::new),
            relates_to,
            external_id: external_id.map(ExternalId::new),
            reported: reported.map(|(code, raw)| Reported { code, raw }),
            note,
        }
    }
}

fn charges() -> impl Strategy<Value = Vec<Charge>> {
    let charge = (coded(ChargeKind::CODED, ChargeKind::Other), money());
    prop::collection::vec(charge.prop_map(|(kind, amount)| Charge { kind, amount }), 0..4)
}

fn selections() -> impl Strategy<Value = Vec<LotSelection>> {
    let selection = (references(), decimals());
    let selection = selection
        .prop_map(|(opened_by, quantity)| LotSelection { opened_by, quantity: Quantity::new(quantity) });
    prop::collection::vec(selection, 0..3)
}

prop_compose! {
    fn trade_amounts()(
        quantity in decimals(), price in prop::option::of(decimals()), multiplier in decimals(),
        net_amount in prop::option::of(money()), accrued_interest in prop::option::of(money()),
        cumulative in prop::option::of(decimals()), fx_rate in prop::option::of(decimals()), charges in charges(),
    ) -> (Quantity, Option<Price>, Multiplier, Option<Money>, Option<Money>, Option<Quantity>, Option<FxRate>, Vec<Charge>) {
        (
            Quantity::new(quantity), price.map(Price::new), Multiplier::new(multiplier), net_amount,
            accrued_interest, cumulative.map(Quantity::new), fx_rate.map(FxRate::new), charges,
        )
    }
}

prop_compose! {
    fn trades()(
        entry in entries(), instrument in any::<[u8; 16]>(),
        (side, effect) in (coded(Side::CODED, Side::Other), coded(Effect::CODED, Effect::Other)),
        currency in currencies(), amounts in trade_amounts(), lots in selections(),
        names in (texts(), texts(), texts(), texts()),
        plan in prop::option::of(any::<[u8; 16]>()), recommendation in prop::option::of(any::<[u8; 16]>()),
    ) -> TradeExecuted {
        let (quantity, price, multiplier, net_amount, accrued_interest, cumulative_quantity, fx_rate, charges) = amounts;
        let (order, execution, strategy, venue) = names;
        TradeExecuted {
            entry, instrument: InstrumentId::from_bytes(instrument), side, effect, quantity, price, currency,
            multiplier, net_amount, charges, accrued_interest,
            order: order.map(BrokerOrderId::new), execution: execution.map(ExecutionId::new), cumulative_quantity,
            lots, strategy: strategy.map(daybook_schemas::Strategy::new), plan: plan.map(PlanId::from_bytes),
            recommendation: recommendation.map(RecommendationId::from_bytes), venue, fx_rate,
        }
    }
}

prop_compose! {
    fn transfers()(
        entry in entries(), scope in coded(Scope::CODED, Scope::Other),
        kind in coded(CashTransferKind::CODED, CashTransferKind::Other), amount in money(),
        counter_account in prop::option::of(any::<[u8; 16]>()), counterparty in prop::option::of(sealed()),
        fx_rate in prop::option::of(decimals()),
    ) -> CashTransferred {
        CashTransferred {
            entry, scope, kind, amount, counter_account: counter_account.map(AccountId::from_bytes),
            counterparty, fx_rate: fx_rate.map(FxRate::new),
        }
    }
}

proptest! {
    #[test]
    fn decimals_of_every_kind_round_trip(value in decimals()) {
        both_ways(&Price::new(value))?;
        both_ways(&Quantity::new(value))?;
        both_ways(&Multiplier::new(value))?;
        both_ways(&Fraction::new(value))?;
        both_ways(&FxRate::new(value))?;
        prop_assert_eq!(Price::new(value).get(), value);
        prop_assert_eq!(Price::parse(&value.to_string()), Ok(Price::new(value)));
    }

    #[test]
    fn equal_decimals_are_equal_bytes(value in decimals()) {
        let mut longer = value;
        longer.rescale((value.scale() + 3).min(28));
        prop_assert_eq!(codec::encode(&Price::new(value)), codec::encode(&Price::new(longer)));
    }

    #[test]
    fn money_and_currencies_round_trip(value in money()) {
        both_ways(&value)?;
        both_ways(&value.currency())?;
    }

    #[test]
    fn ratios_round_trip(numerator in positive(), denominator in positive()) {
        both_ways(&Ratio::new(numerator, denominator).unwrap())?;
    }

    #[test]
    fn decimals_that_are_not_in_normal_form_are_refused(value in decimals(), zeros in 1u32..5) {
        let normal = value.normalize();
        let places = normal.scale() + zeros;
        let scale = u8::try_from(places).unwrap();
        if let Some(mantissa) = normal.mantissa().checked_mul(10i128.pow(zeros)) {
            let bytes = codec::encode(&(mantissa, scale)).unwrap();
            let read = codec::decode::<Price>(&bytes);
            prop_assert!(matches!(read, Err(CodecError::Malformed(_))), "{read:?}");
        }
    }

    #[test]
    fn mantissas_and_scales_beyond_a_decimal_are_refused(mantissa in (1i128 << 96)..i128::MAX, scale in 29u8..) {
        for (mantissa, scale) in [(mantissa, 0), (-mantissa, 0), (1, scale), (i128::MIN, 0)] {
            let bytes = codec::encode(&(mantissa, scale)).unwrap();
            prop_assert!(matches!(codec::decode::<Price>(&bytes), Err(CodecError::Malformed(_))));
        }
    }

    #[test]
    fn times_round_trip(when in whens(), time in times(), day in days()) {
        both_ways(&when)?;
        both_ways(&time)?;
        both_ways(&day)?;
    }

    #[test]
    fn ids_and_names_round_trip(bytes in any::<[u8; 16]>(), hash in any::<[u8; 32]>(), name in any::<String>()) {
        both_ways(&PortfolioId::from_bytes(bytes))?;
        both_ways(&InstrumentId::from_bytes(bytes))?;
        both_ways(&ContentHash(hash))?;
        both_ways(&ExternalId::new(name))?;
        for key in [
            KeyId::Portfolio(PortfolioId::from_bytes(bytes)),
            KeyId::Party(PartyId::from_bytes(bytes)),
            KeyId::Advisor(AdvisorId::from_bytes(bytes)),
        ] {
            both_ways(&key)?;
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn codes_round_trip(
        side in coded(Side::CODED, Side::Other), class in coded(InstrumentClass::CODED, InstrumentClass::Other),
        kind in coded(DividendKind::CODED, DividendKind::Other), role in coded(Role::CODED, Role::Other),
    ) {
        both_ways(&side)?;
        both_ways(&class)?;
        both_ways(&kind)?;
        both_ways(&role)?;
    }

    #[test]
    fn what_is_sealed_round_trips_and_opens(text in any::<String>()) {
        let key = KeyId::Portfolio(PortfolioId::from_bytes([1; 16]));
        let value = Sealed::seal(&ring(), key, &text).unwrap();
        both_ways(&value)?;
        prop_assert_eq!(value.open(&ring()), Ok(text));
    }

    #[test]
    fn trades_round_trip(trade in trades()) {
        event_both_ways(trade.into())?;
    }

    #[test]
    fn transfers_of_cash_round_trip(transfer in transfers()) {
        event_both_ways(transfer.into())?;
    }
}

#[test]
fn zero_has_one_form() {
    for text in ["0", "-0", "0.00", "-0.000"] {
        assert_eq!(codec::encode(&Price::parse(text).unwrap()), Ok(vec![0, 0]), "{text}");
    }
    assert_eq!(codec::encode(&Price::new(-Decimal::ZERO)), Ok(vec![0, 0]));
    assert!(codec::decode::<Price>(&[0, 1]).is_err());
}

#[test]
fn ratios_have_one_form_and_two_positive_parts() {
    let halves = |numerator: i128, denominator: i128| {
        codec::decode::<Ratio>(&codec::encode(&(numerator, 0u8, denominator, 0u8)).unwrap())
    };
    assert_eq!(halves(1, 2), Ok(Ratio::parse("2:4").unwrap()));
    for (numerator, denominator) in [(2, 4), (0, 1), (1, 0), (-1, 2)] {
        assert!(halves(numerator, denominator).is_err(), "{numerator}:{denominator}");
    }
}

#[test]
fn json_takes_decimals_as_texts_only() {
    for wrong in ["1.5", "1", "\"1e3\"", "\"\"", "\"1,5\"", "null"] {
        assert!(serde_json::from_str::<Price>(wrong).is_err(), "{wrong}");
    }
    assert_eq!(serde_json::from_str::<Price>("\"1.50\"").unwrap(), Price::parse("1.5").unwrap());
}
