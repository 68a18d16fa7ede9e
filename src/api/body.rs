//! Bodies of requests: read strictly, every fault named by its field.

use super::access::Caller;
use super::problem::{Fault, Kind, Problem};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What can be read from the fields of a JSON object.
pub(super) trait Form: Type {
    /// Whether a request without a body is one with no fields.
    const MAY_BE_ABSENT: bool = false;

    /// Reads the fields; what is wrong with them is noted by the reader.
    fn read(fields: &mut Fields) -> Self;
}

/// A JSON body, and what identifies its content.
pub(super) struct Input<T> {
    /// What it says.
    pub(super) value: T,
    /// Its canonical bytes: sorted fields, no spaces.
    pub(super) canonical: Vec<u8>,
}

impl<'a, T: Form> ApiExtractor<'a> for Input<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }],
            required: !T::MAY_BE_ABSENT,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let media_type = request.content_type().map(str::to_ascii_lowercase);
        if let Some(media_type) = &media_type
            && !is_json(media_type)
        {
            return Err(not_json(media_type).into());
        }
        let bytes = body.take()?.into_vec().await?;
        let caller = request.extensions().get::<Caller>();
        if bytes.is_empty() && T::MAY_BE_ABSENT {
            return Ok(parse(b"{}", caller)?);
        }
        if media_type.is_none() {
            return Err(not_json("nothing").into());
        }
        Ok(parse(&bytes, caller)?)
    }
}

/// Whether a media type is one of JSON's.
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The body is of a media type that is not JSON's.
pub(super) fn not_json(media_type: &str) -> Problem {
    let said: String = media_type.chars().take(100).collect();
    Problem::new(
        Kind::UnsupportedMediaType,
        format!("send the body as JSON with `Content-Type: application/json`; the request says {said}"),
    )
}

/// Reads a JSON object strictly: no field twice, none unknown, and no id that the caller may not know of.
pub(super) fn parse<T: Form>(bytes: &[u8], caller: Option<&Caller>) -> Result<Input<T>, Problem> {
    let (value, canonical) = read(bytes, caller, T::read)?;
    Ok(Input { value, canonical })
}

/// Reads a JSON object strictly by its fields: what they say, and the canonical bytes.
pub(super) fn read<T>(
    bytes: &[u8],
    caller: Option<&Caller>,
    read: impl FnOnce(&mut Fields) -> T,
) -> Result<(T, Vec<u8>), Problem> {
    let Strict(value) = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Kind::MalformedJson, format!("{error}: correct the JSON")))?;
    let canonical = value.to_string().into_bytes();
    if let Some(caller) = caller {
        check_ids(caller, "", &value)?;
    }
    let Value::Object(object) = value else {
        return Err(Problem::new(Kind::MalformedJson, "send a JSON object"));
    };
    let mut fields = Fields::new(object);
    let value = read(&mut fields);
    fields.finish()?;
    Ok((value, canonical))
}

/// Refuses ids that the caller may not know of, by the names of the fields that hold them, however deep.
fn check_ids(caller: &Caller, name: &str, value: &Value) -> Result<(), Problem> {
    match value {
        Value::String(text) => caller.check(name, text),
        Value::Array(items) => items.iter().try_for_each(|item| check_ids(caller, name, item)),
        Value::Object(members) => {
            members.iter().try_for_each(|(name, member)| check_ids(caller, name, member))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// JSON in which no object names a field twice.
struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
                let mut array = Vec::new();
                while let Some(Strict(element)) = elements.next_element()? {
                    array.push(element);
                }
                Ok(Value::Array(array))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
                let mut object = BTreeMap::new();
                while let Some(name) = members.next_key::<String>()? {
                    let Strict(value) = members.next_value()?;
                    if object.contains_key(&name) {
                        return Err(serde::de::Error::custom(format_args!(
                            "the field `{name}` is given twice"
                        )));
                    }
                    object.insert(name, value);
                }
                Ok(Value::Object(object.into_iter().collect()))
            }
        }
        deserializer.deserialize_any(Any).map(Self)
    }
}

/// The fields of a JSON object, taken one by one.
pub(super) struct Fields {
    object: Map<String, Value>,
    known: Vec<String>,
    faults: Vec<Fault>,
}

impl Fields {
    fn new(object: Map<String, Value>) -> Self {
        Self { object, known: Vec::new(), faults: Vec::new() }
    }

