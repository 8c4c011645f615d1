//! `deisd quickstart`: from nothing to a live app, each step shown as a person would type it.

mod ask;
mod check;
mod daemon;
mod sample;
mod shell;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
};

use crate::{compose::Daemon, down::stop_apps, settings::Settings, signals::stop_signal, telemetry};
use sample::{PYTHON, STATIC, Sample};
use shell::Shell;

pub(crate) use check::check;

/// A cause of any type.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

const APP: &str = "hello";
const USER: &str = "you";

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
    settings.http = free("HTTP", settings.http)?;
    if let Some(ssh) = settings.ssh {
        settings.ssh = Some(free("SSH", ssh)?);
    }
    if let Some(metrics) = settings.metrics {
        settings.metrics = Some(free("metrics", metrics)?);
    }
    let daemon = Daemon::start(settings).await?;
    println!("deisd is up; everything it keeps is in {}\n", daemon.data().path().display());
    let deployed = tokio::select! {
        deployed = deploy(&daemon) => deployed,
        () = stop_signal() => Err("interrupted".into()),
    };
    if deployed.is_ok() {
        explain(&daemon, keep);
        stop_signal().await;
    }
    println!();
    if keep {
        println!("Stopping the daemon; its apps keep running. The same command brings it back.");
        daemon.stop().await;
        return deployed;
    }
    println!("Stopping the daemon and its apps...");
    let data = daemon.shut_down().await;
    let stopped = stop_apps(&data).await?;
    println!("Stopped {} app(s). The same command brings them back.", stopped.len());
    deployed
}

/// Creates user and app and pushes a sample – or finds them all from last time.
async fn deploy(daemon: &Daemon) -> Result<(), BoxError> {
    let folder = daemon.data().join("quickstart");
    std::fs::create_dir_all(&folder)?;
    let profile = folder.join("client.json");
    let shell = Shell::new(daemon.data().join("bin"), profile.clone(), folder.clone(), false);
    let url = controller(daemon.info.ports.http);
    if daemon.platform.has_users().await? {
        return known(daemon, &shell, &profile, &url).await;
    }
    let password = uuid::Uuid::new_v4().simple().to_string();
    shell
        .deis(&["register", &url, "--username", USER, "--password", &password, "--email", "you@example.com"])
        .await?;
    let sample = pick();
    let work = folder.join(APP);
    sample.write(&work)?;
    println!("# A sample app, in {}:\n", work.display());
    let shell = shell.at(&work);
    shell.git(&["init", "--quiet", "--initial-branch=main"]).await?;
    shell.git(&["add", "."]).await?;
    shell.git(&["commit", "--quiet", "--message", "A sample app"]).await?;
    shell.deis(&["create", APP]).await?;
    shell.git(&["push", "deis", "main"]).await?;
    Ok(())
}

/// The second time: the same data, perhaps on other ports.
async fn known(daemon: &Daemon, shell: &Shell, profile: &Path, url: &str) -> Result<(), BoxError> {
    let Ok(text) = std::fs::read_to_string(profile) else {
        println!("This platform has users already: log in with `deis login {url}`.");
        return Ok(());
    };
    let mut saved: serde_json::Value = serde_json::from_str(&text)?;
    if saved.get("controller").and_then(|c| c.as_str()) != Some(url) {
        saved["controller"] = url.into();
        std::fs::write(profile, saved.to_string())?;
        let work = daemon.data().join("quickstart").join(APP);
        if work.is_dir() {
            shell.at(&work).deis(&["git:remote", "--app", APP, "--force"]).await?;
        }
    }
    println!("Found the data of last time.\n");
    wait_live(daemon).await
}

/// Waits until the app answers, which takes as long as its processes take to start.
async fn wait_live(daemon: &Daemon) -> Result<(), BoxError> {
    let port = daemon.info.ports.http;
    for _ in 0..300 {
        if ask::get(port, &format!("{APP}.{}", daemon.info.domain))
            .await
            .is_ok_and(|(status, _)| status == 200)
        {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    println!("The app {APP} does not answer; `deis logs` may say why.");
    Ok(())
}

fn explain(daemon: &Daemon, keep: bool) {
    let (domain, port) = (&daemon.info.domain, daemon.info.ports.http);
    let (data, host) = (daemon.data().path().display(), format!("{APP}.{domain}"));
    println!("Your app is live at http://{host}:{port}\n");
    println!("    curl -H 'Host: {host}' http://127.0.0.1:{port}/\n");
    println!("To go on, paste this into another terminal:\n");
    println!("    export PATH='{data}/bin':\"$PATH\"");
    println!("    export DEIS_PROFILE='{data}/quickstart/client.json'");
    println!("    cd '{data}/quickstart/{APP}'\n");
    println!("    deis config:set GREETING=Bonjour     # a new release, without downtime");
    println!("    deis scale web=3                     # more processes");
    println!("    deis rollback                        # back to the release before");
    println!("    deis logs -f                         # what it says (Ctrl-C ends)");
    println!("    deis info\n");
    println!("Ctrl-C stops the daemon{}.", if keep { "; its apps keep running" } else { " and its apps" });
}

/// Python where it is installed, a folder of files otherwise.
fn pick() -> Sample {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let python = std::env::split_paths(&path).any(|folder| folder.join("python3").is_file());
    if python { PYTHON } else { STATIC }
}

fn controller(port: u16) -> String {
    format!("http://localhost:{port}")
}

/// The address, or the same with a free port if that one is taken.
fn free(what: &str, wanted: SocketAddr) -> Result<SocketAddr, BoxError> {
    if TcpListener::bind(wanted).is_ok() {
        return Ok(wanted);
    }
    let found = free_port(wanted)?;
    println!("Port {} is taken; {what} uses {} instead.", wanted.port(), found.port());
    Ok(found)
}

/// A port that is free now, from a range that outgoing connections do not use.
fn free_port(like: SocketAddr) -> Result<SocketAddr, BoxError> {
    let start = 8100 + u16::try_from(std::process::id() % 1000).unwrap_or(0) * 10;
    let mut candidates =
        (0..2000_u16).map(|n| SocketAddr::new(like.ip(), 8100 + (start - 8100 + n) % 11_000));
    let found = candidates.find(|address| TcpListener::bind(address).is_ok());
    found.ok_or_else(|| "no free port was found".into())
}

/// Three free ports on loopback.
fn free_ports() -> Result<[u16; 3], BoxError> {
    let mut ports = [0; 3];
    let mut held = Vec::new();
    for port in &mut ports {
        let found = free_port(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        held.push(TcpListener::bind(found)?);
        *port = found.port();
    }
    Ok(ports)
}
