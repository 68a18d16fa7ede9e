//! The importer of the generic CSV: every row counts, or none.

use super::columns::Column;
use super::desk::Desk;
use super::faults::Faults;
use super::rows::{Row, Rows, Trouble};
use super::symbols;
use super::transaction::{Cells, Equals, Place, Stated, Type, record};
use super::{Context, Draft, Fault, Parsed, PortfolioFacts, Warning, nearest};
use daybook_schemas::{Day, Phase};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

/// How many rows pass between two reports of progress.
const PROGRESS_ROWS: u64 = 1024;

pub(super) fn read(
    file_name: &str,
    input: impl Read,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    let mut faults = Faults::new(file_name);
    let table = Table::read(input, &mut faults, progress);
    let Some(table) = table else { return Err(faults.into_sorted()) };
    let mut file = File {
        name: file_name,
        table: &table,
        portfolio,
        desk: Desk::new(context, Some(portfolio), None),
        faults,
        parsed: Parsed { rows: table.rows.len() as u64, ..Parsed::default() },
    };
    file.record_all();
    if file.faults.is_empty() { Ok(file.parsed) } else { Err(file.faults.into_sorted()) }
}

/// The rows of a file, kept as compactly as they can be until their order is known.
struct Table {
    /// Which column each cell belongs to.
    header: Vec<Column>,
    /// The cells of all rows, one after the other.
    text: String,
    rows: Vec<Kept>,
}

/// Where a row is kept.
struct Kept {
    line: u64,
    start: usize,
    /// The ends of its cells, counted from its start.
    ends: Box<[u32]>,
}

impl Table {
    fn read(input: impl Read, faults: &mut Faults, progress: &mut dyn FnMut(u64)) -> Option<Self> {
        let (mut rows, mut row) = (Rows::new(input, false), Row::default());
        let header = match rows.next(&mut row) {
            None => {
                faults.push(Fault::of_file(
                    faults.file(),
                    format!("the file is empty: its first line names the columns, such as {EXAMPLE}"),
                ));
                return None;
            }
            Some(Err(trouble)) => {
                push_trouble(faults, &[], trouble);
                return None;
            }
            Some(Ok(())) => read_header(&row, faults)?,
        };
        let mut table = Self { header, text: String::new(), rows: Vec::new() };
        while let Some(next) = rows.next(&mut row) {
            match next {
                Err(trouble) => push_trouble(faults, &table.header, trouble),
                Ok(()) if row.len() != table.header.len() => {
                    let text = format!(
                        "the row has {} cells and the header {}: put cells with a comma in quotes, and leave none out",
                        row.len(),
                        table.header.len()
                    );
                    faults.line(row.line, text);
                }
                Ok(()) => table.keep(&row),
            }
            if (table.rows.len() as u64).is_multiple_of(PROGRESS_ROWS) {
                progress(rows.bytes());
            }
        }
        progress(rows.bytes());
        if table.rows.is_empty() && faults.is_empty() {
            faults.push(Fault::of_file(
                faults.file(),
                "the file has a header and no rows: there is nothing to import",
            ));
        }
        Some(table)
    }

    fn keep(&mut self, row: &Row) {
        let start = self.text.len();
        let mut ends = Vec::with_capacity(row.len());
        for cell in row.iter() {
            self.text.push_str(cell.trim());
            // A row is no longer than a mebibyte.
            ends.push(u32::try_from(self.text.len() - start).unwrap_or(u32::MAX));
        }
        self.rows.push(Kept { line: row.line, start, ends: ends.into() });
    }

    fn cells(&self, kept: &Kept) -> Cells<'_> {
        let mut cells = Cells::default();
        let mut start = kept.start;
        for (column, end) in self.header.iter().zip(&kept.ends) {
            let end = kept.start + *end as usize;
            cells.set(*column, &self.text[start..end]);
            start = end;
        }
        cells
    }
}

/// A header for messages.
const EXAMPLE: &str = "time,type,symbol,quantity,price,amount,fee,currency";

/// Reads the header; every fault of it, or the columns.
fn read_header(row: &Row, faults: &mut Faults) -> Option<Vec<Column>> {
    let names: Vec<&str> = Column::ALL.iter().map(|column| column.name()).collect();
    let mut header: Vec<Column> = Vec::new();
    let mut good = true;
    if row.len() == 1 && row.cell(0).contains([';', '\t']) {
        faults.line(row.line, "the columns are not separated by commas: export the file with commas");
        return None;
    }
    for (index, cell) in row.iter().enumerate() {
        let name = cell.trim();
        let column = Column::ALL.iter().copied().find(|column| column.name().eq_ignore_ascii_case(name));
        match column {
            None => {
                good = false;
                let text = if name.is_empty() {
                    format!("column {} has no name: name it or remove it", index + 1)
                } else {
                    match nearest::of(name, &names) {
                        Some(meant) => format!("there is no such column (did you mean `{meant}`?)"),
                        None => format!(
                            "there is no such column: remove it, or name it one of {}",
                            names.join(",")
                        ),
                    }
                };
                let shown = if name.is_empty() {
                    (index + 1).to_string()
                } else {
                    daybook_schemas::decimal::shorten(name)
                };
                faults.field(row.line, &shown, text);
            }
            Some(column) if header.contains(&column) => {
                good = false;
                faults.field(row.line, column.name(), "the column stands twice: remove one");
            }
            Some(column) => header.push(column),
        }
    }
    for needed in [Column::Time, Column::Type] {
        if good && !header.contains(&needed) {
            good = false;
            let text = format!("the column is missing: the first line names the columns, such as {EXAMPLE}");
            faults.field(row.line, needed.name(), text);
        }
    }
    good.then_some(header)
}

