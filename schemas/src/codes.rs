//! The macro behind every `kind`: a stable code with a name, and room for what has no code yet.
//!
//! In JSON a code is its name, and `other:text` stands for what has none. In a payload it is its number, which is
//! never given to another meaning, followed by the text only where the number is 0.

/// Defines an enumeration of codes.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// What has no code yet, in the source's own words.
            Other(Box<str>),
        }

        impl $name {
            /// Every coded value.
            pub const CODED: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable number; 0 for what has no code yet.
            #[must_use]
            pub const fn code(&self) -> u16 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(_) => 0,
                }
            }

            /// The value of a stable number.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The value of a name; `other:text` for what has no code.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => name.strip_prefix("other:").map(|text| Self::Other(text.into())),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant => f.pad($text),)*
                    Self::Other(text) => write!(f, "other:{text}"),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.collect_str(self);
                }
                let text = match self {
                    Self::Other(text) => Some(&**text),
                    _ => None,
                };
                serde::Serialize::serialize(&(self.code(), text), serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                if deserializer.is_human_readable() {
                    let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                    return Self::from_name(&name).ok_or_else(|| {
                        D::Error::custom(format!("`{name}` is not one of {}, and not `other:…`", [$($text),*].join(", ")))
                    });
                }
                match <(u16, Option<Box<str>>)>::deserialize(deserializer)? {
                    (0, Some(text)) => Ok(Self::Other(text)),
                    (code, None) => Self::from_code(code)
                        .ok_or_else(|| D::Error::custom(format!("{} has no code {code}", stringify!($name)))),
                    (code, Some(_)) => Err(D::Error::custom(format!("code {code} takes no text"))),
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": "A coded value, or `other:` and the source's own words",
                    "anyOf": [{ "enum": [$($text),*] }, { "type": "string", "pattern": "^other:" }]
                })
            }
        }
    )*};
}

pub(crate) use codes;
