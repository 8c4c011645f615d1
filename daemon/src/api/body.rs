//! The body of an API request as one buffer, within bounds of size, time and memory.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    http::Extensions,
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::{
    client::ClientAddress,
    error::{ApiError, Result},
};
use crate::keyed_limit::{Exhausted, KeyedLimit, KeyedPermit};

/// Largest body of an API request, in bytes.
pub(super) const MAX_BODY: usize = 1 << 20;
/// Longest wait for all of it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the bodies of one address may hold at a time, and those of all.
const MAX_ADDRESS: usize = 8 * MAX_BODY;
const MAX_TOTAL: usize = 64 * MAX_BODY;

/// What bodies hold, from their first byte on until their request was answered. It is counted before anybody has logged
/// in, so it counts by address.
#[derive(Clone, Debug)]
pub(super) struct BodyBudget(KeyedLimit<IpAddr>);

impl Default for BodyBudget {
    fn default() -> Self {
        Self(KeyedLimit::with_total(MAX_ADDRESS, MAX_TOTAL))
    }
}

/// A whole body, which counts as long as it lives.
#[derive(Clone, Debug, Default)]
pub(super) struct WholeBody {
    pub(super) bytes: Bytes,
    _permit: Option<Arc<KeyedPermit<IpAddr>>>,
}

impl BodyBudget {
    /// The budget and the client of a request; a router without a budget has one for each request.
    fn of(extensions: &Extensions) -> KeyedPermit<IpAddr> {
        let budget = extensions.get::<Self>().cloned().unwrap_or_default();
        budget.0.empty(ClientAddress::of(extensions).0)
    }
}

impl WholeBody {
    /// One with these bytes, which counts nowhere.
    #[cfg(test)]
    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), _permit: None }
    }

    /// Reads a request's body to its end.
    ///
    /// # Errors
    /// 413 if it is too large, which it may say in advance; 408 if it does not come in time; 503 if its client, or all
    /// together, hold as much as they may; 400 if it breaks off.
    pub(super) async fn read(body: Body, extensions: &Extensions) -> Result<Self> {
        Self::read_within(body, extensions, BODY_TIMEOUT).await
    }

    async fn read_within(body: Body, extensions: &Extensions, limit: Duration) -> Result<Self> {
        let read = collect(body, BodyBudget::of(extensions));
        tokio::time::timeout(limit, read).await.unwrap_or(Err(ApiError::Slow))
    }
}

/// Copies the frames into one buffer. A frame as it comes from the connection holds on to the whole buffer that it was
/// read into: a body that is sent a byte at a time would cost thousands of bytes for each.
async fn collect(mut body: Body, mut permit: KeyedPermit<IpAddr>) -> Result<WholeBody> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(ApiError::TooLarge);
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::Bad("the request broke off".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        let size = all.len() + data.len();
        if size > MAX_BODY {
            return Err(ApiError::TooLarge);
        }
        if size > all.capacity() {
            // Doubled, so that the copies add up to little; counted before it is allocated.
            let more = size.next_power_of_two() - all.capacity();
            permit.grow(more).map_err(|exhausted| match exhausted {
                Exhausted::Key => ApiError::Service {
                    code: "address_request_memory",
                    text: "The requests of this address hold as much memory as they may.".to_owned(),
                },
                Exhausted::Total => ApiError::Service {
                    code: "total_request_memory",
                    text: "All requests together hold as much memory as they may.".to_owned(),
                },
            })?;
            all.reserve(size.next_power_of_two() - all.len());
        }
        all.extend_from_slice(&data);
    }
    Ok(WholeBody { bytes: all.freeze(), _permit: Some(Arc::new(permit)) })
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    async fn read(body: Body) -> Result<Bytes> {
        WholeBody::read(body, &Extensions::new()).await.map(|whole| whole.bytes)
    }

    #[tokio::test]
    async fn bodies_have_limits_of_size_and_time() {
        let large = || Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(vec![b' '; 1 << 16])));
        assert!(matches!(read(large()).await, Err(ApiError::TooLarge)));
        let announced = Body::from(vec![b' '; MAX_BODY + 1]);
        assert!(matches!(read(announced).await, Err(ApiError::TooLarge)));
        let stalled = Body::from_stream(stream::iter([Ok::<_, io::Error>("{")]).chain(stream::pending()));
        let trickling = Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, io::Error>(" "), ()))
        }));
        for slow in [stalled, trickling] {
            let read = WholeBody::read_within(slow, &Extensions::new(), Duration::from_millis(50)).await;
            assert!(matches!(read, Err(ApiError::Slow)));
        }
        let broken = Body::from_stream(stream::iter([Ok("{"), Err(io::Error::other("gone"))]));
        assert!(matches!(read(broken).await, Err(ApiError::Bad(_))));
        assert_eq!(read(Body::from("{}")).await.unwrap(), "{}");
        assert_eq!(read(Body::from(vec![b' '; MAX_BODY])).await.unwrap().len(), MAX_BODY);
    }

    #[tokio::test]
    async fn a_body_costs_its_bytes_however_it_is_sent() {
        // Each frame holds on to a buffer of its own, as those of a connection do.
        let frame = |n: usize| Bytes::from(vec![b'x'; 4096]).slice(n % 4096..=n % 4096);
        let frames = stream::iter((0..100_000).map(move |n| Ok::<_, io::Error>(frame(n))));
        let budget = BodyBudget::default();
        let mut extensions = Extensions::new();
        extensions.insert(budget.clone());
        let whole = WholeBody::read(Body::from_stream(frames), &extensions).await.unwrap();
        assert_eq!(whole.bytes.len(), 100_000);
        assert!(budget.0.held() < 200_000 * 2, "{}", budget.0.held());
        drop(whole);
        assert_eq!(budget.0.held(), 0);
    }

    #[tokio::test]
    async fn an_address_holds_no_more_than_its_share() {
        let mut extensions = Extensions::new();
        extensions.insert(BodyBudget::default());
        let full = || Body::from_stream(stream::iter([Ok::<_, io::Error>(vec![b' '; MAX_BODY])]));
        let mut held = Vec::new();
        for _ in 0..MAX_ADDRESS / MAX_BODY {
            held.push(WholeBody::read(full(), &extensions).await.unwrap());
        }
        let refused = WholeBody::read(full(), &extensions).await;
        assert!(matches!(refused, Err(ApiError::Service { code: "address_request_memory", .. })));
        held.pop();
        assert!(WholeBody::read(full(), &extensions).await.is_ok());
    }
}
