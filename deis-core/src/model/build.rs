//! Builds: what a push or an image became, immutable once recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BuildId, Command, Digest, ProcessType, Timestamp, Username};

/// The ways to a build. When an app changes from one to another, nothing is wanted any more of its `web` and `cmd`, and
/// the default structure is started again.
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
    /// A container image.
    Image {
        /// Registry and repository, without tag or digest (`registry.example.com/team/blog`).
        name: String,
        /// Digest of its manifest.
        digest: Digest,
        /// The first port that it exposes; a `PORT` of the config wins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
}

impl Artifact {
    /// The digest that pins it.
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Slug { digest } | Self::Image { digest, .. } => digest,
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

/// What a build was made of, with what only that way of making has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum BuildSource {
    /// Source that buildpacks turned into what runs.
    Buildpack(GitSource),
    /// Source that its Dockerfile turned into an image.
    Dockerfile(GitSource),
    /// An image that somebody named.
    Image {
        /// The name as given, tag included.
        reference: String,
    },
}

/// Which source was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSource {
    /// Full id of the commit (40 hex digits); callers of the API may give a shorter one, or none.
    pub commit: Option<String>,
    /// Full name of the ref by which it was pushed; `None` if it did not come by a push.
    pub branch: Option<String>,
}

/// What a caller hands in to be deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// What it was made of.
    pub source: BuildSource,
    /// The bytes that run.
    pub artifact: Artifact,
    /// Commands by process type: the Procfile over the buildpack's defaults.
    pub processes: BTreeMap<ProcessType, Command>,
    /// Whether the source itself had a Procfile; without one all processes are those that its buildpack suggests.
    #[serde(default)]
    pub has_procfile: bool,
    /// Key under which the same source with the same builder need not be built again.
    #[serde(default)]
    pub key: Option<Digest>,
}

impl BuildSpec {
    /// A buildpack build of a slug with these processes, whose commands a shell reads.
    pub fn slug(digest: Digest, processes: BTreeMap<ProcessType, String>) -> Self {
        Self {
            source: BuildSource::Buildpack(GitSource::default()),
            artifact: Artifact::Slug { digest },
            processes: processes.into_iter().map(|(p, line)| (p, Command::Shell(line))).collect(),
            has_procfile: true,
            key: None,
        }
    }

    /// How it came to be.
    pub fn kind(&self) -> BuildKind {
        match self.source {
            BuildSource::Buildpack(_) => BuildKind::Buildpack,
            BuildSource::Dockerfile(_) => BuildKind::Dockerfile,
            BuildSource::Image { .. } => BuildKind::Image,
        }
    }

    /// Which source was built; `None` for an image that somebody named.
    pub fn git(&self) -> Option<&GitSource> {
        match &self.source {
            BuildSource::Buildpack(git) | BuildSource::Dockerfile(git) => Some(git),
            BuildSource::Image { .. } => None,
        }
    }

    /// Id of the commit that was built, if it is known.
    pub fn commit(&self) -> Option<&str> {
        self.git()?.commit.as_deref()
    }

    /// Full name of the ref by which it was pushed.
    pub fn branch(&self) -> Option<&str> {
        self.git()?.branch.as_deref()
    }
}
