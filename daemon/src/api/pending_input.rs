//! Input that a client has sent and its command has not taken yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use deis_client::attach::INPUT_WINDOW;
use deis_core::port::MAX_CHUNK;
use tokio::sync::Notify;

use super::websocket::MAX_DISCARDED;

/// One buffer, whatever the messages are in which its bytes come: a queue of messages would cost far more than the bytes
/// of small ones, and empty ones would count nothing.
#[derive(Debug, Default)]
pub(super) struct PendingInput {
    state: Mutex<InputState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct InputState {
    bytes: BytesMut,
    /// Bytes that are being written: they count until they are taken.
    in_hand: usize,
    ended: bool,
    /// How much was thrown away since nobody takes anything more.
    discarded: Option<usize>,
}

impl PendingInput {
    /// Adds bytes. `false`: the client sends more than it may, or something after the end.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        if let Some(discarded) = &mut state.discarded {
            *discarded += bytes.len();
            return *discarded <= MAX_DISCARDED;
        }
        if state.ended || state.bytes.len() + state.in_hand + bytes.len() > INPUT_WINDOW {
            return false;
        }
        state.bytes.extend_from_slice(bytes);
        self.changed.notify_one();
        true
    }

    /// Nothing follows. `false`: that was said before.
    pub(super) fn end(&self) -> bool {
        let mut state = self.lock();
        let first = !std::mem::replace(&mut state.ended, true);
        self.changed.notify_one();
        first || state.discarded.is_some()
    }

    /// From now on all that comes is thrown away, up to [`MAX_DISCARDED`] bytes.
    pub(super) fn discard(&self) {
        let mut state = self.lock();
        state.bytes = BytesMut::new();
        state.discarded.get_or_insert(0);
    }

    /// The next bytes, at most [`MAX_CHUNK`]; `None` at the end. There is one who takes, who says [`Self::taken`] after.
    pub(super) async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.lock();
                if !state.bytes.is_empty() {
                    let size = state.bytes.len().min(MAX_CHUNK);
                    state.in_hand = size;
                    return Some(state.bytes.split_to(size).freeze());
                }
                if state.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// What [`Self::next`] gave was taken; it counts no longer.
    pub(super) fn taken(&self) {
        self.lock().in_hand = 0;
    }

    fn lock(&self) -> MutexGuard<'_, InputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_cost_their_bytes_and_an_end_is_one() {
        let input = PendingInput::default();
        for _ in 0..1_000_000 {
            assert!(input.push(b""), "nothing costs nothing");
        }
        for _ in 0..INPUT_WINDOW {
            assert!(input.push(b"x"));
        }
        assert!(!input.push(b"x"), "the window is full");
        assert!(input.lock().bytes.capacity() <= 2 * INPUT_WINDOW);
        assert_eq!(input.next().await.unwrap().len(), MAX_CHUNK);
        assert!(!input.push(b"x"), "what is being written counts");
        input.taken();
        assert!(input.push(&vec![b'x'; MAX_CHUNK]) && !input.push(b"x"));
        assert!(input.end());
        assert!(!input.end() && !input.push(b""), "nothing follows the end");
        let mut left = 0;
        while let Some(bytes) = input.next().await {
            left += bytes.len();
            input.taken();
        }
        assert_eq!(left, INPUT_WINDOW);
    }

    #[test]
    fn what_nobody_takes_is_thrown_away_up_to_a_bound() {
        let input = PendingInput::default();
        assert!(input.push(&vec![0; INPUT_WINDOW]));
        input.discard();
        assert!(input.push(&vec![0; MAX_DISCARDED]) && input.end() && input.end());
        assert_eq!(input.lock().bytes.len(), 0);
        assert!(!input.push(b"x"));
    }
}
