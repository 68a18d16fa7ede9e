//! From the text of a file to single rows, each as it stands, so that one bad row spoils no other.

use crate::importers::Fault;
use serde_json::value::RawValue;

/// How deep lists may lie in lists.
const DEPTH_MAX: u32 = 8;

/// A row as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row<'r> {
    /// Its JSON.
    pub(crate) text: &'r str,
    /// The line on which it begins, from 1; 0 for a row that stands in no file.
    pub(crate) line: u64,
}

/// The rows of a file: lists, lists of lists, lists after each other, or one activity on each line.
pub(super) fn split_file<'r>(file_name: &str, text: &'r str) -> Result<Vec<Row<'r>>, Fault> {
    let mut rows = Vec::new();
    let mut lines = Lines { text, at: 0, line: 1 };
    let mut at = 0;
    while let Some(start) = next_value(text, at) {
        let rest = &text[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&'r RawValue>();
        match values.next() {
            None => break,
            Some(Ok(value)) => {
                collect(value.get(), text, &mut lines, &mut rows, 0)
                    .map_err(|detail| Fault::of_line(file_name, lines.of(start), detail))?;
                at = start + values.byte_offset();
            }
            Some(Err(error)) => {
                let line = rest.split_inclusive('\n').next().unwrap_or(rest);
                let after = rest[line.len()..].trim_start();
                // One activity on each line: the next one begins on the next.
                let single = line.starts_with('{') && (after.is_empty() || after.starts_with('{'));
                if !single {
                    let number = lines.of(start) + error.line() as u64 - 1;
                    let text = format!(
                        "this is no JSON that can be read on ({}, byte {}): export or download the activities again",
                        without_place(&error),
                        error.column()
                    );
                    return Err(Fault::of_line(file_name, number, text));
                }
                rows.push(Row { text: line.trim_end(), line: lines.of(start) });
                at = start + line.len();
            }
        }
    }
    Ok(rows)
}

/// Where the next value begins.
fn next_value(text: &str, at: usize) -> Option<usize> {
    let between = |letter: char| letter.is_ascii_whitespace() || letter == ',';
    let rest = &text[at..];
    rest.find(|letter| !between(letter)).map(|skipped| at + skipped)
}

/// Takes the rows out of a value: itself, or those of the lists in it.
fn collect<'r>(
    value: &'r str,
    whole: &'r str,
    lines: &mut Lines<'r>,
    rows: &mut Vec<Row<'r>>,
    depth: u32,
) -> Result<(), String> {
    if !value.starts_with('[') {
        rows.push(Row { text: value, line: lines.of(offset(value, whole)) });
        return Ok(());
    }
    if depth == DEPTH_MAX {
        return Err(format!(
            "lists lie deeper in each other than {DEPTH_MAX}: this is no list of activities"
        ));
    }
    let items: Vec<&'r RawValue> = serde_json::from_str(value).map_err(|error| error.to_string())?;
    items.into_iter().try_for_each(|item| collect(item.get(), whole, lines, rows, depth + 1))
}

/// Where a part of a text begins in it.
fn offset(part: &str, whole: &str) -> usize {
    part.as_ptr().addr().saturating_sub(whole.as_ptr().addr())
}

/// The lines of a text, asked from the first to the last.
struct Lines<'r> {
    text: &'r str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, offset: usize) -> u64 {
        if let Some(between) = self.text.as_bytes().get(self.at..offset) {
            self.line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.at = offset;
        }
        self.line
    }
}

/// What serde_json says without the place, which is said in the file's own lines.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<(u64, &str)> {
        split_file("a.json", text).unwrap().into_iter().map(|row| (row.line, row.text)).collect()
    }

    #[test]
    fn rows_are_found_in_lists_of_lists_in_lists_after_each_other_and_on_lines() {
        assert_eq!(split("[[{\"a\":1},\n {\"a\":2}],\n[]]\n"), [(1, "{\"a\":1}"), (2, "{\"a\":2}")]);
        assert_eq!(split("[{\"a\":1}]\n\n[{\"a\":2}]"), [(1, "{\"a\":1}"), (3, "{\"a\":2}")]);
        assert_eq!(split("{\"a\":1}\r\n{\"a\":2}\r\n"), [(1, "{\"a\":1}"), (2, "{\"a\":2}")]);
        assert_eq!(split("{\n\"a\":1\n}\n{\n\"a\":2\n}"), [(1, "{\n\"a\":1\n}"), (4, "{\n\"a\":2\n}")]);
        assert_eq!(split("  "), []);
    }

    #[test]
    fn a_bad_line_among_lines_is_a_row_of_its_own_and_the_rest_goes_on() {
        let rows = split("{\"a\":1}\n{\"a\":\n{\"a\":3}\n{oops");
        assert_eq!(rows, [(1, "{\"a\":1}"), (2, "{\"a\":"), (3, "{\"a\":3}"), (4, "{oops")]);
    }

    #[test]
    fn a_list_that_breaks_off_is_refused_with_its_line() {
        let fault = split_file("a.json", "[{\"a\":1},\n{\"a\":").unwrap_err();
        assert_eq!(fault.line, Some(2));
        assert!(fault.text.contains("download"), "{fault}");
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert!(split_file("a.json", &deep).unwrap_err().text.contains("deeper"));
    }

    proptest! {
        #[test]
        fn any_text_is_rows_or_a_fault(text in "[\\[\\]{},:\"a1\n e.-]{0,60}") {
            let _ = split_file("a.json", &text);
        }
    }
}
