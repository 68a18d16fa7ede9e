//! One event of every type with every optional field present, from fixed parts only.

use daybook_schemas::events::*;
use daybook_schemas::{
    AccountId, AdvisorId, BrokerOrderId, Currency, Day, ExecutionId, ExternalId, Fraction, FxRate, Group,
    HouseholdId, ImportId, InstrumentId, KeyId, KeyRing, ListingId, ModelId, Money, Multiplier, OrderId,
    PartyId, Phase, PlanId, PortfolioId, Price, Quantity, Ratio, RecommendationId, ReviewId, Sealed,
    Strategy, TeamId, Timestamp, TokenId, When, Zone,
};
use rust_decimal::Decimal;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) const PORTFOLIO: PortfolioId = PortfolioId::from_bytes([0x11; 16]);
const ACCOUNT: AccountId = AccountId::from_bytes([0x22; 16]);
const OTHER_ACCOUNT: AccountId = AccountId::from_bytes([0x23; 16]);
const INSTRUMENT: InstrumentId = InstrumentId::from_bytes([0x33; 16]);
const OTHER_INSTRUMENT: InstrumentId = InstrumentId::from_bytes([0x34; 16]);
const PARTY: PartyId = PartyId::from_bytes([0x44; 16]);
const OTHER_PARTY: PartyId = PartyId::from_bytes([0x45; 16]);
const ADVISOR: AdvisorId = AdvisorId::from_bytes([0x55; 16]);
const OTHER_ADVISOR: AdvisorId = AdvisorId::from_bytes([0x56; 16]);
const MODEL: ModelId = ModelId::from_bytes([0x66; 16]);
const RECOMMENDATION: RecommendationId = RecommendationId::from_bytes([0x77; 16]);
const OTHER_RECOMMENDATION: RecommendationId = RecommendationId::from_bytes([0x78; 16]);
const PLAN: PlanId = PlanId::from_bytes([0x88; 16]);
const IMPORT: ImportId = ImportId::from_bytes([0x99; 16]);

pub(crate) fn decimal(text: &str) -> Decimal {
    daybook_schemas::decimal::parse(text).unwrap()
}

fn usd(text: &str) -> Money {
    Money::new(decimal(text), Currency::USD)
}

fn price(text: &str) -> Price {
    Price::new(decimal(text))
}

fn quantity(text: &str) -> Quantity {
    Quantity::new(decimal(text))
}

fn fraction(text: &str) -> Fraction {
    Fraction::new(decimal(text))
}

fn rate(text: &str) -> FxRate {
    FxRate::new(decimal(text))
}

fn ratio(text: &str) -> Ratio {
    Ratio::parse(text).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

/// The keys that seal what is personal in the examples.
pub(crate) fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.insert(KeyId::Portfolio(PORTFOLIO), [1; 64]);
    ring.insert(KeyId::Party(PARTY), [2; 64]);
    ring.insert(KeyId::Advisor(ADVISOR), [3; 64]);
    ring
}

fn sealed<T: Serialize + DeserializeOwned>(key: KeyId, value: &T) -> Sealed<T> {
    Sealed::seal(&ring(), key, value).unwrap()
}

pub(crate) fn of_portfolio(text: &str) -> Sealed<String> {
    sealed(KeyId::Portfolio(PORTFOLIO), &text.to_owned())
}

fn of_party(text: &str) -> Sealed<String> {
    sealed(KeyId::Party(PARTY), &text.to_owned())
}

fn of_advisor(text: &str) -> Sealed<String> {
    sealed(KeyId::Advisor(ADVISOR), &text.to_owned())
}

fn raw(text: &str) -> Sealed<RawRow> {
    let whole = Some(Whole { bytes: 20_000, hash: ContentHash::of(b"the whole row") });
    sealed(KeyId::Portfolio(PORTFOLIO), &RawRow { text: text.to_owned(), whole })
}

