use super::{At, Firm, Reach};
use crate::view::Meta;
use daybook_schemas::events::{
    AccessGranted, AdvisorDeparted, AdvisorRegistered, Assignee, AssignmentRole, ClientAssigned, ContentHash,
    EventReversed, InvestmentProfileSet, Ownership, PartyKind, PartyOffboarded, PartyOnboarded,
    PortfolioOwnersSet, RiskLevel, Role, TeamFormed,
};
use daybook_schemas::{
    AdvisorId, Day, Event, Fraction, KeyId, KeyRing, PartyId, PortfolioId, Sealed, TeamId, Timestamp,
    TokenId, stream,
};

const IRIS: AdvisorId = AdvisorId::from_bytes([1; 16]);
const TOMAS: AdvisorId = AdvisorId::from_bytes([2; 16]);
const ANN: PartyId = PartyId::from_bytes([3; 16]);
const BO: PartyId = PartyId::from_bytes([4; 16]);
const BOTH: PartyId = PartyId::from_bytes([5; 16]);
const HERS: PortfolioId = PortfolioId::from_bytes([6; 16]);
const THEIRS: PortfolioId = PortfolioId::from_bytes([7; 16]);
const HARBOUR: TeamId = TeamId::from_bytes([8; 16]);

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn at(text: &str) -> At {
    At::on(day(text))
}

/// A firm that is told one fact after the other.
#[derive(Default)]
struct Told {
    firm: Firm,
    sequence: u64,
}

impl Told {
    fn tell(&mut self, stream_name: &str, event: impl Into<Event>) -> u64 {
        self.sequence += 1;
        let meta = Meta {
            sequence: self.sequence,
            occurred_at: Timestamp::from_nanos(0),
            recorded_at: Timestamp::from_nanos(0),
            import: None,
            source_rank: 0,
        };
        self.firm.apply(&meta, stream_name, &event.into());
        self.sequence
    }

    fn advisor(&mut self, id: AdvisorId) {
        let registered = AdvisorRegistered {
            advisor: id,
            name: sealed(KeyId::Advisor(id)),
            contact: None,
            licence: None,
            from: day("2020-01-01"),
        };
        self.tell(&stream::advisor(id), registered);
    }

    fn party(&mut self, id: PartyId, kind: PartyKind, members: &[PartyId]) {
        let onboarded = PartyOnboarded {
            party: id,
            kind,
            name: sealed(KeyId::Party(id)),
            contact: None,
            members: members.to_vec(),
            tax_country: None,
            on: day("2021-01-01"),
        };
        self.tell(&stream::party(id), onboarded);
    }

    fn assign(&mut self, party: PartyId, to: Assignee, role: AssignmentRole, from: &str) -> u64 {
        let assigned = ClientAssigned { party, to, role, from: day(from), until: None };
        self.tell(&stream::party(party), assigned)
    }

    fn owns(&mut self, portfolio: PortfolioId, owners: &[(PartyId, &str)], from: &str) {
        let share = |text: &str| Fraction::new(daybook_schemas::decimal::parse(text).unwrap());
        let owners =
            owners.iter().map(|(party, part)| Ownership { party: *party, share: share(part) }).collect();
        self.tell(&stream::portfolio(portfolio), PortfolioOwnersSet { owners, from: day(from) });
    }

    fn profile(&mut self, party: PartyId, portfolio: Option<PortfolioId>, version: u32, from: &str) {
        let set = InvestmentProfileSet {
            party,
            version,
            portfolio,
            objectives: Vec::new(),
            risk_tolerance: RiskLevel::Medium,
            loss_capacity: None,
            horizon_years: None,
            liquidity_reserve: None,
            drawdown_max: None,
            details: None,
            exclusions: Vec::new(),
            caps: Vec::new(),
            targets: Vec::new(),
            review_due: None,
            from: day(from),
        };
        self.tell(&stream::party(party), set);
    }

    /// Iris serves Ann, and Ann and Bo together; Tomas is her colleague.
    fn firm() -> Self {
        let mut told = Self::default();
        told.advisor(IRIS);
        told.advisor(TOMAS);
        told.party(ANN, PartyKind::Person, &[]);
        told.party(BO, PartyKind::Person, &[]);
        told.party(BOTH, PartyKind::Joint, &[ANN, BO]);
        told.assign(ANN, Assignee::Advisor(IRIS), AssignmentRole::Lead, "2021-01-01");
        told.assign(BOTH, Assignee::Advisor(IRIS), AssignmentRole::Lead, "2021-01-01");
        told.owns(HERS, &[(ANN, "1")], "2021-01-01");
        told.owns(THEIRS, &[(BOTH, "1")], "2021-01-01");
        told
    }

