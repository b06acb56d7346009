//! Ids of sixteen bytes that are written as hexadecimal digits, behind a word that says of what they are.

/// Gives a type of sixteen bytes its text: the prefix and thirty-two digits in lower case, and no other spelling.
macro_rules! hex_id {
    ($id:ident, $error:ident, $prefix:literal) => {
        impl ::std::fmt::Display for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), u128::from_be_bytes(self.0))
            }
        }

        impl ::std::fmt::Debug for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }

        impl ::std::str::FromStr for $id {
            type Err = $error;
            /// Takes the one spelling that `Display` writes.
            fn from_str(text: &str) -> Result<Self, $error> {
                let digits = text.strip_prefix($prefix).ok_or($error)?;
                let id = u128::from_str_radix(digits, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| $error)?;
                if id.to_string() == text { Ok(id) } else { Err($error) }
            }
        }

        impl TryFrom<String> for $id {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }
    };
}

pub(crate) use hex_id;
