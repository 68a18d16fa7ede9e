//! The numbers behind codes and types, which never move.

use crate::{BLESS, kept, path};
use daybook_schemas::events::*;
use std::collections::{BTreeMap, BTreeSet};

/// A code's number and name, by ascending number.
type Listing = Vec<(u16, String)>;

macro_rules! listings {
    ($($name:ident)*) => {
        fn listings() -> BTreeMap<&'static str, Listing> {
            let mut all = BTreeMap::new();
            $(
                let mut listing: Listing =
                    $name::CODED.iter().map(|value| (value.code(), value.to_string())).collect();
                listing.sort();
                all.insert(stringify!($name), listing);
            )*
            all
        }

        #[test]
        fn a_code_is_found_by_its_number_and_by_its_name_and_by_nothing_else() {
            $(
                for value in $name::CODED {
                    assert_eq!($name::from_code(value.code()).as_ref(), Some(value));
                    assert_eq!($name::from_name(&value.to_string()).as_ref(), Some(value));
                }
                let distinct: BTreeSet<u16> = $name::CODED.iter().map($name::code).collect();
                assert_eq!(distinct.len(), $name::CODED.len(), "{} uses a number twice", stringify!($name));
                assert!(!distinct.contains(&0), "0 stands for what has no code");
                assert_eq!($name::from_code(0), None);
                assert_eq!($name::from_name("other:x"), Some($name::Other("x".into())));
                assert_eq!($name::from_name("no such name"), None);
            )*
        }
    };
}

listings! {
    AccountKind AdjustmentKind AssignmentRole BreakSubject Calendar CashTransferKind ChargeKind
    CorporateActionKind DeclineReason Dimension DistributionKind DividendKind Effect ExchangeKind FeeKind
    IdentifierScheme InstrumentClass InterestKind LotMethod Mandate Objective OptionRight OptionSettlement
    OrderKind OrderStatus PartyKind QuarantineReason QuarantineResolution ReviewOutcome RewardKind RiskLevel
    Role Scope SecuritiesTransferKind Side TaxKind TickKind TimeInForce Verdict
}

/// One code a line.
fn file() -> String {
    let mut groups = vec![{
        let types: Listing =
            EventType::ALL.iter().map(|event_type| (event_type.id(), event_type.name().to_owned())).collect();
        group("EventType", &types)
    }];
    groups.extend(listings().iter().map(|(name, listing)| group(name, listing)));
    format!("{{\n{}\n}}\n", groups.join(",\n"))
}

fn group(name: &str, listing: &Listing) -> String {
    let lines: Vec<String> =
        listing.iter().map(|(code, text)| format!("    \"{code}\": \"{text}\"")).collect();
    format!("  \"{name}\": {{\n{}\n  }}", lines.join(",\n"))
}

#[test]
fn no_number_of_a_code_or_of_a_type_has_moved() {
    let fresh = file();
    let kept = kept("golden/codes.json", &fresh);
    type File = BTreeMap<String, BTreeMap<String, String>>;
    let (kept, fresh): (File, File) =
        (serde_json::from_str(&kept).unwrap(), serde_json::from_str(&fresh).unwrap());
    for (name, codes) in &kept {
        for (code, text) in codes {
            let now = fresh.get(name).and_then(|codes| codes.get(code));
            assert_eq!(now, Some(text), "{name} {code} was `{text}`: a number never changes its meaning");
        }
    }
    assert_eq!(kept, fresh, "codes were added: {BLESS}");
}

/// The codes are declared by a macro that cannot list itself, so the list here is held against the source.
#[test]
fn every_declared_code_is_listed() {
    let mut declared = BTreeSet::new();
    for file in std::fs::read_dir(path("src/events")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut inside = false;
        for line in text.lines() {
            match line {
                "codes! {" => inside = true,
                "}" => inside = false,
                _ => {
                    let name = line.strip_prefix("    ").and_then(|rest| rest.strip_suffix(" {"));
                    declared.extend(
                        name.filter(|name| inside && !name.starts_with([' ', '/'])).map(str::to_owned),
                    );
                }
            }
        }
    }
    let listed: BTreeSet<String> = listings().keys().map(|name| (*name).to_owned()).collect();
    assert!(!declared.is_empty());
    assert_eq!(declared, listed);
}