    fn reach(&self, role: Role, subject: &str, on: &str) -> Reach {
        self.firm.reach(&grant(role, subject, &[]), at(on))
    }
}

fn sealed(key: KeyId) -> Sealed<String> {
    let mut ring = KeyRing::default();
    ring.insert(key, [9; 64]);
    Sealed::seal(&ring, key, &"somebody".to_owned()).unwrap()
}

fn grant(role: Role, subject: &str, portfolios: &[PortfolioId]) -> AccessGranted {
    AccessGranted {
        token: TokenId::from_bytes([1; 16]),
        role,
        subject: subject.into(),
        portfolios: portfolios.to_vec(),
        expires: None,
        secret_hash: ContentHash::of(b"a secret"),
        percentages_only: false,
    }
}

#[test]
fn a_client_is_handed_over_on_the_day_that_was_said() {
    let mut told = Told::firm();
    told.assign(ANN, Assignee::Advisor(TOMAS), AssignmentRole::Lead, "2024-03-01");
    assert_eq!(told.firm.lead(ANN, at("2024-02-29")), Some(IRIS));
    assert_eq!(told.firm.lead(ANN, at("2024-03-01")), Some(TOMAS));
    assert!(!told.firm.clients_of(IRIS, at("2024-03-01")).contains(&ANN));
    assert!(told.reach(Role::Advisor, &TOMAS.to_string(), "2024-03-01").portfolio(HERS));
    assert!(!told.reach(Role::Advisor, &IRIS.to_string(), "2024-03-01").portfolio(HERS));
}

#[test]
fn what_was_not_recorded_yet_is_not_known_whatever_day_it_holds_from() {
    let mut told = Told::firm();
    let before = told.sequence;
    let handed = told.assign(ANN, Assignee::Advisor(TOMAS), AssignmentRole::Lead, "2022-01-01");
    let day = day("2023-01-01");
    assert_eq!(told.firm.lead(ANN, At { day, known: before }), Some(IRIS));
    assert_eq!(told.firm.lead(ANN, At { day, known: handed }), Some(TOMAS));
    let reversed = EventReversed { target: handed, reason: "the wrong client".into(), replaced_by: None };
    told.tell(&stream::party(ANN), reversed);
    assert_eq!(told.firm.lead(ANN, At { day, known: handed }), Some(TOMAS));
    assert_eq!(told.firm.lead(ANN, At::on(day)), Some(IRIS));
}

#[test]
fn a_team_serves_by_its_members_and_a_successor_takes_over() {
    let mut told = Told::firm();
    let formed = TeamFormed {
        team: HARBOUR,
        name: "Harbour".into(),
        members: vec![IRIS, TOMAS],
        from: day("2022-01-01"),
    };
    told.tell(stream::FIRM, formed);
    told.assign(BO, Assignee::Team(HARBOUR), AssignmentRole::Support, "2022-01-01");
    assert_eq!(told.firm.advisors_of(BO, at("2022-01-01")), [IRIS, TOMAS].into());
    let departed = AdvisorDeparted { advisor: IRIS, on: day("2023-06-30"), successor: Some(TOMAS) };
    told.tell(&stream::advisor(IRIS), departed);
    assert_eq!(told.firm.lead(ANN, at("2023-06-30")), Some(IRIS));
    assert_eq!(told.firm.lead(ANN, at("2023-07-01")), Some(TOMAS));
    assert_eq!(told.firm.advisors_of(BO, at("2023-07-01")), [TOMAS].into());
    assert_eq!(
        told.reach(Role::Advisor, &IRIS.to_string(), "2023-07-01"),
        Reach::Named(super::Named::default())
    );
}

