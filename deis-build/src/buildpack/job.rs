//! What a build's process is told, and what it answers: two files between it and whoever runs it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use deis_core::{Digest, ProcessType};
use serde::{Deserialize, Serialize};

/// What to build, where.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The build's own folder.
    pub(crate) work: PathBuf,
    /// Kept between builds of an app.
    pub(crate) cache: PathBuf,
    /// Config of the app, which buildpacks read as files.
    pub(crate) config: BTreeMap<String, String>,
    /// Environment of the scripts.
    pub(crate) env: BTreeMap<String, String>,
    /// Buildpacks to try, in order.
    pub(crate) buildpacks: Vec<PathBuf>,
    /// A buildpack to fetch instead: URL and reference.
    pub(crate) fetch: Option<(String, Option<String>)>,
}

impl Job {
    /// Where the source is, and the built app after it.
    pub(crate) fn root(work: &Path) -> PathBuf {
        work.join("app")
    }

    /// Where the build's temporary files are: they go with it.
    pub(crate) fn scratch(work: &Path) -> PathBuf {
        work.join("tmp")
    }

    /// Where the packed slug is put.
    pub(crate) fn slug(work: &Path) -> PathBuf {
        work.join("slug.tar.zst")
    }

    /// Where the result is put.
    pub(crate) fn result(work: &Path) -> PathBuf {
        work.join("result.json")
    }
}

/// What came of a build.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Built { digest: Digest, processes: BTreeMap<ProcessType, String>, has_procfile: bool },
    NoMatch { tried: Vec<(String, String)> },
    Failed { step: String, exit: Option<i32> },
    Refused { reason: String },
}
