//! Answers that may be large: what they hold counts until they are sent, so that clients that do not read them cannot
//! use up the memory that all need.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::keyed_limit::{KeyedLimit, KeyedPermit};

/// Bytes that such answers to one user may hold at a time, and those to all users together.
const MAX_USER: usize = 32 << 20;
const MAX_TOTAL: usize = 128 << 20;
/// Bytes that are handed to the connection at once.
const PIECE: usize = 64 << 10;

/// Answers that are read from files at a time: how large one becomes is known only after that.
const MAX_READING: usize = 4;

/// What answers hold. Clones share the amounts.
#[derive(Clone, Debug)]
pub(super) struct AnswerBudget {
    bytes: KeyedLimit<String>,
    reading: Arc<Semaphore>,
}

impl Default for AnswerBudget {
    fn default() -> Self {
        Self {
            bytes: KeyedLimit::with_total(MAX_USER, MAX_TOTAL),
            reading: Arc::new(Semaphore::new(MAX_READING)),
        }
    }
}

impl AnswerBudget {
    /// What an answer to this user will hold; nothing yet.
    pub(super) fn of(&self, user: String) -> KeyedPermit<String> {
        self.bytes.empty(user)
    }

    /// Waits until an answer may be read from files.
    pub(super) async fn read(&self) -> Option<SemaphorePermit<'_>> {
        self.reading.acquire().await.ok()
    }
}

/// A body that counts as long as it lives.
pub(super) fn held(bytes: Vec<u8>, permit: KeyedPermit<String>) -> Body {
    Body::new(HeldBody { bytes, sent: 0, _permit: permit }.boxed_unsync())
}

struct HeldBody {
    bytes: Vec<u8>,
    sent: usize,
    _permit: KeyedPermit<String>,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    /// A piece is a copy: the connection may keep the last ones for long, and must not keep all for their sake.
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let own = self.get_mut();
        let rest = &own.bytes[own.sent..];
        if rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]);
        own.sent += piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.bytes.len() - self.sent) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_counts_until_it_is_sent() {
        let budget = AnswerBudget::default();
        let mut permit = budget.of("ann".to_owned());
        permit.grow(MAX_USER).unwrap();
        assert!(budget.of("ann".to_owned()).grow(1).is_err());
        let bytes: Vec<u8> = (0..3 * PIECE + 7).map(|n| n.to_le_bytes()[0]).collect();
        let body = held(bytes.clone(), permit);
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        assert_eq!(body.collect().await.unwrap().to_bytes(), bytes);
        assert!(budget.of("ann".to_owned()).grow(1).is_ok());
    }
}
