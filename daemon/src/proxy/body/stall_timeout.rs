//! A client's body whose sender must get on.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::proxy::connection::UnreadBody;

/// Why a client's body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum BodyError {
    /// Its sender pauses for too long, or trickles.
    #[error("the client stopped sending its request")]
    Stalled,
    /// It ends early, or its chunks are none.
    #[error("the client's body is not what its head announced")]
    Broken(#[source] hyper::Error),
    /// It failed in one of these ways after the app had begun its answer.
    #[error("the client's body failed while it got its answer")]
    AfterAnswer,
}

/// Bytes that must arrive within the stall timeout: less is a way to hold a connection for nothing.
const LEAST: usize = 512;

/// A client's body without its trailers, whose sender must get on. Only time spent waiting for the client counts.
pub(in crate::proxy) struct StallTimeoutBody {
    inner: Incoming,
    limit: Duration,
    unread: UnreadBody,
    /// Bytes since `waited` was last set back.
    got: usize,
    /// Waiting time for those.
    waited: Duration,
    pause: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl StallTimeoutBody {
    /// `unread` is told when the body was read to its end.
    pub(in crate::proxy) fn new(inner: Incoming, limit: Duration, unread: UnreadBody) -> Self {
        Self { inner, limit, unread, got: 0, waited: Duration::ZERO, pause: None }
    }

    fn arrived(&mut self, bytes: usize) {
        // Only waiting counts, and a body that is not polled is not waited for: an app that reads slowly is no fault of
        // the client's.
        if let Some((since, _)) = self.pause.take() {
            self.waited += since.elapsed();
        }
        self.got += bytes;
        if self.got >= LEAST {
            (self.got, self.waited) = (0, Duration::ZERO);
        }
    }
}

impl Body for StallTimeoutBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            let Some(frame) = frame else {
                self.unread.set(false);
                return Poll::Ready(None);
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Some(Err(BodyError::Broken(error)))),
            };
            // Trailers would be headers that nobody has checked: they end here.
            if let Ok(data) = frame.into_data() {
                self.arrived(data.len());
                if self.inner.is_end_stream() {
                    // Whoever knows the length does not ask again.
                    self.unread.set(false);
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        // What was waited for before counts, too, until enough has come: many short pauses are a long one.
        let left = self.limit.saturating_sub(self.waited);
        let (_, pause) =
            self.pause.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
