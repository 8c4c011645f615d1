//! Websockets of the API: who may open one, and how one ends so that its last words arrive.

use std::time::Duration;

use axum::{
    extract::{
        FromRequestParts, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use deis_client::attach::{DaemonMessage, MAX_MESSAGE};
use tokio::time::timeout;

use super::error::{ApiError, Result};

/// A client that says nothing for so long, not even that it is there, is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// How long a client may take to read what was sent to it, once it was told that there is no more.
pub(super) const LINGER: Duration = Duration::from_secs(20 * 60);
/// The same for a client that is refused, to whom there are few words to say.
const PARTING: Duration = Duration::from_secs(5);
/// Bytes that such a client may still send, which nobody reads.
pub(super) const MAX_DISCARDED: usize = 1 << 20;
/// Bytes that wait to be sent on one connection. Answers to pings wait there too: a client that asks and does not read
/// is disconnected when they need more.
const MAX_UNSENT: usize = 512 * 1024;

/// A websocket that was asked for.
pub(super) struct Asked(Result<WebSocketUpgrade>);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    /// What is wrong with it is told after whether there is what it is about, and whether its client may use that.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Self::Rejection> {
        if let Err(refusal) = check(&parts.headers) {
            return Ok(Self(Err(refusal)));
        }
        let asked = WebSocketUpgrade::from_request_parts(parts, state).await;
        Ok(Self(asked.map_err(|_| ApiError::Bad("This needs a websocket.".to_owned()))))
    }
}

impl Asked {
    /// The websocket, with the bounds of this API.
    ///
    /// # Errors
    /// 400 if no websocket was asked for as RFC 6455 has it; 403 if a page of another site did.
    pub(super) fn accept(self) -> Result<WebSocketUpgrade> {
        let bounds = |asked: WebSocketUpgrade| {
            asked.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).max_write_buffer_size(MAX_UNSENT)
        };
        self.0.map(bounds)
    }
}

/// What the library takes as it comes: a key of any length, the first of several, a page of any site.
fn check(headers: &HeaderMap) -> Result<()> {
    if !is_of_this_site(headers) {
        return Err(ApiError::Barred {
            code: "origin_refused",
            text: "A page of another site may not open a websocket here.",
        });
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY);
    let nonce = key.and_then(|key| BASE64_STANDARD.decode(key.as_bytes()).ok());
    if nonce.is_none_or(|nonce| nonce.len() != 16) {
        let text = "This needs a websocket: one Sec-WebSocket-Key, of 16 bytes in base64.";
        return Err(ApiError::Bad(text.to_owned()));
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION).is_none() {
        return Err(ApiError::Bad("This needs a websocket: one Sec-WebSocket-Version.".to_owned()));
    }
    Ok(())
}

/// A header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a page of this very host asks, or no page at all: only browsers say where a page is from, and they open
/// websockets for any page.
fn is_of_this_site(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let text = |name| only(headers, name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(&header::ORIGIN), text(&header::HOST)) else { return false };
    let Some((scheme, from)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    bare(from) == bare(host)
}

/// A message as text.
pub(super) fn text(message: &DaemonMessage) -> Message {
    Message::Text(serde_json::to_string(message).unwrap_or_default().into())
}

/// Says the last words, and waits until the client has heard them and gone. Were the connection closed while something
/// of the client is unread, the system would throw away what the client has not read yet.
pub(super) async fn part(mut socket: WebSocket, last: &DaemonMessage) {
    let _ = socket.send(text(last)).await;
    let _ = socket.send(Message::Close(None)).await;
    let mut discarded = 0;
    let gone = async {
        while let Some(Ok(message)) = socket.recv().await {
            discarded += message.into_data().len();
            if discarded > MAX_DISCARDED {
                return;
            }
        }
    };
    let _ = timeout(PARTING, gone).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut all = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            all.append(name, value);
        }
        all
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");

    #[test]
    fn pages_of_other_sites_open_nothing() {
        for (origin, host, allowed) in [
            ("http://localhost:8000", "localhost:8000", true),
            ("http://LOCALHOST", "localhost:80", true),
            ("https://deis.example.com", "deis.example.com", true),
            ("http://evil.localhost:8000", "localhost:8000", false),
            ("http://localhost:8001", "localhost:8000", false),
            ("null", "localhost:8000", false),
            ("", "localhost:8000", false),
        ] {
            let asked = headers(&[KEY, VERSION, ("origin", origin), ("host", host)]);
            assert_eq!(check(&asked).is_ok(), allowed, "{origin:?} at {host}");
        }
        let two = headers(&[KEY, VERSION, ("origin", "http://a"), ("origin", "http://b"), ("host", "a")]);
        assert!(matches!(check(&two), Err(ApiError::Barred { code: "origin_refused", .. })));
    }

    #[test]
    fn a_handshake_has_one_key_of_sixteen_bytes() {
        assert!(check(&headers(&[KEY, VERSION])).is_ok());
        for wrong in [
            &[VERSION][..],
            &[KEY],
            &[KEY, KEY, VERSION],
            &[KEY, VERSION, VERSION],
            &[("sec-websocket-key", "c2hvcnQ="), VERSION],
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"), VERSION],
            &[("sec-websocket-key", ""), VERSION],
        ] {
            assert!(matches!(check(&headers(wrong)), Err(ApiError::Bad(_))), "{wrong:?}");
        }
    }
}
