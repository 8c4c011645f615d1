//! Bodies that remember something: the lease that they hold, or whether anything of them was sent.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use deis_core::Lease;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

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

/// A request's body that can be sent to another instance as long as nothing of it was read.
#[derive(Clone)]
pub(super) struct Replayable(Arc<Mutex<State>>);

struct State {
    body: Body,
    touched: bool,
}

impl Replayable {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State { body, touched: false })))
    }

    /// Whether anything of it was read.
    pub(super) fn is_touched(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).touched
    }
}

impl HttpBody for Replayable {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.touched = true;
        Pin::new(&mut state.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}

/// A body with these bytes.
pub(super) fn full(text: impl Into<Bytes>) -> Body {
    Body::new(http_body_util::Full::new(text.into()).map_err(|never| match never {}))
}
