//! Bodies that remember something: what they hold, how fast their sender is, whether anything of them was sent.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::moved::Moved;

/// A body that keeps something until it has ended, or until nobody wants it any more.
pub(super) struct Held<B, T> {
    inner: B,
    _held: T,
}

impl<B, T> Held<B, T> {
    pub(super) fn new(inner: B, held: T) -> Self {
        Self { inner, _held: held }
    }
}

impl<B: HttpBody + Unpin, T: Unpin> HttpBody for Held<B, T> {
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

/// Why a client's body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Its sender pauses for too long, or trickles.
    #[error("the client stopped sending its request")]
    Stalled,
    /// It ends early, or its chunks are none.
    #[error("the client's body is not what its head announced")]
    Broken(#[source] hyper::Error),
}

/// Bytes that must arrive within the patience that a client gets: less is a way to hold a connection for nothing.
const LEAST: usize = 512;

/// A client's body without its trailers, whose sender must get on. Only time spent waiting for the client counts.
pub(super) struct Patient {
    inner: Incoming,
    patience: Duration,
    /// Bytes since `waited` was last set back.
    got: usize,
    /// Waiting time for those.
    waited: Duration,
    pause: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patient {
    pub(super) fn new(inner: Incoming, patience: Duration) -> Self {
        Self { inner, patience, got: 0, waited: Duration::ZERO, pause: None }
    }

    fn arrived(&mut self, bytes: usize) {
        if let Some((since, _)) = self.pause.take() {
            self.waited += since.elapsed();
        }
        self.got += bytes;
        if self.got >= LEAST {
            (self.got, self.waited) = (0, Duration::ZERO);
        }
    }
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            let Some(frame) = frame else { return Poll::Ready(None) };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Some(Err(BodyError::Broken(error)))),
            };
            // Trailers would be headers that nobody has checked: they end here.
            if let Ok(data) = frame.into_data() {
                self.arrived(data.len());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        let left = self.patience.saturating_sub(self.waited);
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

/// What became of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Stalled,
    Broken,
}

/// A request's body that can be sent to another instance as long as nothing of it was read.
#[derive(Clone)]
pub(super) struct Replayable {
    state: Arc<Mutex<State>>,
    /// When the client last sent something.
    moved: Moved,
}

struct State {
    body: Patient,
    touched: bool,
    fault: Option<Fault>,
}

impl Replayable {
    pub(super) fn new(body: Patient) -> Self {
        let state = State { body, touched: false, fault: None };
        Self { state: Arc::new(Mutex::new(state)), moved: Moved::new() }
    }

    /// Whether anything of it was read.
    pub(super) fn is_touched(&self) -> bool {
        self.state().touched
    }

    /// What the client did wrong.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.state().fault
    }

    /// Waits until the client has sent nothing for this long: so long the app may take to answer what it has got.
    pub(super) async fn rests(&self, limit: Duration) {
        self.moved.rests(limit).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Replayable {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.state();
        state.touched = true;
        let frame = ready!(Pin::new(&mut state.body).poll_frame(cx));
        self.moved.now();
        state.fault = match &frame {
            Some(Err(BodyError::Stalled)) => Some(Fault::Stalled),
            Some(Err(BodyError::Broken(_))) => Some(Fault::Broken),
            Some(Ok(_)) | None => None,
        };
        Poll::Ready(frame)
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
