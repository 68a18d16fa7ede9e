//! The OpenAPI document as it is served: what the routes say of themselves, and what holds for all of them.
//!
//! The routes describe their parameters, bodies and answers. What they have in common is added here once: the problems
//! that each of them can answer with, by status and with an example, and the headers that every answer carries.

mod examples;
mod links;
mod problems;
mod shapes;

use super::tiles;
use problems::{ANSWERS, FAULTS, answer, name, problems_of, reference};
use serde_json::{Map, Value, json};

/// The document in the form in which it is served and committed.
pub(super) fn finished(mut document: Value) -> String {
    name_tile_parameter(&mut document);
    shapes::tighten(&mut document);
    examples::place(&mut document);
    links::join(&mut document);
    for operation in operations(&mut document) {
        tidy(operation);
        let statuses = problems_of(operation);
        // Where something else than a token stands in for one, that is said, not left open.
        if operation.get("security").is_none() {
            operation["security"] = json!([]);
        }
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        for kinds in statuses {
            let status = kinds[0].status().as_u16().to_string();
            responses.entry(status).or_insert_with(|| json!({ "$ref": reference(kinds) }));
        }
        responses.insert("default".to_owned(), json!({ "$ref": reference(FAULTS) }));
    }
    let answers: Map<String, Value> =
        ANSWERS.iter().map(|kinds| (name(kinds).to_owned(), answer(kinds))).collect();
    document["components"]["responses"] = Value::Object(answers);
    document["components"]["headers"] = json!({
        "RequestId": {
            "description": "The request's id: the one that came with it, or a new one. It stands in the log of the service and, as `correlation`, in every event that the request recorded.",
            "schema": { "type": "string", "example": "01jd3p5s8m9v2x4c6b8n0q2w4e" },
        },
        "RetryAfter": {
            "description": "After so many seconds it is worth trying again",
            "schema": { "type": "integer", "minimum": 0, "example": 2 },
        },
    });
    for operation in operations(&mut document) {
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        for response in responses.values_mut().filter(|response| response.get("$ref").is_none()) {
            response["headers"]["X-Request-Id"] = json!({ "$ref": "#/components/headers/RequestId" });
        }
    }
    let mut text = serde_json::to_string_pretty(&sorted(document)).unwrap_or_default();
    text.push('\n');
    text
}

/// Takes out what only repeats the specification's defaults.
fn tidy(operation: &mut Value) {
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        for parameter in parameters.iter_mut().filter_map(Value::as_object_mut) {
            parameter.remove("explode");
            if parameter.get("deprecated") == Some(&Value::Bool(false)) {
                parameter.remove("deprecated");
            }
        }
    }
    let responses = operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for headers in responses.filter_map(|response| response.get_mut("headers")) {
        for header in headers.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(header) = header.as_object_mut() {
                header.remove("deprecated");
            }
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut)
}

/// The router writes a parameter that spans segments otherwise than the document does.
fn name_tile_parameter(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let wild = format!("/*{}", tiles::PATH);
    let tiled: Vec<String> = paths.keys().filter(|path| path.ends_with(&wild)).cloned().collect();
    for path in tiled {
        let Some(mut operations) = paths.remove(&path) else { continue };
        let parameter = json!({
            "name": tiles::PATH,
            "in": "path",
            "required": true,
            "description": "The tile's number in groups of three digits, and the width of one that is not full",
            "schema": { "type": "string", "example": "x001/x234/067.p/12" },
        });
        match operations["get"]["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(parameter),
            None => operations["get"]["parameters"] = json!([parameter]),
        }
        paths.insert(format!("{}/{{{}}}", path.trim_end_matches(&wild), tiles::PATH), operations);
    }
}

/// The same JSON with the members of every object in the order of their names.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut members: Vec<(String, Value)> = object.into_iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
