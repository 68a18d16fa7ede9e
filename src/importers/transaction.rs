//! From the columns of one transaction to its events: what each type takes, with which signs, and what it becomes.

mod content;
mod events;
mod rules;
mod values;

use super::columns::{Column, TransactionFields};
use super::desk::Desk;
use super::{Context, Draft, FieldFault, InstrumentFacts, PortfolioFacts, Role, identity};
use daybook_schemas::events::Event;
use daybook_schemas::{Day, Multiplier, Timestamp, When, decimal, stream};
pub(super) use rules::{Type, UNITS_ADDED};
use rust_decimal::Decimal;
use std::collections::HashMap;

/// What the column `type` may say.
pub(crate) const TYPES: &[&str] = Type::NAMES;

/// Where a transaction stands among others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    /// The line on which it begins; 0 for a transaction that is in no file.
    pub(crate) line: u64,
    /// Its order among the rows without a time of the same day and phase, from 0.
    pub(crate) rank: u32,
}

/// What a transaction comes to.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Recorded {
    /// The hash of what it says economically.
    pub(crate) content: [u8; 32],
    /// The events: references before the entries that need them.
    pub(crate) drafts: Vec<Draft>,
    /// What its owner should know.
    pub(crate) warnings: Vec<FieldFault>,
}

/// Reads one transaction, by the same rules as a row of the generic CSV.
///
/// # Errors
/// Every fault that was found, by field.
pub(crate) fn transaction(
    fields: &TransactionFields,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    place: Place,
) -> Result<Recorded, Vec<FieldFault>> {
    let mut read = transactions(std::iter::once(fields), portfolio, context, place);
    read.pop().unwrap_or_else(|| Ok(Recorded::default()))
}

/// Reads transactions that are recorded together: what one of them lists, those after it refer to.
///
/// # Errors
/// Of each, every fault that was found, by field.
pub(crate) fn transactions<'f>(
    rows: impl Iterator<Item = &'f TransactionFields>,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    place: Place,
) -> Vec<Result<Recorded, Vec<FieldFault>>> {
    let sealable = context.keys().contains(portfolio.key);
    let mut desk = Desk::new(context, Some(portfolio), None);
    let mut read = |fields: &TransactionFields| {
        if !sealable {
            let text = format!("the key {} is not in the key file, so nothing can be sealed", portfolio.key);
            return Err(vec![FieldFault::new(Column::Account.name(), text)]);
        }
        let mut cells = Cells::default();
        for column in Column::ALL {
            cells.set(*column, fields.get(*column).unwrap_or_default());
        }
        record(&cells, place, None, portfolio, &mut desk)
    };
    rows.map(&mut read).collect()
}

/// The texts of one row by column, without the space around them.
#[derive(Clone, Copy, Default)]
pub(super) struct Cells<'a>([&'a str; Column::ALL.len()]);

impl<'a> Cells<'a> {
    pub(super) fn set(&mut self, column: Column, text: &'a str) {
        self.0[column as usize] = text.trim();
    }

    /// The text of a column that is not empty.
    pub(super) fn get(&self, column: Column) -> Option<&'a str> {
        Some(self.0[column as usize]).filter(|text| !text.is_empty())
    }
}

/// How often each content was read so far, so that equal rows are told apart by their number.
pub(super) type Equals = HashMap<[u8; 32], u64>;

/// When a row says that it happened: an instant, or a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stated {
    At(Timestamp),
    On(Day),
}

impl Stated {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() == 10 {
            return Day::parse(text).map(Self::On).map_err(|error| error.to_string());
        }
        Timestamp::parse(text).map(Self::At).map_err(|error| error.to_string())
    }

    pub(super) fn day(self, portfolio: &PortfolioFacts) -> Day {
        match self {
            Self::At(time) => time.day_in(portfolio.zone),
            Self::On(day) => day,
        }
    }
}

/// A row as it is read: faults are collected, so that its owner sees all of them at once.
struct Reading<'a, 'd, 'c> {
    kind: Type,
    cells: &'a Cells<'a>,
    portfolio: &'a PortfolioFacts,
    desk: &'d mut Desk<'c>,
    faults: Vec<FieldFault>,
    warnings: Vec<FieldFault>,
    line: u64,
}

