//! Requests to the controller.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use tokio_tungstenite::tungstenite::{handshake::client::generate_key, protocol::Role};

use super::{
    compat,
    error::{ClientError, Result},
    pipe::Socket,
};

/// A connection to one controller, with or without a token.
#[derive(Clone, Debug)]
pub(super) struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer with its body unread.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    /// HTTP status.
    pub status: StatusCode,
    /// Code of the error, if it is one and the controller says it.
    pub code: String,
    /// The body.
    pub body: String,
    /// What the platform says of its version.
    pub platform_version: Option<String>,
}

impl Api {
    /// Prepares requests to `controller`; a URL without a scheme gets `http`.
    pub(super) fn new(controller: &str, token: Option<String>, ssl_verify: bool) -> Result<Self> {
        let base = normalize_url(controller)?;
        let host = host_of(&base).unwrap_or_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("Deis Client v", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(LocalhostResolver))
            .connect_timeout(Duration::from_secs(10))
            .tls_danger_accept_invalid_certs(!ssl_verify);
        if is_loopback_name(&host) {
            builder = builder.no_proxy();
        }
        let http =
            builder.build().map_err(|e| ClientError::Other(format!("cannot make an HTTP client: {e}")))?;
        Ok(Self { http, base, token })
    }

    /// The same connection with another token, or none.
    pub(super) fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// The controller's URL, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<HttpAnswer> {
        let response = self.response(self.request(method, path, body)).await?;
        let status = response.status();
        let header = response.headers().get("DEIS_PLATFORM_VERSION");
        let platform_version = header.and_then(|v| v.to_str().ok()).map(str::to_owned);
        let code = code_of(response.headers());
        let body = response.text().await.map_err(|e| self.unreachable(e))?;
        Ok(HttpAnswer { status, code, body, platform_version })
    }

    /// Sends a request that must succeed and decodes its answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T> {
        let answer = self.done(method, path, body).await?;
        let text = if answer.body.is_empty() { "null" } else { &answer.body };
        serde_json::from_str(text).map_err(|e| ClientError::BadAnswer(format!("{e} in {:?}", shorten(text))))
    }

    /// Sends a request that must succeed.
    pub(super) async fn done(&self, method: Method, path: &str, body: Option<&Value>) -> Result<HttpAnswer> {
        let answer = self.send(method, path, body).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(refused(answer.status, answer.code, &answer.body))
        }
    }

    /// GET of JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, None).await
    }

    /// POST of JSON, answered by JSON.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// DELETE.
    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        self.done(Method::DELETE, path, None).await.map(|_| ())
    }

    /// GET whose body arrives as a stream.
    pub(super) async fn stream(&self, path: &str) -> Result<reqwest::Response> {
        let response = self.response(self.request(Method::GET, path, None)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let code = code_of(response.headers());
        let body = response.text().await.map_err(|e| self.unreachable(e))?;
        Err(refused(status, code, &body))
    }

    /// A websocket.
    pub(super) async fn websocket(&self, path: &str) -> Result<Socket> {
        let request = self
            .request(Method::GET, path, None)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key());
        let response = self.response(request).await?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let code = code_of(response.headers());
            let body = response.text().await.map_err(|e| self.unreachable(e))?;
            return Err(refused(status, code, &body));
        }
        let stream = response.upgrade().await.map_err(|e| self.unreachable(e))?;
        Ok(Socket::from_raw_socket(stream, Role::Client, None).await)
    }

    async fn response(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let response = request.send().await.map_err(|e| self.unreachable(e))?;
        compat::check(response.headers());
        Ok(response)
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        if source.is_connect() {
            return ClientError::Unreachable { url: self.base.clone(), source };
        }
        ClientError::NoAnswer(source)
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/plain");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("token {token}"));
        }
        match body {
            Some(value) => request.body(value.to_string()),
            None => request,
        }
    }
}

