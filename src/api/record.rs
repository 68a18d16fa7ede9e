//! Objects of answers: written once, with their JSON, their schema and what each member says.

/// Describes an object of answers for the OpenAPI document: its members, their types and their meaning.
///
/// A member that is optional is absent from the JSON where it is not known, never null; a member may have another
/// name in JSON than in Rust (`type_name = "type": String`). The doc comments are the descriptions in the document.
macro_rules! schema {
    (
        $(#[doc = $about:literal])+
        $name:ident { $($(#[doc = $doc:literal])+ $field:ident $(= $json:literal)?: $type:ty,)* }
    ) => {
        $(#[doc = $about])+
        pub(super) struct $name;
        $crate::api::record::schema!(
            @type $name, concat!($($about),+), $(concat!($($doc),+), $field $($json)?, $type;)*
        );
    };
    (@type $name:ident, $about:expr, $($doc:expr, $field:ident $($json:literal)?, $type:ty;)*) => {
        impl poem_openapi::types::Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                poem_openapi::registry::MetaSchemaRef::Reference(stringify!($name).to_owned())
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                use poem_openapi::registry::MetaSchema;
                $(<$type as poem_openapi::types::Type>::register(registry);)*
                registry.create_schema::<Self, _>(stringify!($name).to_owned(), |_| {
                    let mut schema =
                        MetaSchema { description: Some($about.trim_ascii()), ..MetaSchema::new("object") };
                    $(
                        let member = $crate::api::record::schema!(@name $field $($json)?);
                        if <$type as poem_openapi::types::Type>::IS_REQUIRED {
                            schema.required.push(member);
                        }
                        let described = <$type as poem_openapi::types::Type>::schema_ref()
                            .merge(MetaSchema { description: Some($doc.trim_ascii()), ..MetaSchema::ANY });
                        schema.properties.push((member, described));
                    )*
                    schema
                });
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $json:literal) => { $json };
}

/// Defines an object of answers: a struct, its JSON and its description, as [`schema!`] has it.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        $name:ident { $($(#[doc = $doc:literal])+ $field:ident $(= $json:literal)?: $type:ty,)* }
    ) => {
        $(#[doc = $about])+
        pub(super) struct $name {
            $($(#[doc = $doc])+ pub(super) $field: $type,)*
        }
        $crate::api::record::schema!(
            @type $name, concat!($($about),+), $(concat!($($doc),+), $field $($json)?, $type;)*
        );

        impl poem_openapi::types::ToJSON for $name {
            fn to_json(&self) -> Option<serde_json::Value> {
                let mut object = serde_json::Map::new();
                $(
                    if !poem_openapi::types::Type::is_none(&self.$field)
                        && let Some(value) = poem_openapi::types::ToJSON::to_json(&self.$field)
                    {
                        object.insert($crate::api::record::schema!(@name $field $($json)?).to_owned(), value);
                    }
                )*
                Some(serde_json::Value::Object(object))
            }
        }
    };
}

pub(super) use record;
pub(super) use schema;