/// Reads one row with what the rows before it added. Outside files nothing counts equal rows: a transaction without an
/// `id` is a new one each time.
pub(super) fn record(
    cells: &Cells<'_>,
    place: Place,
    equals: Option<&mut Equals>,
    portfolio: &PortfolioFacts,
    desk: &mut Desk<'_>,
) -> Result<Recorded, Vec<FieldFault>> {
    let mut faults = Vec::new();
    let stated = match cells.get(Column::Time) {
        None => Err("every row needs a time: RFC 3339 or a date".to_owned()),
        Some(text) => Stated::parse(text),
    };
    let stated = stated.map_err(|text| faults.push(FieldFault::new(Column::Time.name(), text))).ok();
    let kind = match cells.get(Column::Type) {
        None => Err(format!("every row needs a type: one of {}", Type::NAMES.join(", "))),
        Some(text) => Type::parse(text),
    };
    let kind = kind.map_err(|text| faults.push(FieldFault::new(Column::Type.name(), text))).ok();
    let (Some(kind), stated) = (kind, stated) else { return Err(faults) };
    let mut reading =
        Reading { kind, cells, portfolio, desk, faults, warnings: Vec::new(), line: place.line };
    reading.check_columns();
    let values = reading.values();
    let Some(stated) = stated.filter(|_| reading.faults.is_empty()) else { return Err(reading.faults) };
    let when = match stated {
        Stated::At(time) => When::At(time),
        Stated::On(day) => When::On { day, phase: kind.phase(), rank: place.rank },
    };
    let told = reading.told(&values, when);
    let mut drafts = reading.desk.take_drafts();
    let (faults, warnings) = (reading.faults, reading.warnings);
    let Some((content, events)) = told.filter(|_| faults.is_empty()) else { return Err(faults) };
    let identity = match (cells.get(Column::Id), equals) {
        (Some(id), _) => Some(identity::of_id(id)),
        (None, Some(equals)) => {
            let count = equals.entry(content).or_default();
            *count += 1;
            Some(identity::of_content(&content, *count - 1))
        }
        (None, None) => None,
    };
    for (suffix, event) in events {
        let stream = match &event {
            Event::IdentifierAssigned(assigned) => stream::instrument(assigned.instrument),
            Event::InstrumentsMerged(merged) => stream::instrument(merged.kept),
            _ => stream::portfolio(portfolio.id),
        };
        drafts.push(Draft {
            event,
            stream,
            occurred_at: when.occurs(portfolio.zone),
            identity: identity.as_ref().map(|identity| format!("csv:{}:{identity}{suffix}", portfolio.id)),
            content_hash: content,
            line: place.line,
            role: Role::Entry,
        });
    }
    Ok(Recorded { content, drafts, warnings })
}

impl Reading<'_, '_, '_> {
    fn fault(&mut self, column: Column, text: impl Into<String>) {
        self.faults.push(FieldFault::new(column.name(), text));
    }

    fn warn(&mut self, column: Column, text: impl Into<String>) {
        self.warnings.push(FieldFault::new(column.name(), text));
    }
}

/// Units of the underlying in one unit of an instrument; one where no contract says otherwise.
pub(super) fn multiplier_of(facts: &InstrumentFacts) -> Multiplier {
    facts.multiplier.unwrap_or(Multiplier::ONE)
}

/// What units come to at a price, without charges, as the ledger will reckon it.
pub(super) fn worth(
    quantity: Decimal,
    price: Decimal,
    multiplier: Multiplier,
) -> Result<Decimal, decimal::ArithmeticError> {
    decimal::multiply(decimal::multiply(quantity, price)?, multiplier.get())
}

#[cfg(test)]
mod tests {
    use super::super::ledger_in_memory::Ledger;
    use super::super::to_columns;
    use super::*;
    use proptest::prelude::*;

    fn fields(pairs: &[(Column, &str)]) -> TransactionFields {
        let mut fields = TransactionFields::default();
        for (column, text) in pairs {
            fields.set(*column, Some((*text).to_owned()));
        }
        fields
    }

    fn read(fields: &TransactionFields) -> Result<Recorded, Vec<FieldFault>> {
        let ledger = Ledger::new();
        transaction(fields, &ledger.portfolio, &ledger, Place::default())
    }

