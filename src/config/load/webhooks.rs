//! The sections of webhooks: who may send, how alerts are read, and who is sent to.

use super::super::section::{PREVIOUS_SECRET, SECRET, Section};
use super::super::{InboundWebhook, OutboundWebhook, Secret, Taken, Webhooks, values};
use super::{Loading, SOURCES_MAX, portfolio};
use crate::importers::columns::Column;
use crate::importers::{nearest, prices};
use crate::webhooks::mapping::{Mapping, Recorded, Template};
use crate::webhooks::outbound::family;
use daybook_schemas::EventType;
use regex::RegexBuilder;
use std::collections::BTreeMap;

/// The shortest secret: a shorter one could be guessed.
const SECRET_CHARS_MIN: usize = 16;
/// The most bytes that a pattern may take once it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;

const INBOUND: &str = "[webhooks.inbound.NAME]";
const OUTBOUND: &str = "[webhooks.outbound.NAME]";
const MAP: &str = "[webhooks.inbound.NAME.map]";

impl Loading<'_> {
    pub(super) fn webhooks(&mut self, mut section: Section<'_, '_>) -> Webhooks {
        let inbound = section.table(&mut self.reading, "inbound", INBOUND);
        let outbound = section.table(&mut self.reading, "outbound", OUTBOUND);
        section.finish(&mut self.reading);
        let mut all = Webhooks::default();
        for (name, section) in self.named(inbound, INBOUND) {
            all.inbound.extend(self.inbound(name, section));
        }
        for (name, section) in self.named(outbound, OUTBOUND) {
            all.outbound.extend(self.outbound(name, section));
        }
        all
    }

    /// The sections of a kind, each under a name that no other source has.
    fn named<'d, 'i>(
        &mut self,
        section: Option<Section<'d, 'i>>,
        title: &'static str,
    ) -> Vec<(String, Section<'d, 'i>)> {
        let Some(section) = section else { return Vec::new() };
        let mut named = section.named_tables(&mut self.reading, title);
        if let Some((_, section)) = named.get(SOURCES_MAX) {
            self.reading.fault(section.spot(), None, format!("there are more than {SOURCES_MAX} of these"));
            named.truncate(SOURCES_MAX);
        }
        named.retain(|(name, section)| match values::name(name) {
            Ok(name) => {
                self.unique(&name, section.spot());
                true
            }
            Err(why) => {
                self.reading.fault(section.spot(), None, why);
                false
            }
        });
        named
    }

    /// The present secret and, while it is being changed, the one before.
    fn secrets(&mut self, section: &mut Section<'_, '_>) -> Option<Vec<Secret>> {
        let present = section.needed_secret(&mut self.reading, &SECRET);
        let previous = section.secret(&mut self.reading, &PREVIOUS_SECRET);
        let secrets = [present?].into_iter().chain(previous).collect::<Vec<_>>();
        if secrets.iter().any(|secret| secret.expose().chars().count() < SECRET_CHARS_MIN) {
            let why = format!("a secret has at least {SECRET_CHARS_MIN} characters: draw a longer one");
            self.reading.fault(section.spot(), Some("secret"), why);
            return None;
        }
        Some(secrets)
    }

    fn inbound(&mut self, name: String, mut section: Section<'_, '_>) -> Option<InboundWebhook> {
        let portfolio = self.portfolio(&mut section);
        let account = section.text(&mut self.reading, "account", |text| Ok(text.to_owned()));
        let spot = section.spot();
        let secrets = self.secrets(&mut section);
        let window = self.interval(&mut section, "window", "5m");
        let takes = section.texts(&mut self.reading, "takes", &["fills", "cash", "prices"], taken);
        let map = section.table(&mut self.reading, "map", MAP);
        let alerts = map.is_some();
        let read = self.alerts(&mut section, map);
        section.finish(&mut self.reading);
        if alerts {
            let unfit = |secret: &Secret| {
                !secret.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
            };
            if secrets.iter().flatten().any(unfit) {
                let why =
                    "it stands in an address: write it with letters, digits, `-`, `_`, `.` and `~` alone";
                self.reading.fault(spot, Some("secret"), why);
            }
        }
        Some(InboundWebhook {
            name,
            portfolio: portfolio?,
            account,
            secrets: secrets?,
            window: window?,
            takes,
            map: if alerts { Some(read?) } else { None },
        })
    }

    /// What says how alerts are read: the columns and what goes with them.
    fn alerts(&mut self, section: &mut Section<'_, '_>, map: Option<Section<'_, '_>>) -> Option<Mapping> {
        const RECORDED: [(&str, Recorded); 2] =
            [("transaction", Recorded::Transaction), ("price", Recorded::Price)];
        let Some(map) = map else {
            for key in ["record_as", "delivery", "pattern", "types"] {
                if let Some(spot) = section.spot_of(key) {
                    let why = format!("it says how alerts are read: only a source with a {MAP} has it");
                    self.reading.fault(spot, Some(key), why);
                }
            }
            // They are known all the same, so that a slip is told once.
            section.forgive(&["record_as", "delivery", "pattern", "types"]);
            return None;
        };
        let recorded = section
            .text_or(&mut self.reading, "record_as", "transaction", |text| values::one_of(text, &RECORDED));
        let delivery = section.text(&mut self.reading, "delivery", Template::parse);
        let pattern = section.text(&mut self.reading, "pattern", |text| {
            let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
            built.map_err(|error| format!("it is no regular expression: {error}"))
        });
        let types = section.table(&mut self.reading, "types", "[webhooks.inbound.NAME.types]");
        let types = types
            .map(|types| types.pairs(&mut self.reading, |_, text| Ok(text.to_owned())))
            .unwrap_or_default()
            .into_iter()
            .map(|(said, meant)| (said.to_lowercase(), meant))
            .collect();
        let recorded = recorded?;
        let spot = map.spot();
        let columns = map.pairs(&mut self.reading, |column, text| {
            check_column(column, recorded)?;
            Template::parse(text)
        });
        let needed: &[&str] = match recorded {
            Recorded::Transaction => &["type"],
            Recorded::Price => &["symbol", "close"],
        };
        for column in needed.iter().filter(|column| !columns.contains_key(**column)) {
            let why = format!("{MAP} needs it: write `{column} = \"/pointer\"`, or a constant");
            self.reading.fault(spot.clone(), Some(column), why);
        }
        Some(Mapping { recorded, columns, delivery, pattern, types })
    }

    fn outbound(&mut self, name: String, mut section: Section<'_, '_>) -> Option<OutboundWebhook> {
        let url = section.needed(&mut self.reading, "url", "\"https://host/path\"", values::receiver);
        let secrets = self.secrets(&mut section);
        let at_events = section.spot_of("events").unwrap_or_else(|| section.spot());
        let events: Vec<Vec<EventType>> = section.texts(&mut self.reading, "events", &[], events);
        let mut events: Vec<EventType> = events.into_iter().flatten().collect();
        events.sort_unstable();
        events.dedup();
        if events.is_empty() {
            let why = "it chooses nothing: write names of event types or of families, such as [\"cash\", \"TradeExecuted\"]";
            self.reading.fault(at_events, Some("events"), why);
        }
        let at_portfolios = section.spot_of("portfolios");
        let portfolios = section.texts(&mut self.reading, "portfolios", &[], portfolio);
        if let Some(spot) = at_portfolios {
            self.named.extend(portfolios.iter().map(|id| (*id, spot.clone())));
        }
        let from_start = section.text_or(&mut self.reading, "from", "now", |text| {
            values::one_of(text, &[("now", false), ("start", true)])
        });
        let allow_link_local = section.switch(&mut self.reading, "allow_link_local");
        let timeout = self.interval(&mut section, "timeout", "10s");
        let retry_first = self.interval(&mut section, "retry_first", "1s");
        let retry_most = self.interval(&mut section, "retry_most", "5m");
        let give_up = self.interval(&mut section, "give_up", "1d");
        section.finish(&mut self.reading);
        Some(OutboundWebhook {
            name,
            url: url?,
            secrets: secrets?,
            events,
            portfolios,
            from_start: from_start?,
            allow_link_local,
            timeout: timeout?,
            retry_first: retry_first?,
            retry_most: retry_most?,
            give_up: give_up?,
        })
    }
}