fn push_trouble(faults: &mut Faults, header: &[Column], trouble: Trouble) {
    match trouble.cell {
        None => faults.line(trouble.line, trouble.text),
        Some(cell) => {
            let name =
                header.get(cell).map_or_else(|| (cell + 1).to_string(), |column| column.name().to_owned());
            faults.field(trouble.line, &name, trouble.text);
        }
    }
}

/// The file while its rows are turned into events.
struct File<'f> {
    name: &'f str,
    table: &'f Table,
    portfolio: &'f PortfolioFacts,
    desk: Desk<'f>,
    faults: Faults,
    parsed: Parsed,
}

impl File<'_> {
    fn record_all(&mut self) {
        let stated: Vec<Option<Stated>> = self
            .table
            .rows
            .iter()
            .map(|kept| self.table.cells(kept).get(Column::Time).and_then(|text| Stated::parse(text).ok()))
            .collect();
        let mut order: Vec<usize> = (0..self.table.rows.len()).collect();
        if is_newest_first(&stated, self.portfolio) {
            order.reverse();
        }
        for index in &order {
            self.expect_rename(*index, stated[*index]);
        }
        let mut ranks: HashMap<(Day, Phase), u32> = HashMap::new();
        let mut equals = Equals::new();
        let mut ids: HashMap<&str, ([u8; 32], u64)> = HashMap::new();
        let mut warned: BTreeMap<(String, String), usize> = BTreeMap::new();
        let table = self.table;
        for index in order {
            let kept = &table.rows[index];
            let cells = table.cells(kept);
            let rank = match (stated[index], cells.get(Column::Type).and_then(|text| Type::parse(text).ok()))
            {
                (Some(Stated::On(day)), Some(kind)) => next(ranks.entry((day, kind.phase())).or_default()),
                _ => 0,
            };
            let place = Place { line: kept.line, rank };
            match record(&cells, place, Some(&mut equals), self.portfolio, &mut self.desk) {
                Err(faults) => {
                    for fault in faults {
                        self.faults.field(kept.line, fault.field, fault.text);
                    }
                }
                Ok(recorded) => {
                    if let Some(id) = cells.get(Column::Id) {
                        if let Some((before, line)) = ids.get(id) {
                            // Of equal content, it refers to nothing that the first one did not bring.
                            self.repeated(id, kept.line, *line, *before == recorded.content);
                            continue;
                        }
                        ids.insert(id, (recorded.content, kept.line));
                    }
                    self.parsed.drafts.extend::<Vec<Draft>>(recorded.drafts);
                    for warning in recorded.warnings {
                        // What many rows have in common is said of the first of them.
                        let times =
                            warned.entry((warning.field.to_owned(), warning.text.clone())).or_default();
                        *times += 1;
                        if *times == 1 {
                            self.warn(kept.line, Some(warning.field), warning.text);
                        }
                    }
                }
            }
        }
        self.parsed.warnings.sort_by_key(|warning| warning.line);
    }

    fn warn(&mut self, line: u64, column: Option<&str>, text: String) {
        let column = column.map(str::to_owned);
        self.parsed.warnings.push(Warning { file: self.name.to_owned(), line: Some(line), column, text });
    }

    /// A second row with an id: the same transaction once more, or a contradiction.
    fn repeated(&mut self, id: &str, line: u64, before: u64, same: bool) {
        let (first, second) = (before.min(line), before.max(line));
        let shown = daybook_schemas::decimal::shorten(id);
        if same {
            let text = format!("`{shown}` stands on line {first} too, with the same content: it counts once");
            self.warn(second, Some(Column::Id.name()), text);
        } else {
            let text = format!(
                "`{shown}` stands on line {first} too, with another content: an id names one transaction"
            );
            self.faults.field(second, Column::Id.name(), text);
        }
    }

    fn expect_rename(&mut self, index: usize, stated: Option<Stated>) {
        let cells = self.table.cells(&self.table.rows[index]);
        let is_rename =
            cells.get(Column::Type).is_some_and(|text| text.eq_ignore_ascii_case(Type::Rename.name()));
        if !is_rename {
            return;
        }
        let read = |column| cells.get(column).and_then(|text| symbols::read(text).ok());
        if let (Some(old), Some(new), Some(stated)) = (read(Column::Symbol), read(Column::ToSymbol), stated)
            && old != new
        {
            self.desk.expect_rename(old, &new, stated.day(self.portfolio));
        }
    }
}

