//! After a destruction nothing is left, and the name made anew starts from nothing.

use deis_core::{
    ReleaseVersion,
    conformance::faults::Fuse,
    port::{Scan, StoreExt as _},
};

use super::records::Records;
use crate::{
    bench::{Bench, actor, app},
    deeds::{Deed, Kit},
};

pub(super) async fn check(bench: &Bench) -> Result<(), String> {
    let left = bench.store.scan(&Scan::prefix("")).await.map_err(|e| e.to_string())?;
    let left: Vec<_> = left.iter().map(|r| r.key.as_str()).filter(|k| !k.starts_with("event/-/")).collect();
    if !left.is_empty() {
        return Err(format!("the app is gone, and these records are not: {left:?}"));
    }
    if bench.world.routes(&app()).is_some() || !bench.world.instances(&app()).is_empty() {
        return Err("the app is gone, what it ran or routed is not".to_owned());
    }
    made_anew(bench.fork()).await.map_err(|e| format!("made anew: {e}"))
}

/// The name is free: an app made anew has its own first release and takes a build.
async fn made_anew(mut bench: Bench) -> Result<(), String> {
    bench.history.clear();
    let platform = bench.platform(&Fuse::never());
    platform.session(actor()).create_app(app()).await.map_err(|e| e.to_string())?;
    bench.drive(&platform, || Ok(())).await?;
    let records = Records::read(&bench).await?.ok_or("it is not there")?;
    if records.releases.len() != 1 || records.live != Some(ReleaseVersion(1)) || records.domains.len() != 1 {
        return Err("something is inherited".to_owned());
    }
    bench.attempt(&platform, Deed::Deploy(Kit::Good)).await;
    bench.drive(&platform, || Ok(())).await?;
    let way = super::Way { died: false, rested: true };
    Box::pin(super::judge(&bench, way)).await
}