/// The code of an error; empty from a controller that says none.
fn code_of(headers: &HeaderMap) -> String {
    headers.get("DEIS_ERROR_CODE").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

/// Turns a refusal into the text that a person reads.
fn refused(status: StatusCode, code: String, body: &str) -> ClientError {
    let message = message_of(body).unwrap_or_else(|| match status.as_u16() {
        404 => "Not Found".to_owned(),
        500 => "Internal Server Error".to_owned(),
        code => format!("the controller answered {code}"),
    });
    if status == StatusCode::UNAUTHORIZED {
        let message = format!("{message} Log in with `deis login URL`.");
        return ClientError::NotLoggedIn { code, message };
    }
    let message = match status {
        StatusCode::UNPROCESSABLE_ENTITY => format!("Unable to process your request: {message}"),
        _ => message,
    };
    ClientError::Refused { status: status.as_u16(), code, message }
}

/// The texts in an error body: a `detail`, a bare string, or lists by field.
fn message_of(body: &str) -> Option<String> {
    if body.trim().is_empty() {
        return None;
    }
    let Ok(value) = serde_json::from_str::<Value>(body) else { return Some(body.trim().to_owned()) };
    match value {
        Value::Object(map) => {
            if let Some(Value::String(detail)) = map.get("detail") {
                return Some(detail.clone());
            }
            let fields: Vec<String> = map
                .iter()
                .map(|(field, value)| {
                    let texts = match value {
                        Value::Array(items) => {
                            items.iter().map(plain).collect::<Vec<_>>().first().cloned().unwrap_or_default()
                        }
                        other => plain(other),
                    };
                    if field == "non_field_errors" { texts } else { format!("{field}: {texts}") }
                })
                .collect();
            Some(fields.join("\n"))
        }
        Value::Array(items) => Some(items.iter().map(plain).collect::<Vec<_>>().join("\n")),
        // Scripts of the original look for this text with its quotes.
        Value::String(text) => Some(format!("{text:?}")),
        other => Some(other.to_string()),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Gives a controller URL a scheme and no slash at its end.
pub(super) fn normalize_url(controller: &str) -> Result<String> {
    let text = controller.trim().trim_end_matches('/');
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let parsed = Url::parse(&text)
        .map_err(|e| ClientError::Usage(format!("{controller:?} is not a controller URL: {e}")))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(ClientError::Usage(format!("{controller:?} is not an http or https URL")));
    }
    Ok(text)
}

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path, percent-encoded. Some words are no segments: URLs drop `.` and go up at `..`, so
/// that the request would reach something else than what was named.
pub(super) fn segment(text: &str) -> Result<String> {
    if matches!(text, "" | "." | "..") {
        return Err(ClientError::Usage(format!("{text:?} is no name")));
    }
    Ok(utf8_percent_encode(text, RESERVED).to_string())
}

/// Host name of a URL, without port.
pub(super) fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_ascii_lowercase)
}

/// Whether a name means this machine: `localhost`, anything below it, a loopback address.
pub(super) fn is_loopback_name(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}

/// A host by the name that all its names on this machine share: `deis.localhost` and loopback addresses are
/// `localhost`. Other names below `localhost` are apps.
pub(super) fn canonical_host(host: &str) -> &str {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    if host == "deis.localhost" || address.is_ok_and(|a| a.is_loopback()) { "localhost" } else { host }
}

/// Whether two URLs lead to the same server.
pub(super) fn same_place(a: &Url, b: &Url) -> bool {
    let host = |url: &Url| url.host_str().map(|h| canonical_host(h).to_owned());
    a.scheme() == b.scheme() && host(a) == host(b) && a.port_or_known_default() == b.port_or_known_default()
}

/// Resolves `*.localhost` to loopback itself, because glibc does not.
#[derive(Debug)]
struct LocalhostResolver;

impl Resolve for LocalhostResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = if is_loopback_name(&host) {
                vec![
                    SocketAddr::from(([127, 0, 0, 1], 0)),
                    SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0)),
                ]
            } else {
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect()
            };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_become_sentences() {
        let text = |body| message_of(body).unwrap();
        assert_eq!(text(r#"{"detail":"no"}"#), "no");
        assert_eq!(text(r#"{"id":["first","second"]}"#), "id: first");
        assert_eq!(text(r#"{"non_field_errors":["bad"]}"#), "bad");
        assert_eq!(text(r#""No App matches the given query.""#), "\"No App matches the given query.\"");
        assert_eq!(text("<html>"), "<html>");
        assert!(message_of("").is_none());
    }

    #[test]
    fn what_cannot_be_unset_is_said_in_the_words_of_the_contract() {
        let refusal = refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            String::new(),
            r#"{"detail":"A does not exist under values"}"#,
        );
        assert_eq!(refusal.to_string(), "Unable to process your request: A does not exist under values");
    }

    #[test]
    fn controllers_get_a_scheme() {
        assert_eq!(normalize_url("deis.example.com/").unwrap(), "http://deis.example.com");
        assert_eq!(normalize_url("https://d.x").unwrap(), "https://d.x");
        assert!(normalize_url("ftp://x").is_err());
    }

    #[test]
    fn a_segment_never_leads_elsewhere() {
        assert_eq!(segment("a/../b?c#d e").unwrap(), "a%2F..%2Fb%3Fc%23d%20e");
        assert_eq!(segment("%2e%2e").unwrap(), "%252e%252e");
        assert_eq!(segment("www.example.com").unwrap(), "www.example.com");
        for word in ["", ".", ".."] {
            assert!(matches!(segment(word), Err(ClientError::Usage(_))), "{word:?}");
        }
    }

    #[test]
    fn loopback_names_are_known() {
        for name in ["localhost", "blog.localhost", "127.0.0.1", "[::1]"] {
            assert!(is_loopback_name(name), "{name}");
        }
        assert!(!is_loopback_name("localhost.example.com"));
    }
}
