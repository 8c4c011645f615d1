//! A machine of its own for each test: folders that go, and apps that are real processes.

use std::{
    collections::BTreeMap,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use deis_core::{
    AppName, Digest, Endpoints, ProcessType, ReleaseVersion,
    local::{ArtifactFolder, LocalOptions, LocalScheduler, ShimProgram, Timing, Unpacker},
    logs::FileLogs,
    model::{
        AppRef, AppUid, Artifact, Environment, Generation, HttpCheck, Instance, InstanceName, Launch, Probe,
        ProcessGroup, Template, TemplateId, Workload,
    },
    port::{ArtifactError, LogStore as _, Scheduler, Wake},
};

/// Answers every request with its pid, and with 200 unless `STATUS` says otherwise; `kill -TERM` ends it.
const SERVER: &str = r#"
import os, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((os.environ.get("ADDRESS", "127.0.0.1"), int(sys.argv[1] if len(sys.argv) > 1 else os.environ["PORT"])))
s.listen(64)
print("listening", flush=True)
while True:
    c, _ = s.accept()
    c.recv(4096)
    body = str(os.getpid())
    c.sendall(f"HTTP/1.1 {os.environ.get('STATUS', '200')} OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    c.close()
"#;

/// Listens for a while and then for a while does not.
const FLAPPER: &str = r#"
import os, socket, time
while True:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(os.environ["PORT"])))
    s.listen(64)
    time.sleep(0.4)
    s.close()
    time.sleep(0.4)
"#;

/// The interpreter itself: the `python3` of a search path may be a slow wrapper.
static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let output = asked.expect("these tests need python3");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
});

pub(crate) struct Machine {
    dir: PathBuf,
    /// `None` for a machine that is somebody else's.
    own: Option<tempfile::TempDir>,
    pub(crate) endpoints: Endpoints,
    pub(crate) wake: Wake,
    pub(crate) app: AppRef,
    pub(crate) timing: Timing,
    pub(crate) ports: RangeInclusive<u16>,
    generation: u64,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::below("")
    }

    /// One whose folders are in a folder of this name.
    pub(crate) fn below(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Self::at(&dir.path().join(name));
        fs::create_dir_all(machine.files()).unwrap();
        fs::write(machine.files().join("server.py"), SERVER).unwrap();
        machine.own = Some(dir);
        machine
    }

    /// One whose folders another process made, and removes.
    pub(crate) fn at(dir: &Path) -> Self {
        let app = AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::new_v4()) };
        let (endpoints, wake) = Default::default();
        let (timing, ports) = (timing(), 20000..=29999);
        Self { dir: dir.to_owned(), own: None, endpoints, wake, app, timing, ports, generation: 0 }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.dir.join("artifact")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    pub(crate) fn app_dir(&self) -> PathBuf {
        self.run_dir().join(short(self.app.uid))
    }

    /// The folder of an instance, by what is written in it.
    pub(crate) fn folder_of(&self, instance: &InstanceName) -> PathBuf {
        let found =
            tree(&self.app_dir()).into_iter().filter(|path| path.ends_with("identity.json")).find(|path| {
                let identity: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
                identity["instance"] == instance.as_str()
            });
        found.expect("the instance has a folder").parent().unwrap().to_owned()
    }

    pub(crate) fn task_folder(&self, name: &str) -> PathBuf {
        self.run_dir().join("tasks").join(short(self.app.uid)).join(name)
    }

    pub(crate) fn options(&self) -> LocalOptions {
        let files = self.files();
        let unpacker: Unpacker = Arc::new(move |artifact| {
            let path = files.clone();
            Box::pin(async move {
                if artifact == self::artifact() {
                    Ok(ArtifactFolder { path, lease: None })
                } else {
                    Err(ArtifactError::Definitive { reason: "there is no such slug".to_owned() })
                }
            })
        });
        LocalOptions::new(self.run_dir(), unpacker)
            .with_endpoints(self.endpoints.clone())
            .with_wake(self.wake.clone())
            .with_shim(ShimProgram::Path(shim()))
            .with_logs(Arc::new(FileLogs::new(self.run_dir())))
            .with_ports(self.ports.clone())
            .with_timing(self.timing.clone())
    }

    pub(crate) async fn open(&self) -> LocalScheduler {
        LocalScheduler::open(self.options()).await.unwrap()
    }

    /// Applies one web group.
    pub(crate) async fn apply(&mut self, scheduler: &LocalScheduler, scale: u32, template: Template) {
        self.generation += 1;
        let workload = workload(&self.app, self.generation, scale, template);
        scheduler.apply(&workload).await.unwrap();
    }

    pub(crate) async fn instances(&self, scheduler: &LocalScheduler) -> Vec<Instance> {
        scheduler.observe(&self.app).await.unwrap().instances
    }

    /// Waits for an instance of this kind.
    pub(crate) async fn found(
        &self,
        scheduler: &LocalScheduler,
        what: &str,
        look: impl Fn(&Instance) -> bool,
    ) -> Instance {
        eventually(what, || async { self.instances(scheduler).await.into_iter().find(&look) }).await
    }

    /// Stops everything and checks that nothing is left: no process, no folder.
    pub(crate) async fn remove(&self, scheduler: &LocalScheduler) {
        scheduler.remove(&self.app).await.unwrap();
        eventually("everything has stopped", || async {
            self.instances(scheduler).await.is_empty().then_some(())
        })
        .await;
        FileLogs::new(self.run_dir()).forget(&self.app).await.unwrap();
        assert!(!self.app_dir().exists(), "left: {:?}", tree(&self.app_dir()));
        assert_eq!(processes_of(&self.run_dir()), Vec::<String>::new());
    }
}