fn contact(key: KeyId) -> Sealed<Contact> {
    let contact = Contact {
        email: Some("ann@example.com".to_owned()),
        telephone: Some("+1 555 0100".to_owned()),
        address: None,
    };
    sealed(key, &contact)
}

fn entry() -> Entry {
    Entry {
        account: ACCOUNT,
        when: When::At(time("2024-03-05T14:55:29.981482Z")),
        trade_date: day("2024-03-05"),
        settles_on: Some(day("2024-03-07")),
        group: Some(Group::new("g-1")),
        relates_to: Some(Reference::Sequence(300)),
        external_id: Some(ExternalId::new("20240305::7f0b")),
        reported: Some(Reported { code: Some("Buy".into()), raw: Some(raw("03/05/2024,Buy,10")) }),
        note: Some(of_portfolio("on the plan")),
    }
}

fn entry_on(phase: Phase, relates_to: Reference) -> Entry {
    let when = When::On { day: day("2024-03-05"), phase, rank: 260 };
    Entry { when, relates_to: Some(relates_to), ..entry() }
}

fn charges() -> Vec<Charge> {
    vec![
        Charge { kind: ChargeKind::Commission, amount: usd("1") },
        Charge { kind: ChargeKind::Other("wire desk".into()), amount: usd("-0.35") },
    ]
}

fn in_kind() -> InKind {
    InKind {
        instrument: INSTRUMENT,
        quantity: quantity("-0.000123"),
        price: Some(price("61234.5")),
        value: Some(usd("7.53")),
    }
}

fn references() -> Vec<Reference> {
    vec![
        Reference::Sequence(1),
        Reference::External(ExternalId::new("x-1")),
        Reference::Key("csv:1:abc".into()),
    ]
}

fn lots() -> Vec<TransferredLot> {
    vec![
        TransferredLot {
            quantity: quantity("10"),
            basis: Some(usd("1000")),
            acquired: Some(day("2019-06-03")),
        },
        TransferredLot { quantity: quantity("2.5"), basis: None, acquired: None },
    ]
}

fn selections() -> Vec<LotSelection> {
    references().into_iter().map(|opened_by| LotSelection { opened_by, quantity: quantity("40") }).collect()
}

fn targets() -> Vec<TargetWeight> {
    vec![
        TargetWeight {
            instrument: Some(INSTRUMENT),
            sleeve: None,
            weight: fraction("0.6"),
            band: Some(fraction("0.05")),
        },
        TargetWeight { instrument: None, sleeve: Some("bonds".into()), weight: fraction("0.35"), band: None },
    ]
}

/// The examples, by ascending type.
pub(crate) fn examples() -> Vec<Event> {
    let mut all = Vec::new();
    all.extend(reference());
    all.extend(market());
    all.extend(portfolio());
    all.extend(cash());
    all.extend(securities());
    all.extend(corporate());
    all.extend(journal());
    all.extend(firm());
    all.extend(advice());
    all.extend(orders_and_corrections());
    all.extend(synchronisation());
    all
}

