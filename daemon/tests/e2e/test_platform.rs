//! A daemon on a temporary folder, with a user, and the tools to use it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::web::ask;

/// A running platform.
pub(crate) struct TestPlatform {
    folder: tempfile::TempDir,
    daemon: Child,
    pub(crate) http: u16,
    pub(crate) ssh: u16,
    settings: Vec<String>,
    /// Whether the data is on a file system of its own, which goes with the rig.
    mounted: bool,
}

impl TestPlatform {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With further flags for `deisd serve`.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let rig = Self::without_users(settings);
        rig.deis(&["register", &rig.url(), "--username", "ann", "--password", "secret"]);
        rig
    }

    /// A platform that nobody has registered with.
    pub(crate) fn without_users(settings: &[&str]) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), settings, false)
    }

    /// A platform whose data is on a disk of so many MiB, which this user must be allowed to mount.
    pub(crate) fn on_small_disk(mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let size = format!("size={mebibytes}m,mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&data).output();
        let mount = mount.unwrap();
        assert!(mount.status.success(), "this user may not mount a small disk: {}", text(&mount));
        let rig = Self::in_folder(folder, &[], true);
        rig.deis(&["register", &rig.url(), "--username", "ann", "--password", "secret"]);
        rig
    }

    fn in_folder(folder: tempfile::TempDir, settings: &[&str], mounted: bool) -> Self {
        let (http, ssh) = (free_port(), free_port());
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        let daemon = start(folder.path(), http, ssh, &settings);
        let rig = Self { folder, daemon, http, ssh, settings, mounted };
        rig.wait_up();
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://localhost:{}", self.http)
    }

    /// The user's API token, which is the password for git.
    pub(crate) fn token(&self) -> String {
        let profile = fs::read_to_string(self.path("client.json")).unwrap();
        let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
        profile["token"].as_str().unwrap().to_owned()
    }

    /// Kills the daemon without warning and starts it again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    pub(crate) fn kill(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.daemon), signal).unwrap();
    }

    /// Waits for the daemon's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.daemon.wait().unwrap()
    }

    pub(crate) fn restart(&mut self) {
        self.daemon = start(self.folder.path(), self.http, self.ssh, &self.settings);
        self.wait_up();
    }

    /// Stops the daemon and all apps, as a person would.
    pub(crate) fn down(&mut self) {
        let down = Command::new(env!("CARGO_BIN_EXE_deisd"))
            .arg("down")
            .arg("--data")
            .arg(self.path("data"))
            .output()
            .unwrap();
        assert!(down.status.success(), "{}", text(&down));
        self.daemon.wait().unwrap();
    }

    fn wait_up(&self) {
        until("the daemon answers", || self.get("localhost").0 != 0);
    }

    /// Runs the client; it must succeed.
    pub(crate) fn deis(&self, args: &[&str]) -> String {
        let output = self.deis_command(args).output().unwrap();
        assert!(output.status.success(), "deis {args:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the client; returns its exit code and all it printed.
    pub(crate) fn try_deis(&self, args: &[&str]) -> (i32, String) {
        let output = self.deis_command(args).output().unwrap();
        (output.status.code().unwrap_or(-1), text(&output))
    }

    pub(crate) fn deis_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("data/bin/deis"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("DEIS_PROFILE", self.path("client.json"))
            .env_remove("DEIS_APP_NAME")
            .stdin(Stdio::null());
        command
    }

    /// Makes a key, registers it, and returns what stands before the name of an app in a URL for SSH.
    pub(crate) fn with_key(&self) -> String {
        let key = self.path("key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "ann@box", "-f"])
            .arg(&key)
            .output();
        assert!(made.as_ref().is_ok_and(|o| o.status.success()), "{made:?}");
        self.deis(&["keys:add", &format!("{}.pub", key.display())]);
        format!("ssh://git@localhost:{}", self.ssh)
    }

    /// An app with a git repository that holds these files, its remote set up.
    pub(crate) fn app(&self, name: &str, files: &[(&str, &str)]) -> Work {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        let work = Work { folder, profile: self.path("client.json"), ssh_key: self.path("key") };
        work.git(&["init", "--quiet", "--initial-branch=main"]);
        work.commit(files);
        let output = self.deis_command(&["create", name]).current_dir(&work.folder).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        work
    }

    /// The present answer for a host: status (0 without any) and body.
    pub(crate) fn get(&self, host: &str) -> (u16, String) {
        let answer = ask(self.http, "GET", "/", &[("Host", &format!("{host}:{}", self.http))], None);
        (answer.status, answer.body)
    }

    /// The pids of all apps' processes, as their supervisors recorded them.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let mut pids = Vec::new();
        for folder in self.instances() {
            let state = fs::read_to_string(folder.join("state.json")).unwrap_or_default();
            let state: serde_json::Value = serde_json::from_str(&state).unwrap_or_default();
            if !folder.join("exit.json").exists() {
                pids.extend(state.pointer("/main/pid").and_then(serde_json::Value::as_u64));
            }
        }
        pids.sort_unstable();
        pids
    }

    /// Processes that work in the folder of an instance of which, by its own record, nothing runs.
    pub(crate) fn orphans(&self) -> Vec<String> {
        let living: Vec<PathBuf> =
            self.instances().into_iter().filter(|folder| !folder.join("exit.json").exists()).collect();
        let run = self.path("data/run").canonicalize().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|p| p.path());
        processes
            .filter_map(|p| Some((fs::read_link(p.join("cwd")).ok()?, p)))
            .filter(|(cwd, _)| cwd.starts_with(&run) && !living.iter().any(|l| cwd.starts_with(l)))
            .map(|(cwd, p)| format!("{} in {}", p.display(), cwd.display()))
            .collect()
    }

    fn instances(&self) -> Vec<PathBuf> {
        let apps = fs::read_dir(self.path("data/run")).into_iter().flatten().flatten();
        apps.flat_map(|app| fs::read_dir(app.path()).into_iter().flatten().flatten())
            .map(|i| i.path())
            .collect()
    }

    /// The app's releases as JSON, newest first.
    pub(crate) fn releases(&self, app: &str) -> Vec<serde_json::Value> {
        let page: serde_json::Value =
            serde_json::from_str(&self.deis(&["releases", "-a", app, "--json"])).unwrap();
        page["results"].as_array().unwrap().clone()
    }

    /// Whatever a daemon that was killed might have left of builds and pushes.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        found.extend(list(self.path("data/build/depots")));
        for repo in list(self.path("data/repos")) {
            found.extend(list(repo.join("objects")).filter(|p| p.to_string_lossy().contains("incoming-")));
        }
        for kind in ["slugs", "build-keys"] {
            let staged = list(self.path("data/objects").join(kind));
            found.extend(staged.filter(|p| p.to_string_lossy().contains('#')));
        }
        found.extend(list(self.path("data/unpacked")).filter(|p| p.to_string_lossy().contains(".partial-")));
        found
    }
}

