//! `deisd down`: stops the daemon of a data folder and all apps.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    compose::{StartError, stop_apps},
    datadir::{DataDir, DataDirError},
    settings::Settings,
};

/// Stops the daemon of the data folder, if one runs, and then all apps.
pub(crate) async fn down(settings: &Settings) -> Result<(), StartError> {
    if !DataDir::exists(&settings.data) {
        println!("There is nothing at {}.", settings.data.display());
        return Ok(());
    }
    let data = match DataDir::open(&settings.data) {
        Err(DataDirError::InUse { pid, path }) => {
            println!("Stopping the daemon (pid {pid})...");
            let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = process.map(|p| kill_process(p, Signal::TERM));
            wait_for(&path, pid).await?
        }
        other => other?,
    };
    let stopped = stop_apps(&data).await?;
    match stopped.len() {
        0 => println!("No app was running."),
        n => println!("Stopped {n} app{}.", if n == 1 { "" } else { "s" }),
    }
    Ok(())
}

async fn wait_for(path: &std::path::Path, pid: u32) -> Result<DataDir, StartError> {
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match DataDir::open(path) {
            Err(DataDirError::InUse { .. }) => {}
            other => return Ok(other?),
        }
    }
    Err(DataDirError::InUse { path: path.to_path_buf(), pid }.into())
}
