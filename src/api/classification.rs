//! What instruments count as when portfolios are held against rules, and how risky they are.

use super::access::Caller;
use super::advice::{self, RiskItem};
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::instruments::find;
use super::problem::Problem;
use super::record::record;
use super::scalar::{Date, Sequence, Time};
use super::service::Service;
use super::tags::Tag;
use crate::journal::{NewClassification, now};
use daybook_projections::Classified;
use daybook_projections::suitability::{instrument_risk, weekly_returns};
use daybook_schemas::events::InstrumentClass;
use daybook_schemas::{Day, Zone};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

record! {
    /// What an instrument counts as; what nobody said is absent.
    ClassificationItem {
        /// What it is, as classified, else as listed: `equity`, `etf`, `bond`…
        class: Option<String>,
        /// The sector of its business
        sector: Option<String>,
        /// Who issued it
        issuer: Option<String>,
        /// The country whose risk it bears, ISO 3166
        country: Option<String>,
    }
}

record! {
    /// What was said that an instrument counts as, from a day on.
    ClassifiedItem {
        /// What it is
        class: Option<String>,
        /// The sector of its business
        sector: Option<String>,
        /// Who issued it
        issuer: Option<String>,
        /// The country whose risk it bears, ISO 3166
        country: Option<String>,
        /// The first day on which it holds
        from: Date,
        /// The event
        sequence: Sequence,
        /// When it was recorded
        recorded_at: Time,
    }
}

record! {
    /// What an instrument counts as, from a day on. It says all of it: what is left out is not known from then on.
    ClassificationRequest {
        /// What it is: `equity`, `etf`, `bond`…; as listed, if not said
        class: Option<String>,
        /// The sector of its business
        sector: Option<String>,
        /// Who issued it, so that what one issuer owes in several forms counts together
        issuer: Option<String>,
        /// The country whose risk it bears, two capital letters of ISO 3166
        country: Option<String>,
        /// The first day on which it holds; today if not said
        from: Option<String>,
    }
}

impl Form for ClassificationRequest {
    fn read(fields: &mut Fields) -> Self {
        let request = Self {
            class: fields.text("class"),
            sector: fields.text("sector"),
            issuer: fields.text("issuer"),
            country: fields.text("country"),
            from: fields.text("from"),
        };
        let class = request.class.as_deref();
        if class.is_some_and(|class| InstrumentClass::from_name(class).is_none()) {
            let names: Vec<String> = InstrumentClass::CODED.iter().map(ToString::to_string).collect();
            fields.fault("class", format!("write one of {}", names.join(", ")));
        }
        if let Some(Err(error)) = request.from.as_deref().map(Day::parse) {
            fields.fault("from", error.to_string());
        }
        request
    }
}

/// An instrument's classification as it is shown.
pub(super) fn shown(classification: &daybook_projections::Classification) -> ClassificationItem {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    ClassificationItem {
        class: classification.class.as_ref().map(ToString::to_string),
        sector: text(&classification.sector),
        issuer: text(&classification.issuer),
        country: text(&classification.country),
    }
}

/// A statement as it is shown.
pub(super) fn said(classified: &Classified) -> ClassifiedItem {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    ClassifiedItem {
        class: classified.said.class.as_ref().map(ToString::to_string),
        sector: text(&classified.said.sector),
        issuer: text(&classified.said.issuer),
        country: text(&classified.said.country),
        from: classified.said.from.into(),
        sequence: Sequence(classified.sequence),
        recorded_at: classified.recorded_at.into(),
    }
}

/// The routes of what instruments count as.
pub(super) struct Classification(pub(super) Service);

#[OpenApi(tag = "Tag::Instruments")]
impl Classification {
    /// Say what an instrument counts as
    ///
    /// Its class, sector, issuer and country, from a day on, for caps, exclusions and targets. The instrument shows what
    /// was said before.
    #[oai(
        path = "/instruments/:instrument/classification",
        method = "post",
        operation_id = "classifyInstrument"
    )]
    async fn classify(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Its id, or a symbol that names it alone; a pair is written without its stroke
        instrument: Path<String>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<ClassificationRequest>,
    ) -> Result<Made<ClassifiedItem>, Problem> {
        let (key, asked) = (attempt.commit_key(&caller, &input.canonical), input.value);
        self.0
            .blocking(move |journal| {
                let replayed = attempt::earlier(journal, key.as_ref())?.is_some();
                let id = find(&*journal.library()?, &caller, &instrument.0)?.id;
                let new = NewClassification {
                    class: asked.class.as_deref().and_then(InstrumentClass::from_name),
                    sector: asked.sector,
                    issuer: asked.issuer,
                    country: asked.country,
                    from: asked.from.as_deref().and_then(|from| Day::parse(from).ok()),
                };
                let said_so = journal.classify_instrument(&caller.author(), id, &new, key.clone());
                let sequence = attempt::done(journal, key.as_ref(), said_so.map_err(Problem::from))?;
                let library = journal.library()?;
                let all = library.instruments.classifications(id);
                let item = all.iter().find(|classified| classified.sequence == sequence).map(said);
                let item = item.ok_or_else(|| Problem::key_reused(sequence))?;
                Ok(Made::new(&item).at(&format!("/instruments/{id}")).replayed(replayed))
            })
            .await
    }

    /// Read an instrument's risk class
    ///
    /// By the annualised volatility of weekly returns over at most five years, dividends and splits that were announced
    /// undone: 1 below 0.5 %, 2 below 2 %, 3 below 5 %, 4 below 10 %, 5 below 15 %, 6 below 25 %, 7 from there on.
    #[oai(path = "/instruments/:instrument/risk", method = "get", operation_id = "readInstrumentRisk")]
    async fn risk(
        &self,
        caller: Caller,
        question: Question,
        /// Its id, or a symbol that names it alone; a pair is written without its stroke
        instrument: Path<String>,
        /// By the weeks that had ended by this day; today if not said
        as_of: Query<Option<Date>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<RiskItem>, Problem> {
        self.0
            .blocking(move |journal| {
                let moment = crate::journal::Moment {
                    at_sequence: at_sequence.0.map(|sequence| sequence.0),
                    ..crate::journal::Moment::default()
                };
                let known = journal.known(&moment)?;
                let library = journal.library()?;
                let id = find(&library, &caller, &instrument.0)?.id;
                let until = as_of.0.map_or_else(|| now().day_in(Zone::UTC), |day| day.0);
                let day = u64::from_le_bytes(i64::from(until.number()).to_le_bytes());
                let head = known.min(library.prices.last_sequence());
                let tag = question.tag(&[head, day, library.instruments.changed_at()]);
                Found::new(tag, || {
                    let returns = weekly_returns(&library.prices, id, until, known, None);
                    Ok(advice::risk(&instrument_risk(&returns)))
                })
            })
            .await
    }
}
