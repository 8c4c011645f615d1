//! An app and the head record that orders all its changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    AppName, AppRef, AppUid, Command, ConfigId, Generation, PlatformId, ProcessType, ReleaseVersion,
    Timestamp, Username,
};

/// An app, as created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// This life of the app.
    pub uid: AppUid,
    /// Who owns it.
    pub owner: Username,
    /// When it was created.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// What lists show of it, and where its next change starts.
    pub summary: AppSummary,
}

/// What lists show of an app beside its name: kept in the app's own record, so that a list reads nothing else, and
/// written in each batch that changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSummary {
    /// Whether it is being destroyed.
    pub state: AppStatus,
    /// Wanted processes.
    pub structure: BTreeMap<ProcessType, u32>,
    /// The release that serves.
    pub live: ReleaseRef,
    /// The one that is on its way and goes forward.
    pub next: Option<ReleaseRef>,
}

impl AppSummary {
    /// The newest release that did not fail, be it still on its way: the next one starts from it.
    pub fn current(&self) -> &ReleaseRef {
        self.next.as_ref().unwrap_or(&self.live)
    }
}

/// A release as other records refer to it: enough to read it with its build and config in one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// Its number.
    pub version: ReleaseVersion,
    /// Its config.
    pub config: ConfigId,
    /// The number of its build.
    pub build: Option<u32>,
    /// Commands of its build by process type.
    pub processes: BTreeMap<ProcessType, Command>,
    /// The process types that its build can run.
    pub types: BTreeSet<ProcessType>,
}

impl App {
    /// The app as back ends know it.
    pub fn reference(&self) -> AppRef {
        AppRef { name: self.name.clone(), uid: self.uid }
    }
}

/// The one record that every change of an app guards, so that its history is linear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The life of the app.
    pub uid: AppUid,
    /// Newest release, failed or not.
    pub latest: ReleaseVersion,
    /// The release that serves; `None` before any release with a build or without a rollout became live.
    pub live: Option<ReleaseVersion>,
    /// `g` of the newest rollout; the next one starts three higher.
    pub generation: Generation,
    /// Counter of route changes outside rollouts.
    pub routes: u64,
    /// Number of builds recorded.
    pub builds: u32,
    /// Number of the newest build run.
    pub attempts: u64,
    /// Whether the app is being destroyed.
    pub state: AppStatus,
}

/// Whether an app takes changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppStatus {
    /// It lives.
    Active,
    /// It is being removed; its name is taken until that is done.
    Destroying,
}

/// What is left of an app that was destroyed: the proof that whatever a back end still has of it may be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The name that it had.
    pub app: AppName,
    /// When its last records were deleted.
    pub at: Timestamp,
}

/// What the store knows of the platform itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformRecord {
    /// Which platform this ledger is of.
    pub id: PlatformId,
}
