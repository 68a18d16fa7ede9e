//! Examples of requests and answers, from a run over the made-up firm: `.ci/conformance/run.py examples` writes them.

use serde_json::{Map, Value};

/// By operation: `request`, the body of one that succeeded, `status` and `response`, what it was answered.
const EXAMPLES: &str = include_str!("examples.json");

/// Puts the examples where they belong.
pub(super) fn place(document: &mut Value) {
    let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    for operation in super::operations(document) {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let Some(example) = examples.get(id).cloned() else { continue };
        if let Some(request) = example.get("request") {
            let media = operation["requestBody"]["content"].as_object_mut();
            for content in media.into_iter().flat_map(Map::values_mut) {
                content["example"] = request.clone();
            }
        }
        let Some(response) = example.get("response") else { continue };
        // A write that is sent again is answered the same way as the first.
        for status in ["200", "201"] {
            let answer = operation["responses"].get_mut(status).and_then(|answer| answer.get_mut("content"));
            if let Some(content) = answer.and_then(|content| content.get_mut("application/json")) {
                content["example"] = response.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_can_be_read_and_each_belongs_to_an_operation() {
        let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap();
        let document: Value = serde_json::from_str(&crate::api::specification()).unwrap();
        for id in examples.keys() {
            assert!(document.to_string().contains(&format!("\"operationId\":\"{id}\"")), "there is no {id}");
        }
    }
}
