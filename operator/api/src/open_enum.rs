//! Enumerations that survive a newer writer: a value that this version does not know is kept as it was written, shown,
//! and acted on by nobody. The schema lists the known values, so a person's typing mistake is still refused.

/// Declares an enum of unit variants plus `Unknown(String)`, with `as_str`, `Display`, serde and a schema of the known values.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $(= $text:literal)?),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A value of a newer version: kept as written, shown, acted on by nobody.
            Unknown(String),
        }

        impl $name {
            /// The values of this version, as they are written.
            pub const KNOWN: &'static [&'static str] =
                &[$($crate::open_enum::open_enum!(@text $variant $(, $text)?)),+];

            /// The value as it is written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $crate::open_enum::open_enum!(@text $variant $(, $text)?),)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $(if text == $crate::open_enum::open_enum!(@text $variant $(, $text)?) {
                    return Self::$variant;
                })+
                Self::Unknown(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self::from(text.as_ref()))
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::KNOWN })
            }
        }
    };
    (@text $variant:ident) => { stringify!($variant) };
    (@text $variant:ident, $text:literal) => { $text };
}

pub(crate) use open_enum;
