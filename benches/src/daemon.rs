//! The daemon that is measured: this executable under another name, on a folder of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::Result;

/// Time in which a daemon must answer, or be gone.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Daemon {
    folder: TempDir,
    address: SocketAddr,
    process: Child,
}

impl Daemon {
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Free now, and nobody else is in a hurry to take it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = spawn(&folder, address)?;
        Ok(Self { folder, address, process })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the first 200 of `/healthz`, asked for every millisecond.
    pub(crate) async fn wait(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.is_up().await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err("the daemon does not answer".into())
    }

    async fn is_up(&self) -> bool {
        let ask = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let port = self.address.port();
            let request =
                format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await?;
            std::io::Result::Ok(&answer == b"HTTP/1.1 200")
        };
        ask.await.unwrap_or(false)
    }

    /// Stops it and starts it again; answers how long it took to its first answer.
    pub(crate) async fn restart(&mut self) -> Result<Duration> {
        self.end()?;
        let begun = Instant::now();
        self.process = spawn(&self.folder, self.address)?;
        self.wait().await?;
        Ok(begun.elapsed())
    }

    /// Processor time that it has used, in user and system mode.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        // The kernel tells user programs of 100 ticks a second, whatever its own are.
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }

    /// Its share of the memory, in KiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss is told")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("the daemon does not stop".into())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &TempDir, address: SocketAddr) -> Result<Child> {
    let program = std::env::current_exe()?;
    let child = Command::new(program)
        .arg0("deisd")
        .args(["serve", "--ssh-listen", "off", "--metrics-listen", "off", "--log", "error"])
        .args(["--http-listen", &address.to_string(), "--data"])
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    Ok(child)
}
