//! What a client's connection is doing: it decides how long the client may be silent, and how the connection ends.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::task::Waker;

use tokio::time::Instant;

use super::ProxyOptions;

/// Shared by a connection's stream and the requests on it.
#[derive(Clone)]
pub(super) struct ConnectionState(Arc<Shared>);

struct Shared {
    state: Mutex<ConnectionInner>,
    unread: UnreadBody,
}

struct ConnectionInner {
    options: Arc<ProxyOptions>,
    phase: Phase,
    /// Raw bytes of the head that is being read.
    head: Vec<u8>,
    /// Who waits for the client without a time limit.
    reader: Option<Waker>,
}

enum Phase {
    /// No request is under way; the connection ends at this time.
    Idle(Instant),
    /// A head is being read, until this time.
    Head(Instant),
    /// A request is answered; its body has a limit of its own.
    Busy,
    /// It is no HTTP connection any more.
    Upgraded,
}

/// Whether the client may still be sending a body that nobody has read to its end. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct UnreadBody(Arc<AtomicBool>);

impl UnreadBody {
    pub(super) fn set(&self, is_unread: bool) {
        self.0.store(is_unread, Ordering::SeqCst);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl ConnectionState {
    pub(super) fn new(options: &Arc<ProxyOptions>) -> Self {
        let phase = Phase::Head(Instant::now() + options.head_timeout);
        let state = ConnectionInner { options: Arc::clone(options), phase, head: Vec::new(), reader: None };
        Self(Arc::new(Shared { state: Mutex::new(state), unread: UnreadBody::default() }))
    }

    /// Begins the answer to a request whose head was parsed. `has_body`: whether bytes of it follow the head.
    pub(super) fn begin(&self, has_body: bool) -> RequestGuard {
        self.0.unread.set(has_body);
        // Set before the answer begins: if the handler answers without reading, the connection must linger, and by then
        // nobody else knows that bytes follow.
        let mut state = self.lock();
        state.phase = Phase::Busy;
        let has_length = names_a_length(&std::mem::take(&mut state.head));
        drop(state);
        RequestGuard { connection: self.clone(), has_length }
    }

    /// Until when the client may stay silent; without a limit, `reader` is woken as soon as there is one.
    pub(super) fn deadline(&self, reader: &Waker) -> Option<Instant> {
        let mut state = self.lock();
        match state.phase {
            Phase::Idle(at) | Phase::Head(at) => Some(at),
            // No timer runs, so somebody has to wake this reader once a limit holds again: when the answer has ended.
            Phase::Busy | Phase::Upgraded => {
                state.reader = Some(reader.clone());
                None
            }
        }
    }

    /// Notes bytes that the client sent.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut state = self.lock();
        // The first byte starts the clock of the head. Each further byte does not: or else a byte now and then would
        // hold the connection for ever.
        if matches!(state.phase, Phase::Idle(_)) && !bytes.is_empty() {
            state.phase = Phase::Head(Instant::now() + state.options.head_timeout);
        }
        if matches!(state.phase, Phase::Head(_)) {
            // The parser forgets a length that it drops in favour of a coding, and two parsers in a row may choose
            // differently. So the head is kept as it came, up to its bound, to look for one.
            let room = state.options.max_head.saturating_sub(state.head.len());
            state.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Whether the client may have sent something that was not read: the rest of a body, or of a head that was refused.
    /// Closing the socket then would make the kernel reset the connection, and the client would lose the answer.
    pub(super) fn has_unread(&self) -> bool {
        let state = self.lock();
        match state.phase {
            // A head that is too large or none was refused in the middle: the rest of it may be on its way.
            Phase::Head(_) => !state.head.is_empty(),
            Phase::Upgraded => false,
            Phase::Idle(_) | Phase::Busy => self.0.unread.get(),
        }
    }

    /// Whether the connection has become another protocol's.
    pub(super) fn is_upgraded(&self) -> bool {
        matches!(self.lock().phase, Phase::Upgraded)
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionInner> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request of a connection, until its answer has ended.
pub(super) struct RequestGuard {
    connection: ConnectionState,
    /// Whether the head had a `Content-Length`, also one that the parser dropped in favour of a transfer coding. A head
    /// that came before the answer to the last request had ended was not seen; then this says no, and the parser's
    /// own rule holds: the transfer coding counts, and the connection ends.
    pub(super) has_length: bool,
}

impl RequestGuard {
    /// Where it is noted that the request's body was read to its end.
    pub(super) fn unread(&self) -> UnreadBody {
        self.connection.0.unread.clone()
    }

    /// The connection becomes another protocol's.
    pub(super) fn upgrade(self) {
        self.connection.lock().phase = Phase::Upgraded;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.connection.lock();
        if matches!(state.phase, Phase::Busy) {
            state.phase = Phase::Idle(Instant::now() + state.options.idle_timeout);
            if let Some(reader) = state.reader.take() {
                // It waits without a limit, and there is one now.
                reader.wake();
            }
        }
    }
}

fn names_a_length(raw: &[u8]) -> bool {
    let start = raw.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(raw.len());
    let lines = raw[start..].split(|b| *b == b'\n').take_while(|line| !line.trim_ascii().is_empty());
    lines
        .filter_map(|line| line.split(|b| *b == b':').next())
        .any(|name| name.eq_ignore_ascii_case(b"content-length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_seen_in_heads_only() {
        for (raw, has) in [
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCONTENT-length: 3\r\n\r\n", true),
            ("\r\nPOST / HTTP/1.1\ncontent-length:3\n\n", true),
            ("POST / HTTP/1.1\r\nX: Content-Length: 3\r\n\r\nContent-Length: 3\r\n", false),
            ("", false),
        ] {
            assert_eq!(names_a_length(raw.as_bytes()), has, "{raw:?}");
        }
    }
}
