//! Steps that a person would type, run as they are shown.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// Where steps are run, and by which tools.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    bin: PathBuf,
    profile: PathBuf,
    folder: PathBuf,
    quiet: bool,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("`{step}` failed: {output}")]
pub(super) struct StepFailed {
    step: String,
    output: String,
}

/// Who the quick start's commits are by: a person's own git need not be set up.
const IDENTITY: [&str; 4] = ["-c", "user.name=deis quickstart", "-c", "user.email=quickstart@localhost"];

impl Shell {
    /// Steps in `folder`, with the tools of `bin` and the profile file `profile`.
    pub(super) fn new(bin: PathBuf, profile: PathBuf, folder: PathBuf, quiet: bool) -> Self {
        Self { bin, profile, folder, quiet }
    }

    /// The same in another folder.
    pub(super) fn at(&self, folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), ..self.clone() }
    }

    /// The same, with nothing shown.
    pub(super) fn quiet(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    /// Runs the client.
    pub(super) async fn deis(&self, args: &[&str]) -> Result<String, StepFailed> {
        self.run("deis", args, &[]).await
    }

    /// Runs git.
    pub(super) async fn git(&self, args: &[&str]) -> Result<String, StepFailed> {
        self.run("git", args, &IDENTITY).await
    }

    async fn run(&self, program: &str, args: &[&str], hidden: &[&str]) -> Result<String, StepFailed> {
        let step = format!("{program} {}", args.iter().map(|a| quote(a)).collect::<Vec<_>>().join(" "));
        if !self.quiet {
            println!("$ {step}");
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.bin.clone()).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(paths).unwrap_or(path);
        // The client is run by its full path, for its own PATH is not searched for it.
        let file = if program == "deis" { self.bin.join("deis") } else { PathBuf::from(program) };
        let mut command = Command::new(file);
        command
            .args(hidden)
            .args(args)
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("DEIS_PROFILE", &self.profile)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("DEIS_APP_NAME")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let failed = |output: String| StepFailed { step: step.clone(), output };
        if self.quiet {
            let output = command.output().await.map_err(|e| failed(e.to_string()))?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            if output.status.success() {
                return Ok(text(&output.stdout));
            }
            return Err(failed(format!("{}\n{}", text(&output.stdout), text(&output.stderr))));
        }
        let status = command.status().await.map_err(|e| failed(e.to_string()))?;
        println!();
        if status.success() { Ok(String::new()) } else { Err(failed(status.to_string())) }
    }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
