//! Recommendations: screened, issued, answered, allowed by a second person, carried out, judged.

mod fills;
mod issue;
mod leaving;
mod screening;
mod standing;
mod steps;

pub(crate) use fills::CarriedOut;
pub(crate) use issue::NewAdvice;
pub(super) use leaving::Leaver;
pub(crate) use screening::{AskedTrade, Screened, ScreenedPortfolio};

use super::JournalError;
use crate::importers::invisible;

/// The most bytes of a rationale, a reason or a note.
const WORDS_MAX: usize = 10_000;

/// Words that somebody wrote: not too long, and nothing in them that cannot be seen.
fn words<'a>(field: &str, text: &'a str) -> Result<&'a str, JournalError> {
    let text = text.trim();
    let unprintable = |letter: char| invisible::is(letter) && letter != '\n' && letter != '\t';
    if text.is_empty() || text.len() > WORDS_MAX || text.chars().any(unprintable) {
        return Err(JournalError::field(field, "write 1 to 10,000 bytes, all of them printable"));
    }
    Ok(text)
}
