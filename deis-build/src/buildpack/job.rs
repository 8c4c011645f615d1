//! What a builder is told, and what it answers. Neither names a place: those are in its depot.

use std::collections::{BTreeMap, BTreeSet};

use deis_core::{Digest, ProcessType};
use serde::{Deserialize, Serialize};

use crate::slug::SlugLimits;

/// Name that the program is called by (`argv[0]`) to be a build.
pub const NAME: &str = "deis-builder";

/// Exit code of a builder that could not even write its result, for lack of room.
pub(crate) const EXIT_DISK_FULL: i32 = 3;

/// What to build, and how.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Config of the app, which buildpacks read as files.
    pub(crate) config: BTreeMap<String, String>,
    /// Which variables of the builder's own environment its scripts have.
    pub(crate) env: BTreeSet<String>,
    /// A buildpack to fetch instead of choosing one: URL and reference.
    pub(crate) fetch: Option<(String, Option<String>)>,
    /// How much it may use up.
    pub(crate) limits: BuildLimits,
}

/// How much a build may use up before it is ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct BuildLimits {
    /// Bytes on disk of all that the build writes: app, cache, home and temporary files together.
    pub(crate) folder_bytes: u64,
    /// Their number: files, folders and links.
    pub(crate) folder_entries: u64,
    /// Bytes that its scripts may print.
    pub(crate) output_bytes: u64,
    /// Of what it leaves.
    pub(crate) slug: SlugLimits,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            folder_bytes: 12 << 30,
            folder_entries: 2_000_000,
            output_bytes: 64 << 20,
            slug: SlugLimits::default(),
        }
    }
}

/// What came of a build.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BuildResult {
    Built(Built),
    NoMatch {
        tried: Vec<(String, String)>,
    },
    Failed {
        step: String,
        exit: Option<i32>,
    },
    Refused {
        reason: String,
    },
    /// There is no room for what the build writes.
    DiskFull,
}

/// What a build left; also what is remembered under a build key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    /// Of the slug.
    pub(crate) digest: Digest,
    /// Commands by process type.
    pub(crate) processes: BTreeMap<ProcessType, String>,
    /// Whether the source has a Procfile of its own.
    pub(crate) has_procfile: bool,
}
