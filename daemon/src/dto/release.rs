//! Builds and releases.

use std::collections::BTreeMap;

use deis_core::{
    AppName, BuildSpec, ProcessType,
    model::{Artifact, Build, BuildId, BuildSource, ConfigId, GitSource, Outcome, Username},
    service::ReleaseInfo,
};
use serde::Serialize;
use uuid::Uuid;

use super::app::commands;

/// A build.
#[derive(Debug, Serialize)]
pub(crate) struct BuildDto {
    owner: Username,
    app: AppName,
    image: String,
    sha: String,
    procfile: BTreeMap<ProcessType, String>,
    dockerfile: String,
    created: String,
    updated: String,
    uuid: BuildId,
}

impl BuildDto {
    pub(crate) fn new(app: &AppName, build: Build) -> Self {
        let BuildSpec { source, artifact, processes, .. } = build.spec;
        let image = match (&source, &artifact) {
            (BuildSource::Image { reference }, _) => reference.clone(),
            (_, Artifact::Image { name, .. }) => name.clone(),
            (_, artifact) => artifact.digest().to_string(),
        };
        let git = match source {
            BuildSource::Buildpack(git) | BuildSource::Dockerfile(git) => git,
            BuildSource::Image { .. } => GitSource::default(),
        };
        Self {
            owner: build.owner,
            app: app.clone(),
            image,
            sha: git.commit.unwrap_or_default(),
            procfile: commands(processes),
            dockerfile: String::new(),
            created: build.created.to_rfc3339(),
            updated: build.created.to_rfc3339(),
            uuid: build.id,
        }
    }
}

/// A release.
#[derive(Debug, Serialize)]
pub(crate) struct ReleaseDto {
    uuid: Uuid,
    app: AppName,
    owner: Username,
    created: String,
    updated: String,
    version: u32,
    summary: String,
    failed: bool,
    exception: Option<String>,
    config: ConfigId,
    build: Option<BuildId>,
}

impl ReleaseDto {
    pub(crate) fn new(app: &AppName, info: ReleaseInfo) -> Self {
        let ReleaseInfo { release, outcome } = info;
        let ended = match &outcome {
            Some(Outcome::Succeeded { at } | Outcome::Failed { at, .. } | Outcome::Superseded { at, .. }) => {
                *at
            }
            None => release.created,
        };
        let exception = match &outcome {
            Some(Outcome::Failed { cause, .. }) => Some(format!("error: (app::deploy): {cause}")),
            _ => None,
        };
        let failed = exception.is_some();
        Self {
            uuid: release.uuid,
            app: app.clone(),
            owner: release.owner,
            created: release.created.to_rfc3339(),
            updated: ended.to_rfc3339(),
            version: release.version.0,
            summary: if failed { release.failed_summary } else { release.summary },
            failed,
            exception,
            config: release.config,
            build: release.build,
        }
    }
}
