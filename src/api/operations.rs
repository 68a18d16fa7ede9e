//! The operations that there are, as the OpenAPI document lists them: what is routed, permitted and refused by name.

use poem::http::Method;
use serde_json::Value;

/// One operation: a method on a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Operation {
    /// Its id in the OpenAPI document.
    pub(super) id: String,
    /// The names of its path parameters, in order.
    pub(super) path_names: Vec<String>,
    /// The query parameters that it takes.
    pub(super) query_names: Vec<String>,
    /// Whether its body is a multipart upload.
    pub(super) uploads: bool,
    method: Method,
    template: Vec<Segment>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    Is(String),
    Any,
    Rest,
}

/// What there is at a path.
pub(super) enum Found<'a> {
    /// The operation, and the values of its path parameters as its route will read them.
    Operation(&'a Operation, Vec<String>),
    /// Other methods only; these.
    OtherMethods(String),
    /// Nothing.
    Nothing,
}

/// Every operation.
pub(super) struct Operations(Vec<Operation>);

impl Operations {
    /// Reads the operations from an OpenAPI document.
    pub(super) fn of(document: &Value) -> Self {
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                operations.extend(read(path, method, operation));
            }
        }
        Self(operations)
    }

    /// What there is at a path for a method.
    pub(super) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let mut here: Vec<(&Operation, Vec<String>)> =
            self.0.iter().filter_map(|operation| Some((operation, operation.matched(&segments)?))).collect();
        // The path with the fewest parameters is the one that the router takes.
        let fewest = here.iter().map(|(_, values)| values.len()).min().unwrap_or(0);
        here.retain(|(_, values)| values.len() == fewest);
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        if let Some(at) = here.iter().position(|(operation, _)| operation.method == asked) {
            let (operation, values) = here.swap_remove(at);
            return Found::Operation(operation, values);
        }
        if here.is_empty() {
            return Found::Nothing;
        }
        let mut methods: Vec<&str> = here.iter().map(|(operation, _)| operation.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        Found::OtherMethods(methods.join(", "))
    }

    /// Every operation.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter()
    }
}

fn read(path: &str, method: &str, operation: &Value) -> Option<Operation> {
    let mut path_names = Vec::new();
    let mut template = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        template.push(match segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) {
            Some(name) => {
                path_names.push(name.to_owned());
                if name == super::tiles::PATH { Segment::Rest } else { Segment::Any }
            }
            None => Segment::Is(segment.to_owned()),
        });
    }
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    Some(Operation {
        id: operation["operationId"].as_str()?.to_owned(),
        path_names,
        query_names: parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
            .collect(),
        uploads: operation["requestBody"]["content"].get("multipart/form-data").is_some(),
        method: Method::from_bytes(method.to_uppercase().as_bytes()).ok()?,
        template,
    })
}

impl Operation {
    /// The values of the path parameters, if the path is one of this operation's.
    fn matched(&self, segments: &[&str]) -> Option<Vec<String>> {
        let mut values = Vec::new();
        for (at, expected) in self.template.iter().enumerate() {
            let segment = segments.get(at).filter(|segment| !segment.is_empty())?;
            match expected {
                Segment::Is(text) if text == segment => {}
                Segment::Is(_) => return None,
                Segment::Any => values.push(decoded(segment)?),
                Segment::Rest => {
                    values.push(decoded(&segments[at..].join("/"))?);
                    return Some(values);
                }
            }
        }
        (segments.len() == self.template.len()).then_some(values)
    }

    /// Its method.
    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// Its path, below `/v1`, as the document writes it.
    pub(super) fn path(&self) -> String {
        let mut names = self.path_names.iter();
        self.template
            .iter()
            .map(|segment| match segment {
                Segment::Is(text) => format!("/{text}"),
                Segment::Any | Segment::Rest => {
                    format!("/{{{}}}", names.next().map_or("id", String::as_str))
                }
            })
            .collect()
    }

    /// Whether it changes anything.
    pub(super) fn writes(&self) -> bool {
        self.method != Method::GET
    }

    /// What the path is about, and its id as it stands there: `/portfolios/{id}/…` is about a portfolio.
    pub(super) fn about<'v>(&self, values: &'v [String]) -> Option<(&'static str, &'v str)> {
        let noun = match self.template.as_slice() {
            [Segment::Is(first), Segment::Any, ..] => match first.as_str() {
                "portfolios" => "portfolio",
                "parties" | "clients" => "party",
                "advisors" => "advisor",
                _ => return None,
            },
            [Segment::Is(first), Segment::Is(second), Segment::Any, ..] if first == "views" => {
                match second.as_str() {
                    "client" => "party",
                    "advisor" => "advisor",
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some((noun, values.first()?))
    }
}

/// A value of a path as the router reads it: with what is percent-encoded taken out of its code, if it is text then.
fn decoded(value: &str) -> Option<String> {
    percent_encoding::percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operations() -> Operations {
        Operations::of(&json!({ "paths": {
            "/prices/{symbol}": { "get": { "operationId": "readPrices", "parameters": [
                { "in": "path", "name": "symbol" }, { "in": "query", "name": "from" }] } },
            "/prices/imports": { "post": { "operationId": "importPrices",
                "requestBody": { "content": { "multipart/form-data": {} } } } },
            "/portfolios/{id}/trades/{trade}": { "get": { "operationId": "readTrade" } },
            "/tile/entries/{tile}": { "get": { "operationId": "readTile" } },
        } }))
    }

    fn found(method: &Method, path: &str) -> String {
        match operations().find(method, path) {
            Found::Operation(operation, values) => format!("{} {}", operation.id, values.join(" ")),
            Found::OtherMethods(methods) => methods,
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_value_is_what_its_route_reads_however_it_is_written() {
        assert_eq!(found(&Method::GET, "/prices/%41CM%45"), "readPrices ACME");
        assert_eq!(found(&Method::GET, "/portfolios/%31a/trades/7"), "readTrade 1a 7");
        assert_eq!(found(&Method::GET, "/prices/%ff"), "nothing");
        assert_eq!(found(&Method::POST, "/prices/%69mports"), "GET, HEAD");
    }

    #[test]
    fn a_path_without_parameters_wins_over_one_with() {
        assert_eq!(found(&Method::GET, "/prices/IBM"), "readPrices IBM");
        assert_eq!(found(&Method::POST, "/prices/imports"), "importPrices ");
        assert_eq!(found(&Method::GET, "/prices/imports"), "POST");
        assert_eq!(found(&Method::POST, "/prices/IBM"), "GET, HEAD");
        assert_eq!(found(&Method::HEAD, "/prices/IBM"), "readPrices IBM");
    }

    #[test]
    fn parameters_fill_whole_segments_and_only_a_tile_spans_several() {
        assert_eq!(found(&Method::GET, "/portfolios/a/trades/b"), "readTrade a b");
        assert_eq!(found(&Method::GET, "/portfolios//trades/b"), "nothing");
        assert_eq!(found(&Method::GET, "/portfolios/a/trades/b/c"), "nothing");
        assert_eq!(found(&Method::GET, "/tile/entries/x001/067.p/3"), "readTile x001/067.p/3");
        assert_eq!(found(&Method::GET, "/tile/entries/"), "nothing");
    }
}
