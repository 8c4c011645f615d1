//! Running a buildpack's scripts, with their output passed on line by line.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::{orphans, watch::Watch};

/// The environment of all scripts of one build.
pub(super) type Env = BTreeMap<String, String>;

/// Longest line that is passed on in one piece: with its indent, less than what a task's output cuts lines at.
const MAX_LINE: u64 = 32 << 10;
/// Most that a script may print where its output is read as a whole.
const MAX_CAPTURED: u64 = 1 << 20;

/// How a script ended that was listened to.
pub(super) struct ScriptOutput {
    /// `None` if it was ended at its limit.
    pub(super) status: Option<ExitStatus>,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

/// Runs a script and passes its output on, indented below the headings. Standard input is empty. What it leaves
/// running is ended with it: its pipes would stay open, and the app would change while it is packed.
pub(super) fn stream(
    program: &Path,
    args: &[&Path],
    directory: &Path,
    env: &Env,
    watch: &Watch,
) -> io::Result<ExitStatus> {
    let mut child = spawn(program, args, directory, env)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| out.map(|out| pass_on(out, watch)));
        scope.spawn(|| err.map(|err| pass_on(err, watch)));
        let status = child.wait();
        orphans::end();
        status
    })
}

/// Runs a script and returns what it printed, at most so long.
pub(super) fn capture(
    program: &Path,
    args: &[&Path],
    directory: &Path,
    env: &Env,
    limit: Option<Duration>,
) -> io::Result<ScriptOutput> {
    let mut child = spawn(program, args, directory, env)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let out = scope.spawn(|| out.map(collect).unwrap_or_default());
        let err = scope.spawn(|| err.map(collect).unwrap_or_default());
        let ended = limit.map_or(Ok(true), |limit| ends_within(&child, limit));
        if !matches!(ended, Ok(true)) {
            child.kill()?;
        }
        let status = child.wait();
        orphans::end();
        let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
        Ok(ScriptOutput { status: ended?.then_some(status?), out, err })
    })
}

fn spawn(program: &Path, args: &[&Path], directory: &Path, env: &Env) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(args).current_dir(directory).env_clear().envs(env);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.map_err(|error| not_started(program, &error))
}

/// Why a script cannot be run, by its name and with what mends it: the kernel names neither.
fn not_started(program: &Path, error: &io::Error) -> io::Error {
    let folder = program.parent().and_then(Path::file_name).unwrap_or_default();
    let name = Path::new(folder).join(program.file_name().unwrap_or_default());
    let mut line = Vec::new();
    let read =
        fs::File::open(program).and_then(|file| BufReader::new(file.take(200)).read_until(b'\n', &mut line));
    let line = String::from_utf8_lossy(&line);
    let interpreter = line.strip_prefix("#!").map(|rest| rest.trim_end_matches('\n').trim_start());
    let why = match (read, interpreter, error.kind()) {
        (Ok(_), Some(interpreter), io::ErrorKind::NotFound) if interpreter.ends_with('\r') => {
            "its lines end as on Windows; save it with the line ends of Unix".to_owned()
        }
        (Ok(_), Some(interpreter), io::ErrorKind::NotFound) => {
            let shown: String = interpreter.chars().filter(|c| !c.is_control()).take(60).collect();
            format!("{shown:?} in its first line is not on this machine")
        }
        (Ok(_), None, _) if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            "it has no first line such as \"#!/usr/bin/env bash\"; put one there".to_owned()
        }
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("{} cannot be run: {why}", name.display()))
}

/// Waits for the end of a child without reaping it.
fn ends_within(child: &Child, limit: Duration) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    let mut wanted = [PollFd::new(&process, PollFlags::IN)];
    loop {
        match poll(&mut wanted, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}

fn collect(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.by_ref().take(MAX_CAPTURED).read_to_end(&mut bytes);
    // What is too much is read all the same, or the script would wait for ever.
    let _ = io::copy(&mut from, &mut io::sink());
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn pass_on(from: impl Read, watch: &Watch) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        if !watch.may_print(line.len()) {
            line.clear();
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        // Carriage returns redraw a line on a terminal; the last state is what a log wants.
        let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
        let heading = text.starts_with("--") || text.starts_with("       ") || text.starts_with(" !");
        print_line(&if heading || text.is_empty() { text.to_owned() } else { format!("       {text}") });
        line.clear();
    }
}

/// Prints a line of the build.
pub(super) fn print_line(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody reads any more: the build goes on all the same.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

pub(super) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

pub(super) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Ends all children of its process: no other test of this binary starts any.
    #[test]
    fn a_script_that_is_listened_to_ends_at_its_limit() {
        orphans::adopt().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let env = Env::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
        let run = |text: &'static str, limit| {
            let args = [Path::new("-c"), Path::new(text)];
            capture(Path::new("/bin/sh"), &args, folder.path(), &env, Some(limit)).unwrap()
        };
        let hung = run("echo begun; sleep 600 & sleep 600", Duration::from_millis(300));
        assert!(hung.status.is_none());
        let well = run("echo out; echo err >&2; exit 3", Duration::from_secs(600));
        assert_eq!(
            (well.status.and_then(|s| s.code()), well.out.as_str(), well.err.as_str()),
            (Some(3), "out", "err")
        );
    }
}
