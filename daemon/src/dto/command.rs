//! What a client and the daemon say to each other of a command, in the engine's words.

use deis_client::attach;
use deis_core::model::{Exit, TaskSignal, TerminalSize};

/// How a command ended, for a client.
pub(crate) fn exit(exit: Exit) -> attach::Exit {
    match exit {
        Exit::Code(code) => attach::Exit::Code(code),
        Exit::Signal(signal) => attach::Exit::Signal(signal),
        Exit::Lost => attach::Exit::Lost,
        Exit::TimedOut => attach::Exit::TimedOut,
    }
}

/// The signal that a client asks for.
pub(crate) fn signal(signal: attach::Signal) -> TaskSignal {
    match signal {
        attach::Signal::Hup => TaskSignal::Hup,
        attach::Signal::Int => TaskSignal::Int,
        attach::Signal::Quit => TaskSignal::Quit,
        attach::Signal::Kill => TaskSignal::Kill,
        attach::Signal::Usr1 => TaskSignal::Usr1,
        attach::Signal::Usr2 => TaskSignal::Usr2,
        attach::Signal::Term => TaskSignal::Term,
    }
}

/// The size of a client's terminal.
pub(crate) fn size(size: attach::TerminalSize) -> TerminalSize {
    TerminalSize { columns: size.columns, rows: size.rows }
}
