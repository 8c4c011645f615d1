//! The format of the run folder.
//!
//! ```text
//! <app>/                        one life of an app: its uid in 26 characters
//!   log.0 log.1                 lines of the platform as JSON: written by the log store, the newer file first
//!   <instance>/                 the last 5 characters of the instance's name
//!     identity.json             whose output this is: written before the process starts
//!     lock                      locked by the supervising process for life; holds its number
//!     state.json                what runs: written by the supervising process
//!     ready                     exists while the present run is ready: written by the scheduler
//!     out.0 out.1               lines of the process: written by the supervising process, the newer file first
//!     exit.json                 how the last run ended
//!     app/                      $HOME and working directory
//! tasks/<app>/<kind>-<name>-<attempt>/
//!     task.json                 which task it is: written before the process starts
//!     lock, exit.json, app/     as above
//!     main.json                 the process, once it runs
//!     output.<position>         output byte by byte: written by the supervising process
//!     s                         the socket of readers and the writer
//! ```
//!
//! JSON files are replaced by renaming, so that nobody reads half of one. What has another version than this process
//! knows is left as it is.
//!
//! Names are short because apps put Unix sockets below `$HOME`, and the address of a socket holds 107 bytes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    model::{AppUid, Attempt, InstanceName, TaskKind, TaskName, Timestamp},
    port::{OutputStream, line_text},
};

/// Holds whoever lives in a folder.
pub(crate) const LOCK: &str = "lock";
/// Whose output is in an instance's folder.
pub(crate) const IDENTITY: &str = "identity.json";
/// What runs in an instance's folder.
pub(crate) const STATE: &str = "state.json";
/// How the last run ended.
pub(crate) const EXIT: &str = "exit.json";
/// Which task a folder is of.
pub(crate) const TASK: &str = "task.json";
/// The process of a task.
pub(crate) const MAIN: &str = "main.json";
/// Exists while the present run of an instance is ready.
pub(crate) const READY: &str = "ready";
/// The socket of a task.
pub(crate) const SOCKET: &str = "s";
/// Lines of an instance's process: the newer file and the older one.
pub(crate) const LINES: [&str; 2] = ["out.0", "out.1"];
/// Lines of the platform: the newer file and the older one.
pub(crate) const PLATFORM_LINES: [&str; 2] = ["log.0", "log.1"];
/// How the names of a task's output files begin; the position of the first byte follows.
pub(crate) const OUTPUT_PREFIX: &str = "output.";
/// Largest file of lines.
pub(crate) const MAX_LINES_FILE: u64 = 1024 * 1024;

/// Bytes of a Unix socket's path, without the zero behind it.
const MAX_SOCKET_PATH: usize = 107;

/// The folder of all instances of an app.
pub(crate) fn of_app(run_dir: &Path, uid: AppUid) -> PathBuf {
    run_dir.join(short(uid))
}

/// The folder of an instance. Its name's last part tells it from all others of the app.
pub(crate) fn of_instance(run_dir: &Path, uid: AppUid, instance: &InstanceName) -> PathBuf {
    of_app(run_dir, uid).join(suffix(instance))
}

/// The last part of an instance's name.
pub(crate) fn suffix(instance: &InstanceName) -> &str {
    instance.as_str().rsplit('-').next().unwrap_or_default()
}

/// The folder of all tasks.
pub(crate) fn tasks(run_dir: &Path) -> PathBuf {
    run_dir.join("tasks")
}

/// The folder of a task.
pub(crate) fn of_task(
    run_dir: &Path,
    uid: AppUid,
    (kind, name, attempt): (TaskKind, &TaskName, Attempt),
) -> PathBuf {
    tasks(run_dir).join(short(uid)).join(format!("{}-{name}-{attempt}", kind.word()))
}

/// The app whose folder this is; `None` for a folder that is none of ours.
pub(crate) fn app_of(folder: &Path) -> Option<AppUid> {
    let name = folder.file_name()?.to_str()?;
    let valid = name.len() == SHORT_LENGTH && name.bytes().all(|b| DIGITS.contains(&b));
    let number = u128::from_str_radix(name, 32).ok().filter(|_| valid)?;
    Some(AppUid(uuid::Uuid::from_u128(number)))
}

