//! Headers on the way to an app and back.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};

use super::ClientInfo;

/// Headers that belong to one connection and never to the next. What a `Connection` header names beyond these goes
/// on: otherwise a client could make headers disappear that something before the app has set.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers that say where a message ends, whose it is, and who asks.
const MESSAGE: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::HOST, header::AUTHORIZATION];

/// Claims of a client that only a proxy may make, beside everything that begins with `x-forwarded`. `proxy` is what
/// CGI turns into the `HTTP_PROXY` of the app's own requests.
const CLAIMS: [&str; 6] =
    ["forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "x-request-start", "proxy"];

/// Identifiers that a client may choose, if they look like some.
const IDENTIFIERS: [&str; 2] = [REQUEST_ID, "x-correlation-id"];

const REQUEST_ID: &str = "x-request-id";

/// Bytes of a request's target and headers. The parser's own limit is that of its buffer, which overshoots.
pub(super) fn size<B>(request: &Request<B>) -> usize {
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    lines.sum::<usize>() + request.uri().path_and_query().map_or(0, |p| p.as_str().len())
}

/// Bytes of the head of an app's answer: its reason and headers. Here, too, the parser's limit overshoots.
pub(super) fn answer_size<B>(answer: &Response<B>) -> usize {
    let lines = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let reason = answer.extensions().get::<hyper::ext::ReasonPhrase>();
    lines.sum::<usize>() + reason.map_or(0, |reason| reason.as_bytes().len())
}

/// Removes what belongs to this connection only.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Says who asks. What the request itself claims of that is replaced by what is known.
pub(super) fn tell_client(headers: &mut HeaderMap, client: &ClientInfo) {
    // All claims go before the known values come, so that a claim under another spelling cannot stand beside them.
    let claimed: Vec<HeaderName> = headers.keys().filter(|name| is_claim(headers, name)).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
    headers.extend(client.headers());
    if !headers.contains_key(REQUEST_ID) {
        let id = uuid::Uuid::new_v4().to_string();
        headers.insert(REQUEST_ID, HeaderValue::try_from(id).expect("a UUID is a valid header value"));
    }
}

/// Whether a header says what a client cannot know. The underscore forms mean the same to many apps.
fn is_claim(headers: &HeaderMap, name: &HeaderName) -> bool {
    // CGI and WSGI turn both into the same variable, and the client's would win or lose by chance.
    let plain = name.as_str().replace('_', "-");
    if IDENTIFIERS.contains(&plain.as_str()) {
        return plain != name.as_str() || !is_identifier(headers, name);
    }
    // What says where a message ends, or whose it is, must not be said once more in other letters.
    let is_double = plain != name.as_str()
        && (HOP_BY_HOP.iter().any(|own| own == plain.as_str())
            || MESSAGE.iter().any(|own| own == plain.as_str()));
    is_double || plain.starts_with("x-forwarded") || CLAIMS.contains(&plain.as_str())
}

fn is_identifier(headers: &HeaderMap, name: &HeaderName) -> bool {
    let plain = |id: &HeaderValue| {
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    let mut ids = headers.get_all(name).iter();
    matches!((ids.next(), ids.next()), (Some(id), None) if plain(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{Scheme, TrustedProxies};

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_what_belongs_to_the_connection_stops_here() {
        let mut headers = map(&[
            ("connection", "close, X-Api-Key, Cookie"),
            ("x-api-key", "1"),
            ("cookie", "1"),
            ("te", "trailers"),
            ("trailer", "x-forwarded-for"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-api-key", "1"), ("cookie", "1")]));
    }

    #[test]
    fn a_client_cannot_claim_what_only_a_proxy_knows() {
        let mut headers = map(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded-ssl", "on"),
            ("x-forwarded", "6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("true-client-ip", "6.6.6.6"),
            ("x-client_ip", "6.6.6.6"),
            ("x_request_id", "6"),
            ("x-request-id", "good-1"),
            ("x-correlation-id", "not good"),
            ("proxy", "http://6.6.6.6"),
        ]);
        let (peer, nobody) = ("::ffff:10.0.0.7".parse().unwrap(), TrustedProxies::default());
        let client = ClientInfo::of(&headers, peer, Scheme::Http, 8000, &nobody);
        tell_client(&mut headers, &client);
        let told = map(&[
            ("x-forwarded-for", "10.0.0.7"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "8000"),
            ("x-request-id", "good-1"),
        ]);
        assert_eq!(headers, told);
    }
}
