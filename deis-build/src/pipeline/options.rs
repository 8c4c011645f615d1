//! How builds are run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::buildpack::job::BuildLimits;

/// How builds are run, and how much each may use up.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Folder for work in progress and caches.
    pub folder: PathBuf,
    /// The operator's buildpacks, tried in the order of their names before the embedded ones.
    pub buildpacks: Option<PathBuf>,
    /// Environment of every build besides what the contract names: `PATH`, proxies, certificates.
    pub env: BTreeMap<String, String>,
    /// URL schemes that a `BUILDPACK_URL` may have.
    pub schemes: Vec<String>,
    /// Longest build.
    pub limit: Duration,
    /// Largest cache of an app that is kept, in bytes on disk.
    pub max_cache_bytes: u64,
    /// Bytes on disk that a build may use for the app, its cache and temporary files together; more ends it.
    pub max_build_bytes: u64,
    /// Files, folders and links that it may make; more ends it.
    pub max_build_entries: u64,
    /// Bytes that its scripts may print; more ends it.
    pub max_output_bytes: u64,
    /// Bytes of all files of the built app.
    pub max_app_bytes: u64,
    /// Bytes of the packed slug.
    pub max_slug_bytes: u64,
}

impl PipelineOptions {
    /// Builds below `folder`, with https buildpacks only, for 15 minutes at most. The runner must have
    /// [`Tool::Builder`](deis_core::model::Tool::Builder): this very executable called by
    /// [`driver::NAME`](crate::driver::NAME), or another one that calls
    /// [`driver::run_if_asked`](crate::driver::run_if_asked). It must tell that program where its depot is, in the
    /// variable [`DEPOT`](crate::DEPOT), below [`PipelineOptions::depots_of`].
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let limits = BuildLimits::default();
        Self {
            folder: folder.into(),
            buildpacks: None,
            env: BTreeMap::new(),
            schemes: vec!["https".to_owned()],
            limit: Duration::from_secs(900),
            max_cache_bytes: 2 << 30,
            max_build_bytes: limits.folder_bytes,
            max_build_entries: limits.folder_entries,
            max_output_bytes: limits.output_bytes,
            max_app_bytes: limits.slug.unpacked_bytes,
            max_slug_bytes: limits.slug.packed_bytes,
        }
    }

    /// Where the depots of builds below `folder` are, each in `<app uid>/<attempt>`.
    pub fn depots_of(folder: &Path) -> PathBuf {
        folder.join(super::DEPOTS)
    }

    pub(super) fn limits(&self) -> BuildLimits {
        let mut limits = BuildLimits {
            folder_bytes: self.max_build_bytes,
            folder_entries: self.max_build_entries,
            output_bytes: self.max_output_bytes,
            ..BuildLimits::default()
        };
        // No more than what is unpacked again.
        limits.slug.unpacked_bytes = self.max_app_bytes.min(limits.slug.unpacked_bytes);
        limits.slug.packed_bytes = self.max_slug_bytes.min(limits.slug.packed_bytes);
        limits
    }
}
