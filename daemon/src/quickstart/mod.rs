//! `deisd quickstart`: from nothing to a live app, each step shown as a person would type it.

mod check;
mod daemon;
mod ports;
mod probe;
mod sample;
mod shell;
mod steps;
mod tools;

use std::{process::ExitCode, time::Duration};

use tokio::time::timeout;

use crate::{
    compose::{Daemon, NO_ISOLATION, stop_apps},
    settings::Settings,
    signals::StopSignals,
    telemetry,
};
use steps::{QuickstartState, Steps};

pub(crate) use check::check;

/// A cause of any type.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

const APP: &str = "hello";
const USER: &str = "you";

/// How far apart the two ends of one Ctrl-C may be seen.
const SAME: Duration = Duration::from_millis(200);

/// Starts everything and stays until Ctrl-C.
pub(crate) async fn run(mut settings: Settings, keep: bool) -> ExitCode {
    match start(&mut settings, keep).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deisd: {}", telemetry::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn start(settings: &mut Settings, keep: bool) -> Result<(), BoxError> {
    // Git pushes, and the embedded buildpacks are scripts of bash.
    tools::require(&["git", "bash"])?;
    let mut signals = StopSignals::listen();
    ports::choose_free(settings)?;
    let daemon = Daemon::start(settings).await?;
    println!(
        "deisd is up ({}); everything it keeps is in {}",
        daemon.listens(),
        daemon.data().path().display()
    );
    println!("Mind that {NO_ISOLATION}.\n");
    let steps = Steps::new(&daemon, settings.http);
    let taken = tokio::select! {
        biased;
        () = signals.next() => None,
        outcome = steps.take() => Some(outcome),
    };
    let outcome = match taken {
        // Ctrl-C reaches what a step runs as well, whose end may be seen first.
        Some(Err(error)) if timeout(SAME, signals.next()).await.is_err() => Err(error),
        Some(Ok(outcome)) => Ok(outcome),
        _ => Err("interrupted; the same command goes on from here".into()),
    };
    if let Ok(outcome) = &outcome {
        explain(&daemon, &steps, outcome);
        println!(
            "Ctrl-C stops the daemon{}.",
            if keep { "; its apps keep running" } else { " and its apps" }
        );
        signals.next().await;
    }
    println!();
    tokio::select! {
        stopped = stop(daemon, keep) => stopped?,
        () = signals.next() => return Err("ended before everything had stopped; `deisd down` stops the rest".into()),
    }
    outcome.map(drop)
}

async fn stop(daemon: Daemon, keep: bool) -> Result<(), BoxError> {
    if keep {
        println!("Stopping the daemon; its apps keep running. The same command brings it back.");
        daemon.stop().await;
        return Ok(());
    }
    println!("Stopping the daemon and its apps...");
    let data = daemon.shut_down().await;
    let stopped = stop_apps(&data).await?;
    println!("Stopped {} app(s). The same command brings them back.", stopped.len());
    Ok(())
}

fn explain(daemon: &Daemon, steps: &Steps<'_>, outcome: &QuickstartState) {
    let (domain, port) = (&daemon.info.domain, daemon.info.ports.http);
    let (data, host) = (daemon.data().path().display(), format!("{APP}.{domain}"));
    let path = format!("    export PATH='{data}/bin':\"$PATH\"");
    match outcome {
        QuickstartState::Foreign => {
            println!(
                "This platform has users already, and the quick start is none of them. As one of them:\n"
            );
            println!("{path}");
            println!("    deis login {}\n", steps.url());
            return;
        }
        QuickstartState::Live => {
            println!("Your app is live at http://{host}:{port}\n");
            println!("    curl -H 'Host: {host}' {}/\n", steps.url());
        }
        QuickstartState::Silent => println!("The app {APP} does not answer; `deis logs` may say why.\n"),
    }
    println!("To go on, paste this into another terminal:\n");
    println!("{path}");
    println!("    export DEIS_PROFILE='{data}/quickstart/client.json'");
    println!("    cd '{data}/quickstart/{APP}'\n");
    // No comments behind the commands: not every shell takes them where people type.
    println!("A new release without downtime, more processes, back to the release before, a summary, and");
    println!("what it says, until Ctrl-C:\n");
    println!("    deis config:set GREETING=Bonjour");
    println!("    deis scale web=3");
    println!("    deis rollback");
    println!("    deis info");
    println!("    deis logs -f\n");
}
