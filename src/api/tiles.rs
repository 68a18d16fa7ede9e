//! The canonical records themselves, in bundles of 256 as C2SP's tlog-tiles lays them out.

use super::access::Caller;
use super::problem::{Kind, Problem};
use super::service::Service;
use super::tags::Tag;
use daybook_ledger::RecordView;
use poem::http::header::CACHE_CONTROL;
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::{ApiResponse, OpenApi};
use std::ops::ControlFlow;

/// Records in a full bundle.
const BUNDLE: u64 = 256;
/// The name of the path parameter that spans several segments.
pub(super) const PATH: &str = "tile";

/// A bundle of canonical records.
pub(super) struct Bundle {
    bytes: Vec<u8>,
}

impl Payload for Bundle {
    const CONTENT_TYPE: &'static str = "application/octet-stream";

    fn check_content_type(_content_type: &str) -> bool {
        true
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")))
    }
}

impl IntoResponse for Bundle {
    fn into_response(self) -> Response {
        let mut response = Response::builder().content_type(Self::CONTENT_TYPE).body(self.bytes);
        // What is in the log never changes; the answer is still for none but who asked.
        super::answer::set(&mut response, CACHE_CONTROL, "private, max-age=31536000, immutable");
        response
    }
}

impl ApiResponse for Bundle {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The records, each after its length as two bytes, big-endian",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// The routes of tiles.
pub(super) struct Tiles(pub(super) Service);

#[OpenApi(tag = "Tag::Events")]
impl Tiles {
    /// Read a bundle of canonical records
    ///
    /// Bundle N holds the records from sequence 256 N + 1 on. N is written in groups of three digits, all but the
    /// last preceded by `x`: `x001/x234/067`. A bundle that is not full is asked for by its width: `067.p/12`.
    #[oai(path = "/tile/entries/*tile", method = "get", operation_id = "readEntries")]
    async fn entries(&self, _caller: Caller, uri: &poem::http::Uri) -> Result<Bundle, Problem> {
        let path = uri.path();
        let path = path.split_once("/tile/entries/").map_or("", |(_, path)| path).to_owned();
        let absent =
            || Problem::new(Kind::NotFound, "there is no such bundle: see /v1/events for the log's head");
        let (index, width) = parse(&path).ok_or_else(absent)?;
        let first =
            index.checked_mul(BUNDLE).and_then(|records| records.checked_add(1)).ok_or_else(absent)?;
        let last = first.checked_add(width - 1).ok_or_else(absent)?;
        self.0
            .blocking(move |journal| {
                if last > journal.ledger().head() {
                    return Err(absent());
                }
                let mut bytes = Vec::new();
                journal
                    .ledger()
                    .scan(first, last, &mut |record| {
                        append(&mut bytes, record);
                        ControlFlow::Continue(())
                    })
                    .map_err(crate::journal::JournalError::from)?;
                Ok(Bundle { bytes })
            })
            .await
    }
}

fn append(bytes: &mut Vec<u8>, record: &RecordView<'_>) {
    let at = bytes.len();
    bytes.extend_from_slice(&[0, 0]);
    record.encode_canonical(bytes);
    let length = u16::try_from(bytes.len() - at - 2).expect("a canonical record is at most 65,535 bytes");
    bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
}

/// The index of a bundle and how many records of it are asked for. There is one way to write each.
fn parse(path: &str) -> Option<(u64, u64)> {
    let (path, width) = match path.split_once(".p/") {
        Some((path, width)) => {
            let plain = !width.starts_with('0') && width.bytes().all(|byte| byte.is_ascii_digit());
            let width = width.parse().ok().filter(|width| plain && (1..BUNDLE).contains(width))?;
            (path, width)
        }
        None => (path, BUNDLE),
    };
    let groups: Vec<&str> = path.split('/').collect();
    let last = groups.len() - 1;
    let mut index: u64 = 0;
    for (at, group) in groups.iter().enumerate() {
        let digits = if at == last { group } else { group.strip_prefix('x')? };
        if digits.len() != 3
            || !digits.bytes().all(|byte| byte.is_ascii_digit())
            || (at == 0 && last > 0 && digits == "000")
        {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some((index, width))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_bundle_has_one_name_in_groups_of_three_digits() {
        assert_eq!(parse("000"), Some((0, 256)));
        assert_eq!(parse("x001/x234/067"), Some((1_234_067, 256)));
        assert_eq!(parse("x001/000.p/17"), Some((1_000, 17)));
        for bad in [
            "",
            "0",
            "x000/001",
            "001/002",
            "x001",
            "067.p/0",
            "067.p/256",
            "067.p/01",
            "067.p/",
            "06a",
            "067/",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