/// Digits of base 32, in order.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// So many of them hold 128 bits.
const SHORT_LENGTH: usize = 26;

/// A uid in base 32: 26 characters where its usual form has 36.
fn short(uid: AppUid) -> String {
    let digit =
        |n: usize| char::from(DIGITS[usize::from((uid.0.as_u128() >> (5 * n)).to_le_bytes()[0] & 31)]);
    (0..SHORT_LENGTH).rev().map(digit).collect()
}

/// The folders in a folder; none if it is not there.
pub(crate) fn subfolders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Where the private copy of the app's files lies: `$HOME` and working directory.
pub(crate) fn files(folder: &Path) -> PathBuf {
    folder.join("app")
}

/// A name for a socket that is as long as those of usual servers: `tmp/sockets/puma.sock` has 21 bytes.
pub(crate) const USUAL_SOCKET: usize = 21;

/// The room for sockets below the `$HOME` of instances in this run folder.
pub(crate) fn room_in_instances(run_dir: &Path) -> usize {
    let instance = of_app(run_dir, AppUid(uuid::Uuid::nil())).join("abcde");
    room_for_socket(&files(&instance))
}

/// How many bytes are left for the name of a Unix socket below `$HOME`, the slash before it not counted.
pub(crate) fn room_for_socket(home: &Path) -> usize {
    MAX_SOCKET_PATH.saturating_sub(home.as_os_str().len() + 1)
}

/// A line of an instance's file, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawLogLine {
    pub(crate) at: Timestamp,
    /// Where the process wrote it; `None` for a warning of the platform.
    pub(crate) stream: Option<OutputStream>,
    pub(crate) text: String,
}

/// A line as it stands in an instance's file: `<milliseconds> <o|e|w> <text>`.
pub(crate) fn format_line(at: Timestamp, stream: Option<OutputStream>, line: &[u8]) -> String {
    let mark = match stream {
        Some(OutputStream::Stdout) => 'o',
        Some(OutputStream::Stderr) => 'e',
        None => 'w',
    };
    format!("{} {mark} {}\n", at.0, line_text(line))
}

/// Reads one line of an instance's file, without its end; `None` if it is torn.
pub(crate) fn parse_line(line: &[u8]) -> Option<RawLogLine> {
    let line = std::str::from_utf8(line).ok()?;
    let (at, rest) = line.split_once(' ')?;
    let (mark, text) = rest.split_once(' ')?;
    let stream = match mark {
        "o" => Some(OutputStream::Stdout),
        "e" => Some(OutputStream::Stderr),
        "w" => None,
        _ => return None,
    };
    Some(RawLogLine { at: Timestamp(at.parse().ok()?), stream, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_an_app_says_which_app() {
        for number in [0, 1, u128::MAX, 0x1234_5678_9abc_def0_1234_5678_9abc_def0] {
            let uid = AppUid(uuid::Uuid::from_u128(number));
            let folder = of_app(Path::new("/run"), uid);
            assert_eq!(folder.file_name().unwrap().len(), SHORT_LENGTH);
            assert_eq!(app_of(&folder), Some(uid));
        }
        for foreign in ["tasks", "not-an-app", "zzzzzzzzzzzzzzzzzzzzzzzzzz", "+0000000000000000000000001"] {
            assert_eq!(app_of(&Path::new("/run").join(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn a_usual_data_folder_leaves_room_for_sockets() {
        let run_dir = Path::new("/home/firstname.lastname/.local/share/deis/run");
        let name = InstanceName::new("blog-web-00000001-abc12").unwrap();
        let home = files(&of_instance(run_dir, AppUid(uuid::Uuid::new_v4()), &name));
        assert!(room_for_socket(&home) >= USUAL_SOCKET, "{}", home.display());
        assert_eq!(room_for_socket(&home), room_in_instances(run_dir));
    }

    #[test]
    fn lines_come_back() {
        for stream in [Some(OutputStream::Stdout), Some(OutputStream::Stderr), None] {
            let text = format_line(Timestamp(7), stream, b"a b");
            let line = RawLogLine { at: Timestamp(7), stream, text: "a b".to_owned() };
            assert_eq!(parse_line(text.trim_end().as_bytes()), Some(line));
        }
        assert_eq!(parse_line(b"torn"), None);
    }
}
