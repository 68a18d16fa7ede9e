//! Rows of comma-separated values, one at a time and in bounded memory, each with the line it begins on.
//!
//! RFC 4180 with what real files do besides: a byte order mark, CRLF, blank lines, quotes within an unquoted cell.

use std::io::{BufRead, BufReader, Read};

/// The most bytes of one line, and of one row whose quoted cells span lines.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// A row as it is read; its memory is used again for the next.
#[derive(Default, Debug)]
pub(super) struct Row {
    /// The line it begins on, from 1.
    pub(super) line: u64,
    cells: String,
    ends: Vec<usize>,
    /// The row as it stands in the file, without its last line end; kept only where asked for.
    pub(super) raw: String,
}

impl Row {
    /// The number of cells.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A cell as it stands; empty beyond the last.
    pub(super) fn cell(&self, index: usize) -> &str {
        let Some(end) = self.ends.get(index) else { return "" };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.cells[start..*end]
    }

    /// The cells in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.cell(index))
    }

    /// Whether no cell says anything.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.trim().is_empty()
    }

    fn clear(&mut self) {
        self.cells.clear();
        self.ends.clear();
        self.raw.clear();
    }
}

/// Why a row cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble {
    /// The line to look at.
    pub(super) line: u64,
    /// The cell, from 0.
    pub(super) cell: Option<usize>,
    /// What is wrong and what to do.
    pub(super) text: String,
    /// Whether nothing after it can be told apart.
    pub(super) fatal: bool,
    /// The row as far as it could be read as text.
    pub(super) raw: String,
}

/// The rows of a file.
pub(super) struct Rows<R> {
    input: BufReader<R>,
    line: u64,
    bytes: u64,
    buffer: Vec<u8>,
    keep_raw: bool,
    ended: bool,
}

enum Line {
    End,
    Read,
    TooLong,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Start,
    Plain,
    Quoted,
    AfterQuote,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(input: R, keep_raw: bool) -> Self {
        let input = BufReader::with_capacity(1 << 16, input);
        Self { input, line: 0, bytes: 0, buffer: Vec::new(), keep_raw, ended: false }
    }

    /// Bytes read so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next row that says something; `None` at the end.
    pub(super) fn next(&mut self, row: &mut Row) -> Option<Result<(), Trouble>> {
        loop {
            if self.ended {
                return None;
            }
            row.clear();
            match self.read_row(row) {
                Ok(false) => {
                    self.ended = true;
                    return None;
                }
                Ok(true) if row.is_blank() => {}
                Ok(true) => return Some(Ok(())),
                Err(trouble) => {
                    self.ended = trouble.fatal;
                    return Some(Err(trouble));
                }
            }
        }
    }

    fn trouble(
        &self,
        line: u64,
        cell: Option<usize>,
        fatal: bool,
        text: impl Into<String>,
        row: &Row,
    ) -> Trouble {
        Trouble { line, cell, text: text.into(), fatal, raw: row.raw.clone() }
    }

    fn read_row(&mut self, row: &mut Row) -> Result<bool, Trouble> {
        let mut state = State::Start;
        let mut opened = (0, 0);
        let mut bytes = 0;
        loop {
            let continued = state == State::Quoted;
            match self.read_line() {
                Err(error) => {
                    let text = format!("the file cannot be read on: {error}");
                    return Err(self.trouble(self.line + 1, None, true, text, row));
                }
                Ok(Line::End) if continued => {
                    let text = "the quote that opens here is never closed: close it, or double the quotes inside a quoted cell";
                    return Err(self.trouble(opened.0, Some(opened.1), true, text, row));
                }
                Ok(Line::End) => return Ok(false),
                Ok(Line::TooLong) => {
                    let text = format!(
                        "the line is longer than {LINE_BYTES_MAX} bytes, so this is no table of rows: check that it is the right file"
                    );
                    return Err(self.trouble(self.line, None, true, text, row));
                }
                Ok(Line::Read) => {}
            }
            if !continued {
                row.line = self.line;
            }
            bytes += self.buffer.len();
            if bytes > LINE_BYTES_MAX {
                let text = format!(
                    "the quote that opens here is not closed within {LINE_BYTES_MAX} bytes: close it"
                );
                return Err(self.trouble(opened.0, Some(opened.1), true, text, row));
            }
            let text = match std::str::from_utf8(&self.buffer) {
                Ok(text) => text,
                Err(error) => return Err(self.not_utf8(error.valid_up_to(), continued, row)),
            };
            let ended = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
            let line = ended.unwrap_or(text);
            if self.keep_raw {
                if continued {
                    row.raw.push('\n');
                }
                row.raw.push_str(line);
            }
            state = match split(line, state, row, self.line, &mut opened) {
                Ok(state) => state,
                Err((cell, text)) => return Err(self.trouble(self.line, Some(cell), false, text, row)),
            };
            if state != State::Quoted {
                row.ends.push(row.cells.len());
                return Ok(true);
            }
            row.cells.push('\n');
        }
    }

