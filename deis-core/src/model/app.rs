//! An app and the head record that orders all its changes.

use serde::{Deserialize, Serialize};

use super::{AppName, AppRef, AppUid, Generation, PlatformId, ReleaseVersion, Timestamp, Username};

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