impl Drop for TestPlatform {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let down = Command::new(env!("CARGO_BIN_EXE_deisd"))
            .arg("down")
            .arg("--data")
            .arg(self.path("data"))
            .output();
        if self.mounted {
            let _ = Command::new("umount").arg("--lazy").arg(self.path("data")).output();
        }
        if !std::thread::panicking() {
            let down = down.unwrap();
            assert!(down.status.success(), "{}", text(&down));
            let log = fs::read_to_string(self.path("deisd.log")).unwrap_or_default();
            let panicked: Vec<&str> =
                log.lines().skip_while(|l| !l.contains("panicked at")).take(8).collect();
            assert!(panicked.is_empty(), "the daemon panicked: {panicked:#?}");
        }
    }
}

/// A working tree of an app.
pub(crate) struct Work {
    pub(crate) folder: PathBuf,
    profile: PathBuf,
    ssh_key: PathBuf,
}

impl Work {
    /// Writes files (`bin/…` executable) and commits them.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let file = self.folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            if name.starts_with("bin/") {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        self.git(&["add", "--all", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "change"]);
    }

    /// Runs git; it must succeed.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self.git_command(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", text(&output));
        text(&output)
    }

    /// Runs git; returns whether it succeeded and all it printed.
    pub(crate) fn try_git(&self, args: &[&str]) -> (bool, String) {
        let output = self.git_command(args).output().unwrap();
        (output.status.success(), text(&output))
    }

    pub(crate) fn git_command(&self, args: &[&str]) -> Command {
        let ssh = format!(
            "ssh -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            self.ssh_key.display()
        );
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com"])
            .args(args)
            .current_dir(&self.folder)
            .env("DEIS_PROFILE", &self.profile)
            .env("GIT_SSH_COMMAND", ssh)
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null());
        command
    }
}

/// The Python sample that the quick start pushes.
pub(crate) const PYTHON: &[(&str, &str)] = &[
    ("app.py", include_str!("../../../examples/apps/python/app.py")),
    ("worker.py", include_str!("../../../examples/apps/python/worker.py")),
    ("Procfile", include_str!("../../../examples/apps/python/Procfile")),
    ("requirements.txt", include_str!("../../../examples/apps/python/requirements.txt")),
];

/// The folder of files that the quick start pushes.
pub(crate) const STATIC: &[(&str, &str)] = &[
    ("index.html", include_str!("../../../examples/apps/static/index.html")),
    ("style.css", include_str!("../../../examples/apps/static/style.css")),
];

/// The Node sample.
pub(crate) const NODE: &[(&str, &str)] = &[
    ("server.js", include_str!("../../../examples/apps/node/server.js")),
    ("package.json", include_str!("../../../examples/apps/node/package.json")),
];

fn start(folder: &Path, http: u16, ssh: u16, settings: &[String]) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("deisd.log")).unwrap();
    // From a shell that has a file open and ignores signals: no app must have either.
    Command::new("sh")
        .args(["-c", "exec 9>>\"$0\"; trap '' HUP QUIT; exec \"$@\""])
        .arg(folder.join("inherited"))
        .arg(env!("CARGO_BIN_EXE_deisd"))
        .arg("serve")
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--http-listen", &format!("127.0.0.1:{http}"), "--ssh-listen", &format!("127.0.0.1:{ssh}")])
        .args(if settings.iter().any(|s| s == "--metrics-listen") {
            &[][..]
        } else {
            &["--metrics-listen", "off"]
        })
        .args(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Below the ports of outgoing connections and of apps, and not the same twice in one run, nor as in most others.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const EACH: u16 = 250;
    let base = 10_000 + u16::try_from(std::process::id() % 36).unwrap() * EACH;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::SeqCst) % EACH;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The command lines of this machine's processes that contain these words.
pub(crate) fn processes_with(words: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|p| fs::read_to_string(p.path().join("cmdline")).ok())
        .map(|line| line.replace('\0', " "))
        .filter(|line| line.contains(words))
        .collect()
}

/// Waits until something holds; a minute is long enough for everything here.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(90), "in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
