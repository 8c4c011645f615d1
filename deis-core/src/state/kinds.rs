//! All kinds of record, one a line. A kind without kept examples in `tests/fixtures` fails the test below.

use serde_json::Value;

use super::{envelope::StoredKind, events::EventCursor};
use crate::model::{
    App, Build, BuildRun, Config, Digest, Domain, Event, Formation, Gone, Grant, Head, Outcome,
    PlatformRecord, Push, Release, Rollout, RolloutEnd, SshKey, User, Username, Workload, Zone,
};

/// Says of which kind the values of a type are. The second form is for a kind that has had other versions.
macro_rules! kinds {
    ($($kind:literal => $value:ty $(, $version:literal $upgrade:path)?;)*) => {
        $(impl StoredKind for $value {
            const KIND: &'static str = $kind;
            const VERSION: u32 = kinds!(@version $($version)?);

            fn upgrade(from: u32, data: Value) -> Result<Value, String> {
                kinds!(@upgrade $($upgrade)?)(from, data)
            }
        })*

        #[cfg(test)]
        const KINDS: &[tests::Kind] = &[$(tests::Kind::of::<$value>()),*];
    };
    (@version) => { 1 };
    (@version $version:literal) => { $version };
    (@upgrade) => { never };
    (@upgrade $upgrade:path) => { $upgrade };
}

fn never(from: u32, _: Value) -> Result<Value, String> {
    Err(format!("there was no version {from}"))
}

kinds! {
    "app" => App;
    "head" => Head;
    "gone" => Gone;
    "platform" => PlatformRecord;
    "formation" => Formation;
    "workload" => Workload;
    "rollout" => Rollout;
    "rollout_end" => RolloutEnd;
    "release" => Release;
    "outcome" => Outcome;
    "config" => Config;
    "build" => Build;
    "build_number" => u32;
    "build_run" => BuildRun;
    "push" => Push;
    "event" => Event;
    "event_cursor" => EventCursor;
    "domain" => Domain;
    "zone" => Zone;
    "user" => User;
    "token_owner" => Username;
    "grant" => Grant;
    "admin_count" => u64;
    "ssh_key" => SshKey;
    "key_fingerprint" => Digest;
}

#[cfg(test)]
mod tests;