    /// A field as it stands there; absent if it is not, or is null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.known.push(name.to_owned());
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// Notes what is wrong with a field.
    pub(super) fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.faults.push(Fault::new(name, detail));
    }

    /// Whether something is wrong with a field.
    pub(super) fn is_faulty(&self, name: &str) -> bool {
        self.faults.iter().any(|fault| fault.field.as_deref() == Some(name))
    }

    /// A text; absent if the field is, or is null.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => {
                self.fault(
                    name,
                    format!(
                        "write \"{number}\" in quotes: a JSON number is read as binary and may lose digits"
                    ),
                );
                None
            }
            other => {
                self.fault(name, format!("write a string, not {}", kind(&other)));
                None
            }
        }
    }

    /// A whole number that is not negative.
    pub(super) fn whole_number(&mut self, name: &str) -> Option<u64> {
        let value = self.take(name)?;
        let number = value.as_u64();
        if number.is_none() {
            self.fault(name, format!("it is {}: write a whole number, without quotes", kind(&value)));
        }
        number
    }

    /// Whether nothing wrong was noted so far.
    pub(super) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// A field that is true or false.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Null => None,
            Value::Bool(flag) => Some(flag),
            other => {
                self.fault(name, format!("it is {}: write true or false", kind(&other)));
                None
            }
        }
    }

    /// A list of whole numbers that are not negative; empty if the field is absent.
    pub(super) fn wholes(&mut self, name: &str) -> Vec<u64> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let numbers =
            value.as_array().and_then(|items| items.iter().map(Value::as_u64).collect::<Option<Vec<_>>>());
        numbers.unwrap_or_else(|| {
            self.fault(name, "write a list of whole numbers");
            Vec::new()
        })
    }

    /// A text that must be there, and not empty.
    pub(super) fn required_text(&mut self, name: &str) -> String {
        let faults = self.faults.len();
        let text = self.text(name).unwrap_or_default();
        if text.is_empty() && self.faults.len() == faults {
            self.fault(name, "it is required");
        }
        text
    }

    /// A list of texts; empty if the field is absent.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let texts = value.as_array().and_then(|items| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        texts.unwrap_or_else(|| {
            self.fault(name, format!("write a list of strings, not {}", kind(&value)));
            Vec::new()
        })
    }

    /// A list of objects, as [`Fields::objects`] reads it; empty if the field is absent.
    pub(super) fn objects_if_any<T>(&mut self, name: &str, read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.take(name);
            return Vec::new();
        }
        self.objects(name, read)
    }

    /// A list of objects, each read by its fields; faults are named by the object's place, such as `items[3].close`.
    pub(super) fn objects<T>(&mut self, name: &str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let objects = match self.take(name) {
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.fault(name, format!("write a list of objects, not {}", kind(&other)));
                return Vec::new();
            }
            None => {
                self.fault(name, "it is required");
                return Vec::new();
            }
        };
        let places = (0..).map(|at: usize| format!("{name}[{at}]"));
        objects
            .into_iter()
            .zip(places)
            .filter_map(|(object, place)| self.nested(&place, object, &mut read))
            .collect()
    }

    /// An object within the object, read by its fields; faults are named by its place, such as `contact.email`.
    pub(super) fn object<T>(&mut self, name: &str, mut read: impl FnMut(&mut Self) -> T) -> Option<T> {
        let object = self.take(name)?;
        self.nested(name, object, &mut read)
    }

    fn nested<T>(&mut self, place: &str, object: Value, read: &mut impl FnMut(&mut Self) -> T) -> Option<T> {
        let Value::Object(object) = object else {
            self.fault(place, format!("write an object, not {}", kind(&object)));
            return None;
        };
        let mut fields = Self::new(object);
        let value = read(&mut fields);
        fields.refuse_unknown();
        self.faults.extend(fields.faults.into_iter().map(|fault| Fault {
            field: Some(format!("{place}.{}", fault.field.as_deref().unwrap_or_default())),
            ..fault
        }));
        Some(value)
    }

    /// Whether a field is there and says null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(Value::is_null)
    }

    /// Whether a field is there and says something.
    pub(super) fn says(&mut self, name: &str) -> bool {
        let there = self.object.get(name).is_some_and(|value| !value.is_null());
        if !there {
            self.take(name);
        }
        there
    }

    fn refuse_unknown(&mut self) -> bool {
        let names: Vec<String> = std::mem::take(&mut self.object).into_iter().map(|(name, _)| name).collect();
        for name in &names {
            let shown: String = name.chars().take(100).collect();
            let known = self.known.join(", ");
            self.faults.push(Fault::new(shown, format!("there is no such field; there is {known}")));
        }
        !names.is_empty()
    }

    fn finish(mut self) -> Result<(), Problem> {
        let sound = self.faults.is_empty();
        let unknown = self.refuse_unknown();
        match (sound, unknown) {
            (true, false) => Ok(()),
            (true, true) => Err(Problem::faulty(Kind::UnknownField, self.faults)),
            (false, _) => Err(Problem::faulty(Kind::InvalidInput, self.faults)),
        }
    }
}

/// What a value is, in words.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem_openapi::Object;

    #[derive(Object)]
    struct Sample {
        name: String,
        rows: Vec<String>,
    }

    impl Form for Sample {
        fn read(fields: &mut Fields) -> Self {
            let name = fields.required_text("name");
            let rows = fields.objects("rows", |fields| fields.required_text("close"));
            Self { name, rows }
        }
    }

    fn refused(json: &str) -> String {
        match parse::<Sample>(json.as_bytes(), None) {
            Ok(_) => panic!("it was taken"),
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[test]
    fn equal_content_has_equal_canonical_bytes_however_it_is_written() {
        let one = parse::<Sample>(br#"{"name":"a","rows":[{"close":"1"}]}"#, None).unwrap();
        let other =
            parse::<Sample>(b"{ \"rows\": [ {\"close\": \"1\"} ],\n \"name\": \"a\" }", None).unwrap();
        assert_eq!(one.canonical, other.canonical);
        assert_eq!((other.value.name.as_str(), other.value.rows.as_slice()), ("a", &["1".to_owned()][..]));
    }

    #[test]
    fn every_fault_is_named_by_its_field() {
        let refusal = refused(r#"{"rows":[{"close":1.5},{"close":"2","open":"1"},7],"extra":1}"#);
        for part in ["\"name\"", "rows[0].close", "rows[1].open", "rows[2]", "\"extra\"", "InvalidInput"] {
            assert!(refusal.contains(part), "{part} in {refusal}");
        }
    }

    #[test]
    fn a_field_that_is_unknown_or_given_twice_is_refused() {
        assert!(refused(r#"{"name":"a","rows":[],"nme":"b"}"#).contains("UnknownField"));
        assert!(refused(r#"{"name":"a","name":"b","rows":[]}"#).contains("given twice"));
        assert!(refused("[]").contains("MalformedJson"));
        assert!(refused("{").contains("MalformedJson"));
    }
}