/// The count so far, counting on.
fn next(count: &mut u32) -> u32 {
    let before = *count;
    *count = before.saturating_add(1);
    before
}

/// Whether the rows run from the newest to the oldest: more steps go back in time than forward.
fn is_newest_first(stated: &[Option<Stated>], portfolio: &PortfolioFacts) -> bool {
    let mut balance: i64 = 0;
    let mut before: Option<Stated> = None;
    for now in stated.iter().flatten() {
        if let Some(before) = before {
            let order = match (before, *now) {
                (Stated::At(before), Stated::At(now)) => before.cmp(&now),
                _ => before.day(portfolio).cmp(&now.day(portfolio)),
            };
            balance += match order {
                Ordering::Less => 1,
                Ordering::Equal => 0,
                Ordering::Greater => -1,
            };
        }
        before = Some(*now);
    }
    balance < 0
}

#[cfg(test)]
mod tests {
    use super::super::ledger_in_memory::Ledger;
    use super::super::{Format, Role};
    use super::*;
    use daybook_schemas::When;
    use daybook_schemas::events::Event;
    use proptest::prelude::*;

    fn import(ledger: &Ledger, text: &str) -> Result<Parsed, Vec<String>> {
        super::super::read(Format::Csv, "t.csv", text.as_bytes(), &ledger.portfolio, ledger, &mut |_| {})
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn fault(text: &str) -> String {
        import(&Ledger::new(), text).unwrap_err().join("\n")
    }

    /// A row of every type, in every shape.
    const EVERYTHING: &str = "\
time,type,symbol,quantity,price,amount,fee,currency,multiplier,id,strategy,note,account,effect,settle,fee_currency,fx_rate,isin,mic,basis,acquired,kind,group,to_symbol
2024-01-02,deposit,,,,10000,,USD,,,,,,,,,,,,,,wire,,
2024-01-02,deposit,,,,10000,,USD,,,,,,,,,,,,,,wire,,
2024-01-03T15:30:00.5Z,buy,AAPL,10,185.50,-1856,1,,,T-1,swing,first entry,main,open,2024-01-05,,,US0378331005,XNAS,,,commission,,
2024-01-03T11:00:00-05:00,sell,AAPL,4,186,,0.5,,,,,,,close,,EUR,,,,,,,,
2024-01-04,buy,SAP,3,,-400,,EUR,,,,,,,,,1.1,,,,,,,
2024-01-05,dividend,AAPL,6,0.24,1.34,0.1,,,,,,,,,,,,,,,qualified,,
2024-01-05,interest,,,,-3.2,,,,,,,,,,,,,,,,margin,,
2024-01-06,reward,ETH/USD,0.5,2200,,,,,,,,,,,,,,,,,staking,,
2024-01-06,reward,,,,25,,,,,,,,,,,,,,,,referral,,
2024-01-08,fee,,,,-12.5,,,,,,,,,,,,,,,,advisory,,
2024-01-08,fee,ETH/USD,0.001,2200,-2.2,,,,,,,,,,,,,,,,trading,,
2024-01-08,tax,AAPL,,,-0.2,,,,,,,,,,,,,,,,withholding,,
2024-01-09,split,AAPL,4:1,,,,,,,,,,,,,,,,,,,,
2024-01-10,transfer_in,MSFT,5,370,,2,USD,,,,,second,,,,,,,1500,2020-02-03,gift,,
2024-01-10,transfer_out,MSFT,1,,-371,,,,,,,second,,,,,,,,,internal,g1,
2024-01-10,transfer_in,,,,100,,,,,,,second,,,,,,,,,internal,g2,
2024-01-11,convert,EUR,90,,-100,1,USD,,,,,,,,,1.09,,,,,,,
2024-01-11,withdrawal,,,,-50,,,,,,,,,,,,,,,,,,
2024-01-12,return_of_capital,AAPL,,,7,,,,,,,,,,,,,,,,,,
2024-01-12,cash_in_lieu,AAPL,0.25,,12,,,,,,,,,,,,,,,,,,
2024-01-15,spin_off,AAPL,3,20,,,,,,,,,,,,,,,0.1,,,,BABY
2024-01-16,exchange,BABY,2,1:3,4,,,,,,,,,,,,,,,,merger,,OTHER
2024-01-16,exchange,BABY,1,,,,,,,,,,,,,,,,,,conversion,g3,
2024-01-16,exchange,,7,,,,,,,,,,,,,,,,,,conversion,g3,THIRD
2024-01-17,rename,MSFT,,,,,,,,,,,,,,,,,,,,,MSFX
2024-01-18,sell,MSFX,1,400,,,,,,,,second,,,,,,,,,,,
2024-01-18,buy,AAPL  240119C00150000,2,3.5,-701,1,,,,,,,,,,,,,,,,,
2024-01-19,expire,AAPL240119C00150000,1,,,,,,,,,,,,,,,,,,,,
2024-01-19,exercise,AAPL240119C00150000,1,,,,,,,,,,,,,,,,,,,g4,
2024-01-19,buy,AAPL,100,150,,,,,,,,,,,,,,,,,,g4,
2024-01-19,assign,AAPL240119P00150000,1,,,0.5,,,,,,,,,,,,,,,,g5,
2024-01-22,adjustment,,,,1.23,,,,,,broker says so,,,,,,,,,,reconciliation,,
2024-01-22,adjustment,OTHER,-0.5,,,,,,,,broker says so,,,,,,,,,,,,
2024-01-23,dividend,,,,4,,,,,,,,,,,,,,,,ordinary,,
2024-01-23,split,AAPL,9,,,,,,,,,,,,,,,,,,added,,
2024-01-23,exchange,BABY,,,,,,,,,,,,,,,,,,,redemption,g6,
2024-01-23,exchange,,,,12,,,,,,,,,,,,,,,,redemption,g6,
2024-01-23,spin_off,,2,,,,,,,,,,,,,,,,,,rights,,RGHT
";

    #[test]
    fn every_type_is_recorded_as_its_own_event() {
        let ledger = Ledger::new();
        let parsed = import(&ledger, EVERYTHING).unwrap();
        let types: Vec<_> = parsed
            .drafts
            .iter()
            .filter(|draft| draft.role == Role::Entry)
            .map(|draft| draft.event.event_type().name())
            .collect();
        assert_eq!(
            types,
            [
                "CashTransferred",
                "CashTransferred",
                "TradeExecuted",
                "TradeExecuted",
                "TradeExecuted",
                "DividendPosted",
                "InterestPosted",
                "RewardPosted",
                "RewardPosted",
                "FeePosted",
                "FeePosted",
                "TaxPosted",
                "SplitApplied",
                "SecuritiesTransferred",
                "SecuritiesTransferred",
                "CashTransferred",
                "CurrencyConverted",
                "CashTransferred",
                "CapitalReturned",
                "CashInLieuPaid",
                "HoldingDistributed",
                "PositionExchanged",
                "PositionExchanged",
                "PositionExchanged",
                "IdentifierAssigned",
                "TradeExecuted",
                "TradeExecuted",
                "OptionSettled",
                "OptionSettled",
                "TradeExecuted",
                "OptionSettled",
                "CashAdjusted",
                "SecuritiesTransferred",
                "DividendPosted",
                "SplitApplied",
                "PositionExchanged",
                "PositionExchanged",
                "HoldingDistributed",
            ]
        );
        assert_eq!((parsed.rows, parsed.quarantined, parsed.warnings), (38, 0, Vec::new()));
    }

    #[test]
    fn importing_the_same_file_twice_adds_nothing_and_equal_rows_both_count() {
        let mut ledger = Ledger::new();
        let parsed = import(&ledger, EVERYTHING).unwrap();
        assert_eq!(ledger.apply(&parsed), Ok(38));
        let again = import(&ledger, EVERYTHING).unwrap();
        assert!(again.drafts.iter().all(|draft| draft.role == Role::Entry), "references are known by now");
        assert_eq!(ledger.apply(&again), Ok(0));
    }

    #[test]
    fn what_is_exported_imports_with_the_same_economics() {
        let mut ledger = Ledger::new();
        let parsed = import(&ledger, EVERYTHING).unwrap();
        ledger.apply(&parsed).unwrap();
        let exported = export(&ledger, &parsed);
        let again = import(&ledger, &exported).unwrap();
        let events = |parsed: &Parsed| -> Vec<Event> {
            parsed.drafts.iter().filter(|d| d.role == Role::Entry).map(|draft| draft.event.clone()).collect()
        };
        for (before, after) in events(&parsed).into_iter().zip(events(&again)) {
            assert_eq!(before, after);
        }
        assert_eq!(events(&parsed).len(), events(&again).len());
    }

    fn export(ledger: &Ledger, parsed: &Parsed) -> String {
        let names: Vec<_> = Column::ALL.iter().map(|column| column.name()).collect();
        let mut text = names.join(",") + "\n";
        for draft in parsed.drafts.iter().filter(|draft| draft.role == Role::Entry) {
            let fields = super::super::to_columns(&draft.event, ledger).unwrap();
            let cells: Vec<_> = Column::ALL
                .iter()
                .map(|column| format!("\"{}\"", fields.get(*column).unwrap_or_default().replace('"', "\"\"")))
                .collect();
            text += &(cells.join(",") + "\n");
        }
        text
    }

    fn lines(text: &str) -> (String, Vec<String>) {
        let mut lines = text.lines().map(str::to_owned);
        (lines.next().unwrap(), lines.collect())
    }

    /// Everything of the drafts but the lines they stand on.
    fn said(parsed: &Parsed) -> Vec<Draft> {
        let mut drafts = parsed.drafts.clone();
        for draft in &mut drafts {
            draft.line = 0;
        }
        drafts
    }

    #[test]
    fn a_file_that_runs_from_new_to_old_says_the_same_as_one_from_old_to_new() {
        let ledger = Ledger::new();
        let (header, mut rows) = lines(EVERYTHING);
        let forward = import(&ledger, EVERYTHING).unwrap();
        rows.reverse();
        let backward = import(&ledger, &format!("{header}\n{}", rows.join("\n"))).unwrap();
        assert_eq!(said(&forward), said(&backward));
    }

    #[test]
    fn rows_of_a_day_keep_their_order_by_rank() {
        let text = "time,type,amount\n2024-01-02,deposit,1\n2024-01-02,deposit,2\n2024-01-01,deposit,3\n";
        let parsed = import(&Ledger::new(), text).unwrap();
        let ranks: Vec<_> = parsed
            .drafts
            .iter()
            .filter_map(|draft| match (&draft.event, draft.event.entry()?.when) {
                (Event::CashTransferred(event), When::On { rank, .. }) => {
                    Some((event.amount.amount().to_string(), rank))
                }
                _ => None,
            })
            .collect();
        assert_eq!(ranks, [("3".to_owned(), 0), ("2".to_owned(), 0), ("1".to_owned(), 1)]);
    }

    #[test]
    fn a_new_name_is_the_old_instrument_in_whatever_order_the_file_runs() {
        for text in [
            "time,type,symbol,quantity,price,to_symbol\n2022-01-03,buy,FB,1,300,\n2022-06-09,rename,FB,,,META\n2022-07-01,sell,META,1,170,\n",
            "time,type,symbol,quantity,price,to_symbol\n2022-07-01,sell,META,1,170,\n2022-06-09,rename,FB,,,META\n2022-01-03,buy,FB,1,300,\n",
            "time,type,symbol,quantity,price,to_symbol\n2022-06-09,rename,FB,,,META\n2022-07-01,sell,META,1,170,\n",
        ] {
            let parsed = import(&Ledger::new(), text).unwrap();
            let listed =
                parsed.drafts.iter().filter(|draft| matches!(draft.event, Event::InstrumentListed(_)));
            assert_eq!(listed.count(), 1, "{text}");
        }
    }

    #[test]
    fn a_name_that_was_used_before_its_rename_is_merged_into_the_old_one() {
        let mut ledger = Ledger::new();
        let parsed = import(&ledger, "time,type,symbol,quantity,price\n2022-07-01,buy,META,1,170\n").unwrap();
        ledger.apply(&parsed).unwrap();
        let text = "time,type,symbol,quantity,price,to_symbol\n2022-01-03,buy,FB,1,300,\n2022-06-09,rename,FB,,,META\n";
        let parsed = import(&ledger, text).unwrap();
        assert!(parsed.drafts.iter().any(|draft| matches!(draft.event, Event::InstrumentsMerged(_))));
        ledger.apply(&parsed).unwrap();
        assert_eq!(ledger.class("FB"), ledger.class("META"));
    }

    #[test]
    fn faults_of_the_header_name_the_column_and_what_was_meant() {
        assert!(fault("").contains("t.csv: the file is empty"));
        assert!(fault("time,type,amount\n").contains("no rows"));
        assert!(
            fault("time,type,qantity\n")
                .contains("t.csv:1: column `qantity`: there is no such column (did you mean `quantity`?)")
        );
        assert!(fault("time,type,time\n").contains("column `time`: the column stands twice"));
        assert!(fault("type,amount\ndeposit,1\n").contains("column `time`: the column is missing"));
        assert!(fault("time,type,\n").contains("column `3`: column 3 has no name"));
        assert!(fault("time;type;amount\n").contains("commas"));
    }

    #[test]
    fn faults_of_rows_name_line_and_column_and_all_are_found() {
        let text = "time,type,symbol,quantity,price,amount\n\
            2024-01-02,deposit,,,,-5\n\
            2024-01-02,buy,AAPL,0,1,\n\
            2024-01-02,buy,AAPL,1,abc,\n\
            2024-13-02,buy,AAPL,1,1,\n\
            2024-01-02,sel,AAPL,1,1,\n\
            2024-01-02,deposit,AAPL,,,5\n\
            2024-01-02,buy,AAPL,1\n\
            2024-01-02,buy,,1,1,\n\
            2024-01-02,buy,AAPL,1,1,5\n\
            1899-01-02,deposit,,,,5\n";
        let faults = import(&Ledger::new(), text).unwrap_err();
        let expected = [
            "t.csv:2: column `amount`: a deposit brings cash in: `amount` must be greater than 0, not -5",
            "t.csv:3: column `quantity`: `quantity` must be greater than 0, not 0",
            "t.csv:4: column `price`: `abc` is not a number",
            "t.csv:5: column `time`: `2024-13-02` is not a date",
            "t.csv:6: column `type`: `sel` is not a type (did you mean `sell`?)",
            "t.csv:7: column `symbol`: a `deposit` row takes no `symbol`: leave it empty",
            "t.csv:8: the row has 4 cells and the header 6",
            "t.csv:9: column `symbol`: a `buy` row needs `symbol`",
            "t.csv:10: column `amount`: a buy takes cash out: `amount` must be less than 0, not 5",
            "t.csv:11: column `time`: the year 1899 is outside 1900 to 2200",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault}");
        }
    }

