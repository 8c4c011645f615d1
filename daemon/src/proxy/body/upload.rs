//! A request's body on its way to an app, beside the answer that may come before it has ended.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use super::stall_timeout::{BodyError, StallTimeoutBody};
use crate::proxy::last_activity::LastActivity;

/// What a client did wrong while it sent its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Fault {
    Stalled,
    Broken,
}

/// A request's body, which can be sent to another instance as long as nothing of it was read.
///
/// The answer is worth more than the body: a fault of the client's, or an app that reads no further, does not cut off an
/// answer whose head has come. An HTTP client library takes a body's error for the end of the connection, so the error
/// is kept back until the answer is over.
#[derive(Clone)]
pub(in crate::proxy) struct Upload(Arc<Shared>);

struct Shared {
    state: Mutex<UploadState>,
    /// When the client last sent something.
    activity: LastActivity,
    /// Wakes whoever waits for the last attempt to let go of the body.
    released: Notify,
}

struct UploadState {
    body: StallTimeoutBody,
    answer: AnswerPhase,
    is_touched: bool,
    is_ended: bool,
    fault: Option<Fault>,
    /// Attempts that hold the body.
    attempts: usize,
    /// The attempt that waits for the answer to be over.
    parked: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AnswerPhase {
    Awaited,
    Begun,
    Over,
}

impl Upload {
    pub(in crate::proxy) fn new(body: StallTimeoutBody) -> Self {
        let is_ended = body.is_end_stream();
        let state = UploadState {
            body,
            answer: AnswerPhase::Awaited,
            is_touched: false,
            is_ended,
            fault: None,
            attempts: 0,
            parked: None,
        };
        let (activity, released) = (LastActivity::new(), Notify::new());
        Self(Arc::new(Shared { state: Mutex::new(state), activity, released }))
    }

    /// The body for one attempt. There is one attempt at a time.
    pub(in crate::proxy) fn attempt(&self) -> UploadBody {
        self.state().attempts += 1;
        UploadBody(self.clone())
    }

    /// Whether anything of it was read.
    pub(in crate::proxy) fn is_touched(&self) -> bool {
        self.state().is_touched
    }

    /// Whether all of it was read.
    pub(in crate::proxy) fn is_ended(&self) -> bool {
        self.state().is_ended
    }

    /// What the client did wrong.
    pub(in crate::proxy) fn fault(&self) -> Option<Fault> {
        self.state().fault
    }

    /// Waits until the client has sent nothing for this long: so long the app may take to answer what it has got.
    pub(in crate::proxy) async fn idle_for(&self, limit: Duration) {
        self.0.activity.idle_for(limit).await;
    }

    /// Notes that an answer has begun; it is over when the guard is dropped.
    pub(in crate::proxy) fn answered(&self) -> AnswerGuard {
        self.state().answer = AnswerPhase::Begun;
        AnswerGuard(self.clone())
    }

    /// Waits until no attempt wants the body any more, and reads its rest for at most this long. A client that sends
    /// all of its body before it reads gets its answer only if somebody goes on reading.
    pub(in crate::proxy) async fn drain_once_released(self, limit: Duration) {
        loop {
            // Waiting begins before the count is read: an attempt that ends between the two is not missed.
            let released = self.0.released.notified();
            if self.state().attempts == 0 {
                break;
            }
            released.await;
        }
        // Nobody else reads the body from here on, so the attempts' rule – one at a time – still holds.
        let mut rest = self.attempt();
        let drained = async {
            while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {}
        };
        let _ = tokio::time::timeout(limit, drained).await;
    }

    fn state(&self) -> MutexGuard<'_, UploadState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that has begun.
pub(in crate::proxy) struct AnswerGuard(Upload);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.answer = AnswerPhase::Over;
        if let Some(parked) = state.parked.take() {
            parked.wake();
        }
    }
}

/// The body as one attempt sends it.
pub(in crate::proxy) struct UploadBody(Upload);

impl Drop for UploadBody {
    fn drop(&mut self) {
        self.0.state().attempts -= 1;
        self.0.0.released.notify_waiters();
    }
}

impl UploadState {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.fault.is_none() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            let (fault, error) = match frame {
                Some(Err(error @ BodyError::Stalled)) => (Fault::Stalled, error),
                Some(Err(error)) => (Fault::Broken, error),
                frame => {
                    self.is_ended = frame.is_none() || self.body.is_end_stream();
                    return Poll::Ready(frame);
                }
            };
            self.fault = Some(fault);
            if self.answer != AnswerPhase::Begun {
                return Poll::Ready(Some(Err(error)));
            }
        }
        // Neither an end nor an error: an end would complete a request that is not complete, and an error would take
        // the answer away. So this attempt waits until the answer is over.
        if self.answer == AnswerPhase::Begun {
            self.parked = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(BodyError::AfterAnswer)))
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.0.state();
        state.is_touched = true;
        let frame = ready!(state.poll(cx));
        drop(state);
        self.0.0.activity.touch();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.state().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.state().body.size_hint()
    }
}
