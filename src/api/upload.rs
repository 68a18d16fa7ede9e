//! Uploads: a file and a few texts in one multipart body.

use super::problem::{Fault, Problem};
use poem::web::Multipart;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use std::marker::PhantomData;

/// The longest text beside a file, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;

/// A text that may come beside the file: its name and what it says.
pub(super) type Part = (&'static str, &'static str);

/// Which texts may come beside the file.
pub(super) trait Texts: Send + 'static {
    /// The name of the schema.
    const NAME: &'static str;
    /// The texts.
    const PARTS: &'static [Part];
    /// Those that must be there.
    const REQUIRED: &'static [&'static str];
}

/// An uploaded file and the texts beside it.
pub(super) struct Upload<T> {
    /// The file's name, for messages.
    pub(super) file_name: String,
    /// The file's bytes.
    pub(super) bytes: Vec<u8>,
    texts: Vec<(&'static str, String)>,
    of: PhantomData<T>,
}

impl<T: Texts> Upload<T> {
    /// A text beside the file.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
    }

    /// A text that says yes or no.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::from(vec![Fault::new(name, "write true or false")])),
        }
    }

    /// What identifies the upload's content.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut texts = self.texts.clone();
        texts.sort();
        let mut bytes = format!("{texts:?} {:?} ", self.file_name).into_bytes();
        bytes.extend_from_slice(blake3::hash(&self.bytes).as_bytes());
        bytes
    }
}

impl<'a, T: Texts> ApiExtractor<'a> for Upload<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(T::NAME.to_owned(), |_| {
            let member = |schema| MetaSchemaRef::Inline(Box::new(schema));
            let mut properties = vec![(
                "file",
                member(MetaSchema {
                    description: Some("The file, as the last part"),
                    ..MetaSchema::new_with_format("string", "binary")
                }),
            )];
            for (name, about) in T::PARTS {
                properties.push((
                    *name,
                    member(MetaSchema { description: Some(*about), ..MetaSchema::new("string") }),
                ));
            }
            let required = std::iter::once("file").chain(T::REQUIRED.iter().copied()).collect();
            MetaSchema { required, properties, ..MetaSchema::new("object") }
        });
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "multipart/form-data",
                schema: MetaSchemaRef::Reference(T::NAME.to_owned()),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let mut parts = <Multipart as FromRequest>::from_request(request, body).await?;
        let mut file = None;
        let mut texts: Vec<(&'static str, String)> = Vec::new();
        while let Some(part) = parts.next_field().await? {
            let name = part.name().unwrap_or_default().to_owned();
            if name == "file" {
                if file.is_some() {
                    return Err(refused("file", "send one file in a request").into());
                }
                let file_name = part.file_name().map_or_else(|| "upload".to_owned(), clean);
                file = Some((file_name, part.bytes().await?));
                continue;
            }
            let Some((known, _)) = T::PARTS.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = T::PARTS.iter().map(|(known, _)| *known).collect();
                let shown: String = name.chars().take(100).collect();
                let detail = format!("there is no such part; there is file, {}", known.join(", "));
                return Err(refused(&shown, &detail).into());
            };
            if texts.iter().any(|(seen, _)| seen == known) {
                return Err(refused(known, "send it once").into());
            }
            let text = part.text().await?;
            if text.len() > TEXT_BYTES_MAX {
                return Err(refused(known, "it is too long").into());
            }
            texts.push((*known, text));
        }
        let Some((file_name, bytes)) = file else {
            return Err(refused("file", "it is required: send the file as the part `file`").into());
        };
        for required in T::REQUIRED {
            if !texts.iter().any(|(known, _)| known == required) {
                return Err(refused(required, "it is required").into());
            }
        }
        Ok(Self { file_name, bytes, texts, of: PhantomData })
    }
}

fn refused(part: &str, detail: &str) -> Problem {
    Problem::from(vec![Fault::new(part, detail)])
}

/// A file name without its folders, and without what would break a message's line.
fn clean(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let name: String = name.chars().filter(|character| !character.is_control()).take(200).collect();
    if name.is_empty() { "upload".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn a_file_is_known_by_its_last_name_alone() {
        assert_eq!(clean("C:\\data\\trades.csv"), "trades.csv");
        assert_eq!(clean("../../etc/trades\n.csv"), "trades.csv");
        assert_eq!(clean("/"), "upload");
    }
}