    #[test]
    fn a_file_of_nothing_but_faults_lists_the_first_ones_and_counts_the_rest() {
        let text = format!("time,type,amount\n{}", "2024-01-02,deposit,-1\n".repeat(80));
        let faults = import(&Ledger::new(), &text).unwrap_err();
        assert_eq!(faults.len(), 51);
        assert!(faults[50].contains("30 more faults"));
    }

    #[test]
    fn an_id_names_one_transaction() {
        let text = "time,type,amount,id\n2024-01-02,deposit,1,a\n2024-01-03,deposit,1.0,b\n2024-01-02,deposit,1.00,a\n";
        let parsed = import(&Ledger::new(), text).unwrap();
        assert_eq!(parsed.drafts.iter().filter(|draft| draft.role == Role::Entry).count(), 2);
        assert!(parsed.warnings[0].to_string().contains("t.csv:4: column `id`: `a` stands on line 2 too"));
        let text = fault("time,type,amount,id\n2024-01-02,deposit,1,a\n2024-01-02,deposit,2,a\n");
        assert!(text.contains("t.csv:3: column `id`: `a` stands on line 2 too, with another content"));
        let mut ledger = Ledger::new();
        let first = import(&ledger, "time,type,amount,id\n2024-01-02,deposit,1,a\n").unwrap();
        ledger.apply(&first).unwrap();
        let other = import(&ledger, "time,type,amount,id\n2024-01-02,deposit,2,a\n").unwrap();
        assert!(ledger.apply(&other).unwrap_err().contains("csv:"));
    }

