//! `deisd quickstart --check`: the quick start in a temporary folder, every promise checked, timings printed.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    APP, BoxError, USER,
    daemon::DaemonProcess,
    ports,
    probe::get,
    sample::{PYTHON, STATIC, Sample},
    shell::Shell,
    steps::controller,
    tools,
};
use crate::{compose::recorded_processes, signals::StopSignals, telemetry};

/// Runs all checks; exits with 1 and the reason at the first that fails. Timings are printed and never judged.
pub(crate) async fn check() -> ExitCode {
    let folder = match tempfile::Builder::new().prefix("deis-check-").tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("deisd: cannot make a temporary folder: {error}");
            return ExitCode::FAILURE;
        }
    };
    let path = folder.path().to_path_buf();
    let mut signals = StopSignals::listen();
    let checked = tokio::select! {
        checked = run(&path) => checked,
        () = signals.next() => Err("interrupted".into()),
    };
    let cleaned = clean(&path).await;
    drop(folder);
    if let Err(error) = checked.and(cleaned) {
        println!("FAILED  {}", telemetry::chain(&*error));
        return ExitCode::FAILURE;
    }
    println!("ok      everything works and everything is removed");
    ExitCode::SUCCESS
}

async fn run(folder: &Path) -> Result<(), BoxError> {
    tools::require(&["git", "bash", "python3"])?;
    let data = folder.join("data");
    std::fs::create_dir(&data)?;
    let ports = ports::three()?;
    let port = ports[0];
    let began = Instant::now();
    let daemon = DaemonProcess::start(&data, ports).await?;
    passed("the daemon is up", began);

    let shell = Shell::new(data.join("bin"), folder.join("client.json"), folder.to_path_buf(), true);
    let password = uuid::Uuid::new_v4().simple().to_string();
    shell
        .deis(&["register", &controller("localhost", port), "--username", USER, "--password", &password])
        .await?;
    push(&shell, folder, "pages", STATIC, port).await?;
    let shell = push(&shell, folder, APP, PYTHON, port).await?;
    expect(port, "Hello from v2").await?;

    let began = Instant::now();
    shell.deis(&["config:set", "GREETING=Bonjour"]).await?;
    expect(port, "Bonjour from v3").await?;
    passed("a config change made release v3 and shows in the app", began);

    let began = Instant::now();
    shell.deis(&["scale", "web=3"]).await?;
    passed("scaled to 3", began);
    steady(&data, 4).await?;

    let began = Instant::now();
    shell.deis(&["rollback", "v2"]).await?;
    expect(port, "Hello from v4").await?;
    passed("rolled back to v2 as v4", began);

    // Old processes drain for a while after the new ones are live.
    let before = steady(&data, 4).await?;
    let began = Instant::now();
    let daemon = daemon.kill_and_restart().await?;
    expect(port, "Hello from v4").await?;
    passed("killed with SIGKILL and started again: the app answers", began);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = recorded_processes(&data)?;
    if before != after {
        return Err(format!("the processes did not survive the kill: {before:?} became {after:?}").into());
    }
    println!("ok      all {} processes kept their pids", after.len());

    let began = Instant::now();
    shell.deis(&["destroy", "--app", APP, "--confirm", APP]).await?;
    shell.deis(&["destroy", "--app", "pages", "--confirm", "pages"]).await?;
    passed("both apps destroyed", began);
    let left = recorded_processes(&data)?;
    if !left.is_empty() {
        return Err(format!("processes are left after destroying all apps: {left:?}").into());
    }
    daemon.stop().await
}

/// Creates an app, pushes a sample to it and measures how long it takes to answer.
async fn push(shell: &Shell, folder: &Path, app: &str, sample: Sample, port: u16) -> Result<Shell, BoxError> {
    let work = folder.join("work").join(app);
    sample.write(&work)?;
    let shell = shell.at(&work);
    shell.git(&["init", "--quiet", "--initial-branch=main"]).await?;
    shell.git(&["add", "."]).await?;
    shell.git(&["commit", "--quiet", "--message", "A sample app"]).await?;
    shell.deis(&["create", app]).await?;
    let began = Instant::now();
    let answered = async {
        loop {
            if get((Ipv4Addr::LOCALHOST, port).into(), &format!("{app}.localhost"))
                .await
                .is_ok_and(|(status, _)| status == 200)
            {
                return began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let pushed = async {
        shell.git(&["push", "--quiet", "deis", "main"]).await?;
        // What is pushed answers: after a push there is nothing to wait for.
        let (status, _) = get((Ipv4Addr::LOCALHOST, port).into(), &format!("{app}.localhost")).await?;
        if status == 200 {
            Ok(())
        } else {
            Err(BoxError::from(format!("after the push the app answers {status}")))
        }
    };
    let (pushed, first) = tokio::join!(pushed, tokio::time::timeout(Duration::from_secs(120), answered));
    pushed?;
    let first = first.map_err(|_| "the app does not answer")?;
    println!("ok      {} sample: push to first 200 in {} ms", sample.name, first.as_millis());
    Ok(shell)
}

async fn expect(port: u16, text: &str) -> Result<(), BoxError> {
    let (status, body) = get((Ipv4Addr::LOCALHOST, port).into(), &format!("{APP}.localhost")).await?;
    if status == 200 && body.contains(text) {
        return Ok(());
    }
    Err(format!("the app should answer {text:?} and answers {status} {body:?}").into())
}

/// The pids once there are exactly `count` processes.
async fn steady(data: &Path, count: usize) -> Result<BTreeSet<u32>, BoxError> {
    let mut found = recorded_processes(data)?;
    for _ in 0..600 {
        if found.len() == count {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        found = recorded_processes(data)?;
    }
    Err(format!("there are {} processes and not {count}", found.len()).into())
}

/// Stops whatever a failed check left.
async fn clean(folder: &Path) -> Result<(), BoxError> {
    let data = folder.join("data");
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .arg("down")
        .arg("--data")
        .arg(&data)
        .output()
        .await?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into())
}

fn passed(what: &str, began: Instant) {
    println!("ok      {what} ({} ms)", began.elapsed().as_millis());
}