fn reference() -> Vec<Event> {
    vec![
        InstrumentListed {
            instrument: INSTRUMENT,
            class: InstrumentClass::Option,
            currency: Currency::USD,
            name: Some("Altmoor Systems 2024-06-21 C 150".into()),
            contract: Some(Contract {
                underlying: Some(OTHER_INSTRUMENT),
                underlying_symbol: Some("ALTM".into()),
                expiry: Some(day("2024-06-21")),
                strike: Some(price("150")),
                right: Some(OptionRight::Call),
                multiplier: Multiplier::new(decimal("100")),
            }),
            provisional: true,
        }
        .into(),
        ListingAdded {
            listing: ListingId::from_bytes([0xaa; 16]),
            instrument: INSTRUMENT,
            venue: Some("XNYS".into()),
            symbol: "ALTM".into(),
            currency: Currency::USD,
            from: Some(day("1999-12-31")),
        }
        .into(),
        IdentifierAssigned {
            instrument: INSTRUMENT,
            scheme: IdentifierScheme::Other("wertpapierkennnummer".into()),
            value: "A0B1C2".into(),
            venue: Some("XETR".into()),
            from: Some(day("2001-01-01")),
            to: Some(day("2024-12-31")),
        }
        .into(),
        InstrumentClassified {
            instrument: INSTRUMENT,
            class: Some(InstrumentClass::Equity),
            sector: Some("technology".into()),
            issuer: Some("Altmoor Systems".into()),
            country: Some("US".into()),
            from: day("2024-01-01"),
        }
        .into(),
        InstrumentsMerged { kept: INSTRUMENT, merged: OTHER_INSTRUMENT, reason: Some("one ISIN".into()) }
            .into(),
        InstrumentDelisted {
            instrument: INSTRUMENT,
            venue: Some("XNAS".into()),
            on: day("2024-03-28"),
            reason: Some("acquired".into()),
        }
        .into(),
        CorporateActionAnnounced {
            instrument: INSTRUMENT,
            kind: CorporateActionKind::SpinOff,
            effective: day("2024-03-06"),
            ratio: Some(ratio("1:3")),
            cash: Some(usd("0.24")),
            other: Some(OTHER_INSTRUMENT),
            basis_share: Some(fraction("0.1275")),
            declared: Some(day("2024-02-01")),
            record_date: Some(day("2024-03-05")),
            pays: Some(day("2024-03-20")),
            external_id: Some(ExternalId::new("ca-9")),
            revision: 2,
        }
        .into(),
    ]
}

fn market() -> Vec<Event> {
    vec![
        PriceTick {
            instrument: INSTRUMENT,
            price: price("187.235"),
            currency: Currency::USD,
            size: Some(quantity("100")),
            kind: TickKind::Trade,
        }
        .into(),
        BarClosed {
            instrument: INSTRUMENT,
            opens: Some(time("2024-03-05T14:30:00Z")),
            closes: time("2024-03-05T21:00:00Z"),
            day: Some(day("2024-03-05")),
            open: Some(price("186.1")),
            high: Some(price("188.05")),
            low: Some(price("185.9")),
            close: price("187.24"),
            volume: Some(quantity("12345678")),
            average: Some(price("187.0123")),
            trades: Some(98_765),
            currency: Currency::USD,
            revision: 1,
            unadjusted_by: Some(ratio("4")),
        }
        .into(),
        FxRateObserved {
            base: eur(),
            quote: Currency::USD,
            rate: rate("1.0849"),
            day: Some(day("2024-03-05")),
            revision: 0,
        }
        .into(),
    ]
}

fn portfolio() -> Vec<Event> {
    vec![
        PortfolioOpened {
            portfolio: PORTFOLIO,
            name: of_portfolio("Retirement"),
            base_currency: Currency::USD,
            zone: Zone::NEW_YORK,
            lot_method: LotMethod::Hifo,
            calendar: Calendar::NewYork,
        }
        .into(),
        AccountLinked {
            account: ACCOUNT,
            kind: AccountKind::Margin,
            name: of_portfolio("Taxable"),
            broker: Some("alpaca".into()),
            number: Some(of_portfolio("PA3ABCDEFGHI")),
            external_id: Some(ExternalId::new("904837e3-3b76-47ec-b432-046db621571b")),
        }
        .into(),
        AccountUnlinked { account: ACCOUNT, reason: Some("moved".into()) }.into(),
        PortfolioRenamed { name: of_portfolio("Retirement, his") }.into(),
        PortfolioClosed { on: day("2024-12-31"), reason: Some("emptied".into()) }.into(),
        LotMethodChosen { method: LotMethod::Fifo, from: day("2024-01-01"), account: Some(ACCOUNT) }.into(),
        BenchmarkChosen { instrument: Some(INSTRUMENT), from: day("2024-01-01") }.into(),
        PortfolioOwnersSet {
            owners: vec![
                Ownership { party: PARTY, share: fraction("0.75") },
                Ownership { party: OTHER_PARTY, share: fraction("0.25") },
            ],
            from: day("2024-01-01"),
        }
        .into(),
        MandateSet { mandate: Mandate::Advisory, from: day("2024-01-01") }.into(),
    ]
}

