//! Where to go from an answer: the id that one operation answers with is what another one asks for.

use serde_json::{Map, Value, json};

/// An operation, and the name of its path parameter.
type End = (&'static str, &'static str);

/// An operation, a member of its answer, and the operations whose path parameter the member is.
const LINKS: &[(&str, &str, &[End])] = &[
    (
        "openPortfolio",
        "id",
        &[
            ("readPortfolio", "id"),
            ("listTransactions", "id"),
            ("recordTransaction", "id"),
            ("listPositions", "id"),
        ],
    ),
    ("recordTransaction", "sequence", &[("readEvent", "sequence"), ("reverseEvent", "sequence")]),
    ("placeOrder", "sequence", &[("readEvent", "sequence")]),
    ("importFile", "import", &[("readImport", "id"), ("revertImport", "id")]),
    ("planTrade", "sequence", &[("readEvent", "sequence")]),
    ("annotateTrade", "sequence", &[("readEvent", "sequence")]),
    ("reverseEvent", "sequence", &[("readEvent", "sequence")]),
    ("issueToken", "id", &[("revokeToken", "id")]),
    ("registerAdvisor", "id", &[("readAdvisor", "id"), ("amendAdvisor", "id"), ("listAdvisorHistory", "id")]),
    (
        "onboardParty",
        "id",
        &[("readParty", "id"), ("readClient", "party"), ("setProfile", "party"), ("listPartyHistory", "id")],
    ),
    ("formTeam", "id", &[("readTeam", "id"), ("amendTeam", "id")]),
    ("formHousehold", "id", &[("readHousehold", "id"), ("amendHousehold", "id")]),
    ("publishModel", "id", &[("readModel", "id"), ("publishModelVersion", "id")]),
    (
        "issueRecommendation",
        "id",
        &[
            ("readRecommendation", "id"),
            ("acceptRecommendation", "id"),
            ("declineRecommendation", "id"),
            ("withdrawRecommendation", "id"),
            ("listRecommendationHistory", "id"),
        ],
    ),
];

/// Adds the links whose two ends are there.
pub(super) fn join(document: &mut Value) {
    let ids: Vec<String> = super::operations(document)
        .filter_map(|operation| operation["operationId"].as_str().map(str::to_owned))
        .collect();
    for operation in super::operations(document) {
        let found = LINKS.iter().find(|(from, _, _)| operation["operationId"] == *from);
        let Some((_, member, targets)) = found else { continue };
        let links: Map<String, Value> = targets
            .iter()
            .filter(|(to, _)| ids.iter().any(|id| id == to))
            .map(|(to, parameter)| {
                let link = json!({
                    "operationId": to,
                    "description": format!("`{member}` is the `{parameter}` of it"),
                    "parameters": { *parameter: format!("$response.body#/{member}") },
                });
                ((*to).to_owned(), link)
            })
            .collect();
        for status in ["200", "201"] {
            if let Some(answer) = operation["responses"].get_mut(status) {
                answer["links"] = Value::Object(links.clone());
            }
        }
    }
}
