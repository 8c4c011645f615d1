//! A task's terminal.
//!
//! The child must lead a session of its own with the terminal as its controlling one, so that Ctrl-C, job control and
//! a hang-up mean what they mean everywhere. Between `fork` and `exec` nothing can be done without `unsafe`; so this
//! executable is run once more in between, does both, and becomes the real program.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::Command,
};

use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::model::TerminalSize;

/// The name under which an executable knows that it shall take its standard input as terminal and become a program.
const NAME: &str = "deis-terminal";

/// Opens a terminal: the end that controls it, and the child's.
pub(super) fn open(size: TerminalSize) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = openpt(flags)?;
    // The order is the kernel's: the other end cannot be opened before it is unlocked.
    grantpt(&controller)?;
    unlockpt(&controller)?;
    // By a call on the open controller and not by its path: `/dev/pts` may be another file system in a container.
    let child = ioctl_tiocgptpeer(&controller, flags)?;
    let size = Winsize { ws_col: size.columns, ws_row: size.rows, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&controller, size)?;
    // The loop of the shim reads and writes it, and must not wait for either.
    rustix::fs::fcntl_setfl(&controller, OFlags::RDWR | OFlags::NONBLOCK)?;
    Ok((controller, child))
}

/// The command that runs `program` with a controlling terminal.
pub(super) fn command(program: OsString, argv0: Option<String>, args: Vec<OsString>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let name = argv0.map_or_else(|| program.clone(), OsString::from);
    command.arg0(NAME).arg(program).arg(name).args(args);
    command
}

/// Takes the terminal and becomes the program, if this process was started for that; returns only if not, or with the
/// code that says why it cannot.
pub(super) fn become_program_if_asked() -> Option<i32> {
    let mut args = std::env::args_os();
    if args.next()?.to_str() != Some(NAME) {
        return None;
    }
    let (program, name) = (args.next()?, args.next()?);
    let error = match take_terminal() {
        Ok(()) => Command::new(&program).arg0(name).args(args).exec(),
        Err(error) => error,
    };
    eprintln!("the process cannot be started: {error}");
    Some(super::CANNOT_START)
}

fn take_terminal() -> io::Result<()> {
    // The kernel gives a controlling terminal to a leader of a session that has none, and to nobody else.
    rustix::process::setsid()?;
    Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
}
