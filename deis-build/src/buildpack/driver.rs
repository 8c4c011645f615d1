//! The process that a build is: detect, compile, release and pack, with everything user-controlled inside it.
//!
//! It is this very program run again by the task runner. What to do comes on standard input, the files and what came of
//! it are exchanged through a depot, so that its output is the build's output and nothing else.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use deis_core::{ProcessType, model::parse_procfile};

use super::{
    control_files, export,
    job::{BuildResult, Built, EXIT_DISK_FULL, Job},
    orphans,
    release::{self, Released},
    script::{self, Env, print_line},
    selection,
    watch::Watch,
};
use crate::{depot::Depot, git::is_disk_full, slug};

pub use super::job::NAME;

/// Is a build if the program is called so. Call it first in `main`.
pub fn run_if_asked(args: &[OsString]) -> Option<ExitCode> {
    let called = Path::new(args.first()?).file_name()?;
    (called == NAME)
        .then(|| if args.get(1).is_some_and(|a| a == export::PRINT) { export::print() } else { main() })
}

fn main() -> ExitCode {
    let job: Job = match serde_json::from_reader(io::stdin().lock()) {
        Ok(job) => job,
        Err(error) => {
            print_line(&format!(" !     this program builds only what deisd gives it ({error})"));
            return ExitCode::from(2);
        }
    };
    let depot = match Depot::of_this_builder() {
        Ok(depot) => depot,
        Err(error) => {
            print_line(&format!(" !     {error}"));
            return ExitCode::from(2);
        }
    };
    let mut outcome = outcome_of(|| build(&job, &depot));
    // Whatever a script says then, nobody can mend it in the source.
    if !matches!(outcome, BuildResult::Built(_)) && has_no_room(depot.folder()) {
        outcome = BuildResult::DiskFull;
    }
    let built = matches!(outcome, BuildResult::Built(_));
    let text = serde_json::to_vec(&outcome).unwrap_or_default();
    // Created: whatever a script put there is not followed.
    let written = fs::File::create_new(depot.result()).and_then(|mut file| file.write_all(&text));
    if let Err(error) = written {
        print_line(&format!(" !     the result cannot be written: {error}"));
        return if is_disk_full(&error) {
            u8::try_from(EXIT_DISK_FULL).unwrap_or(2).into()
        } else {
            2.into()
        };
    }
    ExitCode::from(u8::from(!built))
}

/// A build that cannot go on, or that panics in some library, is refused with a reason: the person who pushed cannot
/// use an exit code.
fn outcome_of(build: impl FnOnce() -> io::Result<BuildResult>) -> BuildResult {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(build));
    match caught {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) if is_disk_full(&error) => BuildResult::DiskFull,
        Ok(Err(error)) => BuildResult::Refused { reason: error.to_string() },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason is known");
            let text: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
            BuildResult::Refused { reason: format!("the build ended by an error of the platform: {text}") }
        }
    }
}

/// Whether the disk below a folder has no block left, or next to none.
fn has_no_room(folder: &Path) -> bool {
    const LEAST: u64 = 64 << 10;
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST)
}

/// The folders of a build that are nobody else's: what is in them goes with it.
struct Scratch {
    /// Folder of all of them: the one that this process was started in.
    folder: PathBuf,
    /// One file per config value.
    config: PathBuf,
    /// `HOME` of the scripts.
    home: PathBuf,
    /// `TMPDIR` of the scripts.
    temporary: PathBuf,
}

impl Scratch {
    fn make(job: &Job) -> io::Result<Self> {
        let folder = std::env::current_dir()?;
        let temporary = folder.join("tmp");
        fs::create_dir(&temporary)?;
        Ok(Self { config: write_config(job, &folder)?, home: write_home(job, &folder)?, temporary, folder })
    }
}

