//! The process that a build is: detect, compile, release and pack, with everything user-controlled inside it.
//!
//! It is this very program run again by the task runner; what to do comes on standard input, what came of it goes into
//! a file, so that its output is the build's output and nothing else.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use deis_core::{ProcessType, parse_procfile};

use super::{
    control, export,
    job::{Job, Outcome},
    leftovers, pack,
    release::{self, Released},
    script::{self, Env, say},
};
use crate::slug::{self, SlugLimits};

/// Name that the program is called by (`argv[0]`) to be a build.
pub const NAME: &str = "deis-builder";

/// Is a build if the program is called so. Call it first in `main`.
pub fn run_if_asked(args: &[OsString]) -> Option<ExitCode> {
    let called = Path::new(args.first()?).file_name()?;
    (called == NAME)
        .then(|| if args.get(1).is_some_and(|a| a == export::PRINT) { export::print() } else { main() })
}

fn main() -> ExitCode {
    let job: Job = match serde_json::from_reader(std::io::stdin().lock()) {
        Ok(job) => job,
        Err(error) => {
            say(&format!(" !     this program builds only what deisd gives it ({error})"));
            return ExitCode::from(2);
        }
    };
    let outcome = outcome_of(|| build(&job));
    let built = matches!(outcome, Outcome::Built { .. });
    let text = serde_json::to_vec(&outcome).unwrap_or_default();
    if let Err(error) = fs::write(Job::result(&job.work), text) {
        say(&format!(" !     the result cannot be written: {error}"));
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(!built))
}

/// A build that cannot go on, or that panics in some library, is refused with a reason: the person who pushed cannot
/// use an exit code.
fn outcome_of(build: impl FnOnce() -> std::io::Result<Outcome>) -> Outcome {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(build));
    match caught {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Refused { reason: error.to_string() },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason is known");
            let text: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
            Outcome::Refused { reason: format!("the build ended by an error of the platform: {text}") }
        }
    }
}

fn build(job: &Job) -> std::io::Result<Outcome> {
    leftovers::adopt()?;
    // What a build leaves must not depend on how the platform was started.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    fs::create_dir(Job::scratch(&job.work))?;
    let root = Job::root(&job.work);
    let env_dir = write_env(job)?;
    let home = write_home(job)?;
    let mut env: Env = job.env.clone();
    env.extend(
        [("HOME", &home), ("APP_DIR", &root)].map(|(k, v)| (k.to_owned(), v.to_string_lossy().into_owned())),
    );

    let (pack, name) = match pack::choose(job, &root, &env)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    say(&format!("-----> {name} app detected"));
    let own = |step: &str| root.join("bin").join(step);
    let args = [root.as_path(), job.cache.as_path(), env_dir.as_path()];
    let steps: [(&str, PathBuf, &[&Path]); 3] = [
        ("bin/pre-compile", own("pre-compile"), &[]),
        ("compile", pack.join("bin/compile"), &args),
        ("bin/post-compile", own("post-compile"), &[]),
    ];
    let mut released = Released::default();
    for (step, program, args) in steps {
        if step != "compile" && !script::is_executable(&program) {
            continue;
        }
        let status = script::stream(&program, args, &root, &env)?;
        if !status.success() {
            return Ok(Outcome::Failed { step: step.to_owned(), exit: status.code() });
        }
        if step == "compile" {
            if let Err(outcome) = export::source(&pack, &root, &mut env)? {
                return Ok(outcome);
            }
            match run_release(&pack, &root, &env)? {
                Ok(found) => released = found,
                Err(outcome) => return Ok(outcome),
            }
        }
    }
    let (processes, has_procfile) = match discover(&root, &name, released.processes)? {
        Ok(found) => found,
        Err(reason) => return Ok(Outcome::Refused { reason }),
    };
    let packed = slug::pack(&root, &Job::slug(&job.work), &SlugLimits::default())?;
    packed.notices.iter().for_each(|text| say(&format!(" !     {text}")));
    say(&format!("-----> Compiled slug size is {}", size(packed.bytes)));
    Ok(Outcome::Built { digest: packed.digest, processes, has_procfile })
}

type Processes = BTreeMap<ProcessType, String>;

fn run_release(pack: &Path, root: &Path, env: &Env) -> std::io::Result<Result<Released, Outcome>> {
    let program = pack.join("bin/release");
    if !script::is_executable(&program) {
        return Ok(Ok(Released::default()));
    }
    let ended = script::capture(&program, &[root], root, env, None)?;
    if !ended.status.is_some_and(|s| s.success()) {
        say(&format!(" !     {}", script::first_line(&ended.err)));
        let exit = ended.status.and_then(|s| s.code());
        return Ok(Err(Outcome::Failed { step: "release".to_owned(), exit }));
    }
    control::write(root, ".release", &ended.out)?;
    let released = match release::read(&ended.out) {
        Ok(released) => released,
        Err(reason) => return Ok(Err(Outcome::Refused { reason })),
    };
    if let Some(text) = released.profile() {
        control::write(root, ".profile.d/config_vars.sh", &text)?;
    }
    Ok(Ok(released))
}

/// Procfile over the buildpack's defaults, and whether there is one.
fn discover(
    root: &Path,
    name: &str,
    defaults: Processes,
) -> std::io::Result<Result<(Processes, bool), String>> {
    say("-----> Discovering process types");
    let list = |types: &Processes| types.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let procfile = control::read(root, "Procfile")?;
    let has_procfile = procfile.is_some();
    let mut processes = defaults;
    if !processes.is_empty() {
        say(&format!("       Default process types for {name} -> {}", list(&processes)));
    }
    if let Some(text) = procfile {
        match parse_procfile(&text) {
            Ok(own) => {
                say(&format!("       Procfile declares types -> {}", list(&own)));
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
fn write_env(job: &Job) -> std::io::Result<PathBuf> {
    let folder = job.work.join("env");
    fs::create_dir(&folder)?;
    for (key, value) in &job.config {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(key))?;
        std::io::Write::write_all(&mut file, value.as_bytes())?;
    }
    Ok(folder)
}

/// A home of the build's own, with the app's `SSH_KEY` for private dependencies.
fn write_home(job: &Job) -> std::io::Result<PathBuf> {
    let home = job.work.join("home");
    fs::create_dir(&home)?;
    let Some(encoded) = job.config.get("SSH_KEY") else { return Ok(home) };
    let Ok(key) = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, encoded.trim()) else {
        say(" !     SSH_KEY is not base64 and is left out; `deis config:push` would have encoded it");
        return Ok(home);
    };
    let folder = home.join(".ssh");
    fs::create_dir(&folder)?;
    let write = |name: &str, data: &[u8]| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(folder.join(name))?;
        std::io::Write::write_all(&mut file, data)
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
        let Outcome::Refused { reason } = outcome_of(|| panic!("no provider")) else {
            panic!("it is refused")
        };
        assert!(reason.contains("no provider"), "{reason}");
    }
}
