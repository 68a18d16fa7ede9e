//! The JSON Schema of every payload, as it is handed to other programs.

use crate::{BLESS, examples, kept, path};
use daybook_schemas::events::EventType;
use regex::Regex;
use serde_json::Value;

fn schema(event_type: EventType) -> (Value, String) {
    let schema = event_type.json_schema().to_value();
    let text = serde_json::to_string_pretty(&schema).unwrap();
    (schema, format!("{text}\n"))
}

/// Holds a value against a schema: all that the schemas of this crate say, and an error for what they never said.
struct Check<'a> {
    definitions: &'a Value,
}

impl Check<'_> {
    fn fits(&self, value: &Value, schema: &Value) -> Result<(), String> {
        let fields = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Object(fields) => fields,
            other => return Err(format!("{other} is no schema")),
        };
        for (keyword, wanted) in fields {
            self.keyword(value, keyword, wanted, schema).map_err(|error| format!("{keyword}: {error}"))?;
        }
        Ok(())
    }

    fn keyword(&self, value: &Value, keyword: &str, wanted: &Value, schema: &Value) -> Result<(), String> {
        let demand = |holds: bool| {
            if holds { Ok(()) } else { Err(format!("{value} does not meet {wanted}")) }
        };
        match keyword {
            "$schema" | "title" | "description" | "default" | "$defs" => Ok(()),
            "$ref" => {
                let name = wanted.as_str().and_then(|to| to.strip_prefix("#/$defs/")).ok_or("an odd $ref")?;
                self.fits(value, self.definitions.get(name).ok_or("a $ref to nothing")?)
            }
            "type" => {
                let is = |name: &Value| match name.as_str() {
                    Some("object") => value.is_object(),
                    Some("array") => value.is_array(),
                    Some("string") => value.is_string(),
                    Some("boolean") => value.is_boolean(),
                    Some("null") => value.is_null(),
                    Some("integer") => value.is_i64() || value.is_u64(),
                    _ => false,
                };
                demand(wanted.as_array().map_or_else(|| is(wanted), |any| any.iter().any(is)))
            }
            "enum" => demand(wanted.as_array().ok_or("no list")?.contains(value)),
            "const" => demand(value == wanted),
            "anyOf" | "oneOf" => {
                let branches = wanted.as_array().ok_or("no list")?;
                let fitting = branches.iter().filter(|branch| self.fits(value, branch).is_ok()).count();
                demand(if keyword == "oneOf" { fitting == 1 } else { fitting >= 1 })
            }
            "pattern" => match value.as_str() {
                Some(text) => demand(Regex::new(wanted.as_str().ok_or("no text")?).unwrap().is_match(text)),
                None => Ok(()),
            },
            "format" => match (wanted.as_str(), value.as_str()) {
                (Some("date"), Some(text)) => demand(text.parse::<daybook_schemas::Day>().is_ok()),
                (Some("date-time"), Some(text)) => demand(text.parse::<daybook_schemas::Timestamp>().is_ok()),
                (Some("uint8" | "uint16" | "uint32" | "uint64"), _) => Ok(()),
                _ => Err(format!("{wanted} is a format that nobody wrote down")),
            },
            "minimum" => demand(value.as_u64().is_none_or(|value| Some(value) >= wanted.as_u64())),
            "maximum" => demand(value.as_u64().is_none_or(|value| Some(value) <= wanted.as_u64())),
            "minItems" => {
                demand(value.as_array().is_none_or(|all| Some(all.len() as u64) >= wanted.as_u64()))
            }
            "maxItems" => {
                demand(value.as_array().is_none_or(|all| Some(all.len() as u64) <= wanted.as_u64()))
            }
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| self.fits(item, wanted)),
            "prefixItems" => {
                let (items, schemas) = (value.as_array(), wanted.as_array().ok_or("no list")?);
                items
                    .into_iter()
                    .flatten()
                    .zip(schemas)
                    .try_for_each(|(item, schema)| self.fits(item, schema))
            }
            "required" => {
                let names = wanted.as_array().ok_or("no list")?;
                demand(names.iter().all(|name| value.get(name.as_str().unwrap_or_default()).is_some()))
            }
            "properties" => {
                let schemas = wanted.as_object().ok_or("no object")?;
                for (name, field) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = schemas.get(name) {
                        self.fits(field, schema).map_err(|error| format!("{name}: {error}"))?;
                    }
                }
                Ok(())
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                let unknown = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .find(|(name, _)| known.get(name.as_str()).is_none());
                demand(*wanted != Value::Bool(false) || unknown.is_none())
            }
            _ => Err("a keyword that this check does not know".to_owned()),
        }
    }
}

#[test]
fn every_payload_has_the_schema_that_was_kept() {
    for event_type in EventType::ALL {
        let (schema, text) = schema(*event_type);
        let kept = kept(&format!("json/{}.json", event_type.name()), &text);
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept, schema, "the schema of {} is not the one that is kept: {BLESS}", event_type.name());
    }
}

#[test]
fn no_schema_is_kept_of_an_event_that_does_not_exist() {
    for file in std::fs::read_dir(path("json")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let known = name.strip_suffix(".json").and_then(EventType::from_name);
        assert!(known.is_some(), "json/{name} belongs to no event");
    }
}

#[test]
fn every_golden_fits_the_schema_of_its_event() {
    let goldens = std::fs::read_to_string(path("golden/events.json")).unwrap();
    let goldens: Vec<Value> = serde_json::from_str(&goldens).unwrap();
    assert!(!goldens.is_empty());
    for golden in goldens {
        let id = u16::try_from(golden["type"].as_u64().unwrap()).unwrap();
        let (schema, _) = schema(EventType::from_id(id).unwrap());
        let check = Check { definitions: &schema["$defs"] };
        if let Err(error) = check.fits(&golden["json"], &schema) {
            panic!("{} does not fit its schema: {error}", golden["name"]);
        }
    }
}

#[test]
fn a_payload_that_lacks_a_field_or_has_a_number_for_a_decimal_does_not_fit() {
    let example = examples::examples().into_iter().find(|event| event.event_type() == EventType::PriceTick);
    let payload = example.unwrap().to_json().unwrap();
    let (schema, _) = schema(EventType::PriceTick);
    let check = Check { definitions: &schema["$defs"] };
    assert_eq!(check.fits(&payload, &schema), Ok(()));
    let mut lacking = payload.clone();
    lacking.as_object_mut().unwrap().remove("price");
    assert!(check.fits(&lacking, &schema).unwrap_err().contains("required"));
    for (field, wrong) in [
        ("price", serde_json::json!(187.2)),
        ("price", serde_json::json!("1e5")),
        ("currency", serde_json::json!("usd")),
        ("kind", serde_json::json!("guess")),
        ("instrument", serde_json::json!("ABC")),
    ] {
        let mut bad = payload.clone();
        bad[field] = wrong;
        assert!(check.fits(&bad, &schema).unwrap_err().contains(field), "{bad}");
    }
}
