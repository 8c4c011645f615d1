//! What `deisd` does on its command line.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use deis_core::{AppRef, local::LocalScheduler, port::Scheduler as _};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{self, Args, Failure, Verb},
    compose::{Daemon, StartError, local_options, open, open_artifacts},
    datadir::{DataDir, DataDirError},
    quickstart,
    settings::{KNOWN, Settings},
    telemetry,
};

/// Runs `deisd` with these arguments.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let parsed = match args::parse(args) {
        Ok(parsed) => parsed,
        Err(Failure::Usage(error)) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
        Err(Failure::Setting(error)) => return fail(&error, 2),
        Err(Failure::NoHome) => {
            eprintln!("deisd: neither XDG_DATA_HOME nor HOME is set; name a data folder with --data");
            return ExitCode::from(2);
        }
    };
    let settings = match Settings::new(&parsed.values) {
        Ok(settings) => settings,
        Err(error) => return fail(&error, 2),
    };
    crate::tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let code = runtime.block_on(run(parsed, &settings));
    // Threads that wait for a client to send its pack must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

async fn run(args: Args, settings: &Settings) -> ExitCode {
    match args.verb {
        Verb::Config => {
            print_config(&args);
            ExitCode::SUCCESS
        }
        Verb::Serve => {
            telemetry::init(&settings.log, settings.log_json);
            report(serve(settings).await)
        }
        Verb::Down => {
            telemetry::init(&settings.log, settings.log_json);
            report(down(settings).await)
        }
        Verb::Quickstart { check: true, .. } => quickstart::check().await,
        Verb::Quickstart { keep, .. } => {
            telemetry::init("warn", settings.log_json);
            quickstart::run(settings.clone(), keep).await
        }
    }
}

fn print_config(args: &Args) {
    for known in KNOWN {
        if let Some((value, from)) = args.values.get(known.name) {
            println!("{} = {value:?}  # {from}", known.name);
        }
    }
}

async fn serve(settings: &Settings) -> Result<(), StartError> {
    let daemon = Daemon::start(settings).await?;
    tracing::info!(
        data = %daemon.data().path().display(),
        "deisd serves http://deis.{}:{} (apps at http://<app>.{0}:{1})",
        daemon.info.domain,
        daemon.info.ports.http,
    );
    if let Some(token) = &daemon.bootstrap {
        eprintln!(
            "\nNobody has registered yet. The first to register becomes administrator and needs this token,"
        );
        eprintln!("which is good for one hour: deis register URL --bootstrap-token {token}\n");
    }
    stop_signal().await;
    tracing::info!("stopping; apps keep running (`deisd down` stops them)");
    daemon.stop().await;
    Ok(())
}

/// Waits for SIGTERM or Ctrl-C.
pub(crate) async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Stops the daemon of the data folder, if one runs, and then all apps.
async fn down(settings: &Settings) -> Result<(), StartError> {
    if !settings.data.exists() {
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

/// Stops all instances of a data folder, as a drained stop would. What shall run stays on record.
pub(crate) async fn stop_apps(data: &DataDir) -> Result<Vec<AppRef>, StartError> {
    let artifacts = open_artifacts(data)?;
    let scheduler =
        LocalScheduler::open(local_options(data, &artifacts)).await.map_err(open("the processes"))?;
    let apps = scheduler.apps().await.map_err(open("the processes"))?;
    for app in &apps {
        scheduler.remove(app).await.map_err(open("the processes"))?;
    }
    for app in &apps {
        while !scheduler.observe(app).await.map_err(open("the processes"))?.instances.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(apps)
}

fn report(result: Result<(), StartError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    eprintln!("deisd: {}", telemetry::chain(error));
    ExitCode::from(code)
}
