//! Validated names: a value of one of these types is known to be well formed, everywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::shown;

/// A text that is not a valid name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} \"{}\" is not valid: {reason}", shown(.value))]
pub struct InvalidName {
    /// What was to be named, in words ("app name").
    pub kind: &'static str,
    /// The rejected text.
    pub value: String,
    /// The rule it breaks, as a sentence part ("it must start with a lower-case letter").
    pub reason: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `value` byte by byte and wraps it.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule it breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(&value) {
                    Ok(()) => Ok(Self(value)),
                    Err(reason) => Err(InvalidName { kind: $kind, value, reason }),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// Name of an app: a DNS label that starts with a letter, at most 63 characters.
    ///
    /// ```
    /// use deis_core::AppName;
    /// assert!(AppName::new("blue-whale").is_ok());
    /// assert!(AppName::new("Blue").is_err());
    /// ```
    AppName, "app name", |value| {
        check_length(value, 63)?;
        if !value.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err("it must start with a lower-case letter");
        }
        if !value.bytes().all(is_label_byte) {
            return Err("only lower-case letters, digits and hyphens are allowed");
        }
        if value.ends_with('-') { Err("it must not end with a hyphen") } else { Ok(()) }
    }
);

name_type!(
    /// Name of a process type, as in the first column of a Procfile: `web`, `worker`, `mail-queue`.
    ProcessType, "process type", |value| {
        check_length(value, 63)?;
        if !value.bytes().all(is_label_byte) {
            return Err("only lower-case letters, digits and single hyphens inside are allowed");
        }
        if value.split('-').any(str::is_empty) {
            return Err("a hyphen must stand between letters or digits");
        }
        Ok(())
    }
);

name_type!(
    /// A domain in its ASCII form: `www.example.com`, `*.example.com`, or a single label, which means
    /// "under the platform's domain". Conversion from Unicode is the caller's business.
    DomainName, "domain", |value| {
        check_length(value, 253)?;
        let rest = value.strip_prefix("*.").unwrap_or(value);
        for label in rest.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err("each label must have 1 to 63 characters");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err("labels hold letters, digits and hyphens");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err("a label must not start or end with a hyphen");
            }
        }
        let last = rest.rsplit('.').next().unwrap_or(rest);
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err("the last label must not be a number");
        }
        Ok(())
    }
);

name_type!(
    /// Name of a user: letters and digits of any script and `@ . + - _`, at most 150 characters.
    Username, "username", |value| {
        if value.is_empty() {
            return Err("it must not be empty");
        }
        if value.chars().count() > 150 {
            return Err("it must not be longer than 150 characters");
        }
        if value.chars().all(|c| c.is_alphanumeric() || "@.+-_".contains(c)) {
            Ok(())
        } else {
            Err("only letters, digits and @ . + - _ are allowed")
        }
    }
);

name_type!(
    /// Name of an environment variable.
    EnvKey, "config key", |value| {
        check_length(value, 256)?;
        if value.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("it must start with a letter or an underscore");
        }
        if value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Ok(())
        } else {
            Err("only letters, digits and underscores are allowed")
        }
    }
);

name_type!(
    /// Name of one running instance, unique on its platform: `<app>-<type>-<digits>-<5 characters>`.
    InstanceName, "instance name", |value| {
        check_length(value, 160)?;
        if value.bytes().all(is_label_byte) { Ok(()) } else { Err("only lower-case letters, digits and hyphens are allowed") }
    }
);

name_type!(
    /// Name of a task within its app: `release-v4`, `build-1f3a…`, `run-x7k2p`.
    TaskName, "task name", |value| {
        check_length(value, 100)?;
        if value.bytes().all(is_label_byte) { Ok(()) } else { Err("only lower-case letters, digits and hyphens are allowed") }
    }
);

fn check_length(value: &str, most: usize) -> Result<(), &'static str> {
    match value.len() {
        0 => Err("it must not be empty"),
        n if n > most => Err("it is too long"),
        _ => Ok(()),
    }
}

fn is_label_byte(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
}

impl ProcessType {
    /// The process type that serves HTTP: `web`.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The type of an image's own command: `cmd`.
    pub fn cmd() -> Self {
        Self("cmd".to_owned())
    }

    /// Whether HTTP requests are routed to this type.
    pub fn is_routable(&self) -> bool {
        matches!(self.as_str(), "web" | "cmd")
    }
}

impl AppName {
    /// Whether it stands for something else wherever apps become namespaces or labels of hosts, whatever an operator
    /// allows: the namespaces that each cluster has, and the encoded form of names in other scripts.
    ///
    /// ```
    /// use deis_core::AppName;
    /// assert!(AppName::new("kube-system")?.is_taken_elsewhere());
    /// assert!(!AppName::new("kubernetes-docs")?.is_taken_elsewhere());
    /// # Ok::<(), deis_core::model::InvalidName>(())
    /// ```
    pub fn is_taken_elsewhere(&self) -> bool {
        self.0 == "default" || self.0.starts_with("kube-") || self.0.starts_with("xn--")
    }
}

impl DomainName {
    /// Whether it is a single label, which means a name under the platform's own domain.
    pub fn is_short(&self) -> bool {
        !self.0.contains('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_are_dns_labels() {
        for good in ["a", "blue-whale", "a1", "x--y"] {
            assert!(AppName::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "1a", "-a", "a-", "A", "a_b", "a.b", "ä", "a\n", long.as_str()] {
            assert!(AppName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn process_types_have_no_lonely_hyphens() {
        for good in ["web", "mail-queue", "1"] {
            assert!(ProcessType::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-web", "web-", "a--b", "Web", "a_b"] {
            assert!(ProcessType::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn domains_are_ascii_and_end_in_a_name() {
        for good in ["domain", "3com.com", "*.deis.example.com", "MYDOMAIN.NET", "autotest.127.0.0.1.xip.io"]
        {
            assert!(DomainName::new(good).is_ok(), "{good}");
        }
        for bad in ["*", "a.*.b", "a_b.com", "foo.1", "-a.com", "a..b", "*."] {
            assert!(DomainName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn serde_refuses_what_new_refuses() {
        assert!(serde_json::from_str::<EnvKey>("\"FOO-BAR\"").is_err());
        assert_eq!(serde_json::to_string(&EnvKey::new("_foo").unwrap()).unwrap(), "\"_foo\"");
    }
}
