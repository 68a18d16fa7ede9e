//! Annotations: what traders, clients and advisors write of a trade, hung on one of its fills.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page};
use super::precondition::{Precondition, Standing};
use super::problem::Problem;
use super::record::record;
use super::scalar::{Portfolio, Sequence, Time, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use crate::importers::invisible;
use crate::journal::{Annotation, Journal, Moment, NewAnnotation, PortfolioView, Terms};
use daybook_projections::{AsOf, Trip};
use daybook_schemas::KeyRing;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::types::ToJSON;
use std::collections::{BTreeMap, BTreeSet};

/// The most tags or mistakes of one annotation.
const WORDS_MAX: usize = 50;
/// The most bytes of a tag, a mistake, a setup or a way of trading.
const WORD_BYTES_MAX: usize = 200;
/// The most bytes of a note.
const NOTE_BYTES_MAX: usize = 16 << 10;

record! {
    /// What somebody wrote of a trade. It hangs on a fill and goes with it into whatever trade that fill belongs to.
    AnnotationItem {
        /// Its event
        sequence: Sequence,
        /// The trade that its fill belongs to; absent while it belongs to none
        trade: Option<Sequence>,
        /// The fill that it hangs on: what it was written of, or what has replaced that since
        fill: Option<Sequence>,
        /// Whether its fill belongs to no trade: it was reversed, or lies outside of the view
        orphaned: bool,
        /// Tags that the trade has from then on
        tags: Vec<String>,
        /// The way of trading
        strategy: Option<String>,
        /// The setup
        setup: Option<String>,
        /// Mistakes, in the trader's words
        mistakes: Vec<String>,
        /// From 1 to 5
        rating: Option<u8>,
        /// The trader's words; absent where the key is erased
        note: Option<String>,
        /// Who wrote it
        author: String,
        /// When it was written
        written_at: Time,
    }
}

record! {
    /// What is to be written of a trade: at least one of the fields. The latest annotation of a trade stands for it, whole.
    AnnotationRequest {
        /// Tags to have from now on, at most 50
        tags: Option<Vec<String>>,
        /// The way of trading
        strategy: Option<String>,
        /// The setup
        setup: Option<String>,
        /// Mistakes, in the trader's words, at most 50
        mistakes: Option<Vec<String>>,
        /// From 1 to 5
        rating: Option<u8>,
        /// The trader's words, at most 16,384 bytes; they are sealed under the portfolio's key
        note: Option<String>,
    }
}

/// Notes what is wrong with words: they have 1 to 200 bytes, all of them printable.
pub(super) fn check_words(fields: &mut Fields, name: &str, words: &[String]) {
    let faulty = words
        .iter()
        .any(|word| word.trim().is_empty() || word.len() > WORD_BYTES_MAX || word.chars().any(invisible::is));
    if faulty {
        fields.fault(name, format!("write 1 to {WORD_BYTES_MAX} bytes, all of them printable"));
    }
    if words.len() > WORDS_MAX {
        fields.fault(name, format!("write at most {WORDS_MAX}"));
    }
}

/// Notes what is wrong with a note.
pub(super) fn check_note(fields: &mut Fields, note: Option<&String>) {
    if note.is_some_and(|note| note.trim().is_empty() || note.len() > NOTE_BYTES_MAX) {
        fields.fault("note", format!("write 1 to {NOTE_BYTES_MAX} bytes"));
    }
}

impl Form for AnnotationRequest {
    fn read(fields: &mut Fields) -> Self {
        let (tags, mistakes) = (fields.texts("tags"), fields.texts("mistakes"));
        let (strategy, setup) = (fields.text("strategy"), fields.text("setup"));
        let (rating, note) = (fields.whole_number("rating"), fields.text("note"));
        check_words(fields, "tags", &tags);
        check_words(fields, "mistakes", &mistakes);
        for (name, text) in [("strategy", &strategy), ("setup", &setup)] {
            check_words(fields, name, text.as_slice());
        }
        check_note(fields, note.as_ref());
        let rating = rating.and_then(|rating| match u8::try_from(rating) {
            Ok(rating) if (1..=5).contains(&rating) => Some(rating),
            _ => {
                fields.fault("rating", "write a whole number from 1 to 5");
                None
            }
        });
        let request = Self { tags: Some(tags), strategy, setup, mistakes: Some(mistakes), rating, note };
        if fields.is_sound() && request.is_empty() {
            fields.fault("tags", "write at least one of tags, strategy, setup, mistakes, rating and note");
        }
        request
    }
}

impl AnnotationRequest {
    fn is_empty(&self) -> bool {
        let none = |words: &Option<Vec<String>>| words.as_ref().is_none_or(Vec::is_empty);
        none(&self.tags)
            && none(&self.mistakes)
            && self.strategy.is_none()
            && self.setup.is_none()
            && self.rating.is_none()
            && self.note.is_none()
    }

    fn into_new(self) -> NewAnnotation {
        NewAnnotation {
            tags: self.tags.unwrap_or_default(),
            strategy: self.strategy,
            setup: self.setup,
            mistakes: self.mistakes.unwrap_or_default(),
            rating: self.rating,
            note: self.note,
        }
    }
}

/// The annotations of a view, found by the fill that they hang on.
pub(super) struct Annotated {
    all: Vec<Annotation>,
    /// By fill, the place of the latest.
    latest: BTreeMap<u64, usize>,
    /// The fills that open trades.
    opening: BTreeSet<u64>,
}

impl Annotated {
    /// What was written of a portfolio's trades, as the view sees it.
    pub(super) fn seen(
        journal: &Journal,
        view: &PortfolioView<'_>,
        as_of: AsOf,
        known: u64,
    ) -> Result<Self, Problem> {
        let all = journal.annotations(view.portfolio.id, as_of, known)?;
        let latest = all
            .iter()
            .enumerate()
            .filter_map(|(place, annotation)| Some((annotation.anchor?, place)))
            .collect();
        let opening = view.trips().map(|trip| trip.id).collect();
        Ok(Self { all, latest, opening })
    }

    /// The latest annotation of a trade.
    pub(super) fn of(&self, view: &PortfolioView<'_>, trip: &Trip) -> Option<AnnotationItem> {
        // A fill that closes one trade and opens the next belongs to the one that it opens.
        let own = trip.fills.iter().filter(|fill| **fill == trip.id || !self.opening.contains(fill));
        let latest = own.chain([&trip.id]).filter_map(|fill| self.latest.get(fill)).max()?;
        Some(item(&self.all[*latest], Some(trip.id), view.keys))
    }
}

fn item(annotation: &Annotation, trade: Option<u64>, keys: &KeyRing) -> AnnotationItem {
    let noted = &annotation.noted;
    let owned = |words: &[Box<str>]| words.iter().map(ToString::to_string).collect();
    AnnotationItem {
        sequence: Sequence(noted.meta.sequence),
        trade: trade.map(Sequence),
        fill: annotation.anchor.map(Sequence),
        orphaned: trade.is_none(),
        tags: owned(&noted.said.tags),
        strategy: noted.said.strategy.as_ref().map(ToString::to_string),
        setup: noted.said.setup.as_ref().map(ToString::to_string),
        mistakes: owned(&noted.said.mistakes),
        rating: noted.said.rating,
        note: noted.said.note.as_ref().and_then(|note| note.open(keys).ok()),
        author: noted.actor.to_string(),
        written_at: Time(noted.meta.occurred_at),
    }
}

/// The trade that each fill belongs to.
fn trades(view: &PortfolioView<'_>) -> BTreeMap<u64, u64> {
    let mut trades = BTreeMap::new();
    for trip in view.trips() {
        trades.extend(trip.fills.iter().map(|fill| (*fill, trip.id)));
    }
    // A fill that closes one trade and opens the next belongs to the one that it opens.
    trades.extend(view.trips().map(|trip| (trip.id, trip.id)));
    trades
}

/// The routes of annotations.
pub(super) struct Annotations(pub(super) Service);

#[OpenApi(tag = "Tag::Transactions")]
#[expect(clippy::too_many_arguments, reason = "they are the routes' parameters, as the document lists them")]
impl Annotations {
    /// List what was written of a portfolio's trades
    ///
    /// In the order in which it was written. What hangs on a fill that was reversed is not lost: it is `orphaned`.
    #[oai(path = "/portfolios/:id/annotations", method = "get", operation_id = "listAnnotations")]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// Only those whose fill belongs to no trade, or only the others
        orphaned: Query<Option<bool>>,
        /// Only what had occurred by then; a date means the end of that day in the portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<AnnotationItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let orphaned = orphaned.0;
        self.page(question, id.0, moment, page, move |_, trade| {
            orphaned.is_none_or(|orphaned| orphaned == trade.is_none())
        })
        .await
    }

    /// List what was written of a trade
    ///
    /// In the order in which it was written; the last one stands for the trade.
    #[oai(
        path = "/portfolios/:id/trades/:trade/annotations",
        method = "get",
        operation_id = "listTradeAnnotations"
    )]
    async fn list_of_trade(
        &self,
        _caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// The trade: any of its fills, such as the one that opened it
        trade: Path<Sequence>,
        /// Only what had occurred by then; a date means the end of that day in the portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<AnnotationItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let wanted = trade.0.0;
        seen::list(&self.0, question, id.0.0, moment, page, move |journal, view, pin, page| {
            let trades = trades(view);
            let own = trades.get(&wanted).copied();
            let all = journal.annotations(view.portfolio.id, pin.as_of, pin.known)?;
            let of = |annotation: &Annotation| annotation.anchor.and_then(|fill| trades.get(&fill).copied());
            let written: Vec<Annotation> = all
                .into_iter()
                .filter(|annotation| match own {
                    Some(own) => of(annotation) == Some(own),
                    // What was written of a fill that is in no trade any more.
                    None => annotation.anchor == Some(wanted),
                })
                .collect();
            if own.is_none() && written.is_empty() {
                return Err(Problem::not_found("trade", wanted));
            }
            let key = |annotation: &Annotation| annotation.noted.meta.sequence.to_string();
            let list = page.cut(pin, written, key, |annotation| {
                Ok(item(&annotation, of(&annotation), view.keys).to_json().unwrap_or_default())
            })?;
            Ok(list.written())
        })
        .await
    }

    /// Annotate a trade
    ///
    /// The annotation hangs on the fill that the path names: it stays with it when late fills make other trades of it,
    /// and when the fill is replaced. The latest annotation of a trade stands for it, whole; earlier ones stay in the
    /// list.
    #[oai(
        path = "/portfolios/:id/trades/:trade/annotations",
        method = "post",
        operation_id = "annotateTrade"
    )]
    async fn annotate(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The portfolio
        id: Path<Portfolio>,
        /// The trade: any of its fills, such as the one that opened it
        trade: Path<Sequence>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the portfolio: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<AnnotationRequest>,
    ) -> Result<Made<AnnotationItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let (portfolio, fill, new) = (id.0.0, trade.0.0, input.value.into_new());
        self.0
            .blocking(move |journal| {
                let earlier = attempt::earlier(journal, key.as_ref())?;
                let sequence = match &earlier {
                    Some(commit) => commit.sequences.last().copied().unwrap_or(commit.head),
                    None => {
                        let known = journal.portfolio(portfolio, &everything(), |view| {
                            Ok(view.state.trip_of_fill(fill).is_some())
                        })?;
                        if !known {
                            return Err(Problem::not_found("trade", fill));
                        }
                        let written = precondition.guard(
                            || Standing::of_portfolio(journal, portfolio),
                            |expected| {
                                let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                                journal.annotate(&caller.author(), portfolio, fill, new.clone(), terms)
                            },
                        );
                        attempt::done(journal, key.as_ref(), written)?
                    }
                };
                let item = journal.portfolio(portfolio, &everything(), |view| {
                    let all = journal.annotations(portfolio, AsOf::ALWAYS, view.view.known)?;
                    let written = all.iter().find(|annotation| annotation.noted.meta.sequence == sequence);
                    let trades = trades(view);
                    Ok(written.map(|written| {
                        let trade = written.anchor.and_then(|fill| trades.get(&fill).copied());
                        item(written, trade, view.keys)
                    }))
                })?;
                let item = item.ok_or_else(|| Problem::key_reused(sequence))?;
                let place = format!("/portfolios/{portfolio}/trades/{fill}/annotations");
                Ok(Made::new(&item).at(&place).replayed(earlier.is_some()))
            })
            .await
    }
}

impl Annotations {
    async fn page(
        &self,
        question: Question,
        id: Portfolio,
        moment: Moment,
        page: Page,
        shows: impl Fn(&Annotation, Option<u64>) -> bool + Send + 'static,
    ) -> Result<Found<List<AnnotationItem>>, Problem> {
        seen::list(&self.0, question, id.0, moment, page, move |journal, view, pin, page| {
            let trades = trades(view);
            let all = journal.annotations(view.portfolio.id, pin.as_of, pin.known)?;
            let shown = all
                .into_iter()
                .map(|annotation| {
                    let trade = annotation.anchor.and_then(|fill| trades.get(&fill).copied());
                    (annotation, trade)
                })
                .filter(|(annotation, trade)| shows(annotation, *trade));
            let key = |(annotation, _): &(Annotation, _)| annotation.noted.meta.sequence.to_string();
            let list = page.cut(pin, shown, key, |(annotation, trade)| {
                Ok(item(&annotation, trade, view.keys).to_json().unwrap_or_default())
            })?;
            Ok(list.written())
        })
        .await
    }
}

/// All that ever occurred, as far as it is recorded.
fn everything() -> Moment {
    Moment { as_of: Some(AsOf::ALWAYS), ..Moment::default() }
}