fn taken(text: &str) -> Result<Taken, String> {
    values::one_of(text, &[("fills", Taken::Fills), ("cash", Taken::Cash), ("prices", Taken::Prices)])
}

/// Refuses a column that what is recorded does not have.
fn check_column(column: &str, recorded: Recorded) -> Result<(), String> {
    let names: Vec<&str> = match recorded {
        Recorded::Transaction => Column::ALL.iter().map(|column| column.name()).collect(),
        Recorded::Price => prices::column_names().collect(),
    };
    if names.contains(&column) {
        return Ok(());
    }
    let meant = match (nearest::of(column, &names), column) {
        (_, "side") if recorded == Recorded::Transaction => " (did you mean `type`?)".to_owned(),
        (Some(name), _) => format!(" (did you mean `{name}`?)"),
        (None, _) => String::new(),
    };
    Err(format!("there is no such column{meant}; there are {}", names.join(", ")))
}

/// The types of events that a name stands for: one, or all of a family.
fn events(text: &str) -> Result<Vec<EventType>, String> {
    if let Some(event_type) = EventType::from_name(text) {
        return Ok(vec![event_type]);
    }
    let family: Vec<EventType> =
        EventType::ALL.iter().copied().filter(|event_type| family(*event_type) == text).collect();
    if !family.is_empty() {
        return Ok(family);
    }
    let mut families = BTreeMap::new();
    for event_type in EventType::ALL {
        families.insert(event_type.id() / 100, crate::webhooks::outbound::family(*event_type));
    }
    let families: Vec<&str> = families.into_values().collect();
    let names: Vec<&str> =
        families.iter().copied().chain(EventType::ALL.iter().map(|event_type| event_type.name())).collect();
    let meant =
        nearest::of(text, &names).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    Err(format!(
        "`{}` is no type of event{meant}: write one such as TradeExecuted, or a family: {}",
        daybook_schemas::decimal::shorten(text),
        families.join(", ")
    ))
}
