//! What must hold once everything rests: the invariants of the platform, judged by the records, by what runs and by
//! what those who asked were told.

mod effects;
mod gone;
mod ledger;
mod outcomes;
mod records;
mod shape;

use deis_core::{
    ChangeOutcome,
    conformance::faults::Fuse,
    port::{Batch, Store as _},
    service::Progress,
};

use self::{records::Records, shape::Fate};
use super::{
    actions::Action,
    harness::{Answer, Attempted, Harness, app},
};

/// What happened on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// A process died.
    pub(super) died: bool,
    /// Everything was at rest when the last attempt began.
    pub(super) rested: bool,
}

/// Judges everything that was attempted on `harness`.
pub(super) async fn judge(harness: &Harness, way: Way) -> Result<(), String> {
    let told = |wanted: fn(&Answer) -> bool| {
        harness.history.iter().any(|a| a.action == Action::Destroy && wanted(&a.answer))
    };
    let Some(records) = Records::read(harness).await? else {
        if told(|answer| !matches!(answer, Answer::Refused(_))) {
            return gone::check(harness).await;
        }
        return Err("the app is gone, and nobody asked for that".to_owned());
    };
    if told(|answer| matches!(answer, Answer::Acknowledged(_))) {
        return Err("an acknowledged destruction did not happen".to_owned());
    }
    let matched = ledger::check(&harness.history, &records)?;
    outcomes::check(harness, &records, way.died)?;
    let fates = fates(harness, &records, &matched)?;
    effects::check(harness, &records, &matched, &fates)?;
    if let Some(fate) = fates.last().filter(|_| way.rested) {
        effects::check_identity(harness, *fate)?;
    }
    quiet(harness).await
}

/// How each attempt ended, by what a caller who waits for it is told. That must be the truth.
fn fates(harness: &Harness, records: &Records, matched: &[Option<usize>]) -> Result<Vec<Fate>, String> {
    let fate = |(attempted, release): (&Attempted, &Option<usize>)| {
        let told = harness.told(attempted)?;
        match (release, told, &attempted.answer) {
            (Some(index), told, _) => outcomes::check_told(attempted, records, *index, told.as_ref()),
            (None, _, Answer::Unknown) if !attempted.action.makes_release() => Ok(Fate::Either),
            (None, Some(ChangeOutcome::Failed(_)) | None, _) => Ok(Fate::Undone),
            (None, Some(_), _) => Ok(Fate::InForce),
        }
    };
    harness.history.iter().zip(matched).map(fate).collect()
}

/// At rest nothing is written.
async fn quiet(harness: &Harness) -> Result<(), String> {
    let platform = harness.platform(&Fuse::never());
    let revision = async || harness.store.commit(Batch::default()).await.map_err(|e| e.to_string());
    let before = revision().await?;
    for _ in 0..3 {
        tokio::time::advance(std::time::Duration::from_secs(20)).await;
        let progress = platform.pass(&app()).await.map_err(|e| e.to_string())?;
        if progress != Progress::Idle || harness.world.tick() {
            return Err(format!("it rests and then does something: {progress:?}"));
        }
    }
    let after = revision().await?;
    if after.0 == before.0 + 1 { Ok(()) } else { Err("something is written at rest".to_owned()) }
}
