//! Build runs.

use deis_core::{AppName, Timestamp, model::BuildRun};
use serde::Serialize;

/// A build run.
#[derive(Debug, Serialize)]
pub(crate) struct BuildRunDto {
    number: u64,
    app: String,
    owner: String,
    sha: String,
    state: &'static str,
    created: String,
    ended: Option<String>,
    build: Option<String>,
    cause: Option<String>,
}

impl BuildRunDto {
    pub(crate) fn new(app: &AppName, run: BuildRun) -> Self {
        Self {
            number: run.attempt.0,
            app: app.to_string(),
            owner: run.by.to_string(),
            sha: run.sha,
            state: run.state.word(),
            created: run.since.to_rfc3339(),
            ended: run.ended.map(Timestamp::to_rfc3339),
            build: run.build.map(|id| id.to_string()),
            cause: run.cause,
        }
    }
}