fn cash() -> Vec<Event> {
    vec![
        CashTransferred {
            entry: entry_on(Phase::Close, Reference::External(ExternalId::new("ach-1"))),
            scope: Scope::External,
            kind: CashTransferKind::Bank,
            amount: Money::new(decimal("10000"), eur()),
            counter_account: Some(OTHER_ACCOUNT),
            counterparty: Some(of_portfolio("First Bank, 0001")),
            fx_rate: Some(rate("1.085")),
        }
        .into(),
        DividendPosted {
            entry: entry(),
            instrument: Some(INSTRUMENT),
            kind: DividendKind::Qualified,
            amount: usd("24"),
            quantity: Some(quantity("100")),
            per_unit: Some(price("0.24")),
            ex_date: Some(day("2024-02-09")),
            charges: charges(),
            reinvested: true,
            fx_rate: Some(rate("1")),
        }
        .into(),
        InterestPosted {
            entry: entry(),
            kind: InterestKind::Margin,
            instrument: Some(INSTRUMENT),
            amount: usd("-12.07"),
            period_from: Some(day("2024-02-01")),
            period_to: Some(day("2024-02-29")),
            charges: charges(),
            fx_rate: Some(rate("1")),
        }
        .into(),
        RewardPosted {
            entry: entry(),
            kind: RewardKind::Staking,
            amount: Some(usd("5")),
            in_kind: Some(in_kind()),
            charges: charges(),
            fx_rate: Some(rate("1")),
        }
        .into(),
        FeePosted {
            entry: entry_on(Phase::Close, Reference::Key("fill:1".into())),
            kind: FeeKind::Trading,
            amount: Some(usd("-0.02")),
            in_kind: Some(in_kind()),
            instrument: Some(INSTRUMENT),
            fx_rate: Some(rate("1")),
        }
        .into(),
        TaxPosted {
            entry: entry(),
            kind: TaxKind::Foreign,
            amount: Some(usd("-3.6")),
            in_kind: Some(in_kind()),
            instrument: Some(INSTRUMENT),
            country: Some("CH".into()),
            fx_rate: Some(rate("1")),
        }
        .into(),
        CashAdjusted { entry: entry(), kind: AdjustmentKind::BrokerCorrection, amount: usd("0.01") }.into(),
        CurrencyConverted {
            entry: entry(),
            sold: usd("-1085"),
            bought: Money::new(decimal("1000"), eur()),
            charges: charges(),
            fx_rate: Some(rate("1.085")),
        }
        .into(),
    ]
}

