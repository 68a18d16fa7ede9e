//! What instruments count as when portfolios are held against rules.

use super::{Author, Draft, Journal, JournalError, Terms, now};
use crate::importers::invisible;
use daybook_ledger::CommitKey;
use daybook_schemas::events::{InstrumentClass, InstrumentClassified};
use daybook_schemas::{Day, InstrumentId, Zone, stream};

/// What an instrument counts as from a day on.
#[derive(Clone, Debug)]
pub(crate) struct NewClassification {
    /// What it is; as listed, if not said.
    pub(crate) class: Option<InstrumentClass>,
    /// The sector of its business.
    pub(crate) sector: Option<String>,
    /// Who issued it.
    pub(crate) issuer: Option<String>,
    /// The country whose risk it bears.
    pub(crate) country: Option<String>,
    /// The first day on which it holds; today if not said.
    pub(crate) from: Option<Day>,
}

/// A name: short, and nothing in it that cannot be seen.
fn name(field: &str, text: Option<&str>) -> Result<Option<Box<str>>, JournalError> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    if text.is_empty() || text.len() > 100 || text.chars().any(invisible::is) {
        return Err(JournalError::field(field, "a name has 1 to 100 bytes, all of them printable"));
    }
    Ok(Some(text.into()))
}

impl Journal {
    /// Says what an instrument counts as, and gives the sequence of the event.
    pub(crate) fn classify_instrument(
        &self,
        author: &Author,
        instrument: InstrumentId,
        new: &NewClassification,
        commit_key: Option<CommitKey>,
    ) -> Result<u64, JournalError> {
        if let Some(sequence) = self.done_before(commit_key.as_ref())? {
            return Ok(sequence);
        }
        let country = name("country", new.country.as_deref())?;
        if let Some(code) = &country
            && (code.len() != 2 || !code.bytes().all(|letter| letter.is_ascii_uppercase()))
        {
            return Err(JournalError::field(
                "country",
                "write the two capital letters of ISO 3166, such as US",
            ));
        }
        let classified = InstrumentClassified {
            instrument,
            class: new.class.clone(),
            sector: name("sector", new.sector.as_deref())?,
            issuer: name("issuer", new.issuer.as_deref())?,
            country,
            from: new.from.unwrap_or_else(|| now().day_in(Zone::UTC)),
        };
        let empty = classified.class.is_none()
            && classified.sector.is_none()
            && classified.issuer.is_none()
            && classified.country.is_none();
        if empty {
            let detail = "say at least one of class, sector, issuer and country";
            return Err(JournalError::field("class", detail));
        }
        if self.library()?.instruments.get(instrument).is_none() {
            return Err(JournalError::not_found("instrument", instrument));
        }
        let draft = Draft::new(stream::instrument(instrument), now(), classified);
        let recorded = self.record(author, vec![draft], Terms { commit_key, ..Terms::default() })?;
        Ok(recorded.sequences.first().copied().unwrap_or(0))
    }
}
