//! Names of apps.

use std::fmt;

/// Longest name, in bytes: it is a label of a host name.
const MAX_LENGTH: usize = 63;

/// A well-formed name of an app. Anything else would lead elsewhere in a URL; the rule is the controller's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AppName(String);

/// A text that can be no name of an app.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("app name {value:?} is not valid: {reason}")]
pub(crate) struct InvalidAppName {
    value: String,
    reason: &'static str,
}

impl AppName {
    /// Checks a text and wraps it.
    pub(crate) fn new(value: impl Into<String>) -> Result<Self, InvalidAppName> {
        let value = value.into();
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let reason = if value.is_empty() {
            "it must not be empty"
        } else if value.len() > MAX_LENGTH {
            "it must not be longer than 63 characters"
        } else if !value.starts_with(|c: char| c.is_ascii_lowercase()) {
            "it must start with a lower-case letter"
        } else if !value.bytes().all(is_allowed) {
            "only lower-case letters, digits and hyphens are allowed"
        } else if value.ends_with('-') {
            "it must not end with a hyphen"
        } else {
            return Ok(Self(value));
        };
        Err(InvalidAppName { value, reason })
    }

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_are_dns_labels() {
        for good in ["a", "blue-whale", "a1", "x--y"] {
            assert_eq!(AppName::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", "1a", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "ä", "a\n", long.as_str()] {
            assert!(AppName::new(bad).is_err(), "{bad:?}");
        }
    }
}