fn securities() -> Vec<Event> {
    vec![
        TradeExecuted {
            entry: entry(),
            instrument: INSTRUMENT,
            side: Side::Sell,
            effect: Effect::Close,
            quantity: quantity("125"),
            price: Some(price("187.235")),
            currency: Currency::USD,
            multiplier: Multiplier::ONE,
            net_amount: Some(usd("23403.34")),
            charges: charges(),
            accrued_interest: Some(usd("17.5")),
            order: Some(BrokerOrderId::new("9c1d8a0e-7b3f")),
            execution: Some(ExecutionId::new("20240305145529981")),
            cumulative_quantity: Some(quantity("125")),
            lots: selections(),
            strategy: Some(Strategy::new("opening range")),
            plan: Some(PLAN),
            recommendation: Some(RECOMMENDATION),
            venue: Some("XNYS".into()),
            fx_rate: Some(rate("1")),
        }
        .into(),
        SecuritiesTransferred {
            entry: entry(),
            scope: Scope::Internal,
            kind: SecuritiesTransferKind::Gift,
            instrument: INSTRUMENT,
            quantity: quantity("-12.5"),
            price: Some(price("187")),
            multiplier: Multiplier::new(decimal("0.01")),
            value: Some(usd("2337.5")),
            basis: Some(usd("1250")),
            acquired: Some(day("2019-06-03")),
            lots: lots(),
            counter_account: Some(OTHER_ACCOUNT),
            counterparty: Some(of_portfolio("her brother")),
            charges: charges(),
            fx_rate: Some(rate("1")),
        }
        .into(),
        BasisSupplied { entry: entry(), transfer: Reference::Sequence(70_000), lots: lots() }.into(),
        LotsSelected { entry: entry(), disposal: Reference::Sequence(5_000_000_000), lots: selections() }
            .into(),
        OptionSettled {
            entry: entry_on(Phase::Close, Reference::Sequence(250)),
            settlement: OptionSettlement::Cash,
            instrument: INSTRUMENT,
            quantity: Some(quantity("2")),
            amount: Some(usd("310")),
            charges: charges(),
        }
        .into(),
    ]
}

fn corporate() -> Vec<Event> {
    vec![
        SplitApplied {
            entry: entry_on(Phase::Open, Reference::Sequence(251)),
            instrument: INSTRUMENT,
            ratio: Some(ratio("3:2")),
            added: Some(quantity("50")),
            price: Some(price("124.8233333333")),
        }
        .into(),
        HoldingDistributed {
            entry: entry(),
            kind: DistributionKind::SpinOff,
            parent: Some(INSTRUMENT),
            child: OTHER_INSTRUMENT,
            quantity: quantity("33.3333"),
            price: Some(price("12")),
            basis_share: Some(fraction("0.1275")),
        }
        .into(),
        PositionExchanged {
            entry: entry(),
            kind: ExchangeKind::Merger,
            gave: Some(ExchangeLeg { instrument: INSTRUMENT, quantity: Some(quantity("100")) }),
            received: Some(ExchangeLeg { instrument: OTHER_INSTRUMENT, quantity: Some(quantity("45")) }),
            ratio: Some(ratio("0.45")),
            cash: Some(usd("1200")),
            charges: charges(),
        }
        .into(),
        CashInLieuPaid {
            entry: entry(),
            instrument: INSTRUMENT,
            fraction: Some(quantity("0.5")),
            amount: usd("93.62"),
        }
        .into(),
        CapitalReturned {
            entry: entry(),
            instrument: INSTRUMENT,
            amount: usd("50"),
            quantity: Some(quantity("100")),
        }
        .into(),
    ]
}

fn journal() -> Vec<Event> {
    vec![
        TradePlanned {
            plan: PLAN,
            instrument: INSTRUMENT,
            side: Side::Buy,
            strategy: Some(Strategy::new("opening range")),
            setup: Some("gap and go".into()),
            quantity: Some(quantity("125")),
            entry_price: Some(price("187")),
            stop: Some(price("185")),
            target: Some(price("193")),
            risk: Some(usd("250")),
            expires: Some(time("2024-03-05T21:00:00Z")),
            note: Some(of_portfolio("only above the range")),
        }
        .into(),
        TradeAnnotated {
            anchor: Reference::Key("csv:1:abc".into()),
            tags: vec!["earnings".into(), "über".into()],
            strategy: Some(Strategy::new("fade")),
            setup: Some("exhaustion".into()),
            mistakes: vec!["chased".into()],
            rating: Some(4),
            note: Some(of_portfolio("left too early")),
            attachments: vec![Attachment {
                hash: ContentHash::of(b"a picture"),
                media_type: "image/png".into(),
                name: Some(of_portfolio("chart.png")),
            }],
        }
        .into(),
        StrategyBaselineSet {
            strategy: Strategy::new("opening range"),
            version: 3,
            from: day("2024-01-01"),
            win_rate: Some(fraction("0.55")),
            mean_r: Some(fraction("0.3")),
            hold_minutes: Some(45),
            risk_max: Some(usd("300")),
            risk_share_max: Some(fraction("0.01")),
            trades_per_day_max: Some(5),
            setups: vec!["gap and go".into()],
            hours: vec![(570, 690), (900, 960)],
            stop_required: true,
        }
        .into(),
    ]
}

