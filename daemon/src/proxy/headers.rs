//! Headers on the way to an app and back.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

/// Headers that belong to one connection and never to the next.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers that a `Connection` header cannot make disappear: an app would be asked something else then.
const END_TO_END: [HeaderName; 6] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::ORIGIN,
];

/// Claims of a client that only a proxy may make. The underscore forms mean the same to many apps.
const CLAIMS: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Bytes of a request's target and headers. The parser's own limit is that of its buffer, which overshoots.
pub(super) fn size<B>(request: &Request<B>) -> usize {
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    lines.sum::<usize>() + request.uri().path_and_query().map_or(0, |p| p.as_str().len())
}

/// The protocol that a connection is to be switched to, if that is asked for.
pub(super) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let tokens = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let wanted = tokens.flat_map(|v| v.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    wanted.then(|| headers.get(header::UPGRADE).cloned()).flatten()
}

/// Removes what belongs to this connection only, also what its `Connection` header names.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse().ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Puts back what an upgrade needs.
pub(super) fn keep_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Tells the app who asks. The client's own claims are replaced: only this connection's address is known to be true.
pub(super) fn forward(headers: &mut HeaderMap, client: SocketAddr, port: u16) {
    let text =
        |value: String| HeaderValue::from_str(&value).expect("addresses and numbers are valid header values");
    let claimed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| CLAIMS.contains(&name.as_str().replace('_', "-").as_str()))
        .cloned()
        .collect();
    for name in claimed {
        headers.remove(name);
    }
    headers.insert("x-forwarded-for", text(client.ip().to_canonical().to_string()));
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    headers.insert("x-forwarded-port", text(port.to_string()));
    let plain = |id: &HeaderValue| {
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    let mut ids = headers.get_all("x-request-id").iter();
    let good = matches!((ids.next(), ids.next()), (Some(id), None) if plain(id));
    if !good {
        headers.insert("x-request-id", text(uuid::Uuid::new_v4().to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_headers_stop_here() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("close, X-Secret"));
        headers.insert("x-secret", HeaderValue::from_static("1"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_client_cannot_claim_an_address() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        headers.insert("x_forwarded_for", HeaderValue::from_static("6.6.6.6"));
        headers.insert("x-real-ip", HeaderValue::from_static("6.6.6.6"));
        forward(&mut headers, "[::ffff:10.0.0.7]:99".parse().unwrap(), 8000);
        assert_eq!(headers["x-forwarded-for"], "10.0.0.7");
        assert_eq!(headers["x-forwarded-port"], "8000");
        assert!(!headers.contains_key("x_forwarded_for") && !headers.contains_key("x-real-ip"));
    }

    #[test]
    fn a_connection_header_takes_nothing_of_the_request_away() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("host, cookie"));
        headers.insert("host", HeaderValue::from_static("a"));
        headers.insert("cookie", HeaderValue::from_static("b"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 2);
    }
}
