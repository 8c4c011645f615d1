//! Numbers and identifiers that order things or tell them apart.

use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AppName;

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

number_type!(
    /// Number of a release within its app: 1, 2, 3 … without gaps, never reused. Prints as `v3`.
    ReleaseVersion(u32), "v{}"
);
number_type!(
    /// Fence of an app's desired state: rises with each change; a back end refuses an older one.
    /// It is never part of an instance's identity (that is [`TemplateId`]).
    Generation(u64), "{}"
);
number_type!(
    /// Fence of a task among those of its kind: of a release command the generation of the batch that created its
    /// release, of a build its number, of a one-off command 0.
    Attempt(u64), "{}"
);

impl Generation {
    /// Above every generation that a live app can have: the fence that removal leaves behind.
    pub const MAX: Self = Self(u64::MAX);

    /// The generation `n` after this one.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }
}

impl Attempt {
    /// Above every attempt of a live app.
    pub const MAX: Self = Self(u64::MAX);
}

macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

uuid_type!(
    /// Identity of one life of an app: an app destroyed and created anew has another one.
    AppUid
);
uuid_type!(
    /// Identity of a platform: what tells the objects of two platforms apart that share a back end. It is made with the
    /// store and lives as long as that.
    PlatformId
);
uuid_type!(
    /// Identity of a build.
    BuildId
);
uuid_type!(
    /// Identity of a config.
    ConfigId
);
impl ConfigId {
    /// A new one. Ids rise with time, so that the configs of an app that are read and written together stand side by side.
    pub(crate) fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

uuid_type!(
    /// Identity of a user, kept through everything but cancellation.
    UserId
);

/// An app as the back ends know it: the name that people use and the life it is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppRef {
    /// Name of the app.
    pub name: AppName,
    /// The life of the app under that name.
    pub uid: AppUid,
}

impl fmt::Display for AppRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// What makes two instances the same: a hash over release, process type and everything given to the process.
///
/// Computed by `plan::lower`, compared by convergence, adoption and `ps`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateId(pub String);

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment, in milliseconds since the Unix epoch, UTC.
///
/// Display and time zones are the caller's; nothing is ever ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment as `2026-11-24T12:00:00Z`.
    ///
    /// ```
    /// assert_eq!(deis_core::Timestamp(0).to_rfc3339(), "1970-01-01T00:00:00Z");
    /// ```
    pub fn to_rfc3339(self) -> String {
        let seconds = self.0.div_euclid(1000);
        let end = if seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(end);
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(0)).timestamp_to_string(&time)
    }
}

/// What a platform's clock makes of the time that its program asks for; before 1970 it is 1970.
///
/// ```
/// # #[allow(clippy::disallowed_methods)]
/// let now: deis_core::Timestamp = std::time::SystemTime::now().into();
/// ```
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn timestamps_read_as_dates() {
        assert_eq!(Timestamp(1_709_210_096_789).to_rfc3339(), "2024-02-29T12:34:56Z");
        assert_eq!(Timestamp(1_798_761_599_000).to_rfc3339(), "2026-12-31T23:59:59Z");
        assert_eq!(Timestamp(-1000).to_rfc3339(), "1969-12-31T23:59:59Z");
    }
}
