//! Which protocols a connection may be switched to.

use http::{HeaderMap, HeaderValue, Request, Version, header};

/// What a request asks of its connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Nothing.
    None,
    /// To speak one of these protocols, named as in an `Upgrade` header.
    To(HeaderValue),
    /// To speak another protocol, in a way that none is switched to.
    Bad,
}

/// What a request asks for. Other versions of HTTP are left out: they would carry requests past this proxy, and whoever
/// offers them is content with this one.
pub(super) fn asked(request: &Request<impl hyper::body::Body>) -> Upgrade {
    let headers = request.headers();
    if !tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Upgrade::None;
    }
    let wanted: Vec<&str> = tokens(headers, &header::UPGRADE).filter(|t| !is_http(t)).collect();
    let Ok(protocols) = HeaderValue::from_str(&wanted.join(", ")) else { return Upgrade::Bad };
    if protocols.is_empty() {
        return Upgrade::None;
    }
    // Bytes of a body and bytes of the new protocol could not be told apart by whoever reads the connection next.
    let is_plain = request.method() == http::Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream();
    if is_plain { Upgrade::To(protocols) } else { Upgrade::Bad }
}

/// The protocol that an answer switches to, if it is one of those that were asked for.
pub(super) fn agreed(answer: &HeaderMap, asked: &HeaderValue) -> Option<HeaderValue> {
    let mut chosen = answer.get_all(header::UPGRADE).iter();
    // An app that chooses two protocols, or one that nobody offered, would be understood differently on both sides.
    let (Some(protocol), None) = (chosen.next(), chosen.next()) else { return None };
    let offered = asked.to_str().ok()?;
    let is_offered = |name: &str| offered.split(", ").any(|o| o.eq_ignore_ascii_case(name));
    protocol.to_str().ok().is_some_and(|name| is_offered(name.trim())).then(|| protocol.clone())
}

/// Puts back what an upgrade needs.
pub(super) fn keep(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

fn is_http(protocol: &str) -> bool {
    let lower = protocol.to_ascii_lowercase();
    lower.starts_with("h2") || lower.starts_with("h3") || lower.starts_with("http")
}

fn tokens<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_of_http_are_not_offered() {
        let request = |method: &str, connection: &str, protocols: &str| {
            let request = Request::builder().method(method).header("connection", connection);
            asked(&request.header("upgrade", protocols).body(http_body_util::Empty::<&[u8]>::new()).unwrap())
        };
        let to = |protocols: &'static str| Upgrade::To(HeaderValue::from_static(protocols));
        for (method, connection, protocols, wanted) in [
            ("GET", "Upgrade", "websocket", to("websocket")),
            ("GET", "keep-alive, upgrade", "websocket, h2c", to("websocket")),
            ("GET", "Upgrade", "H2C", Upgrade::None),
            ("POST", "Upgrade, HTTP2-Settings", "h2c", Upgrade::None),
            ("GET", "Upgrade", "HTTP/2.0", Upgrade::None),
            ("GET", "close", "websocket", Upgrade::None),
            ("POST", "Upgrade", "websocket", Upgrade::Bad),
        ] {
            assert_eq!(request(method, connection, protocols), wanted, "{method} {connection} {protocols}");
        }
    }

    #[test]
    fn an_app_chooses_among_what_was_asked_for() {
        let chosen = |protocol: &'static str| {
            let answer = HeaderMap::from_iter([(header::UPGRADE, HeaderValue::from_static(protocol))]);
            agreed(&answer, &HeaderValue::from_static("gossip, WebSocket")).is_some()
        };
        assert!(chosen("websocket") && chosen("gossip"));
        assert!(!chosen("h2c") && !chosen("gossip, websocket") && !chosen(""));
    }
}