    #[test]
    fn a_request_is_read_as_a_row_and_is_new_each_time_unless_it_has_an_id() {
        let deposit =
            fields(&[(Column::Time, "2024-01-02"), (Column::Type, "deposit"), (Column::Amount, "5")]);
        let recorded = read(&deposit).unwrap();
        assert_eq!(recorded.drafts.last().unwrap().identity, None);
        let named = fields(&[
            (Column::Time, "2024-01-02"),
            (Column::Type, "deposit"),
            (Column::Amount, "5"),
            (Column::Id, "T"),
        ]);
        assert!(read(&named).unwrap().drafts.last().unwrap().identity.as_ref().unwrap().ends_with(":T"));
    }

    #[test]
    fn every_fault_of_a_request_is_named_by_its_field() {
        let faults = read(&fields(&[(Column::Type, "buy"), (Column::Quantity, "x"), (Column::Basis, "1")]))
            .unwrap_err();
        let named: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(named, ["time", "symbol", "basis", "price", "quantity"]);
        assert!(read(&TransactionFields::default()).unwrap_err().iter().any(|fault| fault.field == "type"));
    }

    #[test]
    fn fields_are_named_in_json_as_the_columns_are() {
        let json = r#"{"time":"2024-01-02","type":"deposit","amount":"5"}"#;
        let fields: TransactionFields = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&fields).unwrap(), json);
        assert!(serde_json::from_str::<TransactionFields>(r#"{"typ":"deposit"}"#).is_err());
    }

    /// A type, a row of it with nothing but what it needs, and the columns that it refuses.
    const TABLE: &[(&str, &str, &str)] = &[
        ("buy", "symbol=X quantity=1 price=2", "basis acquired to_symbol"),
        ("sell", "symbol=X quantity=1 price=2", "basis acquired to_symbol"),
        (
            "deposit",
            "amount=5",
            "symbol quantity price fee multiplier effect fee_currency basis acquired to_symbol",
        ),
        (
            "withdrawal",
            "amount=-5",
            "symbol quantity price fee multiplier effect fee_currency basis acquired to_symbol",
        ),
        ("dividend", "symbol=X amount=5", "multiplier effect fee_currency basis acquired to_symbol"),
        ("interest", "amount=5", "multiplier effect fee_currency basis acquired to_symbol"),
        ("fee", "amount=-5", "fee multiplier effect fee_currency fx_rate basis acquired to_symbol"),
        ("tax", "amount=-5", "fee multiplier effect fee_currency fx_rate basis acquired to_symbol"),
        (
            "split",
            "symbol=X quantity=1:3",
            "price amount fee currency multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "convert",
            "symbol=EUR quantity=4 amount=-5 currency=USD",
            "price multiplier effect fee_currency basis acquired to_symbol",
        ),
        (
            "return_of_capital",
            "symbol=X amount=5",
            "quantity price fee multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "cash_in_lieu",
            "symbol=X amount=5",
            "price fee multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "spin_off",
            "symbol=X quantity=1 to_symbol=Y",
            "amount fee multiplier effect fee_currency fx_rate acquired",
        ),
        ("exchange", "symbol=X quantity=1", "fee multiplier effect fee_currency fx_rate basis acquired"),
        (
            "rename",
            "symbol=X to_symbol=Y",
            "quantity price amount fee currency multiplier effect fee_currency fx_rate basis acquired",
        ),
        (
            "expire",
            "symbol=X240119C00150000 quantity=1",
            "price amount multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "exercise",
            "symbol=X240119C00150000 quantity=1",
            "price amount multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "assign",
            "symbol=X240119C00150000 quantity=1",
            "price amount multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "adjustment",
            "amount=5 note=why",
            "price fee multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "transfer_in",
            "amount=5",
            "quantity price multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        (
            "transfer_out",
            "amount=-5",
            "quantity price multiplier effect fee_currency fx_rate basis acquired to_symbol",
        ),
        ("transfer_in", "symbol=X quantity=5", "multiplier effect fee_currency fx_rate to_symbol"),
        ("reward", "symbol=X quantity=5", "multiplier effect fee_currency basis acquired to_symbol"),
    ];

    fn value(column: &str) -> &'static str {
        match column {
            "symbol" | "to_symbol" => "Z",
            "effect" => "open",
            "currency" | "fee_currency" => "USD",
            "acquired" => "2020-01-01",
            "amount" => "5",
            _ => "1",
        }
    }

    #[test]
    fn every_type_needs_what_it_needs_and_refuses_the_rest_by_name() {
        let column = |name: &str| Column::ALL.iter().copied().find(|column| column.name() == name).unwrap();
        for (kind, needed, refused) in TABLE {
            let mut row = fields(&[(Column::Time, "2024-01-02"), (Column::Type, kind)]);
            for pair in needed.split(' ') {
                let (name, text) = pair.split_once('=').unwrap();
                row.set(column(name), Some(text.to_owned()));
            }
            read(&row).unwrap_or_else(|faults| panic!("{kind}: {faults:?}"));
            for pair in needed.split(' ') {
                let mut short = row.clone();
                short.set(column(pair.split_once('=').unwrap().0), None);
                assert!(read(&short).is_err(), "{kind} without {pair}");
            }
            for name in refused.split(' ') {
                let mut wide = row.clone();
                wide.set(column(name), Some(value(name).to_owned()));
                let faults = read(&wide).err().unwrap_or_else(|| panic!("{kind} with {name}"));
                assert!(faults.iter().any(|fault| fault.field == name), "{kind} with {name}: {faults:?}");
            }
            for name in ["time", "type"] {
                let mut short = row.clone();
                short.set(column(name), None);
                assert!(read(&short).unwrap_err().iter().any(|fault| fault.field == name));
            }
        }
    }

    #[test]
    fn a_sign_that_contradicts_the_type_is_refused_and_the_rule_is_named() {
        for (kind, rest, amount) in [
            ("buy", "symbol=X quantity=1", "5"),
            ("sell", "symbol=X quantity=1", "-5"),
            ("deposit", "", "-5"),
            ("deposit", "", "0"),
            ("withdrawal", "", "5"),
            ("fee", "", "0"),
            ("transfer_in", "", "-5"),
            ("transfer_out", "", "5"),
            ("convert", "symbol=EUR quantity=4 currency=USD", "5"),
            ("return_of_capital", "symbol=X", "-5"),
            ("cash_in_lieu", "symbol=X", "-5"),
            ("exchange", "symbol=X quantity=1", "-5"),
        ] {
            let mut row =
                fields(&[(Column::Time, "2024-01-02"), (Column::Type, kind), (Column::Amount, amount)]);
            for (name, text) in rest.split(' ').filter_map(|pair| pair.split_once('=')) {
                row.set(
                    *Column::ALL.iter().find(|column| column.name() == name).unwrap(),
                    Some(text.to_owned()),
                );
            }
            let faults = read(&row).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].field == "amount" && faults[0].text.contains("must"),
                "{kind}: {faults:?}"
            );
        }
    }

    #[test]
    fn a_request_whose_cash_no_decimal_holds_is_told_to_state_its_amount() {
        let faults = read(&fields(&[
            (Column::Time, "2024-01-02"),
            (Column::Type, "buy"),
            (Column::Symbol, "TOK"),
            (Column::Quantity, "0.123456789012345678"),
            (Column::Price, "12.34567891234"),
        ]))
        .unwrap_err();
        assert!(faults.len() == 1 && faults[0].field == "amount", "{faults:?}");
        assert!(faults[0].text.contains("state `amount`"), "{faults:?}");
    }

    #[test]
    fn a_sale_whose_fee_eats_its_proceeds_may_cost_cash() {
        let row = |amount| {
            fields(&[
                (Column::Time, "2024-01-02"),
                (Column::Type, "sell"),
                (Column::Symbol, "X"),
                (Column::Quantity, "1"),
                (Column::Price, "0.01"),
                (Column::Fee, "10"),
                (Column::Amount, amount),
            ])
        };
        assert!(read(&row("-9.99")).unwrap().warnings.is_empty());
        assert!(read(&row("9.99")).is_ok_and(|recorded| recorded.warnings.len() == 1));
    }

    #[test]
    fn a_terminal_is_not_steered_by_what_a_file_holds() {
        let faults = read(&fields(&[(Column::Time, "\u{1b}[2J"), (Column::Type, "deposit")])).unwrap_err();
        assert!(!faults.iter().any(|fault| fault.text.contains('\u{1b}')), "{faults:?}");
    }

    fn decimal_text(places: u32) -> impl Strategy<Value = String> {
        (1i64..10_000_000, 0..=places)
            .prop_map(|(digits, places)| rust_decimal::Decimal::new(digits, places).to_string())
    }

    proptest! {
        #[test]
        fn what_is_written_in_columns_reads_as_it_was(
            kind in proptest::sample::select(Type::NAMES),
            quantity in decimal_text(6),
            price in decimal_text(6),
            amount in decimal_text(4),
            fee in proptest::option::of(decimal_text(2)),
            currency in proptest::sample::select(vec!["USD", "EUR", "JPY"]),
            foreign_fee in any::<bool>(),
            effect in proptest::option::of(proptest::sample::select(vec!["open", "close"])),
            seconds in proptest::option::of(0i64..4_000_000_000),
            optional in any::<u8>(),
        ) {
            let kind = Type::parse(kind).unwrap();
            let (required, taken) = kind.takes();
            let wants = |column: Column, bit: u8| {
                required.contains(&column) || taken.contains(&column) && optional & (1 << bit) != 0
            };
            let time = seconds.map_or("2024-01-02".to_owned(), |seconds| Timestamp::from_nanos(seconds * 1_000_000_001).to_string());
            let mut fields = fields(&[(Column::Time, &time), (Column::Type, kind.name()), (Column::Account, "main"), (Column::Note, "a note")]);
            let settles = matches!(kind, Type::Expire | Type::Exercise | Type::Assign);
            let mut set = |column: Column, bit: u8, text: &str| {
                if wants(column, bit) {
                    fields.set(column, Some(text.to_owned()));
                }
            };
            set(Column::Symbol, 0, if settles { "AAPL240119C00150000" } else if kind == Type::Convert { "GBP" } else { "XYZ" });
            set(Column::Quantity, 1, &quantity);
            set(Column::Price, 2, &price);
            let out = matches!(kind, Type::Buy | Type::Withdrawal | Type::Fee | Type::Tax | Type::Convert | Type::TransferOut);
            set(Column::Amount, 3, &if out { format!("-{amount}") } else { amount.clone() });
            set(Column::Currency, 4, currency);
            set(Column::Effect, 5, effect.unwrap_or("open"));
            set(Column::ToSymbol, 2, "ZYX");
            set(Column::Basis, 6, "0.25");
            set(Column::FxRate, 7, "1.25");
            if let Some(fee) = &fee {
                set(Column::Fee, 6, fee);
                if foreign_fee && wants(Column::Fee, 6) {
                    set(Column::FeeCurrency, 6, "CHF");
                }
            }
            let mut ledger = Ledger::new();
            // Not every such row is right; those that are must come back as they went.
            let Ok(recorded) = transaction(&fields, &ledger.portfolio, &ledger, Place::default()) else { return Ok(()) };
            ledger.apply(&super::super::Parsed { drafts: recorded.drafts.clone(), ..Default::default() }).unwrap();
            for draft in recorded.drafts.iter().filter(|draft| draft.role == Role::Entry) {
                let written = to_columns(&draft.event, &ledger).unwrap();
                let again = transaction(&written, &ledger.portfolio, &ledger, Place::default());
                let again = again.map_err(|faults| TestCaseError::fail(format!("{written:?}: {faults:?}")))?;
                let events: Vec<&Event> = again.drafts.iter().filter(|draft| draft.role == Role::Entry).map(|draft| &draft.event).collect();
                prop_assert_eq!(events, [&draft.event], "{:?}", written);
                let whole = recorded.drafts.iter().filter(|draft| draft.role == Role::Entry).count() == 1
                    && [Column::Symbol, Column::Quantity, Column::Price]
                        .iter()
                        .all(|column| fields.get(*column).is_some() == written.get(*column).is_some())
                    && fields.get(Column::Type) == written.get(Column::Type);
                if whole {
                    // A row is the same row when it comes back with all that goes without saying written out.
                    prop_assert_eq!(again.content, recorded.content, "{:?} {:?}", fields, written);
                }
            }
        }
    }
}
