//! Who may do what: a reviewed table of every credential, every operation and whose object it is about, walked
//! against the running service.

mod requests;
mod world;

use crate::support::{Answer, Client};
use requests::request;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use world::World;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access/matrix.md");

/// Whose object a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// What everybody shares, or no single object.
    Any,
    /// The advisor's and the client's own, and what the tokens of service and display were issued for.
    Own,
    /// Those of another advisor and another client.
    Others,
}

impl Whose {
    const fn name(self) -> &'static str {
        match self {
            Self::Any => "-",
            Self::Own => "own",
            Self::Others => "others'",
        }
    }
}

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// It never ends answering.
    streams: bool,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                streams: operation["responses"]["200"]["content"].get("text/event-stream").is_some(),
            });
        }
    }
    all
}

fn document() -> Value {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The rows of the table: operation, whose object, and the status for each credential.
fn rows(table: &str) -> Vec<(String, String, Vec<String>)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = cells(line);
            (cells[0].clone(), cells[1].clone(), cells[2..].to_vec())
        })
        .collect()
}

/// How a request is answered, as the table says it.
fn answered(client: &Client, world: &World, operation: &Operation, whose: Whose) -> String {
    let (path, headers, body) = request(world, operation, whose);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if operation.streams {
        return client.first_of_stream(&path).to_string();
    }
    let answer = client.send(&operation.method, &path, &headers, body.as_deref());
    // What one may not know of is not there either by an id that is written otherwise.
    if answer.status == 404 {
        let disguised = disguise(&path);
        let again = client.send(&operation.method, &disguised, &headers, body.as_deref());
        assert_eq!(again.status, 404, "{} by {disguised}: {again}", operation.id);
    }
    assert!(answer.status < 500 || answer.status == 503, "{}: {answer}", operation.id);
    answer.status.to_string()
}

/// The same path with the first character of each id percent-encoded.
fn disguise(path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let segments = path.split('/').map(|segment| match segment.as_bytes() {
        [first, rest @ ..] if segment.len() == 26 => {
            format!("%{first:02x}{}", std::str::from_utf8(rest).unwrap())
        }
        _ => segment.to_owned(),
    });
    let path = segments.collect::<Vec<_>>().join("/");
    query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"))
}

#[test]
fn each_credential_is_answered_as_the_reviewed_table_says() {
    let world = World::new();
    let mut table = String::new();
    for operation in operations(&document()) {
        let whose: &[Whose] =
            if requests::has_owner(&operation) { &[Whose::Own, Whose::Others] } else { &[Whose::Any] };
        for whose in whose {
            write!(table, "| `{}` | {}", operation.id, whose.name()).unwrap();
            for (_, client) in &world.credentials {
                let status = answered(client, &world, &operation, *whose);
                write!(table, " | {status}").unwrap();
            }
            table.push_str(" |\n");
        }
    }
    let committed = std::fs::read_to_string(TABLE).unwrap();
    if std::env::var_os("DAYBOOK_BLESS").is_some() {
        let kept: String = committed
            .lines()
            .filter(|line| !line.starts_with("| `"))
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::write(TABLE, format!("{}\n{table}", kept.trim_end())).unwrap();
    }
    let names: Vec<&str> = world.credentials.iter().map(|(name, _)| *name).collect();
    let (expected, found) = (rows(&committed), rows(&table));
    let mut differences = Vec::new();
    for (operation, whose, statuses) in &found {
        match expected.iter().find(|row| row.0 == *operation && row.1 == *whose) {
            None => differences.push(format!("{operation} ({whose}) has no row: {}", statuses.join(" | "))),
            Some((_, _, promised)) => {
                for (at, name) in names.iter().enumerate() {
                    if promised.get(at) != statuses.get(at) {
                        let (promised, found) = (promised.get(at), statuses.get(at));
                        differences.push(format!(
                            "{operation} ({whose}) by {name}: {promised:?} promised, {found:?} found"
                        ));
                    }
                }
            }
        }
    }
    for (operation, whose, _) in &expected {
        if !found.iter().any(|row| row.0 == *operation && row.1 == *whose) {
            differences.push(format!("{operation} ({whose}) is in the table and not in the document"));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    world.stop();
}

#[test]
fn no_answer_holds_the_id_of_what_its_reader_may_not_know_of() {
    let world = World::new();
    let mut looked = 0;
    for (name, client) in &world.credentials {
        let Some(foreign) = world.foreign_to(name) else { continue };
        for operation in operations(&document()) {
            if operation.method != "GET" || operation.streams {
                continue;
            }
            for whose in [Whose::Own, Whose::Others] {
                let (path, headers, _) = request(&world, &operation, whose);
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = client.send("GET", &path, &headers, None);
                if answer.status == 200 {
                    looked += 1;
                    assert_eq!(
                        leaks(&answer, &foreign, &path),
                        Vec::<&str>::new(),
                        "{name} reads {}: {path}",
                        operation.id
                    );
                }
            }
        }
    }
    assert!(looked > 50, "only {looked} answers were looked at");
    world.stop();
}

/// The foreign ids in an answer, but for those that the question named.
fn leaks<'a>(answer: &Answer, foreign: &'a BTreeSet<String>, path: &str) -> Vec<&'a str> {
    let text = answer.text();
    foreign
        .iter()
        .filter(|id| text.contains(id.as_str()) && !path.contains(id.as_str()))
        .map(String::as_str)
        .collect()
}