    #[test]
    fn a_row_that_writes_out_what_goes_without_saying_is_the_same_row() {
        let header = "time,type,symbol,quantity,price,amount,fee,currency,multiplier,fee_currency,id";
        let file = |rows: &[String]| format!("{header}\n{}\n", rows.join("\n"));
        let written = [
            ["2024-01-02,buy,X,1,10,,,,,", "2024-01-02,BUY,x,1.0,10.00,,0,usd,1,USD"],
            ["2024-01-03,sell,X,1,10,9,1,,,", "2024-01-03,sell,X,+1,10,9.0,1.00,USD,1.0,USD"],
            [
                "2024-01-02,buy,AAPL240119C00150000,2,3.5,,,,,",
                "2024-01-02,buy,AAPL  240119C00150000,2,3.5,,0.0,USD,100,",
            ],
            ["2024-01-02,deposit,,,,100,,,,", "2024-01-02,deposit,,,,100,,USD,,"],
            ["2024-01-04,dividend,X,,,5,,,,", "2024-01-04,dividend,X,,,5,0,USD,,"],
            ["2024-01-05,split,X,1/3,,,,,,", "2024-01-05,split,X,1:3,,,,,,"],
            ["2024-01-05,split,Y,7,,,,,,", "2024-01-05,split,Y,7:1,,,,,,"],
            ["2024-01-06,buy,BTC/USD,1,10,,,,,", "2024-01-06,buy,BTCUSD,1,10,,,USD,1,"],
        ];
        for [blank, full] in written {
            for id in ["", "T-1"] {
                let [blank, full] = [blank, full].map(|row| format!("{row},{id}"));
                for (first, second) in [(&blank, &full), (&full, &blank)] {
                    let mut ledger = Ledger::new();
                    let parsed = import(&ledger, &file(std::slice::from_ref(first))).unwrap();
                    assert_eq!(ledger.apply(&parsed), Ok(1), "{first}");
                    let again = import(&ledger, &file(std::slice::from_ref(second))).unwrap();
                    assert_eq!(ledger.apply(&again), Ok(0), "{first} then {second}");
                }
                if id.is_empty() {
                    let mut ledger = Ledger::new();
                    let both = import(&ledger, &file(&[blank, full])).unwrap();
                    assert_eq!(ledger.apply(&both), Ok(2), "equal rows of one file both count");
                }
            }
        }
    }

