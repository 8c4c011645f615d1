//! A client's repository made by the real git, the server's, and requests made by hand.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
};

use deis_build::git::{Budget, Exported, GitError, Limits, Oid, Received, Repository};

pub(crate) const NULL: &str = "0000000000000000000000000000000000000000";

/// Both sides of a push.
pub(crate) struct Sides {
    folder: tempfile::TempDir,
    pub(crate) server: Repository,
}

impl Sides {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Repository::open_or_create(folder.path().join("server.git")).unwrap();
        let sides = Self { folder, server };
        fs::create_dir(sides.work()).unwrap();
        sides.git(&["init", "--quiet", "--initial-branch=main"]);
        sides
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Runs git in the client's repository.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.git_with(args, b"")
    }

    pub(crate) fn git_with(&self, args: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.git_bytes(args, input)).unwrap().trim().to_owned()
    }

    pub(crate) fn git_bytes(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("git")
            .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com"])
            .args(args)
            .current_dir(self.work())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        output.stdout
    }

    /// Runs git; nothing where it fails.
    pub(crate) fn git_maybe(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("git").args(args).current_dir(self.work()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        output.status.success().then_some(text)
    }

    /// Makes the server's repository anew, by git, from the client's: with so many commits of each branch.
    pub(crate) fn server_from_git(&mut self, depth: usize) {
        let path = self.folder.path().join("shallow.git");
        let url = format!("file://{}", self.work().display());
        let (depth, place) = (format!("--depth={depth}"), path.display().to_string());
        self.git(&["clone", "--quiet", "--bare", "--no-single-branch", &depth, &url, &place]);
        self.server = Repository::open_or_create(path).unwrap();
    }

    /// A commit with a file of this content.
    pub(crate) fn commit(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.work().join(name), content).unwrap();
        self.git(&["add", "--all", "."]);
        self.git(&["commit", "--quiet", "--message", name]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A pack of everything that `tip` reaches and `base` does not.
    pub(crate) fn pack(&self, tip: &str, base: Option<&str>) -> Vec<u8> {
        let base = base.map(|b| format!("^{b}\n")).unwrap_or_default();
        self.git_bytes(&["pack-objects", "--revs", "--stdout", "-q"], format!("{tip}\n{base}").as_bytes())
    }

    /// A pack of exactly these objects.
    pub(crate) fn pack_of(&self, ids: &[&str]) -> Vec<u8> {
        self.git_bytes(&["pack-objects", "--stdout", "-q"], format!("{}\n", ids.join("\n")).as_bytes())
    }

    /// A commit of a tree with exactly these entries (mode, name, id), allowed or not; tree and commit.
    pub(crate) fn tree(&self, entries: &[(&str, &[u8], &str)]) -> (String, String) {
        let mut tree = Vec::new();
        for (mode, name, id) in entries {
            tree.extend([mode.as_bytes(), b" ", name, b"\0"].concat());
            tree.extend((0..20).map(|i| u8::from_str_radix(&id[i * 2..i * 2 + 2], 16).unwrap()));
        }
        let tree = self.git_with(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &tree);
        let commit = format!("tree {tree}\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nmade\n");
        let commit = self.git_with(&["hash-object", "-t", "commit", "-w", "--stdin"], commit.as_bytes());
        (tree, commit)
    }

    pub(crate) fn blob(&self, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin"], content)
    }

    /// Writes what the server has of a commit to a folder.
    pub(crate) fn export(&self, commit: &str, folder: &Path) -> Result<Exported, GitError> {
        self.export_within(commit, folder, &Budget::default())
    }

    pub(crate) fn export_within(
        &self,
        commit: &str,
        folder: &Path,
        budget: &Budget,
    ) -> Result<Exported, GitError> {
        self.server.export(&Oid::new(commit).unwrap(), folder, budget, &AtomicBool::new(false))
    }

    /// Sends commands and a pack.
    pub(crate) fn push(&self, commands: &[(&str, &str, &str)], pack: &[u8]) -> Received {
        self.push_with(commands, "report-status side-band-64k", pack, &Limits::default())
    }

    pub(crate) fn push_with(
        &self,
        commands: &[(&str, &str, &str)],
        capabilities: &str,
        pack: &[u8],
        limits: &Limits,
    ) -> Received {
        self.receive(&Self::request(commands, capabilities, pack), limits)
    }

    /// The bytes of a push.
    pub(crate) fn request(commands: &[(&str, &str, &str)], capabilities: &str, pack: &[u8]) -> Vec<u8> {
        let mut request = Vec::new();
        for (index, (old, new, name)) in commands.iter().enumerate() {
            let capabilities = if index == 0 { format!("\0{capabilities}") } else { String::new() };
            let line = format!("{old} {new} {name}{capabilities}");
            request.extend(format!("{:04x}{line}", line.len() + 4).bytes());
        }
        request.extend(b"0000");
        request.extend(pack);
        request
    }

    /// What becomes of a request whose push then has its app for itself.
    pub(crate) fn receive(&self, request: &[u8], limits: &Limits) -> Received {
        let mut received = self.server.receive(request, limits, &AtomicBool::new(false)).unwrap().unwrap();
        self.server.store(&mut received, "a push").unwrap();
        received
    }

    /// Sends a branch from nothing and moves it.
    pub(crate) fn push_branch(&self, tip: &str) {
        let received = self.push(&[(NULL, tip, "refs/heads/main")], &self.pack(tip, None));
        assert_eq!(received.unpack_error, None);
        assert!(self.server.update_refs(&received.accepted(), false).unwrap().is_empty());
    }

    /// Nothing of an unfinished push is left, and the real git finds nothing wrong.
    pub(crate) fn is_clean(&self) {
        let objects = fs::read_dir(self.server.path().join("objects")).unwrap();
        for entry in objects.flatten() {
            assert!(!entry.file_name().to_string_lossy().starts_with("incoming-"), "{entry:?}");
        }
        let fsck = Command::new("git")
            .arg("--git-dir")
            .arg(self.server.path())
            .args(["fsck", "--full"])
            .output()
            .unwrap();
        assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
    }
}

/// How many packs a repository has.
pub(crate) fn packs(repository: &Path) -> usize {
    let files = fs::read_dir(repository.join("objects/pack")).into_iter().flatten().flatten();
    files.filter(|f| f.path().extension().is_some_and(|e| e == "pack")).count()
}