#[test]
fn a_person_reaches_what_is_owned_alone_and_together_and_nobody_elses() {
    let told = Told::firm();
    let ann = told.reach(Role::Client, &ANN.to_string(), "2022-01-01");
    assert!(ann.portfolio(HERS) && ann.portfolio(THEIRS) && ann.party(BOTH) && ann.advisor(IRIS));
    assert!(!ann.party(BO) && !ann.advisor(TOMAS));
    let bo = told.reach(Role::Client, &BO.to_string(), "2022-01-01");
    assert!(!bo.portfolio(HERS) && bo.portfolio(THEIRS));
    let nobody = told.reach(Role::Client, "somebody", "2022-01-01");
    assert!(!nobody.portfolio(HERS));
    assert!(told.reach(Role::Auditor, "", "2022-01-01").portfolio(HERS));
    assert!(!told.reach(Role::Other("robot".into()), &ANN.to_string(), "2022-01-01").portfolio(HERS));
    let one = told.firm.reach(&grant(Role::Client, &ANN.to_string(), &[THEIRS]), at("2022-01-01"));
    assert!(one.portfolio(THEIRS) && !one.portfolio(HERS));
}

#[test]
fn a_client_that_left_is_served_by_nobody_and_still_sees_itself() {
    let mut told = Told::firm();
    let left = PartyOffboarded { party: ANN, on: day("2024-01-31"), reason: None };
    told.tell(&stream::party(ANN), left);
    assert_eq!(told.firm.serving(ANN, at("2024-01-31")).len(), 1);
    assert!(told.firm.serving(ANN, at("2024-02-01")).is_empty());
    assert!(!told.reach(Role::Advisor, &IRIS.to_string(), "2024-02-01").portfolio(HERS));
    assert!(told.reach(Role::Client, &ANN.to_string(), "2024-02-01").portfolio(HERS));
}

#[test]
fn a_party_that_comes_back_is_a_client_again_and_was_none_in_between() {
    let mut told = Told::default();
    told.advisor(IRIS);
    told.advisor(TOMAS);
    told.party(ANN, PartyKind::Person, &[]);
    told.assign(ANN, Assignee::Advisor(IRIS), AssignmentRole::Lead, "2021-01-01");
    let name = stream::party(ANN);
    told.tell(&name, PartyOffboarded { party: ANN, on: day("2023-06-30"), reason: None });
    told.tell(
        &name,
        PartyOnboarded {
            party: ANN,
            kind: PartyKind::Person,
            name: sealed(KeyId::Party(ANN)),
            contact: None,
            members: Vec::new(),
            tax_country: None,
            on: day("2024-02-01"),
        },
    );
    // Nobody whom it was assigned to before it left serves it by that.
    assert!(told.firm.is_client(ANN, at("2024-02-01")));
    assert!(told.firm.serving(ANN, at("2024-02-01")).is_empty());
    told.assign(ANN, Assignee::Advisor(TOMAS), AssignmentRole::Lead, "2024-02-01");
    told.tell(&name, PartyOffboarded { party: ANN, on: day("2025-01-31"), reason: None });
    for (on, is_client, until, lead) in [
        ("2023-06-30", true, "2023-06-30", Some(IRIS)),
        ("2023-07-01", false, "2023-06-30", None),
        ("2024-01-31", false, "2023-06-30", None),
        ("2024-02-01", true, "2025-01-31", Some(TOMAS)),
        ("2025-02-01", false, "2025-01-31", None),
    ] {
        let party = told.firm.party(ANN, at(on)).unwrap();
        assert_eq!((told.firm.is_client(ANN, at(on)), party.until), (is_client, Some(day(until))), "{on}");
        assert_eq!(told.firm.lead(ANN, at(on)), lead, "{on}");
    }
}

#[test]
fn a_portfolio_is_judged_by_its_own_profile_before_that_of_its_largest_owner() {
    let mut told = Told::firm();
    told.owns(HERS, &[(BO, "0.4"), (ANN, "0.6")], "2021-01-02");
    assert_eq!(told.firm.governing_profile(HERS, at("2022-01-01")), None);
    told.profile(BO, None, 1, "2021-02-01");
    told.profile(ANN, None, 1, "2021-02-01");
    let version = |told: &Told, on: &str| {
        let (party, said) = told.firm.governing_profile(HERS, at(on)).unwrap();
        (party, said.fact.version)
    };
    assert_eq!(version(&told, "2022-01-01"), (ANN, 1));
    told.profile(BO, Some(HERS), 2, "2022-06-01");
    assert_eq!(version(&told, "2022-05-31"), (ANN, 1));
    assert_eq!(version(&told, "2022-06-01"), (BO, 2));
    assert_eq!(told.firm.last_profile_version(BO), 2);
}
