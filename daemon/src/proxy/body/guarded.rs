//! A body that keeps something as long as it lives.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};

/// A body that keeps a guard until it has ended, or until nobody wants it any more.
pub(in crate::proxy) struct GuardedBody<B, T> {
    inner: B,
    _guard: T,
}

impl<B, T> GuardedBody<B, T> {
    pub(in crate::proxy) fn new(inner: B, guard: T) -> Self {
        Self { inner, _guard: guard }
    }
}

impl<B: Body + Unpin, T: Unpin> Body for GuardedBody<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
