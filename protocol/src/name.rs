//! Names and labels that people give to things.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bincode::de::Decoder;
use bincode::error::DecodeError;
use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::limits::{LABEL_LEN_MAX, LABELS_BYTES_MAX, LABELS_MAX, NAME_LEN_MAX};

/// A DNS label: 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end
/// (RFC 1123 section 2.1). Safe as a file name, host name, XML text and URL path segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
pub struct Name(String);

/// Text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name needs at least one character")]
    Empty,
    #[error("a name has at most {NAME_LEN_MAX} characters, not {0}")]
    TooLong(usize),
    #[error("a name has lower-case letters, digits and inner hyphens only, not {0:?}")]
    BadCharacter(char),
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: String) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong(text.chars().count()));
        }
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(bad) = text.chars().find(|c| !inner(*c)) {
            return Err(NameError::BadCharacter(bad));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::BadCharacter('-'));
        }
        Ok(Self(text))
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text.to_owned())
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<C> Decode<C> for Name {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let text = String::decode(decoder)?;
        Self::parse(text).map_err(|error| DecodeError::OtherString(error.to_string()))
    }
}
bincode::impl_borrow_decode!(Name);

/// Key and value pairs that placement and people select by; sorted by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = BTreeMap<String, String>))]
pub struct Labels(BTreeMap<String, String>);

/// Text that cannot be a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("an object has at most {LABELS_MAX} labels, not {0}")]
    TooMany(usize),
    #[error(
        "a label's key has 1 to {LABEL_LEN_MAX} letters, digits, `-`, `_`, `.` or `/`, not {0:?}"
    )]
    BadKey(String),
    #[error(
        "a label's value has at most {LABEL_LEN_MAX} letters, digits, `-`, `_`, `.`, `/` or `:`, not {0:?}"
    )]
    BadValue(String),
    #[error("an object's labels have at most {LABELS_BYTES_MAX} characters together, not {0}")]
    TooLong(usize),
    #[error("a label is written key=value, not {0:?}")]
    NoEquals(String),
}

impl Labels {
    pub fn parse(pairs: BTreeMap<String, String>) -> Result<Self, LabelError> {
        if pairs.len() > LABELS_MAX {
            return Err(LabelError::TooMany(pairs.len()));
        }
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > LABELS_BYTES_MAX {
            return Err(LabelError::TooLong(bytes));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        for (key, value) in &pairs {
            if key.is_empty() || key.len() > LABEL_LEN_MAX || !key.chars().all(plain) {
                return Err(LabelError::BadKey(key.chars().take(64).collect()));
            }
            if value.len() > LABEL_LEN_MAX || !value.chars().all(|c| plain(c) || c == ':') {
                return Err(LabelError::BadValue(value.chars().take(64).collect()));
            }
        }
        Ok(Self(pairs))
    }

    /// Labels from `key=value` texts, as on the command line.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = &'a str>) -> Result<Self, LabelError> {
        let split = |pair: &str| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(LabelError::NoEquals(pair.chars().take(64).collect())),
        };
        Self::parse(pairs.into_iter().map(split).collect::<Result<_, _>>()?)
    }

    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of `self`'s pairs that `other` lacks, or `None` when `other` has them all.
    pub fn first_missing_in(&self, other: &Self) -> Option<(&str, &str)> {
        self.iter().find(|(key, value)| other.value(key) != Some(value))
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = LabelError;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, LabelError> {
        Self::parse(pairs)
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{key}={value}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl<C> Decode<C> for Labels {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let pairs = BTreeMap::decode(decoder)?;
        Self::parse(pairs).map_err(|error| DecodeError::OtherString(error.to_string()))
    }
}
bincode::impl_borrow_decode!(Labels);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "web1", "a-b", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "a-", "Web", "a_b", "a/b", "../x", "a b", "ä", "a\0", &"x".repeat(64)]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_refuse_what_a_selector_could_not_read() {
        assert!(Labels::from_pairs(["zone=a", "rack/row=3"]).is_ok());
        for bad in ["zone", "=a", "zo ne=a", "zone=<x>"] {
            assert!(Labels::from_pairs([bad]).is_err(), "{bad}");
        }
    }
}