fn build(job: &Job, depot: &Depot) -> io::Result<BuildResult> {
    orphans::adopt()?;
    // What a build leaves must not depend on how the platform was started.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    let (root, scratch) = (depot.source(), Scratch::make(job)?);
    let declared = job.env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    let mut env: Env = declared.collect();
    let own = [("HOME", &scratch.home), ("APP_DIR", &root), ("TMPDIR", &scratch.temporary)];
    env.extend(own.map(|(k, v)| (k.to_owned(), v.to_string_lossy().into_owned())));
    let watch = Watch::start(vec![root.clone(), depot.cache(), scratch.folder.clone()], job.limits);
    let stopped = || watch.reason().map(|reason| BuildResult::Refused { reason });

    let (buildpack, name) = match selection::choose(job, depot, &scratch.folder, &env)? {
        Ok(found) => found,
        Err(outcome) => return Ok(stopped().unwrap_or(outcome)),
    };
    print_line(&format!("-----> {name} app detected"));
    let own = |step: &str| root.join("bin").join(step);
    let cache = depot.cache();
    let args = [root.as_path(), cache.as_path(), scratch.config.as_path()];
    let steps: [(&str, PathBuf, &[&Path]); 3] = [
        ("bin/pre-compile", own("pre-compile"), &[]),
        ("compile", buildpack.join("bin/compile"), &args),
        ("bin/post-compile", own("post-compile"), &[]),
    ];
    let mut released = Released::default();
    for (step, program, args) in steps {
        if step != "compile" && !script::is_executable(&program) {
            if program.is_file() {
                let mend = format!("git update-index --chmod=+x {step}");
                print_line(&format!(
                    " !     {step} is left out, for it is not executable; `{mend}` makes it so"
                ));
            }
            continue;
        }
        let status = script::stream(&program, args, &root, &env, &watch)?;
        if let Some(outcome) = stopped() {
            return Ok(outcome);
        }
        if !status.success() {
            return Ok(BuildResult::Failed { step: step.to_owned(), exit: status.code() });
        }
        if step == "compile" {
            if let Err(outcome) = export::source(&buildpack, &root, &mut env)? {
                return Ok(stopped().unwrap_or(outcome));
            }
            match run_release(&buildpack, &root, &env)? {
                Ok(found) => released = found,
                Err(outcome) => return Ok(stopped().unwrap_or(outcome)),
            }
        }
    }
    // Scripts that were faster than the next look.
    watch.look(&[root.clone(), cache, scratch.folder], &job.limits);
    if let Some(outcome) = stopped() {
        return Ok(outcome);
    }
    let (processes, has_procfile) = match discover(&root, &name, released.processes)? {
        Ok(found) => found,
        Err(reason) => return Ok(BuildResult::Refused { reason }),
    };
    let packed = slug::pack(&root, &depot.slug(), &job.limits.slug)?;
    packed.notices.iter().for_each(|text| print_line(&format!(" !     {text}")));
    print_line(&format!("-----> Compiled slug size is {}", size(packed.bytes)));
    Ok(BuildResult::Built(Built { digest: packed.digest, processes, has_procfile }))
}

type Processes = BTreeMap<ProcessType, String>;

fn run_release(buildpack: &Path, root: &Path, env: &Env) -> io::Result<Result<Released, BuildResult>> {
    let program = buildpack.join("bin/release");
    if !script::is_executable(&program) {
        return Ok(Ok(Released::default()));
    }
    let ended = script::capture(&program, &[root], root, env, None)?;
    if !ended.status.is_some_and(|s| s.success()) {
        print_line(&format!(" !     {}", script::first_line(&ended.err)));
        let exit = ended.status.and_then(|s| s.code());
        return Ok(Err(BuildResult::Failed { step: "release".to_owned(), exit }));
    }
    control_files::write(root, ".release", &ended.out)?;
    let released = match release::read(&ended.out) {
        Ok(released) => released,
        Err(reason) => return Ok(Err(BuildResult::Refused { reason })),
    };
    if let Some(text) = released.profile() {
        control_files::write(root, ".profile.d/config_vars.sh", &text)?;
    }
    Ok(Ok(released))
}

/// Procfile over the buildpack's defaults, and whether there is one.
fn discover(root: &Path, name: &str, defaults: Processes) -> io::Result<Result<(Processes, bool), String>> {
    print_line("-----> Discovering process types");
    let list = |types: &Processes| types.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let procfile = control_files::read(root, "Procfile")?;
    let has_procfile = procfile.is_some();
    let mut processes = defaults;
    if !processes.is_empty() {
        print_line(&format!("       Default process types for {name} -> {}", list(&processes)));
    }
    if let Some(text) = procfile {
        match parse_procfile(&text) {
            Ok(own) => {
                print_line(&format!("       Procfile declares types -> {}", list(&own)));
                processes.extend(own);
            }
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    if processes.is_empty() {
        let text = "there is no process type to run: add a Procfile, such as `web: python3 app.py`";
        return Ok(Err(text.to_owned()));
    }
    Ok(Ok((processes, has_procfile)))
}

/// One file per config value, as the third argument of `bin/compile` wants them.
fn write_config(job: &Job, scratch: &Path) -> io::Result<PathBuf> {
    let folder = scratch.join("env");
    fs::create_dir(&folder)?;
    for (key, value) in &job.config {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(key))?;
        file.write_all(value.as_bytes())?;
    }
    Ok(folder)
}

/// A home of the build's own, with the app's `SSH_KEY` for private dependencies.
fn write_home(job: &Job, scratch: &Path) -> io::Result<PathBuf> {
    let home = scratch.join("home");
    fs::create_dir(&home)?;
    let Some(encoded) = job.config.get("SSH_KEY") else { return Ok(home) };
    let Ok(key) = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, encoded.trim()) else {
        print_line(" !     SSH_KEY is not base64 and is left out; `deis config:push` would have encoded it");
        return Ok(home);
    };
    let folder = home.join(".ssh");
    fs::create_dir(&folder)?;
    let write = |name: &str, data: &[u8]| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(folder.join(name))?;
        file.write_all(data)
    };
    write("id_rsa", &key)?;
    write("config", b"Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n")?;
    Ok(home)
}

fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    if bytes >= 1 << 20 { format!("{}M", tenths(1 << 20)) } else { format!("{}K", tenths(1 << 10)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_refusal_with_a_reason() {
        let BuildResult::Refused { reason } = outcome_of(|| panic!("no provider")) else {
            panic!("it is refused")
        };
        assert!(reason.contains("no provider"), "{reason}");
    }
}
