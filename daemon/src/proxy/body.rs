//! Bodies that remember something: the lease that they hold, or whether anything of them was sent.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use deis_core::Lease;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

/// An app's answer: its instance is leased until the answer has ended or nobody wants it any more.
pub(super) struct Leased {
    inner: Incoming,
    _lease: Lease,
}

impl Leased {
    pub(super) fn new(inner: Incoming, lease: Lease) -> Self {
        Self { inner, _lease: lease }
    }
}

impl HttpBody for Leased {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request's body that can be sent to another instance as long as nothing of it was read, and that ends with an
/// error when its sender pauses for too long.
#[derive(Clone)]
pub(super) struct Replayable(Arc<Mutex<State>>);

struct State {
    body: Body,
    touched: bool,
    stalled: bool,
    patience: Duration,
    /// Runs while the sender is waited for.
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the client stopped sending its request")]
struct Stalled;

impl Replayable {
    pub(super) fn new(body: Body, patience: Duration) -> Self {
        Self(Arc::new(Mutex::new(State { body, touched: false, stalled: false, patience, pause: None })))
    }

    /// Whether anything of it was read.
    pub(super) fn is_touched(&self) -> bool {
        self.state().touched
    }

    /// Whether its sender took too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.state().stalled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Replayable {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.state();
        state.touched = true;
        if let Poll::Ready(frame) = Pin::new(&mut state.body).poll_frame(cx) {
            state.pause = None;
            return Poll::Ready(frame);
        }
        let patience = state.patience;
        let pause = state.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(pause.as_mut().poll(cx));
        state.stalled = true;
        Poll::Ready(Some(Err(axum::Error::new(Stalled))))
    }

    fn is_end_stream(&self) -> bool {
        self.state().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}

/// A body with these bytes.
pub(super) fn full(text: impl Into<Bytes>) -> Body {
    Body::new(http_body_util::Full::new(text.into()).map_err(|never| match never {}))
}
