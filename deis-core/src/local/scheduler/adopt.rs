//! Instances that an earlier platform process left: those that run are adopted, the rest is tidied.

use std::{
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    local::{
        process::orphans::{self, stop_holder},
        run_dir::{
            cleanup::{port_of_ended, tidy},
            format::{app_of, subfolders},
            lock,
            record::{EndRecord, Found, InstanceIdentity, InstanceRecord},
        },
        tree::remove_tree,
    },
    model::{AppUid, Timestamp},
};

/// A supervising process that has not said what it runs for so long is stopped.
const STATE_WAIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// What was found of instances.
#[derive(Debug, Default)]
pub(super) struct FoundInstances {
    /// Those whose shim lives.
    pub(super) living: Vec<InstanceRecord>,
    /// Ports of those that ended, and when.
    pub(super) ended: Vec<(u16, Timestamp)>,
}

/// Looks at all instances below `run_dir`. Blocks.
///
/// Nothing is stopped here because nobody knows its app: whether that was destroyed, the ledger alone can say, and the
/// sweep for orphans asks it. What a later version of the program wrote is left as it is.
pub(super) fn scan(run_dir: &Path) -> io::Result<FoundInstances> {
    let mut found = FoundInstances::default();
    for app in subfolders(run_dir)? {
        let Some(uid) = app_of(&app) else { continue };
        for instance in subfolders(&app)? {
            match look_at(&instance, uid) {
                Ok(Some(record)) => found.living.push(record),
                Ok(None) => found.ended.extend(port_of_ended(&instance)),
                // Nobody lives there, and one folder is no reason for all apps to stay down.
                Err(error) => cannot_tidy(&instance, &error),
            }
        }
        if let Err(error) = tidy(&app) {
            cannot_tidy(&app, &error);
        }
    }
    Ok(found)
}

fn look_at(instance: &Path, app: AppUid) -> io::Result<Option<InstanceRecord>> {
    loop {
        let begun = Instant::now();
        while lock::is_held(instance) {
            match InstanceRecord::read(instance) {
                Found::Known(record) if record.identity.app.uid != app => return Ok(leave(instance)),
                Found::OtherVersion => return Ok(leave(instance)),
                Found::Known(record) if record.shim.exists() => return Ok(Some(record)),
                _ if begun.elapsed() > STATE_WAIT => {
                    let grace = InstanceIdentity::read(instance).map_or(0, |identity| identity.grace_seconds);
                    stop_holder(instance, Duration::from_secs(u64::from(grace)));
                    if lock::is_held(instance) {
                        tracing::warn!(folder = %instance.display(), "its supervising process cannot be killed");
                        return Ok(None);
                    }
                }
                _ => thread::sleep(LOOK),
            }
        }
        if EndRecord::read(instance).is_some() {
            return Ok(None);
        }
        // A supervising process that was started last may be about to come to life.
        let Some(_lock) = lock::claim(instance)? else { continue };
        match InstanceRecord::read(instance) {
            Found::OtherVersion => return Ok(leave(instance)),
            Found::Known(record) => drop(orphans::end_instance(instance, Some(record.main))?),
            Found::None => {
                // It never came to run: the process before this one was killed while it made the folder.
                orphans::end_unrecorded(instance);
                remove_tree(instance)?;
            }
        }
        return Ok(None);
    }
}

/// As on a disk that is full; it is tried again at the next start.
fn cannot_tidy(folder: &Path, error: &io::Error) {
    tracing::warn!(folder = %folder.display(), %error, "what is left of an instance cannot be tidied");
}

/// Whoever wrote this may know what it is good for.
fn leave(instance: &Path) -> Option<InstanceRecord> {
    tracing::warn!(folder = %instance.display(), "an instance that this version does not know is left alone");
    None
}