    #[test]
    fn a_row_that_says_something_else_is_another_row() {
        let header = "time,type,symbol,quantity,price,amount,fee,currency,multiplier,fee_currency,account";
        let rows = [
            "2024-01-02,buy,X,1,10,,,EUR,,,",
            "2024-01-02,buy,X,1,10,,,USD,,,",
            "2024-01-02,buy,X,1,10,,1,USD,,,",
            "2024-01-02,buy,X,1,10,,1,USD,,CHF,",
            "2024-01-02,buy,X,1,10,-10,,USD,,,",
            "2024-01-02,buy,X,1,10,,,USD,,,second",
            "2024-01-02T15:00:00Z,buy,X,1,10,,,USD,,,",
            "2024-01-02,sell,X,1,10,,,USD,,,",
            "2024-01-02,buy,ES,1,10,,,USD,50,,",
        ];
        let ledger = Ledger::new();
        let parsed = import(&ledger, &format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        let contents: std::collections::BTreeSet<_> =
            parsed.drafts.iter().filter(|d| d.role == Role::Entry).map(|draft| draft.content_hash).collect();
        assert_eq!(contents.len(), rows.len());
    }

    #[test]
    fn a_row_is_the_same_whatever_other_rows_of_its_file_say_of_the_contract() {
        let header = "time,type,symbol,quantity,price,multiplier\n";
        let [listing, stated, blank] =
            ["2024-01-01,split,ES,2,,\n", "2024-01-02,buy,ES,1,10,50\n", "2024-01-03,sell,ES,1,11,\n"];
        let mut ledger = Ledger::new();
        ledger.apply(&import(&ledger, &format!("{header}{listing}")).unwrap()).unwrap();
        let both = import(&ledger, &format!("{header}{stated}{blank}")).unwrap();
        assert_eq!(ledger.apply(&both), Ok(2));
        let alone = import(&ledger, &format!("{header}{blank}")).unwrap();
        assert_eq!(ledger.apply(&alone), Ok(0), "an overlapping file adds nothing");
    }

    #[test]
    fn a_trade_whose_cash_no_decimal_holds_must_state_its_amount() {
        let header = "time,type,symbol,quantity,price,amount,fee,multiplier";
        for row in [
            "2024-01-02,buy,TOK,0.123456789012345678,12.34567891234,,,",
            "2024-01-02,sell,TOK,123456789012345678,12345678901234,,,",
            "2024-01-02,buy,TOK,0.123456789012345678,12.34567891,,1000,",
            "2024-01-02,buy,TOK,0.123456789012345678,12.34567891,,,0.123",
        ] {
            assert_eq!(
                fault(&format!("{header}\n{row}\n")),
                "t.csv:2: column `amount`: quantity × price needs more than 28 digits: state `amount`, the effect on cash net of the fee"
            );
        }
        let stated = format!("{header}\n2024-01-02,buy,TOK,0.123456789012345678,12.34567891234,-1.52,,\n");
        assert!(import(&Ledger::new(), &stated).is_ok());
        let fits = format!("{header}\n2024-01-02,buy,TOK,0.123456789012345678,12.34567891,,,\n");
        assert!(import(&Ledger::new(), &fits).is_ok());
    }

    #[test]
    fn the_key_of_a_row_with_an_id_is_made_of_it() {
        let ledger = Ledger::new();
        let parsed = import(&ledger, "time,type,amount,id\n2024-01-02,deposit,1,T-1\n").unwrap();
        let entry = parsed.drafts.iter().find(|draft| draft.role == Role::Entry).unwrap();
        assert_eq!(entry.identity, Some(format!("csv:{}:T-1", ledger.portfolio.id)));
    }

    #[test]
    fn an_amount_beyond_the_rounding_of_the_price_warns_and_one_within_does_not() {
        let row = |price: &str, amount: &str| {
            let text =
                format!("time,type,symbol,quantity,price,amount\n2024-01-02,sell,X,48,{price},{amount}\n");
            import(&Ledger::new(), &text).unwrap().warnings
        };
        assert_eq!(row("51.52", "2472.82"), [], "48 half cents are 0.24");
        let warnings = row("51.52", "2472.60");
        assert!(warnings[0].text.contains("differs by 0.36 from 2472.96"), "{warnings:?}");
        assert_eq!(row("51.5200", "2472.82").len(), 1, "four places were written");
    }

    #[test]
    fn a_contract_says_its_multiplier_and_nothing_may_contradict_it() {
        let row = |symbol: &str, multiplier: &str| {
            format!("time,type,symbol,quantity,price,multiplier\n2024-01-02,buy,{symbol},1,2,{multiplier}\n")
        };
        let multiplier = |text: &str| {
            let parsed = import(&Ledger::new(), text).unwrap();
            parsed.drafts.iter().find_map(|draft| match &draft.event {
                Event::TradeExecuted(trade) => Some(trade.multiplier.to_string()),
                _ => None,
            })
        };
        assert_eq!(multiplier(&row("AAPL240119C00150000", "")).as_deref(), Some("100"));
        assert_eq!(multiplier(&row("AAPL240119C00150000", "10")).as_deref(), Some("10"));
        assert_eq!(multiplier(&row("ES", "50")).as_deref(), Some("50"));
        assert_eq!(multiplier(&row("AAPL", "")).as_deref(), Some("1"));
        let two = format!("{}2024-01-03,sell,AAPL240119C00150000,1,2,10\n", row("AAPL240119C00150000", ""));
        assert!(
            fault(&two).contains("t.csv:3: column `multiplier`: 10 contradicts the contract"),
            "{}",
            fault(&two)
        );
        let late = format!("{}2024-01-03,sell,ES,1,2,50\n", row("ES", ""));
        assert!(
            fault(&late).contains("t.csv:3: column `multiplier`: 50 contradicts line 2"),
            "{}",
            fault(&late)
        );
    }

    #[test]
    fn a_blank_currency_is_the_listings_and_one_symbol_in_two_currencies_is_two_instruments() {
        let mut ledger = Ledger::new();
        let text =
            "time,type,symbol,quantity,price,currency\n2024-01-02,buy,X,1,2,EUR\n2024-01-03,sell,X,1,2,\n";
        let parsed = import(&ledger, text).unwrap();
        let currencies = parsed.drafts.iter().filter_map(|draft| match &draft.event {
            Event::TradeExecuted(trade) => Some(trade.currency.to_string()),
            _ => None,
        });
        assert_eq!(currencies.collect::<Vec<_>>(), ["EUR", "EUR"]);
        ledger.apply(&parsed).unwrap();
        let parsed =
            import(&ledger, "time,type,symbol,quantity,price,currency\n2024-01-04,buy,X,1,2,USD\n").unwrap();
        ledger.apply(&parsed).unwrap();
        let faults = import(&ledger, "time,type,symbol,quantity,price\n2024-01-05,buy,X,1,2\n").unwrap_err();
        assert!(faults[0].contains("column `symbol`: `X` names several instruments"), "{faults:?}");
    }

    #[test]
    fn an_isin_tells_what_a_symbol_does_not() {
        let mut ledger = Ledger::new();
        let text = "time,type,symbol,quantity,price,isin\n2024-01-02,buy,OLD,1,2,US0378331005\n2024-01-03,sell,NEW,1,2,US0378331005\n2024-01-04,buy,NEW,1,2,\n";
        let parsed = import(&ledger, text).unwrap();
        ledger.apply(&parsed).unwrap();
        assert_eq!(ledger.class("OLD"), ledger.class("NEW"));
        assert!(
            fault("time,type,symbol,quantity,price,isin\n2024-01-02,buy,X,1,2,US0378331006\n")
                .contains("check digit")
        );
    }

    #[test]
    fn what_cannot_be_sealed_is_not_imported() {
        let mut ledger = Ledger::new();
        ledger.portfolio.key =
            daybook_schemas::KeyId::Portfolio(daybook_schemas::PortfolioId::from_bytes([8; 16]));
        let faults = import(&ledger, EVERYTHING).unwrap_err();
        assert!(faults[0].contains("is not in the key file"), "{faults:?}");
    }

    proptest! {
        #[test]
        fn the_order_of_the_columns_is_no_matter(order in Just((0..Column::ALL.len()).collect::<Vec<_>>()).prop_shuffle()) {
            let ledger = Ledger::new();
            let shuffled: Vec<String> = EVERYTHING
                .lines()
                .map(|line| {
                    let cells: Vec<_> = line.split(',').collect();
                    order.iter().map(|index| cells[*index]).collect::<Vec<_>>().join(",")
                })
                .collect();
            let shuffled = import(&ledger, &shuffled.join("\n")).unwrap();
            prop_assert_eq!(import(&ledger, EVERYTHING).unwrap().drafts, shuffled.drafts);
        }

        #[test]
        fn one_bad_cell_gives_a_fault_of_its_line_or_events(row in 1usize..39, column in 0usize..24, cell in "[ -+.--~]{0,12}") {
            let mut lines: Vec<Vec<String>> =
                EVERYTHING.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
            lines[row][column] = cell;
            let text: Vec<_> = lines.iter().map(|cells| cells.join(",")).collect();
            let ledger = Ledger::new();
            let read = super::super::read(Format::Csv, "t.csv", text.join("\n").as_bytes(), &ledger.portfolio, &ledger, &mut |_| {});
            if let Err(faults) = read {
                let line = row as u64 + 1;
                // A bad cell can only trouble its own row, or rows after it that name the same instrument.
                prop_assert!(faults.iter().any(|fault| fault.line.is_some_and(|at| at >= line)), "{faults:?}");
            }
        }

        #[test]
        fn any_bytes_are_faults_or_events(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let ledger = Ledger::new();
            let with_header = [EVERYTHING.lines().next().unwrap().as_bytes(), b"\n", &bytes].concat();
            for input in [bytes.as_slice(), &with_header] {
                let _ = super::super::read(Format::Csv, "t.csv", input, &ledger.portfolio, &ledger, &mut |_| {});
            }
        }
    }
}
