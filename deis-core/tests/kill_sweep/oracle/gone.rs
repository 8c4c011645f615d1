//! After a destruction nothing is left, and the name made anew starts from nothing.

use deis_core::{
    ReleaseVersion,
    conformance::faults::Fuse,
    port::{Scan, StoreExt as _},
};

use super::records::Records;
use crate::{
    actions::{Action, TestBuild},
    harness::{Harness, actor, app},
};

pub(super) async fn check(harness: &Harness) -> Result<(), String> {
    let left = harness.store.scan(&Scan::prefix("")).await.map_err(|e| e.to_string())?;
    let left: Vec<_> = left.iter().map(|r| r.key.as_str()).collect();
    let (gone, left): (Vec<_>, Vec<_>) =
        left.into_iter().filter(|key| !key.starts_with("event/-/")).partition(|key| key.starts_with("gone/"));
    if gone.len() != 1 {
        return Err(format!("one app was destroyed, and this says so: {gone:?}"));
    }
    if !left.is_empty() {
        return Err(format!("the app is gone, and these records are not: {left:?}"));
    }
    if harness.world.routes(&app()).is_some() || !harness.world.instances(&app()).is_empty() {
        return Err("the app is gone, what it ran or routed is not".to_owned());
    }
    made_anew(harness.fork()).await.map_err(|e| format!("made anew: {e}"))
}

/// The name is free: an app made anew has its own first release and takes a build.
async fn made_anew(mut harness: Harness) -> Result<(), String> {
    harness.history.clear();
    let platform = harness.platform(&Fuse::never());
    platform.session(actor()).create_app(app()).await.map_err(|e| e.to_string())?;
    harness.drive(&platform, || Ok(())).await?;
    let records = Records::read(&harness).await?.ok_or("it is not there")?;
    if records.releases.len() != 1 || records.live != Some(ReleaseVersion(1)) || records.domains.len() != 1 {
        return Err("something is inherited".to_owned());
    }
    harness.attempt(&platform, Action::Deploy(TestBuild::Good)).await;
    harness.drive(&platform, || Ok(())).await?;
    let way = super::Way { died: false, rested: true };
    Box::pin(super::judge(&harness, way)).await
}