fn firm() -> Vec<Event> {
    vec![
        AdvisorRegistered {
            advisor: ADVISOR,
            name: of_advisor("Iris Vance"),
            contact: Some(contact(KeyId::Advisor(ADVISOR))),
            licence: Some(of_advisor("CRD 0000001")),
            from: day("2020-01-01"),
        }
        .into(),
        AdvisorDeparted { advisor: ADVISOR, on: day("2024-06-30"), successor: Some(OTHER_ADVISOR) }.into(),
        PartyOnboarded {
            party: PARTY,
            kind: PartyKind::Joint,
            name: of_party("Ann and Bo Lind"),
            contact: Some(contact(KeyId::Party(PARTY))),
            members: vec![OTHER_PARTY],
            tax_country: Some("US".into()),
            on: day("2021-05-04"),
        }
        .into(),
        PartyOffboarded { party: PARTY, on: day("2024-06-30"), reason: Some("moved away".into()) }.into(),
        PersonForgotten {
            key: KeyId::Party(PARTY),
            requested_on: day("2024-07-01"),
            reason: Some("at her request".into()),
        }
        .into(),
        ClientAssigned {
            party: PARTY,
            to: Assignee::Team(TeamId::from_bytes([0xbb; 16])),
            role: AssignmentRole::Lead,
            from: day("2021-05-04"),
            until: Some(day("2024-06-30")),
        }
        .into(),
        TeamFormed {
            team: TeamId::from_bytes([0xbb; 16]),
            name: "Harbour".into(),
            members: vec![ADVISOR, OTHER_ADVISOR],
            from: day("2021-01-01"),
        }
        .into(),
        HouseholdFormed {
            household: HouseholdId::from_bytes([0xcc; 16]),
            name: of_party("Lind"),
            members: vec![PARTY, OTHER_PARTY],
            from: day("2021-05-04"),
        }
        .into(),
        InvestmentProfileSet {
            party: PARTY,
            version: 2,
            portfolio: Some(PORTFOLIO),
            objectives: vec![Objective::Growth, Objective::Income],
            risk_tolerance: RiskLevel::Medium,
            loss_capacity: Some(RiskLevel::High),
            horizon_years: Some(15),
            liquidity_reserve: Some(usd("25000")),
            drawdown_max: Some(fraction("0.2")),
            details: Some(sealed(
                KeyId::Party(PARTY),
                &ProfileDetails {
                    born: Some(day("1961-04-12")),
                    other_investments: Some("a house".to_owned()),
                    financial_situation: None,
                    needs: Some("school from 2026".to_owned()),
                    tax_status: None,
                    experience: Some("20 years of funds".to_owned()),
                },
            )),
            exclusions: vec![Exclusion { dimension: Dimension::Sector, value: "tobacco".into() }],
            caps: vec![
                Cap {
                    dimension: Dimension::Instrument,
                    value: Some("ALTM".into()),
                    share_max: fraction("0.1"),
                },
                Cap { dimension: Dimension::Issuer, value: None, share_max: fraction("0.15") },
            ],
            targets: targets(),
            review_due: Some(day("2025-01-01")),
            from: day("2024-01-01"),
        }
        .into(),
        ModelPublished {
            model: MODEL,
            version: 4,
            name: "Balanced".into(),
            targets: targets(),
            from: day("2024-01-01"),
        }
        .into(),
        ModelAssigned { portfolio: PORTFOLIO, model: Some(MODEL), version: Some(4), from: day("2024-01-01") }
            .into(),
        ReviewHeld {
            review: ReviewId::from_bytes([0xdd; 16]),
            party: PARTY,
            portfolios: vec![PORTFOLIO],
            advisor: Some(ADVISOR),
            on: day("2024-03-05"),
            outcome: ReviewOutcome::ProfileChanged,
            next_due: Some(day("2025-03-05")),
            note: Some(of_party("school is paid from 2026")),
        }
        .into(),
        AccessGranted {
            token: TokenId::from_bytes([0xee; 16]),
            role: Role::Service,
            subject: "nightly import".into(),
            portfolios: vec![PORTFOLIO],
            expires: Some(time("2025-01-01T00:00:00Z")),
            secret_hash: ContentHash::of(b"a secret"),
            percentages_only: true,
        }
        .into(),
        AccessRevoked { token: TokenId::from_bytes([0xee; 16]), reason: Some("lost".into()) }.into(),
        AccessUsed { token: TokenId::from_bytes([0xee; 16]), on: day("2024-03-05") }.into(),
        PartyAmended {
            party: PARTY,
            name: of_party("Ann and Bo Lindh"),
            contact: Some(contact(KeyId::Party(PARTY))),
            members: vec![OTHER_PARTY],
            tax_country: Some("SE".into()),
            from: day("2024-02-01"),
        }
        .into(),
        AdvisorAmended {
            advisor: ADVISOR,
            name: of_advisor("Iris Vance-Holm"),
            contact: Some(contact(KeyId::Advisor(ADVISOR))),
            licence: Some(of_advisor("CRD 0000002")),
            from: day("2024-02-01"),
        }
        .into(),
    ]
}

