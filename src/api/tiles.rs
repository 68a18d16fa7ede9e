//! The canonical records themselves and the hashes over them, in tiles of 256 as C2SP's tlog-tiles lays them out.

use super::access::Caller;
use super::problem::{Kind, Problem};
use super::service::Service;
use super::tags::Tag;
use daybook_ledger::TilePath;
use poem::http::header::CACHE_CONTROL;
use poem::{IntoResponse, Response};
use poem_openapi::param::Path;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::{ApiResponse, OpenApi};

/// The name of the path parameter that spans several segments.
pub(super) const PATH: &str = "tile";

/// A bundle of canonical records, or a tile of hashes.
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
                description: "Records, each after its length as two bytes, big-endian; or hashes",
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
        self.read(uri).await
    }

    /// Read a tile of hashes of the tree over the log
    ///
    /// Tile N of level 0 holds the leaf hashes of the records from sequence 256 N + 1 on; each hash of a level above is
    /// the root over a full tile of the level below. Hashes have 32 bytes and stand one behind the other. N is written
    /// as for bundles of records.
    #[oai(path = "/tile/:level/*tile", method = "get", operation_id = "readTile")]
    async fn hashes(
        &self,
        _caller: Caller,
        /// The level, from 0
        #[oai(name = "level", validator(maximum(value = "63")))]
        _level: Path<u8>,
        uri: &poem::http::Uri,
    ) -> Result<Bundle, Problem> {
        self.read(uri).await
    }

    async fn read(&self, uri: &poem::http::Uri) -> Result<Bundle, Problem> {
        let path = uri.path().split_once("/tile/").and_then(|(_, path)| TilePath::parse(path));
        let absent =
            || Problem::new(Kind::NotFound, "there is no such tile: see /v1/checkpoint for the log's size");
        let path = path.ok_or_else(absent)?;
        self.0
            .blocking(move |journal| {
                let bytes = journal.ledger().tile(path).map_err(crate::journal::JournalError::from)?;
                Ok(Bundle { bytes: bytes.ok_or_else(absent)? })
            })
            .await
    }
}
