//! How fields and the names that they may have are declared: once.

/// Declares the fields of a type, each of them once: the struct, its partial edit, and what the one makes of the other. In the
/// partial edit every field is an [`Option`] of what it is in the struct; so `Some(None)` clears a nullable one.
macro_rules! fields {
    (
        $(#[$of_type:meta])*
        $name:ident, edited by $patch:ident {
            $($(#[$of_field:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$of_type])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$of_field])* pub $field: $type,)*
        }

        #[doc = concat!("A partial edit of a [`", stringify!($name), "`]; on a nullable field, `Some(None)` clears it.")]
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $patch {
            $($(#[$of_field])* pub $field: Option<$type>,)*
        }

        impl $crate::entity::Patched for $name {
            type Changes = $patch;

            fn patched(&self, changes: &$patch) -> Self {
                Self {
                    $($field: changes.$field.as_ref().unwrap_or(&self.$field).clone(),)*
                }
            }
        }
    };
}
pub(crate) use fields;

/// Defines an enum of the names that a field may have.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// All names.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl FromStr for $name {
            type Err = Violation;
            fn from_str(name: &str) -> Result<Self, Violation> {
                match name {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(Violation::new("unknown_value", format!("must be one of {}", Self::NAMES.join(", ")))),
                }
            }
        }
    };
}
pub(crate) use names;
