//! What a person sees: progress bars, aligned tables, sparklines, amounts with their separators.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use daybook_schemas::Currency;
use indicatif::{ProgressBar, ProgressStyle};
use rust_decimal::Decimal;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

/// How far long work has come: done, out of.
pub(crate) type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// A progress bar on a terminal, nothing in a pipe.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that shows itself only once the work has taken a moment.
    pub(crate) fn new(what: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(0), indicatif::ProgressDrawTarget::stderr_with_hz(8));
        bar.set_style(style);
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    /// What long work calls as it goes on.
    pub(crate) fn callback(&self) -> Progress {
        let bar = self.0.clone();
        Arc::new(move |done, whole| {
            bar.set_length(whole);
            bar.set_position(done);
        })
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Writes a line of the result to stdout.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes a line of what is not the result to stderr.
pub(crate) fn remark(text: impl Display) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an error to stderr.
pub(crate) fn complain(error: &impl Display) {
    remark(format_args!("daybook: {error}"));
}

/// A table of aligned columns; the names of right-aligned ones begin with `>`.
pub(crate) fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let right: Vec<bool> = columns.iter().map(|name| name.starts_with('>')).collect();
    let cell = |text: String, right: bool| {
        Cell::new(text).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
    };
    table.set_header(
        columns.iter().zip(&right).map(|(name, right)| cell(name.trim_start_matches('>').to_owned(), *right)),
    );
    for row in rows {
        table.add_row(row.into_iter().zip(&right).map(|(text, right)| cell(text, *right)));
    }
    table
}

/// The table's lines, without the column of spaces before them and the spaces at their ends.
pub(crate) fn lines(table: &Table) -> String {
    let line = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// An amount rounded half-even to its currency's places, with thousands separated.
pub(crate) fn amount(value: Decimal, currency: Currency) -> String {
    grouped(value, currency.places().min(8))
}

/// A number at so many places at least, with thousands separated; further digits are cut half-even.
pub(crate) fn grouped(value: Decimal, places: u32) -> String {
    let rounded = daybook_schemas::decimal::round(value, places);
    let text = format!("{:.*}", places as usize, rounded.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if rounded.is_sign_negative() && !rounded.is_zero() { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// A curve in one line of block characters; where a value is missing there is a gap.
pub(crate) fn sparkline(values: &[Option<Decimal>], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || values.iter().flatten();
    let (Some(low), Some(high)) = (known().min(), known().max()) else {
        return String::new();
    };
    let span = *high - *low;
    let columns = width.min(values.len()).max(1);
    (0..columns)
        .map(|column| {
            let at =
                if columns == 1 { values.len() - 1 } else { column * (values.len() - 1) / (columns - 1) };
            match values.get(at).copied().flatten() {
                None => ' ',
                Some(_) if span.is_zero() => BLOCKS[3],
                Some(value) => {
                    let step = (value - *low) * Decimal::from(7) / span;
                    let index: usize = daybook_schemas::decimal::round(step, 0).try_into().unwrap_or(0);
                    BLOCKS[index.min(7)]
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        daybook_schemas::decimal::parse(text).unwrap()
    }

    #[test]
    fn amounts_are_grouped_by_thousands_and_rounded_to_their_currency() {
        assert_eq!(amount(d("1234567.891"), Currency::USD), "1,234,567.89");
        assert_eq!(amount(d("-0.001"), Currency::USD), "0.00");
        assert_eq!(amount(d("-999.5"), Currency::parse("JPY").unwrap()), "-1,000");
        assert_eq!(grouped(d("100"), 0), "100");
    }

    #[test]
    fn a_sparkline_runs_from_the_lowest_to_the_highest_and_leaves_gaps() {
        assert_eq!(sparkline(&[Some(d("1")), None, Some(d("8"))], 10), "▁ █");
        assert_eq!(sparkline(&[Some(d("5")); 4], 2), "▄▄");
        assert_eq!(sparkline(&[], 10), "");
    }
}