fn advice() -> Vec<Event> {
    vec![
        RecommendationIssued {
            recommendation: RECOMMENDATION,
            portfolio: PORTFOLIO,
            party: PARTY,
            advisor: ADVISOR,
            profile_version: Some(2),
            model: Some(MODEL),
            trades: vec![ProposedTrade {
                instrument: INSTRUMENT,
                side: Side::Sell,
                quantity: Some(quantity("40")),
                amount: Some(usd("7489.4")),
                weight: Some(fraction("0.1")),
                limit: Some(price("185")),
                reference_price: Some(price("187.235")),
            }],
            rationale: of_party("One share is a fifth of everything."),
            screening: vec![RuleFinding {
                rule: "concentration".into(),
                verdict: Verdict::Block,
                measured: Some(fraction("0.2012")),
                limit: Some(fraction("0.15")),
                evidence: Some("ALTM is 20.12 % of equity".into()),
            }],
            seen_sequence: 123_456,
            seen_equity: Some(usd("74894")),
            expected_cost: Some(usd("1")),
            expires: Some(time("2024-03-12T21:00:00Z")),
            replaces: Some(OTHER_RECOMMENDATION),
        }
        .into(),
        RecommendationAccepted { recommendation: RECOMMENDATION, note: Some(of_party("yes")) }.into(),
        RecommendationDeclined {
            recommendation: RECOMMENDATION,
            reason: DeclineReason::TooCostly,
            note: Some(of_party("the taxes")),
        }
        .into(),
        RecommendationExpired { recommendation: RECOMMENDATION }.into(),
        RecommendationWithdrawn { recommendation: RECOMMENDATION, reason: Some(of_party("prices moved")) }
            .into(),
        RecommendationExecuted { recommendation: RECOMMENDATION, fills: references() }.into(),
        OverrideRequested {
            recommendation: RECOMMENDATION,
            rules: vec!["concentration".into()],
            reason: of_party("a legacy of her father's"),
            requested_by: ADVISOR,
        }
        .into(),
        OverrideApproved {
            recommendation: RECOMMENDATION,
            approved_by: "compliance".into(),
            note: Some(of_party("until the end of the year")),
        }
        .into(),
        OverrideRefused {
            recommendation: RECOMMENDATION,
            refused_by: "compliance".into(),
            note: Some(of_party("too much")),
        }
        .into(),
    ]
}

