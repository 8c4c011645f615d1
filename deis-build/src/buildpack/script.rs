//! Running a buildpack's scripts, with their output passed on line by line.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
};

/// The environment of all scripts of one build.
pub(super) type Env = BTreeMap<String, String>;

/// Runs a script and passes its output on, indented below the headings. Standard input is empty.
pub(super) fn stream(
    program: &Path,
    args: &[&Path],
    directory: &Path,
    env: &Env,
) -> std::io::Result<ExitStatus> {
    let mut child =
        command(program, args, directory, env).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let copy = thread::spawn(move || err.map(pass_on));
    if let Some(out) = out {
        pass_on(out);
    }
    let status = child.wait()?;
    let _ = copy.join();
    Ok(status)
}

/// Runs a script and returns what it printed: standard output, and standard error as one text.
pub(super) fn capture(
    program: &Path,
    args: &[&Path],
    directory: &Path,
    env: &Env,
) -> std::io::Result<(ExitStatus, String, String)> {
    let output = command(program, args, directory, env).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok((output.status, text(output.stdout), text(output.stderr)))
}

fn command(program: &Path, args: &[&Path], directory: &Path, env: &Env) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(directory).env_clear().envs(env).stdin(Stdio::null());
    command
}

fn pass_on(from: impl Read) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line);
        // Carriage returns redraw a line on a terminal; the last state is what a log wants.
        let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
        let heading = text.starts_with("--") || text.starts_with("       ") || text.starts_with(" !");
        say(&if heading || text.is_empty() { text.to_owned() } else { format!("       {text}") });
        line.clear();
    }
}

/// Prints a line of the build.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the build goes on all the same.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