    fn not_utf8(&self, valid: usize, continued: bool, row: &Row) -> Trouble {
        let start = &self.buffer[..valid];
        let cell = start.iter().filter(|byte| **byte == b',').count() + row.ends.len();
        let wide = self.line == 1
            && (self.buffer.starts_with(&[0xFF, 0xFE]) || self.buffer.starts_with(&[0xFE, 0xFF]));
        let text = if wide {
            "the file is UTF-16: save it as CSV UTF-8".to_owned()
        } else {
            let byte = self.buffer.get(valid).copied().unwrap_or_default();
            format!("byte {} of the line, 0x{byte:02X}, is not UTF-8: save the file as CSV UTF-8", valid + 1)
        };
        let mut trouble = self.trouble(self.line, (!wide).then_some(cell), wide || continued, text, row);
        if self.keep_raw {
            trouble.raw.push_str(&String::from_utf8_lossy(&self.buffer));
        }
        trouble
    }

    /// Reads one line into the buffer, its end included, and no more than the limit.
    fn read_line(&mut self) -> std::io::Result<Line> {
        self.buffer.clear();
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                if self.buffer.is_empty() {
                    return Ok(Line::End);
                }
                break;
            }
            let end = available.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(available.len());
            self.buffer.extend_from_slice(&available[..taken]);
            self.input.consume(taken);
            self.bytes += taken as u64;
            if end.is_some() {
                break;
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                self.line += 1;
                return Ok(Line::TooLong);
            }
        }
        self.line += 1;
        if self.line == 1 && self.buffer.starts_with(&[0xEF, 0xBB, 0xBF]) {
            self.buffer.drain(..3);
        }
        Ok(if self.buffer.len() > LINE_BYTES_MAX { Line::TooLong } else { Line::Read })
    }
}