fn orders_and_corrections() -> Vec<Event> {
    vec![
        OrderSubmitted {
            order: OrderId::from_bytes([0xab; 16]),
            account: ACCOUNT,
            instrument: INSTRUMENT,
            side: Side::Buy,
            effect: Effect::Unstated,
            kind: OrderKind::StopLimit,
            time_in_force: TimeInForce::GoodTillCancelled,
            quantity: Some(quantity("10")),
            amount: Some(usd("1870")),
            limit: Some(price("188")),
            stop: Some(price("187.5")),
            client_order_id: Some("daybook-1".into()),
            strategy: Some(Strategy::new("opening range")),
            plan: Some(PLAN),
            recommendation: Some(RECOMMENDATION),
            extended_hours: true,
        }
        .into(),
        OrderUpdated {
            order: Some(OrderId::from_bytes([0xab; 16])),
            broker_order: Some(BrokerOrderId::new("9c1d8a0e-7b3f")),
            status: OrderStatus::PartiallyFilled,
            filled: Some(quantity("4")),
            average_price: Some(price("187.61")),
            reason: Some("held".into()),
            at: time("1969-12-31T23:59:59.999999999Z"),
        }
        .into(),
        EventReversed {
            target: 4_242,
            reason: "entered twice".into(),
            replaced_by: Some(Reference::Sequence(4_243)),
        }
        .into(),
        ImportReverted { import: IMPORT, reason: Some("the wrong account".into()) }.into(),
    ]
}

fn synchronisation() -> Vec<Event> {
    vec![
        FileImported {
            import: IMPORT,
            format: "schwab".into(),
            importer_version: 3,
            file_name: Some(of_portfolio("Individual_XXX123_Transactions.csv")),
            file_hash: ContentHash::of(b"a file"),
            file_bytes: 123_456,
            portfolio: Some(PORTFOLIO),
            rows: 300,
            events: 290,
            known: 8,
            quarantined: 2,
            warnings: vec!["line 14: the amount differs from quantity x price by 0.02".into()],
            revision: 1,
        }
        .into(),
        BalancesStated {
            account: ACCOUNT,
            as_of: time("2024-03-05T21:00:00Z"),
            cash: vec![usd("1234.56"), Money::new(decimal("-20"), eur())],
            positions: vec![StatedPosition {
                instrument: INSTRUMENT,
                quantity: quantity("-5"),
                basis: Some(usd("930")),
                market_value: Some(usd("-936.2")),
            }],
            equity: Some(usd("276.66")),
        }
        .into(),
        RecordQuarantined {
            format: "ibkr".into(),
            portfolio: Some(PORTFOLIO),
            account: Some(ACCOUNT),
            line: Some(1_000),
            column: Some("Code".into()),
            reason: QuarantineReason::UnknownCode,
            detail: of_portfolio("the code `Zz` is not known"),
            day: Some(day("2024-03-05")),
            raw: raw("Trades,Data,Zz"),
        }
        .into(),
        QuarantineResolved {
            target: 77,
            resolution: QuarantineResolution::Recorded,
            replaced_by: references(),
            note: Some(of_portfolio("a fee")),
        }
        .into(),
        ReconciliationBreakFound {
            account: ACCOUNT,
            subject: BreakSubject::Position,
            instrument: Some(INSTRUMENT),
            currency: Some(Currency::USD),
            external_id: Some("20240305145529981".into()),
            ours: Some(quantity("100")),
            theirs: Some(quantity("110")),
            as_of: time("2024-03-05T21:00:00Z"),
        }
        .into(),
        ReconciliationBreakResolved { found: 88, explanation: Some("the fill came late".into()) }.into(),
        DeliveryAcknowledged { source: "webhook-desk".into(), content_hash: ContentHash([7; 32]) }.into(),
    ]
}
