//! Output of a command on its way to standard output and standard error.
//!
//! It is written on a thread of its own: whoever reads there may pause for as long as they like, and meanwhile the
//! daemon must hear that this client lives. The queue is short, so that what is not read stays with the command.

use std::{
    io::{self, Write},
    thread,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{
    error::{ClientError, Result},
    output,
};

/// Pieces that wait to be written.
const QUEUE: usize = 16;
/// What a program ends with whose reader has gone.
const BROKEN_PIPE: i32 = 128 + 13;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Piece {
    /// On standard output.
    Stdout(Bytes),
    /// On standard error.
    Stderr(Bytes),
    /// A warning of this program, at its place among the output.
    Warning(String),
}

/// How writing ended: after everything, or because it failed.
pub(super) type PrintOutcome = oneshot::Receiver<io::Result<()>>;

/// Starts to write what the queue is given, up to its end.
pub(super) fn start() -> (mpsc::Sender<Piece>, PrintOutcome) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let (done, printed) = oneshot::channel();
    thread::spawn(move || {
        // Nobody waits for it after Ctrl-C.
        let _ = done.send(print_all(queue));
    });
    (sender, printed)
}

fn print_all(mut queue: mpsc::Receiver<Piece>) -> io::Result<()> {
    while let Some(piece) = queue.blocking_recv() {
        match piece {
            Piece::Stdout(bytes) => write(&mut io::stdout().lock(), &bytes)?,
            Piece::Stderr(bytes) => write(&mut io::stderr().lock(), &bytes)?,
            Piece::Warning(text) => output::warn(&text),
        }
    }
    Ok(())
}

fn write(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// What became of writing, for whoever waited for it.
pub(super) fn outcome(printed: std::result::Result<io::Result<()>, oneshot::error::RecvError>) -> Result<()> {
    match printed.unwrap_or_else(|gone| Err(io::Error::other(gone))) {
        Ok(()) => Ok(()),
        // As for any program whose reader has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ClientError::Remote(BROKEN_PIPE)),
        Err(source) => Err(ClientError::File { what: "cannot write the output".to_owned(), source }),
    }
}
