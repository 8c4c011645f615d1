//! Builds: what a push or an image became, immutable once recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BuildId, Digest, ProcessType, Timestamp, Username};

/// How a build came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BuildKind {
    /// Source turned into a slug by buildpacks.
    Buildpack,
    /// Source turned into an image by its Dockerfile.
    Dockerfile,
    /// An image as given.
    Image,
}

/// The bytes that run, pinned by digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Artifact {
    /// A `tar.zst` of a built app.
    Slug {
        /// Digest of the compressed archive.
        digest: Digest,
    },
}

impl Artifact {
    /// The digest that pins it.
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Slug { digest } => digest,
        }
    }
}

/// A recorded build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Identity.
    pub id: BuildId,
    /// Position among the app's builds, from 1.
    pub seq: u32,
    /// Who made it.
    pub owner: Username,
    /// When it was recorded.
    pub created: Timestamp,
    /// What was built, without identity.
    pub spec: BuildSpec,
}

/// What a caller hands in to be deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// How it was made.
    pub kind: BuildKind,
    /// The bytes that run.
    pub artifact: Artifact,
    /// Full commit id of the source, if it has one (40 hex digits).
    pub sha: Option<String>,
    /// Full name of the ref by which the source came; `None` if it did not come by a push, or before this was kept.
    #[serde(default)]
    pub branch: Option<String>,
    /// Name of the image as shown by the API; empty for slugs.
    #[serde(default)]
    pub image: String,
    /// Commands by process type: the Procfile over the buildpack's defaults.
    pub processes: BTreeMap<ProcessType, String>,
    /// Whether the source itself had a Procfile (contract 5.4 treats builds without one differently).
    #[serde(default)]
    pub has_procfile: bool,
    /// Key under which the same source with the same builder need not be built again.
    #[serde(default)]
    pub key: Option<Digest>,
}

impl BuildSpec {
    /// A buildpack build of a slug with these processes.
    pub fn slug(digest: Digest, processes: BTreeMap<ProcessType, String>) -> Self {
        Self {
            kind: BuildKind::Buildpack,
            artifact: Artifact::Slug { digest },
            sha: None,
            branch: None,
            image: String::new(),
            processes,
            has_procfile: true,
            key: None,
        }
    }
}