impl Drop for Machine {
    /// After a failed test, too, nothing goes on running.
    fn drop(&mut self) {
        if self.own.is_none() {
            return;
        }
        let locks = tree(&self.run_dir()).into_iter().filter(|path| path.ends_with("lock"));
        let pids: Vec<String> = locks
            .filter_map(|lock| {
                let who: serde_json::Value = serde_json::from_slice(&fs::read(lock).ok()?).ok()?;
                Some(who.get("pid")?.to_string())
            })
            .collect();
        for pid in &pids {
            let is_shim =
                || fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.starts_with(b"deis-shim"));
            let begun = Instant::now();
            while is_shim() && begun.elapsed() < Duration::from_secs(10) {
                kill("TERM", pid);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A uid as it names folders: in base 32.
fn short(uid: AppUid) -> String {
    let mut rest = uid.0.as_u128();
    let mut digits = Vec::new();
    for _ in 0..26 {
        digits.push(char::from_digit(u32::try_from(rest % 32).unwrap(), 32).unwrap());
        rest /= 32;
    }
    digits.iter().rev().collect()
}

pub(crate) fn shim() -> PathBuf {
    env!("CARGO_BIN_EXE_deis-shim").into()
}

/// Short, so that what takes minutes takes a second.
pub(crate) fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.drain_limit = Duration::from_secs(3);
    timing.start_budget = Duration::from_secs(2);
    timing.not_listening_after = Duration::from_millis(500);
    timing.backoff_first = Duration::from_millis(50);
    timing.unprobed_ready_after = Duration::from_millis(100);
    timing.task_grace = Duration::from_millis(500);
    timing
}

pub(crate) fn artifact() -> Artifact {
    Artifact::Slug { digest: Digest::of(b"the test app") }
}

pub(crate) fn python(code: &str) -> String {
    format!("{} -S -c '{code}'", *PYTHON)
}

pub(crate) fn serve() -> String {
    format!("{} -S server.py", *PYTHON)
}

/// A command that listens for 0.4 s, then for 0.4 s does not, and so on.
pub(crate) fn flap() -> String {
    python(FLAPPER)
}

/// A web process with this command; equal commands make equal templates.
pub(crate) fn web(command: impl Into<String>) -> Template {
    let launch = Launch { artifact: artifact(), command: deis_core::model::Command::Shell(command.into()) };
    Template {
        env: Environment::from([("GREETING".to_owned(), "hello $HOME 'world'".to_owned())]),
        grace_seconds: 1,
        ..Template::new(ReleaseVersion(1), ProcessType::web(), launch)
    }
}

/// One that is ready once it answers `GET /` with a good status.
pub(crate) fn probed(command: impl Into<String>) -> Template {
    let mut template = web(command);
    let http = HttpCheck { path: Some("/".into()), port: 1, host: None, scheme: None, http_headers: vec![] };
    // A slow answer on a busy machine is not what these tests are about.
    template.probes.readiness = Some(Probe { http_get: Some(http), failure_threshold: 100, ..probe() });
    template
}

pub(crate) fn probe() -> Probe {
    serde_json::from_str(r#"{"periodSeconds": 1, "failureThreshold": 1}"#).unwrap()
}

pub(crate) fn workload(app: &AppRef, generation: u64, scale: u32, template: Template) -> Workload {
    let id = TemplateId(Digest::of(&serde_json::to_vec(&template).unwrap()).short().to_owned());
    let groups =
        BTreeMap::from([(template.process.clone(), ProcessGroup { scale, min_ready: 0, id, template })]);
    Workload { app: app.clone(), generation: Generation(generation), groups }
}

/// Looks again and again, for at most twenty seconds.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends a signal with the shell's own `kill`, which every machine has.
pub(crate) fn kill(signal: &str, pid: impl std::fmt::Display) {
    Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).output().unwrap();
}

/// The supervising process of this folder.
pub(crate) fn shim_of(folder: &Path) -> serde_json::Value {
    let lock = fs::read(folder.join("lock")).unwrap();
    let who: serde_json::Value = serde_json::from_slice(&lock).unwrap();
    who["pid"].clone()
}

/// Command lines of all processes that work below this folder.
pub(crate) fn processes_of(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let inside = processes.filter(|path| {
        fs::read_link(path.join("cwd"))
            .is_ok_and(|cwd| cwd.to_string_lossy().starts_with(&*dir.to_string_lossy()))
    });
    inside
        .map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " "))
        .collect()
}

pub(crate) fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        found.push(entry.path());
        found.extend(tree(&entry.path()));
    }
    found
}