/// Splits a line into cells, going on in the state that the line before ended in.
fn split(
    line: &str,
    mut state: State,
    row: &mut Row,
    number: u64,
    opened: &mut (u64, usize),
) -> Result<State, (usize, String)> {
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let start = row.ends.last().copied().unwrap_or(0);
        match (state, letter) {
            (State::Quoted, '"') if letters.peek() == Some(&'"') => {
                letters.next();
                row.cells.push('"');
            }
            (State::Quoted, '"') => state = State::AfterQuote,
            (State::Quoted, _) => row.cells.push(letter),
            (_, ',') => {
                row.ends.push(row.cells.len());
                state = State::Start;
            }
            (_, '\r') => {
                let text =
                    "a carriage return stands inside the line: save the file with line ends LF or CRLF";
                return Err((row.ends.len(), text.to_owned()));
            }
            (State::Start, '"') if row.cells[start..].trim().is_empty() => {
                row.cells.truncate(start);
                *opened = (number, row.ends.len());
                state = State::Quoted;
            }
            (State::AfterQuote, ' ' | '\t') => {}
            (State::AfterQuote, _) => {
                let text = "text follows the closing quote: double the quotes inside a quoted cell";
                return Err((row.ends.len(), text.to_owned()));
            }
            (State::Start | State::Plain, _) => {
                row.cells.push(letter);
                if !letter.is_whitespace() {
                    state = State::Plain;
                }
            }
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(input: &[u8]) -> (Vec<(u64, Vec<String>)>, Vec<Trouble>) {
        let (mut rows, mut row) = (Rows::new(input, true), Row::default());
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(next) = rows.next(&mut row) {
            match next {
                Ok(()) => good.push((row.line, row.iter().map(str::to_owned).collect())),
                Err(trouble) => bad.push(trouble),
            }
        }
        (good, bad)
    }

    fn cells(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_byte_order_mark_line_ends_of_both_kinds_and_blank_lines_are_no_matter() {
        let (rows, troubles) = all(b"\xEF\xBB\xBFa,b\r\n\n1,2\n  \r\n,\n3,\"4,\"\"5\"\"\"");
        assert_eq!(troubles, []);
        assert_eq!(rows, [(1, cells(&["a", "b"])), (3, cells(&["1", "2"])), (6, cells(&["3", "4,\"5\""])),]);
    }

    #[test]
    fn a_quoted_cell_spans_lines_and_the_row_has_the_line_it_begins_on() {
        let (rows, troubles) = all(b"a,\"x\r\ny\",c\nd, \"e\" ,f\"g\n");
        assert_eq!(troubles, []);
        assert_eq!(rows, [(1, cells(&["a", "x\ny", "c"])), (3, cells(&["d", "e", "f\"g"]))]);
    }

    #[test]
    fn an_unclosed_quote_is_named_where_it_opens() {
        let (rows, troubles) = all(b"a,b\n1,\"2\n3,4\n5,6\n");
        assert_eq!(rows.len(), 1);
        assert_eq!((troubles[0].line, troubles[0].cell, troubles[0].fatal), (2, Some(1), true));
        assert!(troubles[0].text.contains("never closed"));
    }

    #[test]
    fn a_line_too_long_is_refused_by_its_number_without_reading_all_of_it() {
        struct Endless(u64);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b'x');
                self.0 += buffer.len() as u64;
                assert!(self.0 < 4 << 20, "the whole line was read");
                Ok(buffer.len())
            }
        }
        let mut rows = Rows::new(b"a,b\n".chain(Endless(0)), false);
        let mut row = Row::default();
        assert_eq!(rows.next(&mut row), Some(Ok(())));
        let trouble = rows.next(&mut row).unwrap().unwrap_err();
        assert_eq!((trouble.line, trouble.fatal), (2, true));
        assert!(trouble.text.contains("longer than 1048576 bytes"));
        assert_eq!(rows.next(&mut row), None);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named_by_line_and_cell_and_the_rest_goes_on() {
        let (rows, troubles) = all(b"a,b\n1,caf\xE9\n3,4\n");
        assert_eq!(rows.len(), 2);
        assert_eq!((troubles[0].line, troubles[0].cell), (2, Some(1)));
        assert!(troubles[0].text.contains("0xE9"));
        let (_, troubles) = all(b"\xFF\xFEa\0,\0b\0");
        assert!(troubles[0].text.contains("UTF-16"));
    }

    #[test]
    fn text_after_a_quote_and_old_line_ends_are_refused() {
        let (_, troubles) = all(b"\"a\"b,c\nd\n");
        assert!(troubles[0].text.contains("closing quote"));
        let (_, troubles) = all(b"a,b\rc,d\r");
        assert!(troubles[0].text.contains("carriage return"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_troubles(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            all(&bytes);
        }

        #[test]
        fn cells_read_as_they_were_quoted(row in proptest::collection::vec("[ -~\né\"]{0,12}", 1..6)) {
            prop_assume!(row.iter().any(|cell| !cell.trim().is_empty()));
            let line = row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect::<Vec<_>>().join(",");
            let (rows, troubles) = all(line.as_bytes());
            prop_assert_eq!(troubles, []);
            prop_assert_eq!(rows, [(1, row)]);
        }
    }
}
