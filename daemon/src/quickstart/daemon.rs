//! A daemon in a process of its own, so that it can be killed.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use super::{BoxError, probe::get};

/// A daemon on a data folder.
pub(super) struct DaemonProcess {
    child: Child,
    data: PathBuf,
    ports: [u16; 3],
}

impl DaemonProcess {
    /// Starts it and waits until it answers.
    pub(super) async fn start(data: &Path, ports: [u16; 3]) -> Result<Self, BoxError> {
        let [http, ssh, metrics] = ports.map(|port| format!("127.0.0.1:{port}"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(data.with_extension("log"))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--http-listen", &http, "--ssh-listen", &ssh, "--metrics-listen", &metrics])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut own = Self { child, data: data.to_path_buf(), ports };
        for _ in 0..1000 {
            if let Some(status) = own.child.try_wait()? {
                return Err(format!("deisd ended at its start ({status}): {}", own.log()).into());
            }
            if get((Ipv4Addr::LOCALHOST, ports[0]).into(), "localhost").await.is_ok() {
                return Ok(own);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("deisd does not answer: {}", own.log()).into())
    }

    /// Kills it without warning and starts it again.
    pub(super) async fn kill_and_restart(mut self) -> Result<Self, BoxError> {
        self.child.kill().await?;
        Self::start(&self.data.clone(), self.ports).await
    }

    /// Ends it as an operator would.
    pub(super) async fn stop(mut self) -> Result<(), BoxError> {
        if let Some(pid) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let status = self.child.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("deisd ended with {status}: {}", self.log()).into())
        }
    }

    /// The last of what it logged.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
